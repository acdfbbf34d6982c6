//! Text from outside, made safe for a terminal.

use std::borrow::Cow;
use std::fmt::Write;

/// Returns `text` with everything that could steer or deceive a terminal as `\u{..}`: control
/// characters (escape sequences among them), direction overrides, invisible and private characters,
/// line separators. A backslash is doubled, so that escaped text differs from text that only looks
/// escaped.
///
/// For text as it came from outside. Sentences that may hold escaped names take [`escape_again`].
pub fn escape(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if character == '\\' {
            escaped.push_str("\\\\");
        } else {
            push(character, &mut escaped);
        }
    }
    Cow::Owned(escaped)
}

/// Returns `text` as [`escape`] does, but leaves backslashes alone: doing it twice changes nothing.
///
/// For notices and targets. Their names are escaped where the sentence is made, but in a replay
/// they come from a file that anybody may have written.
pub fn escape_again(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        push(character, &mut escaped);
    }
    escaped
}

fn push(character: char, escaped: &mut String) {
    if is_plain(character) || character == '\\' {
        escaped.push(character);
    } else {
        // Writing to a string does not fail.
        let _ = write!(escaped, "{}", character.escape_unicode());
    }
}

fn is_plain(character: char) -> bool {
    match character {
        ' '..='~' => character != '\\',
        '\u{00}'..='\u{9f}' => false,
        // Soft hyphen, Arabic and Syriac format characters, Mongolian vowel separator, Hangul and
        // Khmer fillers.
        '\u{ad}'
        | '\u{61c}'
        | '\u{600}'..='\u{605}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{180b}'..='\u{180f}' => false,
        '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}' => false,
        // Zero-width and direction marks, line and paragraph separators, overrides, isolates.
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => false,
        // Variation selectors, byte order mark, interlinear and special characters, tags.
        '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' => false,
        // Private use, and what is no character.
        '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' => false,
        _ => (u32::from(character) & 0xfffe) != 0xfffe,
    }
}

#[cfg(test)]
mod tests {
    use super::{escape, escape_again};
    use std::borrow::Cow;

    #[test]
    fn plain_text_is_borrowed() {
        for text in ["", "nginx: worker process", "日本語-サーバ", "Überwachung é"] {
            assert!(matches!(escape(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn what_steers_a_terminal_is_spelt_out() {
        let cases = [
            ("a\x1b[31mb", "a\\u{1b}[31mb"),
            ("a\nb\r\t\x07", "a\\u{a}b\\u{d}\\u{9}\\u{7}"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("ab\u{202e}cd", "ab\\u{202e}cd"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
            ("\u{e0041}", "\\u{e0041}"),
            ("\x7f", "\\u{7f}"),
            ("\\u{1b}", "\\\\u{1b}"),
        ];
        for (text, escaped) in cases {
            assert_eq!(escape(text), escaped);
        }
    }

    #[test]
    fn escaping_again_changes_nothing() {
        for text in ["a\x1b[31m\u{202e}b\u{200b}", "it's 日本 \\", "\\u{1b}"] {
            let once = escape_again(text);
            assert_eq!(escape_again(&once), once);
            assert_eq!(escape_again(&escape(text)), escape(text));
        }
        assert_eq!(escape_again("a\x1b[31m\u{202e}b\u{200b}"), "a\\u{1b}[31m\\u{202e}b\\u{200b}");
        assert_eq!(escape_again("it's 日本 \\"), "it's 日本 \\");
    }
}
