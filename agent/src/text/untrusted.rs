//! Text from outside, which leaves only escaped for the place where it goes.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::{self, Write};
use std::path::Path;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::escape;

/// Text from outside, or a sentence that holds some: names of processes and threads, paths, names
/// of servers, words of the kernel, and everything that a recording says.
///
/// It travels as it came. It is escaped once, where it leaves, for the place where it goes:
/// [`for_terminal`](Self::for_terminal), [`for_json`](Self::for_json),
/// [`for_html`](Self::for_html), [`for_label`](Self::for_label). Nothing else shows it: it has no
/// `Display`, and does not turn into a `str`.
///
/// ```compile_fail,E0277
/// let name = backscope::text::Untrusted::from("\u{1b}]0;mine\u{7}");
/// println!("{name}");
/// ```
///
/// ```compile_fail,E0308
/// let name = backscope::text::Untrusted::from("\u{1b}]0;mine\u{7}");
/// let shown: &str = &name;
/// ```
///
/// ```compile_fail,E0277
/// fn show(listener: &backscope::model::snapshot::ListenerView) -> String {
///     format!("{} {}", listener.comm, listener.pid)
/// }
/// ```
///
/// ```
/// let name = backscope::text::Untrusted::from("\u{1b}]0;mine\u{7}");
/// assert_eq!(name.for_terminal().to_string(), r"\u{1b}]0;mine\u{7}");
/// ```
///
/// Sentences are made of it by `compose!`, which has the form of `format!`.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Untrusted(CompactString);

impl Untrusted {
    /// Returns it for a terminal, or a file that ends up on one: what could steer or deceive a
    /// terminal is spelt `\u{..}`, and a backslash is doubled, so that no text looks escaped that
    /// is not.
    pub fn for_terminal(&self) -> Escaped<'_> {
        Escaped { text: &self.0, place: Place::Terminal }
    }

    /// Returns it as a JSON string, with its quotation marks. A parser gives the text back as it
    /// came; a terminal that the JSON is printed on is safe.
    ///
    /// Whole objects are written by [`to_json`](super::to_json).
    pub fn for_json(&self) -> Escaped<'_> {
        Escaped { text: &self.0, place: Place::Json }
    }

    /// Returns it for the text or a quoted attribute of an HTML page, where it reads as on a
    /// terminal.
    pub fn for_html(&self) -> Escaped<'_> {
        Escaped { text: &self.0, place: Place::Html }
    }

    /// Returns it for the value of a label in the text format of Prometheus, without the quotation
    /// marks. The value reads as on a terminal. Texts that differ have values that differ: two
    /// series of one name would spoil the whole page.
    pub fn for_label(&self) -> Escaped<'_> {
        Escaped { text: &self.0, place: Place::Label }
    }

    /// Tells whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells whether it holds these words.
    pub fn contains(&self, words: &str) -> bool {
        self.0.contains(words)
    }

    /// Tells whether it begins with these words.
    pub fn starts_with(&self, words: &str) -> bool {
        self.0.starts_with(words)
    }

    /// Tells whether it ends with these words.
    pub fn ends_with(&self, words: &str) -> bool {
        self.0.ends_with(words)
    }

    /// Returns the text as it came: to look into it, or to hand it back to the kernel. Not to show
    /// it. A test lists who may.
    pub(crate) fn as_came(&self) -> &str {
        &self.0
    }

    /// Joins texts to one.
    pub fn join<'a>(texts: impl IntoIterator<Item = &'a Self>, between: &str) -> Self {
        let mut joined = Self::default();
        for (index, text) in texts.into_iter().enumerate() {
            if index > 0 {
                joined.push(between);
            }
            joined.0.push_str(&text.0);
        }
        joined
    }

    /// Appends text.
    pub fn push(&mut self, text: impl Into<Self>) {
        self.0.push_str(&text.into().0);
    }
}

impl fmt::Debug for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.for_terminal())
    }
}

impl From<&str> for Untrusted {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<&String> for Untrusted {
    fn from(text: &String) -> Self {
        Self(text.into())
    }
}

impl From<String> for Untrusted {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Cow<'_, str>> for Untrusted {
    fn from(text: Cow<'_, str>) -> Self {
        Self(text.into())
    }
}

impl From<&Untrusted> for Untrusted {
    fn from(text: &Untrusted) -> Self {
        text.clone()
    }
}

/// What is not UTF-8 becomes the replacement character.
impl From<&OsStr> for Untrusted {
    fn from(text: &OsStr) -> Self {
        text.to_string_lossy().into()
    }
}

/// As from an [`OsStr`].
impl From<&Path> for Untrusted {
    fn from(path: &Path) -> Self {
        path.as_os_str().into()
    }
}

impl PartialEq<str> for Untrusted {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Untrusted {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Untrusted {
    fn schema_name() -> Cow<'static, str> {
        String::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }

