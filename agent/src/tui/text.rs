//! Text of the screen: escaping what came from outside, figures with units, fitting words into
//! columns.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

pub(super) use crate::model::text::{
    bytes, count as grouped, count_of, duration_fine as fine, duration_short as duration,
};

/// Makes outside text harmless on a terminal: what is not printable, or changes the direction of
/// its neighbours, shows as its code point. Doing it twice changes nothing: notices and targets
/// come escaped already.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '"' | '\'' => out.push(c),
            _ => out.extend(c.escape_debug()),
        }
    }
    out
}

/// The sum of some times; what a broken recording holds may be too much for one.
pub(super) fn total(times: impl Iterator<Item = u64>) -> u64 {
    times.fold(0, u64::saturating_add)
}

/// A whole number in five characters or so, exact up to 99,999.
pub(super) fn compact(n: u64) -> String {
    match n {
        0..100_000 => grouped(n),
        100_000..10_000_000 => format!("{}k", grouped(n / 1_000)),
        10_000_000..10_000_000_000 => format!("{}M", grouped(n / 1_000_000)),
        _ => format!("{}G", grouped(n / 1_000_000_000)),
    }
}

/// A figure a second: one decimal below 10, none above.
pub(super) fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 9.95 {
        format!("{per_second:.1}")
    } else {
        compact(per_second.max(0.0).round() as u64)
    }
}

/// A share of 1 as a percentage: one decimal below 10 %, none above.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 9.95 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// Time since the attach: "00:12", "1:02:03".
pub(super) fn clock(us: u64) -> String {
    let seconds = us / 1_000_000;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes:02}:{seconds:02}")
    }
}

/// At most `width` columns of `text`; an ellipsis tells that there was more.
pub(super) fn clip(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = take_columns(text, width.saturating_sub(1)).to_owned();
    if width > 0 {
        out.push('…');
    }
    out
}

/// An address in at most `width` columns, its port kept: "[2001:db8:…]:8080".
pub(super) fn clip_address(text: &str, width: usize) -> String {
    let Some((host, port)) = text.rsplit_once(':') else { return clip(text, width) };
    if text.width() <= width || port.len() + 4 > width {
        return clip(text, width);
    }
    let tail = if host.ends_with(']') { format!("…]:{port}") } else { format!("…:{port}") };
    format!("{}{tail}", take_columns(host, width.saturating_sub(tail.width())))
}

/// `text` in exactly `width` columns, at the left.
pub(super) fn left(text: &str, width: usize) -> String {
    let text = clip(text, width);
    let pad = width - text.width();
    text + &" ".repeat(pad)
}

/// `text` in exactly `width` columns, at the right.
pub(super) fn right(text: &str, width: usize) -> String {
    let text = clip(text, width);
    " ".repeat(width - text.width()) + &text
}

/// `text` broken at spaces into lines of at most `width` columns; a word longer than a line is
/// broken too.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
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
            let head = take_columns(rest, width);
            // A character wider than the line must not stop the loop.
            let cut = match rest.chars().next() {
                Some(first) if head.is_empty() => first.len_utf8(),
                _ => head.len(),
            };
            lines.push(rest[..cut].to_owned());
            rest = &rest[cut..];
        }
        line.push_str(rest);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// The longest beginning of `text` that fits in `width` columns.
fn take_columns(text: &str, width: usize) -> &str {
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
    use super::*;

    #[test]
    fn hostile_text_is_harmless() {
        assert_eq!(escape("a\x1b[31m\u{202e}b\u{200b}"), "a\\u{1b}[31m\\u{202e}b\\u{200b}");
        assert_eq!(escape("it's 日本 \\"), "it's 日本 \\");
    }

    #[test]
    fn durations_have_three_digits() {
        let shown = [0, 80, 1_249, 9_960, 412_000, 999_600, 1_204_000, 12_340_000, 720_000_000]
            .map(duration);
        assert_eq!(
            shown,
            ["0 µs", "80 µs", "1.2 ms", "10 ms", "412 ms", "1.00 s", "1.20 s", "12.3 s", "12 min"]
                .map(String::from)
        );
    }

    #[test]
    fn sums_have_a_decimal_more() {
        assert_eq!(
            [400, 43_512, 99_960, 1_204_000].map(fine),
            ["400 µs", "43.5 ms", "100 ms", "1.20 s"].map(String::from)
        );
    }

    #[test]
    fn data_has_its_unit() {
        let shown = [0, 999, 1_400, 23_400_000, 999_600, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "999 B", "1.4 kB", "23 MB", "1.0 MB", "18 EB"].map(String::from));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"].map(String::from)
        );
        assert_eq!(compact(1_234_567), "1,234k");
        assert_eq!([0.0, 0.4, 17.6].map(rate), ["0", "0.4", "18"].map(String::from));
    }

    #[test]
    fn text_is_clipped_by_columns_and_says_so() {
        assert_eq!(clip("日本語", 5), "日本…");
        assert_eq!(clip_address("[2001:db8:1:2:3:4:5:6]:8080", 18), "[2001:db8:1…]:8080");
        assert_eq!(right("12", 4), "  12");
    }

    #[test]
    fn wrapping_loses_nothing() {
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh i", 3), ["abc", "def", "gh", "i"]);
        assert_eq!(wrap("日本", 1), ["日", "本"]);
    }
}
