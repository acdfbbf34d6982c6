//! Other names of demos and lessons: the number of the lecture, and the name that the one has where
//! the other has one of its own.

use std::ffi::OsString;

use demo_servers::demo::{self, Demo, demos};

use crate::learn::{self, CatalogueEntry};

/// Lessons, each with the demo that shows the same under another name. A demo that stands in
/// several rows goes with the first lesson.
const PAIRS: &[(&str, &str)] = &[
    ("async", "synchronous-asynchronous"),
    ("sse", "server-sent-events"),
    ("pub-sub", "publish-subscribe"),
    ("state", "stateful-stateless"),
    ("tls12", "https-tls12"),
    ("https", "https-tls12"),
    ("tls12", "https-tls12-resumed"),
    ("tls13", "https-tls13"),
    ("quic", "https-quic"),
    ("fast-open", "https-tfo-tls13"),
    ("early-data", "https-tls13-0rtt"),
    ("early-data", "https-tfo-0rtt"),
    ("quic-0rtt", "https-quic-0rtt"),
    ("cpu", "cpu-competition"),
    ("accept-queue", "never-accepts"),
    ("socket-data", "slow-reader"),
    ("three-roles", "listener-acceptor-reader"),
    ("one-thread", "single-thread"),
    ("readers", "acceptor-plus-readers"),
    ("messages", "message-load-balancing"),
    ("acceptors", "thundering-herd"),
    ("sharding", "socket-sharding"),
    ("proxies", "reverse-proxy"),
    ("balancers", "layer4-balancer"),
];

/// The command line with a demo's own name in place of another one that it goes by: "demo 47" is
/// "demo nagle".
pub(super) fn with_demos_named(mut words: Vec<OsString>) -> Vec<OsString> {
    if let Some(at) = demo_word(&words)
        && let Some(given) = words[at].to_str()
        && let [one] = demos_of(given).as_slice()
    {
        words[at] = one.name.into();
    }
    words
}

/// The place of the demo's name in a command line that is about demos.
fn demo_word<W: AsRef<std::ffi::OsStr>>(words: &[W]) -> Option<usize> {
    let is_option = |word: &W| word.as_ref().to_string_lossy().starts_with('-');
    let mut names = (1..words.len()).filter(|at| !is_option(&words[*at]));
    let verb = names.next()?;
    if words[verb].as_ref() == "demo" { names.next() } else { None }
}

/// The demos that a name means: one by its own name or by that of a lesson, else those of a
/// lecture.
fn demos_of(name: &str) -> Vec<&'static Demo> {
    if let Some(demo) = demo::find(name) {
        return vec![demo];
    }
    if let Some((_, other)) = PAIRS.iter().find(|(lesson, _)| *lesson == name) {
        return demo::find(other).into_iter().collect();
    }
    let lectures = match (name.parse::<u8>(), learn::find(name).map(CatalogueEntry::lesson)) {
        (Ok(lecture), _) => vec![lecture],
        (Err(_), Some(Ok(lesson))) => lesson.lectures,
        _ => return Vec::new(),
    };
    demos().filter(|demo| demo.lectures.iter().any(|of| lectures.contains(of))).collect()
}

/// The lesson that a name means: its own, that of a demo, or the number of a lecture.
pub fn lesson_of(name: &str) -> Option<&'static CatalogueEntry> {
    if let Some(entry) = learn::find(name) {
        return Some(entry);
    }
    if let Some((lesson, _)) = PAIRS.iter().find(|(_, demo)| *demo == name) {
        return learn::find(lesson);
    }
    learn::find(&demo::find(name)?.lectures.first()?.to_string())
}

/// Returns what to say of a lesson that there is not.
pub fn no_lesson(name: &str) -> String {
    let told = match name.parse::<u8>() {
        Ok(lecture) => format!("there is no lesson on lecture {lecture}"),
        Err(_) => format!("there is no lesson {name}"),
    };
    let lessons = learn::all().iter().map(|entry| entry.slug);
    let names: Vec<String> =
        lessons.chain(demos().map(|demo| demo.name)).map(str::to_owned).collect();
    let meant = match super::errors::nearest(name, &names) {
        Some(meant) => format!("did you mean {meant}? "),
        None => String::new(),
    };
    format!("{told}; {meant}backscope learn --list lists them")
}

