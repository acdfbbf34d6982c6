//! Lines of a bounded width.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Breaks `text` at spaces into lines of at most `width` columns. A word longer than a line is
/// broken, too.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split_whitespace() {
        if !line.is_empty() && line.width() + 1 + word.width() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        let mut rest = word;
        while rest.width() > width {
            let (head, tail) = rest.split_at(first_columns(rest, width));
            lines.push(head.to_owned());
            rest = tail;
        }
        line.push_str(rest);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Bytes of `word` that go into a line: at least one character, even if it is wider than the line.
fn first_columns(word: &str, width: usize) -> usize {
    match (take_columns(word, width).len(), word.chars().next()) {
        (0, Some(first)) => first.len_utf8(),
        (len, _) => len,
    }
}

/// Returns the longest beginning of `text` that fits in `width` columns.
pub fn take_columns(text: &str, width: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > width {
            return &text[..at];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two µµµ four", 7), ["one two", "µµµ", "four"]);
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert!(wrap("  ", 4).is_empty());
    }

    #[test]
    fn wrapping_loses_nothing() {
        assert_eq!(wrap("abcdefgh i", 3), ["abc", "def", "gh", "i"]);
        assert_eq!(wrap("日本", 1), ["日", "本"]);
    }
}
