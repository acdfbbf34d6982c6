//! The clipboard of whoever sits at the terminal, by OSC 52.

use base64::{Engine, prelude::BASE64_STANDARD};

/// Returns what makes a terminal put text into the clipboard. Base64 leaves no byte of the text to
/// steer it. tmux keeps such sequences for itself or passes them on, as it is set; one that is
/// wrapped it passes on unseen, if it may. Both end with the same text in the clipboard.
pub(super) fn sequence(text: &str, in_tmux: bool) -> Vec<u8> {
    let plain = format!("\x1b]52;c;{}\x07", BASE64_STANDARD.encode(text));
    if !in_tmux {
        return plain.into_bytes();
    }
    let wrapped = plain.replace('\x1b', "\x1b\x1b");
    format!("{plain}\x1bPtmux;{wrapped}\x1b\\").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\x1b]0;mine\x07\x1b\\\u{9c}b";

    #[test]
    fn no_byte_of_the_text_reaches_the_terminal() {
        let sequence = sequence(HOSTILE, false);
        let inside = sequence.strip_prefix(b"\x1b]52;c;").unwrap().strip_suffix(b"\x07").unwrap();
        assert!(inside.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte)));
        assert_eq!(BASE64_STANDARD.decode(inside).unwrap(), HOSTILE.as_bytes());
    }

    #[test]
    fn tmux_is_asked_and_asked_to_pass_it_on() {
        let sequence = String::from_utf8(sequence("ab", true)).unwrap();
        assert_eq!(sequence, "\x1b]52;c;YWI=\x07\x1bPtmux;\x1b\x1b]52;c;YWI=\x07\x1b\\");
    }
}