/// Returns what to say of a demo that the command line names and that there is not: which there
/// are of that lecture, or which was probably meant. `None` if there is nothing better to say than
/// clap does.
pub(super) fn no_demo(words: &[String]) -> Option<String> {
    let given = words.get(demo_word(words)?)?;
    let found = demos_of(given);
    if found.is_empty() {
        let mut names: Vec<String> = demos().map(|demo| demo.name.to_owned()).collect();
        names.extend(PAIRS.iter().map(|(lesson, _)| (*lesson).to_owned()));
        let meant = match super::errors::nearest(given, &names) {
            Some(meant) => format!("did you mean {meant}? "),
            None => String::new(),
        };
        return Some(format!("there is no demo {given}; {meant}backscope demo --list lists them"));
    }
    let mut told = format!("several demos go with {given}; name one of them:");
    let width = found.iter().map(|demo| demo.name.len()).max().unwrap_or(0);
    for demo in found {
        told.push_str(&format!("\n  backscope demo {:width$}  {}", demo.name, demo.title));
    }
    Some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(line: &str) -> String {
        let words = line.split(' ').map(OsString::from).collect();
        let words = with_demos_named(words).into_iter().map(|word| word.into_string());
        words.map(|word| word.expect("UTF-8")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_demo_goes_by_its_lecture_and_by_its_lesson() {
        for (given, meant) in [
            ("backscope demo 47 --nodelay", "backscope demo nagle --nodelay"),
            ("backscope demo --watch 47", "backscope demo --watch nagle"),
            ("backscope demo async", "backscope demo synchronous-asynchronous"),
            ("backscope demo nagle", "backscope demo nagle"),
            ("backscope demo 38", "backscope demo 38"),
            ("backscope learn 47", "backscope learn 47"),
            ("backscope watch -- demo 47", "backscope watch -- demo 47"),
            ("backscope demo", "backscope demo"),
        ] {
            assert_eq!(named(given), meant);
        }
    }

    #[test]
    fn every_lesson_has_a_demo_and_every_demo_a_lesson() {
        for (lesson, demo) in PAIRS {
            assert!(learn::find(lesson).is_some() && demo::find(demo).is_some(), "{lesson} {demo}");
            assert!(demo::find(lesson).is_none() && learn::find(demo).is_none(), "{lesson} {demo}");
        }
        for demo in demos() {
            assert!(lesson_of(demo.name).is_some(), "{}", demo.name);
        }
        for lecture in 5..=49 {
            assert!(lesson_of(&lecture.to_string()).is_some(), "{lecture}");
            // A lesson on routes has three hosts, and one on all patterns several servers.
            let has_demo = !demos_of(&lecture.to_string()).is_empty();
            assert!(has_demo || [19, 36].contains(&lecture), "{lecture}");
        }
    }

    #[test]
    fn lessons_go_by_the_names_of_demos() {
        for (name, lesson) in [
            ("synchronous-asynchronous", "async"),
            ("https-tls12", "tls12"),
            ("slow-acceptor", "accept-queue"),
            ("layer7-balancer", "balancers"),
            ("47", "nagle"),
        ] {
            assert_eq!(lesson_of(name).map(|entry| entry.slug), Some(lesson), "{name}");
        }
    }

    #[test]
    fn what_was_meant_is_said() {
        let no_demo = |line: &str| {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            no_demo(&words).unwrap_or_default()
        };
        let several = no_demo("backscope demo 38");
        for name in ["slow-acceptor", "tiny-backlog", "never-accepts"] {
            assert!(several.contains(&format!("backscope demo {name} ")), "{several}");
        }
        assert!(no_demo("backscope demo nagel").contains("did you mean nagle?"));
        assert!(no_demo("backscope demo asycn").contains("did you mean async?"));
        assert!(!no_demo("backscope demo x").contains("did you mean"));
        assert_eq!(no_demo("backscope watch x"), "");
        assert!(no_lesson("nagel").contains("did you mean nagle?"), "{}", no_lesson("nagel"));
        assert!(no_lesson("99").contains("lecture 99"), "{}", no_lesson("99"));
        assert!(!no_lesson("x").contains("did you mean"), "{}", no_lesson("x"));
    }
}
