//! Columns of a list that the user chose.

use super::grid::{Column, rest};

/// Lays out the columns of these names, in their order, as many from the first on as there is room
/// for. `elastic` takes what the others leave, and no less than `least`.
pub(super) fn choose(
    all: Vec<Column>,
    names: &[&'static str],
    width: usize,
    (elastic, least): (&str, usize),
) -> Vec<Column> {
    let mut all: Vec<_> = all.into_iter().map(|column| Some(column.apart())).collect();
    let mut grid = Vec::new();
    for wanted in names {
        let is_it = |column: &&mut Option<Column>| match column {
            Some(column) => name(column.title) == Some(wanted),
            None => false,
        };
        let Some(mut column) = all.iter_mut().find(is_it).and_then(Option::take) else { continue };
        if *wanted == elastic {
            column.width = least;
        }
        grid.push(column);
        if grid.len() > 1 && !fits(&grid, width) {
            grid.pop();
            break;
        }
    }
    // The last column needs no blank after it.
    let room = rest(width + 1, &grid);
    if let Some(column) = grid.iter_mut().find(|column| name(column.title) == Some(elastic)) {
        column.width += room;
    }
    grid
}

fn fits(grid: &[Column], width: usize) -> bool {
    // The mark of the selected row comes before, and no blank behind the last.
    let taken: usize = grid.iter().map(|column| column.width + 1).sum();
    taken <= width
}

/// Returns the name that the configuration file has for the column with a title.
fn name(title: &str) -> Option<&'static str> {
    Some(match title {
        "LISTENER" => "listener",
        "PROCESS" => "process",
        "ACCEPT QUEUE" => "queue",
        "LIMIT" => "limit",
        " OVER TIME" => "trend",
        "SYN" | "SYN QUEUE" => "syn",
        "QUEUED/s" => "queued",
        "ACCEPT/s" => "accepts",
        "WAIT p50" => "wait-p50",
        "p99" => "wait-p99",
        "max" => "wait-max",
        "OVERFLOW" => "overflow",
        "CONNECTION" => "connection",
        "THREAD" => "thread",
        "SPEAKS" => "speaks",
        "STATE" => "state",
        "EXCH" => "exchanges",
        "LAST" => "last",
        "RECENT ONES" => "recent",
        "WHERE ITS TIME WENT" | "HELD BY" => "held-by",
        "WORST" => "worst",
        "IN" => "in",
        "OUT" => "out",
        "RESENT" => "resent",
        "READ/s" => "reads",
        "WRITE/s" => "writes",
        "ON CPU" => "on-cpu",
        "NO CPU" => "no-cpu",
        "ASLEEP" => "asleep",
        "ITS TIME" => "time",
        "SERVES" => "serves",
        _ => return None,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns the names of a table's columns.
    pub(in crate::tui::view) fn names(grid: &[Column]) -> Vec<&'static str> {
        grid.iter().filter_map(|column| name(column.title)).collect()
    }

    /// Checks that a table made of columns that were chosen has all that can be, in any order, and
    /// takes no more than the width.
    pub(in crate::tui::view) fn check(
        known: &'static [&'static str],
        table: impl Fn(&[&'static str], usize) -> Vec<Column>,
    ) {
        let mut turned = known.to_vec();
        turned.reverse();
        for wanted in [known.to_vec(), turned] {
            assert_eq!(names(&table(&wanted, 400)), wanted, "each name is a column's");
            for width in 80..400 {
                let grid = table(&wanted, width);
                let shown = names(&grid);
                assert_eq!(shown, wanted[..shown.len()], "the last ones give way");
                assert!(fits(&grid, width), "{width}: {shown:?}");
            }
        }
        assert_eq!(names(&table(&known[..1], 80)), known[..1]);
    }
}
