//! The time axis below histories: how long ago a column was.

use crate::tui::text::left;

/// Distances of two marks, s.
const STEPS: [u64; 14] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 3 * 3_600, 24 * 3_600];
/// Cells between two marks at least, so that their figures have room.
const APART: u64 = 12;
const NOW: &str = "now";
const MARK: char = '╵';

/// Returns a line of so many cells: a mark and its age at the left end, at round ages, and "now" at
/// the right. The cells are periods that begin at these times, the last at the right; `None` where
/// there is nothing to tell.
pub(super) fn text(from_ns: &[u64], now_ns: u64, cells: usize) -> Option<String> {
    let shown = &from_ns[from_ns.len().saturating_sub(cells)..];
    let first = *shown.first()?;
    let blank = cells - shown.len();
    let age_ns = now_ns.saturating_sub(first);
    let step_ns = step_ns(age_ns, shown.len())?;
    let mut marks = vec![(blank, age(age_ns))];
    let mut round = age_ns / step_ns;
    while round > 0 {
        let at_ns = now_ns.saturating_sub(round * step_ns);
        let cell = blank + shown.partition_point(|&begin| begin <= at_ns).saturating_sub(1);
        marks.push((cell, age(round * step_ns)));
        round -= 1;
    }
    let end = cells.saturating_sub(NOW.len());
    let mut out = String::new();
    let mut used = 0;
    for (cell, text) in marks {
        let wide = 1 + text.chars().count();
        // The one at the left end came first.
        if cell < used || cell + wide + 1 > end {
            continue;
        }
        out.push_str(&left("", cell - used));
        out.push(MARK);
        out.push_str(&text);
        out.push(' ');
        used = cell + wide + 1;
    }
    if used <= end {
        out.push_str(&left("", end - used));
        out.push_str(NOW);
    }
    Some(out)
}

/// Returns the distance of two marks, for periods that take so long together.
fn step_ns(age_ns: u64, periods: usize) -> Option<u64> {
    let least_ns = (age_ns / (periods as u64).max(1)).saturating_mul(APART);
    STEPS.into_iter().map(|seconds| seconds * 1_000_000_000).find(|&step_ns| step_ns >= least_ns)
}

/// Returns an age: "26 s", "4 min", "2 h".
fn age(ns: u64) -> String {
    let seconds = (ns + 500_000_000) / 1_000_000_000;
    match seconds {
        0 => format!("{} ms", ns / 1_000_000),
        1..120 if seconds != 60 => format!("{seconds} s"),
        60..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Periods of so many ms, the last of which ends at `now`.
    fn periods(count: u64, ms: u64) -> (Vec<u64>, u64) {
        let now_ns = 100_000 * SECOND;
        let begin = |at| now_ns - (count - at) * ms * 1_000_000;
        ((0..count).map(begin).collect(), now_ns)
    }

    #[test]
    fn marks_stand_below_the_column_of_their_age() {
        let (from_ns, now_ns) = periods(60, 500);
        let text = text(&from_ns, now_ns, 60).expect("an axis");
        assert_eq!(text, "╵30 s               ╵20 s               ╵10 s            now");
        assert_eq!(text.chars().position(|c| c == '╵'), Some(0));
        assert_eq!(text.chars().collect::<Vec<_>>()[40..44], ['╵', '1', '0', ' ']);
    }

    #[test]
    fn the_left_edge_is_that_of_what_is_shown() {
        let (from_ns, now_ns) = periods(500, 1_000);
        let axis = |cells| text(&from_ns, now_ns, cells).expect("an axis");
        assert!(axis(52).starts_with("╵52 s "), "{}", axis(52));
        assert!(axis(300).starts_with("╵5 min "), "{}", axis(300));
        let (few, now_ns) = periods(10, 1_000);
        let axis = text(&few, now_ns, 40).expect("an axis");
        assert_eq!(axis, format!("{}╵10 s  now", " ".repeat(30)));
    }

    #[test]
    fn every_width_is_filled_and_none_is_exceeded() {
        for ms in [50, 500, 1_000, 60_000] {
            let (from_ns, now_ns) = periods(96, ms);
            for cells in 8..120 {
                let axis = text(&from_ns, now_ns, cells).expect("an axis");
                assert_eq!(axis.chars().count(), cells, "{axis:?}");
            }
        }
        assert_eq!(text(&[], 0, 40), None);
    }
}
