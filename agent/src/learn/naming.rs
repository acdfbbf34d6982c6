//! Words that name whose doing something is: whoever is to find that out must not read them first.

/// The owners by their names in the texts.
const NAMES: [&str; 5] = ["kernel", "app", "application", "network", "peer"];

/// Splits a text into parts, and says of each whether it names an owner: "the ", "kernel's", " job".
pub fn naming_owners(text: &str) -> Vec<(bool, &str)> {
    let (mut parts, mut begin, mut at) = (Vec::new(), 0, 0);
    for word in text.split_inclusive(|c: char| !is_of_word(c)) {
        let end = word.find(|c: char| !is_of_word(c)).unwrap_or(word.len());
        if names_owner(&word[..end]) {
            if begin < at {
                parts.push((false, &text[begin..at]));
            }
            parts.push((true, &text[at..at + end]));
            begin = at + end;
        }
        at += word.len();
    }
    if begin < text.len() {
        parts.push((false, &text[begin..]));
    }
    parts
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '\'' || c == '’'
}

fn names_owner(word: &str) -> bool {
    let lower = word.to_lowercase();
    let bare = lower.trim_end_matches("'s").trim_end_matches("’s").trim_end_matches(['\'', '’']);
    NAMES.iter().any(|name| bare == *name || bare.strip_suffix('s') == Some(name))
}

#[cfg(test)]
mod tests {
    use super::naming_owners;

    #[test]
    fn names_of_owners_are_told_from_the_rest() {
        for (text, named) in [
            ("The kernel’s rule, and the App's.", vec!["kernel’s", "App's"]),
            ("Kernels and applications: peers", vec!["Kernels", "applications", "peers"]),
            ("the peers' network", vec!["peers'", "network"]),
            ("it appears happened; networked", vec![]),
            ("", vec![]),
        ] {
            let parts = naming_owners(text);
            let joined: String = parts.iter().map(|(_, part)| *part).collect();
            assert_eq!(joined, text, "nothing is lost");
            let found: Vec<&str> =
                parts.iter().filter(|(names, _)| *names).map(|(_, part)| *part).collect();
            assert_eq!(found, named, "{text}");
        }
    }
}
