//! Claims about who accepts, and what becomes of those who are not accepted.

use super::ClaimRow;
use crate::model::event::{Ending, Side, Used};
use crate::model::tests::accepts::{
    ECONNABORTED, EMFILE, ENFILE, ENOMEM, EPERM, failing, left, member_closed, served, uneven,
    uneven_group, waits,
};
use crate::model::tests::world::{MS, World};

pub(super) fn rows() -> Vec<ClaimRow> {
    [accept_fails(), abandoned(), closed_unserved(), uneven_workers()].concat()
}

fn accept_fails() -> Vec<ClaimRow> {
    let row = |claim, supported, contradicted| ClaimRow {
        kind: "accept-fails",
        claim,
        supported,
        contradicted,
    };
    vec![
        row("descriptors", || error(EMFILE), || error(ENFILE)),
        row("all-open", || open(30, 30), || open(20, 30)),
        row("files", || error(ENFILE), || error(EMFILE)),
        row("memory", || error(ENOMEM), || error(EMFILE)),
        row("aborted", || error(ECONNABORTED), || error(EMFILE)),
        row("forbidden", || error(EPERM), || error(EMFILE)),
        row("spins", || failing(EMFILE, 9_000, 0, None).0, || failing(EMFILE, 9, 0, None).0),
        row("stalled", || failing(EMFILE, 9, 5, None).0, || failing(EMFILE, 9, 0, None).0),
        row("waits", || failing(EMFILE, 9, 5, None).0, || failing(EMFILE, 9, 0, None).0),
    ]
}

fn error(errno: u32) -> World {
    failing(errno, 5, 0, None).0
}

fn open(open: u64, limit: u64) -> World {
    failing(EMFILE, 5, 0, Some(Used { open, limit })).0
}

fn abandoned() -> Vec<ClaimRow> {
    let row = |claim, supported, contradicted| ClaimRow {
        kind: "abandoned",
        claim,
        supported,
        contradicted,
    };
    vec![
        row("gave-up", || left(20), || member_closed(1)),
        row("cut", || member_closed(1), || left(20)),
        row("siblings", || member_closed(2), || member_closed(1)),
    ]
}

fn closed_unserved() -> Vec<ClaimRow> {
    let row = |claim, supported, contradicted| ClaimRow {
        kind: "closed-unserved",
        claim,
        supported,
        contradicted,
    };
    vec![
        row("fins", || at_once(Ending::Fin), || at_once(Ending::Reset)),
        row("resets", || at_once(Ending::Reset), || at_once(Ending::Fin)),
        row("not-written", || at_once(Ending::Fin), said_why),
        row("written", said_why, || at_once(Ending::Reset)),
        row("some-resets", both, || at_once(Ending::Reset)),
    ]
}

fn at_once(how: Ending) -> World {
    served(&[(how, 30)], Side::Local, 2 * MS, (0, 0))
}

/// The server wrote 20 bytes to clients whose request it did not read.
fn said_why() -> World {
    served(&[(Ending::Reset, 30)], Side::Local, 2 * MS, (0, 20))
}

fn both() -> World {
    served(&[(Ending::Fin, 10), (Ending::Reset, 10)], Side::Local, 2 * MS, (0, 0))
}

fn uneven_workers() -> Vec<ClaimRow> {
    let row = |claim, supported, contradicted| ClaimRow {
        kind: "uneven-workers",
        claim,
        supported,
        contradicted,
    };
    const FOUND_THERE: u64 = 10_000;
    const WAITED: u64 = 900_000;
    vec![
        row(
            "hurts",
            || uneven(vec![], FOUND_THERE, 80 * MS),
            || uneven(vec![], FOUND_THERE, 60_000),
        ),
        row("shards", uneven_group, || uneven(vec![], WAITED, 60_000)),
        row("exclusive", || uneven(vec![waits(1, true)], FOUND_THERE, 60_000), alike),
        row("woken-alike", alike, || uneven(vec![waits(1, true)], FOUND_THERE, 60_000)),
        row("loops", || uneven(vec![], FOUND_THERE, 60_000), || uneven(vec![], WAITED, 60_000)),
        row("not-observed", || uneven(vec![], WAITED, 60_000), alike),
    ]
}

fn alike() -> World {
    uneven(vec![waits(1, false), waits(2, false)], 10_000, 60_000)
}
