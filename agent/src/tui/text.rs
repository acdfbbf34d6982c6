//! Text of the screen: figures with units, fitting words into columns.

use unicode_width::UnicodeWidthStr;

use crate::text::{Untrusted, take_columns};
pub(super) use crate::text::{
    bytes, compact, count as grouped, count_of, duration_fine as fine, duration_short as duration,
    percent_short as percent, rate_short as rate, wrap,
};

/// Text from outside, as the screen shows it.
pub(super) fn escape(text: &Untrusted) -> String {
    text.for_terminal().to_string()
}

/// The sum of some times; what a broken recording holds may be too much for one.
pub(super) fn total(times: impl Iterator<Item = u64>) -> u64 {
    times.fold(0, u64::saturating_add)
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn text_is_clipped_by_columns_and_says_so() {
        assert_eq!(clip("日本語", 5), "日本…");
        assert_eq!(clip_address("[2001:db8:1:2:3:4:5:6]:8080", 18), "[2001:db8:1…]:8080");
        assert_eq!(right("12", 4), "  12");
    }
}
