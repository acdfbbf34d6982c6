use super::*;
use crate::model::{UNTOLD_NS, event::Census};

const CAPABILITIES: Capabilities = Capabilities { tick_ns: 4_000_000, sees_delayed_acks: true };
const BEGUN_NS: u64 = 1_000_000_000_000;

/// Scans connections, and returns what a census tells; `None` if the scan is none.
fn scan(
    connections: &mut Connections,
    at_ns: u64,
    met: &[SockId],
    complete: bool,
) -> Option<Census> {
    connections.begin_scan(&[4_242], BEGUN_NS + at_ns);
    let mut scan = connections.scan.take().expect("a scan");
    let census = scan.census.as_mut()?;
    assert_eq!(scan.left, [None], "the files of all processes are scanned");
    met.iter().for_each(|sock| census.note(*sock));
    if !complete {
        scan.udp_sockets.complete_since_ns = None;
    }
    let mut scanned = Scanned::default();
    connections.count(&mut scan, &mut scanned);
    let [Event::Census(census)] = &scanned.found[..] else { panic!("{scanned:?}") };
    assert_eq!(census.since_ns, BEGUN_NS + at_ns);
    Some(census.clone())
}

#[test]
fn connections_are_counted_until_the_model_can_tell_which_have_ended() {
    let mut connections = Connections::new(CAPABILITIES);
    assert_eq!(scan(&mut connections, 0, &[], true), None, "nothing was lost");
    connections.recount();
    let census = scan(&mut connections, 1, &[5, 7, 5], false).expect("a census");
    assert_eq!((&census.socks[..], census.complete), (&[5, 7][..], false));
    let census = scan(&mut connections, 2, &[5], true).expect("the first complete one");
    assert!(census.complete);
    assert!(scan(&mut connections, 1 + UNTOLD_NS, &[5], true).is_some(), "too soon");
    assert!(scan(&mut connections, 2 + UNTOLD_NS, &[5], false).is_some(), "not complete");
    assert!(scan(&mut connections, 3 + UNTOLD_NS, &[5], true).is_some());
    assert_eq!(scan(&mut connections, 4 + UNTOLD_NS, &[5], true), None, "that was the last");
    // More is lost meanwhile.
    connections.recount();
    assert!(scan(&mut connections, 5 * UNTOLD_NS, &[5], true).is_some());
    connections.recount();
    assert!(scan(&mut connections, 6 * UNTOLD_NS, &[5], true).is_some());
    assert!(scan(&mut connections, 7 * UNTOLD_NS, &[5], true).is_some());
    assert_eq!(scan(&mut connections, 8 * UNTOLD_NS, &[5], true), None);
}

#[test]
fn where_the_iterator_cannot_reach_all_nothing_is_missed() {
    let mut connections = Connections::new(CAPABILITIES);
    connections.announced.extend([5, 6]);
    connections.recount();
    let census = scan(&mut connections, 0, &[5, abi::CANNOT_COUNT], true).expect("a census");
    assert_eq!((&census.socks[..], census.complete), (&[5][..], false));
    assert_eq!((connections.announced.len(), connections.take_held()), (2, None));
    assert_eq!(scan(&mut connections, 1, &[5], true), None, "the next would fail, too");
}

#[test]
fn announced_connections_that_are_gone_are_forgotten() {
    let mut connections = Connections::new(CAPABILITIES);
    connections.announced.extend([5, 6]);
    connections.recount();
    scan(&mut connections, 0, &[6, 7], true);
    assert_eq!(connections.announced, FxHashSet::from_iter([6]));
    assert_eq!(connections.take_held(), Some(FxHashSet::from_iter([6, 7])));
    assert_eq!(connections.take_held(), None, "they are taken once");
}