    fn inline_schema() -> bool {
        true
    }
}

/// Place where text leaves.
#[derive(Clone, Copy, Debug)]
enum Place {
    Terminal,
    Json,
    Html,
    Label,
}

/// [`Untrusted`] text on its way out.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a> {
    text: &'a str,
    place: Place,
}

impl Escaped<'_> {
    fn push(self, character: char, out: &mut String) -> fmt::Result {
        match (self.place, character) {
            (Place::Json, '"' | '\\') => write!(out, "\\{character}"),
            (Place::Json, _) if !escape::is_harmless(character) => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    write!(out, "\\u{unit:04x}")?;
                }
                Ok(())
            }
            (Place::Label, '"') => out.write_str("\\\""),
            // Doubled for the reader, and each once more for the format.
            (Place::Label, '\\') => out.write_str("\\\\\\\\"),
            (Place::Label, _) if !escape::is_harmless(character) => {
                write!(out, "\\{}", character.escape_unicode())
            }
            (Place::Html, '&') => out.write_str("&amp;"),
            (Place::Html, '<') => out.write_str("&lt;"),
            (Place::Html, '>') => out.write_str("&gt;"),
            (Place::Html, '"') => out.write_str("&quot;"),
            (Place::Html, '\'') => out.write_str("&#39;"),
            (Place::Html | Place::Terminal, '\\') => out.write_str("\\\\"),
            (Place::Html | Place::Terminal, _) if !escape::is_harmless(character) => {
                write!(out, "{}", character.escape_unicode())
            }
            _ => out.write_char(character),
        }
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::with_capacity(self.text.len() + 2);
        for character in self.text.chars() {
            self.push(character, &mut out)?;
        }
        match self.place {
            Place::Json => write!(f, "\"{out}\""),
            Place::Terminal | Place::Html | Place::Label => f.pad(&out),
        }
    }
}

/// Makes [`Untrusted`] text as `format!` makes strings, of parts that may be untrusted. Those stand
/// among the arguments; names inside the braces are for figures and words of our own.
macro_rules! compose {
    ($format:literal $(, $part:expr)* $(,)?) => {{
        #[allow(unused_imports)]
        use $crate::text::part::{FromOutside as _, Own as _};
        $crate::text::Untrusted::from(format!($format $(, (&$part).part())*))
    }};
}

/// What [`compose!`] does to its arguments. Nobody else needs it.
pub(crate) mod part {
    use std::fmt;

    use super::Untrusted;

