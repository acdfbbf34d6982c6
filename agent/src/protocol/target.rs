//! The path in the target of a request of HTTP/1, and nothing else of it.

/// Of a path, characters that are kept.
const LONGEST: usize = 256;

/// Returns the path alone: no user or password, host, query, fragment or parameters of a segment.
/// Escapes stay as they are. Empty where the target has no path, as that of `CONNECT`, or is no
/// target at all.
pub(super) fn path(target: &str) -> String {
    let hierarchy = target.split(['?', '#']).next().unwrap_or_default();
    if hierarchy == "*" {
        return hierarchy.to_owned();
    }
    without_parameters(local(hierarchy)).take(LONGEST).collect()
}

/// Cuts off what names a host: scheme, user, password, host and port.
fn local(hierarchy: &str) -> &str {
    if let Some(rest) = hierarchy.strip_prefix("//")
        && rest.split('/').next().is_some_and(|first| first.contains('@'))
    {
        // By the letter a path with an empty first segment; by intent it was a URL.
        return behind_host(rest);
    }
    if hierarchy.starts_with('/') {
        return hierarchy;
    }
    match hierarchy.split_once("://") {
        // Slashes too many are no path: what follows them is still user and host.
        Some((scheme, rest)) if is_scheme(scheme) => {
            behind_host(rest.trim_start_matches(['/', '\\']))
        }
        _ => "",
    }
}

/// Cuts off user and host: the path of a URL that has none is `/`.
fn behind_host(rest: &str) -> &str {
    match rest.find('/') {
        Some(begin) => &rest[begin..],
        None => "/",
    }
}

fn is_scheme(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_alphabetic())
        && word.chars().all(|one| one.is_ascii_alphanumeric() || "+-.".contains(one))
}

/// Leaves away what each segment has behind a `;`, as a session's id in `;jsessionid=`.
fn without_parameters(path: &str) -> impl Iterator<Item = char> {
    let mut is_parameter = false;
    path.chars().filter(move |character| {
        match character {
            ';' => is_parameter = true,
            '/' => is_parameter = false,
            _ => {}
        }
        !is_parameter
    })
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn of_a_target_the_path_alone_is_kept() {
        let kept = [
            ("/", "/"),
            ("/orders/7", "/orders/7"),
            ("/orders/7?token=s3cret", "/orders/7"),
            ("/orders/7#s3cret", "/orders/7"),
            ("/orders/7#a?b", "/orders/7"),
            ("/a%2Fb%3Bc%3Fd%40e/f", "/a%2Fb%3Bc%3Fd%40e/f"),
            ("/a;jsessionid=s3cret", "/a"),
            ("/a;v=s3cret/b;w=s3cret;x/c", "/a/b/c"),
            (";s3cret/a", ""),
            ("/;s3cret", "/"),
            ("/users/@me/posts", "/users/@me/posts"),
            ("//double/slash", "//double/slash"),
            ("*", "*"),
            ("", ""),
        ];
        for (target, expected) in kept {
            assert_eq!(path(target), expected, "{target}");
        }
    }

    #[test]
    fn of_a_url_neither_user_nor_host_is_kept() {
        let kept = [
            ("http://user:s3cret@host.test:8080/a/b;s3cret/c?q=s3cret#s3cret", "/a/b/c"),
            ("http://s3cret.test", "/"),
            ("http://s3cret.test?q", "/"),
            ("HTTPS://s3cret.test#/f", "/"),
            ("http://[2001:db8::1]:80/a", "/a"),
            ("ws+unix://s3cret/a", "/a"),
            ("http://user:s3;cret@host/a", "/a"),
            ("http:///user:s3cret@host/a", "/a"),
            ("http://\\user:s3cret@host/a", "/a"),
            ("http://user:s3cret@host\\a", "/"),
            ("//user:s3cret@host/a", "/a"),
            ("//user:s3cret@host", "/"),
        ];
        for (target, expected) in kept {
            assert_eq!(path(target), expected, "{target}");
        }
    }

    #[test]
    fn what_has_no_path_keeps_nothing() {
        let none = [
            "s3cret.test:443",
            "user:s3cret@host:443",
            "user:s3cret@host/a",
            "http:user:s3cret@host/a",
            "http:/user:s3cret@host/a",
            "://user:s3cret@host/a",
            "1http://user:s3cret@host/a",
            "us er://s3cret/a",
            "**",
            "*/s3cret",
            "\\s3cret",
            "?/s3cret",
            "#/s3cret",
        ];
        for target in none {
            assert_eq!(path(target), "", "{target}");
        }
    }

    #[test]
    fn a_path_is_cut_between_characters() {
        let long = format!("http://host/{}", "é".repeat(1_000));
        let kept = path(&long);
        assert_eq!(kept.chars().count(), super::LONGEST);
        assert_eq!(path(&format!("/{};s3cret", "a".repeat(255))).len(), 256);
        assert!(!path(&format!("/{};s3cret", "a".repeat(250))).contains('s'));
    }
}
