//! The words of all screens at once.

use std::{fs, path::Path};

/// Words that may follow a one although they end in "s": units, verbs, and singulars.
const SINGULAR: [&str; 8] = ["s", "ms", "µs", "is", "was", "has", "process", "less"];

/// Returns what stands in the plural after a one: "1 exchanges", "1 EXCHANGES".
fn plural_of_one(text: &str) -> Option<String> {
    for line in text.lines() {
        // The name of a tab ends with a figure, and another name or the age of exchanges follows.
        let line = line.replace("EXCHANGES AS OF", "").replace(" THREADS ", " | ");
        let words: Vec<&str> = line.split_whitespace().collect();
        for pair in words.windows(2) {
            let noun = pair[1].trim_end_matches([',', '.', ';', ':', ')']);
            let lower = noun.to_lowercase();
            let is_word = noun.chars().all(char::is_alphabetic);
            if pair[0] == "1" && is_word && lower.ends_with('s') && !SINGULAR.contains(&&*lower) {
                return Some(format!("1 {noun}: {line}"));
            }
        }
    }
    None
}

#[test]
fn one_is_never_followed_by_a_plural() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tui/snapshots");
    let mut read = 0;
    for entry in fs::read_dir(folder).expect("the snapshots") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("text");
        if let Some(found) = plural_of_one(&text) {
            panic!("{}: {found}", path.display());
        }
        read += 1;
    }
    assert!(read > 50, "{read} screens");
}

#[test]
fn a_plural_after_a_one_is_found() {
    for wrong in
        [" 1 EXCHANGES  ←→", "TIME OF 1 EXCHANGES", "and 1 connections, open", "1 accepts."]
    {
        assert!(plural_of_one(wrong).is_some(), "{wrong}");
    }
    for right in ["1 exchange", "took 1 s", "1 process", "11 exchanges", "0.1 ms", "1 is waiting"] {
        assert!(plural_of_one(right).is_none(), "{right}");
    }
}