    /// Untrusted text, which becomes a part of untrusted text.
    pub(crate) struct AsCame<'a>(&'a str);

    impl fmt::Display for AsCame<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.pad(self.0)
        }
    }

    pub(crate) trait FromOutside {
        fn part(&self) -> AsCame<'_>;
    }

    impl FromOutside for Untrusted {
        fn part(&self) -> AsCame<'_> {
            AsCame(self.as_came())
        }
    }

    pub(crate) trait Own {
        fn part(&self) -> &Self;
    }

    impl<T: fmt::Display + ?Sized> Own for T {
        fn part(&self) -> &Self {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::text::to_json;

    /// What a name may hold: ESC, CSI as one character, an override, a tag, quotation marks, what
    /// HTML reads, a backslash, a line's end.
    const HOSTILE: &str = "a\x1b[31m\u{9b}2J\u{202e}\u{e0041}\"<'&>\\\n\x7f";

    #[test]
    fn what_does_nothing_stays() {
        for text in ["", "nginx: worker process", "日本語-サーバ", "Überwachung é"] {
            let name = Untrusted::from(text);
            let shown =
                [name.for_terminal(), name.for_html(), name.for_label()].map(|it| it.to_string());
            assert_eq!(shown, [text; 3]);
            assert_eq!(name.for_json().to_string(), format!("\"{text}\""));
        }
    }

    #[test]
    fn text_is_escaped_for_where_it_goes() {
        let name = Untrusted::from(HOSTILE);
        assert_eq!(
            name.for_terminal().to_string(),
            r#"a\u{1b}[31m\u{9b}2J\u{202e}\u{e0041}"<'&>\\\u{a}\u{7f}"#
        );
        assert_eq!(
            name.for_html().to_string(),
            r"a\u{1b}[31m\u{9b}2J\u{202e}\u{e0041}&quot;&lt;&#39;&amp;&gt;\\\u{a}\u{7f}"
        );
        assert_eq!(
            name.for_label().to_string(),
            r#"a\\u{1b}[31m\\u{9b}2J\\u{202e}\\u{e0041}\"<'&>\\\\\\u{a}\\u{7f}"#
        );
        assert_eq!(
            name.for_json().to_string(),
            r#""a\u001b[31m\u009b2J\u202e\udb40\udc41\"<'&>\\\u000a\u007f""#
        );
        assert_eq!(format!("{name:?}"), format!("\"{}\"", name.for_terminal()));
    }

    #[test]
    fn a_parser_gives_the_text_back_as_it_came() {
        let name = Untrusted::from(HOSTILE);
        for json in [name.for_json().to_string().into_bytes(), to_json(&name).unwrap()] {
            assert!(json.is_ascii() && !json.iter().any(u8::is_ascii_control), "{json:?}");
            assert_eq!(serde_json::from_slice::<Untrusted>(&json).unwrap(), name);
        }
        let keyed = std::collections::BTreeMap::from([(&name, [&name])]);
        let json = to_json(&keyed).unwrap();
        assert!(json.is_ascii() && !json.iter().any(u8::is_ascii_control), "keys, too");
    }

    #[test]
    fn texts_that_differ_look_different() {
        let names = ["\x1b", r"\u{1b}", r"\\u{1b}", "\n", r"\n", "n", "\"", "&quot;"];
        type Show = fn(&Untrusted) -> Escaped<'_>;
        let shows: [Show; 4] = [
            Untrusted::for_terminal,
            Untrusted::for_json,
            Untrusted::for_html,
            Untrusted::for_label,
        ];
        for show in shows {
            let mut shown: Vec<_> =
                names.iter().map(|name| show(&Untrusted::from(*name)).to_string()).collect();
            shown.sort_unstable();
            shown.dedup();
            assert_eq!(shown.len(), names.len(), "{shown:?}");
        }
    }

    #[test]
    fn sentences_are_made_of_it() {
        let (name, pid) = (Untrusted::from("a\x1bb"), 7);
        let sentence = compose!("{} {pid} called {}", name, "read()");
        assert_eq!(sentence, "a\x1bb 7 called read()");
        let both = [sentence.clone(), name];
        assert_eq!(Untrusted::join(&both, ", "), "a\x1bb 7 called read(), a\x1bb");
        assert_eq!(sentence.for_terminal().to_string(), "a\\u{1b}b 7 called read()");
    }

    #[test]
    fn recordings_hold_it_as_a_string() {
        let (name, text) = (Untrusted::from(HOSTILE), HOSTILE.to_owned());
        assert_eq!(postcard::to_stdvec(&name).unwrap(), postcard::to_stdvec(&text).unwrap());
    }

    /// Files that may look at text as it came, with the reason.
    const MAY_LOOK: [(&str, &str); 8] = [
        ("learn/checks/https.rs", "puts one of our own words for another"),
        ("learn/evidence.rs", "reads figures from what the demos printed"),
        ("model/snapshot/query.rs", "filters"),
        ("model/setup.rs", "tells whether a target is a port"),
        ("model/workload.rs", "cuts the id of a container"),
        ("sensor/targets.rs", "an error, which `note` escapes"),
        ("text/untrusted.rs", "has it"),
        ("tui/order.rs", "sorts and filters"),
    ];

    #[test]
    fn few_look_at_it_as_it_came_and_nobody_writes_json_otherwise() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let (mut folders, mut found) = (vec![root.clone()], 0);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                if name.contains("tests") {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                if path.extension() != Some(OsStr::new("rs")) {
                    continue;
                }
                let source = fs::read_to_string(&path).unwrap();
                // Tests of the file's own stand at its end.
                let source = source.split("#[cfg(test)]\nmod ").next().unwrap();
                let looks = source.contains(".as_came()");
                found += usize::from(looks);
                let may = MAY_LOOK.iter().any(|(file, _)| *file == name);
                assert!(!looks || may, "{name} takes text from outside as it came");
                let writes = ["string", "vec", "writer"]
                    .iter()
                    .any(|to| source.contains(&format!("serde_json::to_{to}")));
                // What a learner has done, in files of our own.
                let own = ["learn/progress.rs", "learn/fix/place.rs", "learn/fix/scores.rs"]
                    .contains(&name.as_str());
                assert!(!writes || own, "{name} writes JSON of its own");
            }
        }
        assert!(found > 3, "the sources are there");
    }
}
