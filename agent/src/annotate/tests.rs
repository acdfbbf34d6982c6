//! A capture made by hand beside a recording.

use std::{
    io::Cursor,
    time::{Duration, UNIX_EPOCH},
};

use super::{
    AnnotateError, Annotated, TOLERANCE_NS, annotate,
    capture::{
        Capture, Link, Order,
        tests::{packet, pcap},
    },
};
use crate::{
    model::tests::{proxy, world::MS},
    record::{Reader, tests::recording},
};

/// The moment at which the recordings of the tests begin, ns since 1970.
const BEGIN_NS: u64 = 1_700_000_000_000_000_000;
const US: u64 = 1_000;
const SERVER: &str = "10.0.0.1:8080";
const CLIENT: &str = "10.0.0.9:40122";
const UPSTREAM: &str = "10.0.1.1:9001";
const PUSH: u8 = 0x18;
const ACK: u8 = 0x10;

/// The packets of [`proxy::entries`]: a request at 1 ms that is answered at 21 ms, and a call from 2
/// to 20 ms. Each stamp is a little beside the time in the recording.
fn packets() -> Vec<(u64, Vec<u8>)> {
    let link = Link(1);
    [
        (MS - 5 * US, packet(link, CLIENT, SERVER, PUSH, 100)),
        (MS + 90 * US, packet(link, SERVER, CLIENT, ACK, 0)),
        (2 * MS + 10 * US, packet(link, SERVER, UPSTREAM, PUSH, 50)),
        (20 * MS - 20 * US, packet(link, UPSTREAM, SERVER, PUSH, 60)),
        (21 * MS + 30 * US, packet(link, SERVER, CLIENT, PUSH, 200)),
        (30 * MS, packet(link, SERVER, "10.0.0.77:1", PUSH, 200)),
    ]
    .into_iter()
    .map(|(at_ns, packet)| (BEGIN_NS + at_ns, packet))
    .collect()
}

fn dump(packets: &[(u64, Vec<u8>)]) -> Vec<u8> {
    pcap(Order::Little, true, Link(1), packets)
}

fn annotated(dump: &[u8], recording: &[u8]) -> Result<(Annotated, Vec<u8>), AnnotateError> {
    let mut reader = Reader::new(recording).expect("a recording");
    let mut out = Vec::new();
    let annotated = annotate(&mut Cursor::new(dump), &mut reader, 1, &mut out)?;
    Ok((annotated, out))
}

/// Returns the comments of each packet.
fn comments(file: &[u8]) -> Vec<String> {
    let mut capture = Capture::new(file).expect("a capture");
    let (mut block, mut found) = (Vec::new(), Vec::new());
    while let Some(packet) = capture.next(&mut block).expect("a block") {
        if let Some(packet) = packet {
            let bytes = packet.bytes(&block).len().next_multiple_of(4);
            found.push(String::from_utf8_lossy(&block[28 + bytes..]).into_owned());
        }
    }
    found
}

#[test]
fn slices_are_on_the_packets_that_end_them() {
    let (annotated, file) =
        annotated(&dump(&packets()), &recording(&proxy::entries())).expect("a capture");
    let comments = comments(&file);
    assert_eq!(comments.len(), 6);
    assert!(comments[0].contains("request 1: begins; it takes 20.0 ms"), "{comments:?}");
    assert!(comments[2].contains("call 1: begins; it takes 18.0 ms"), "{comments:?}");
    assert!(comments[3].contains("call 1: the peer answered after 18.0 ms"), "{comments:?}");
    let answer = "request 1: the application took 20.0 ms before this segment, 18.0 ms of it for \
                  calls to others";
    assert!(comments[4].contains(answer), "{comments:?}");
    assert!(!comments[5].contains("request"), "another connection: {comments:?}");
    assert_eq!((annotated.flows, annotated.shared_flows, annotated.packets), (3, 2, 6));
    let (median_ns, longest_ns) = annotated.distances_ns.expect("distances");
    assert!(median_ns <= 20 * US && longest_ns <= 100 * US, "{median_ns} {longest_ns}");
    assert!(annotated.comments >= 4);
}

#[test]
fn nothing_is_said_of_packets_that_are_too_far() {
    let mut late = packets();
    for (ts_ns, _) in &mut late {
        *ts_ns += 2 * TOLERANCE_NS;
    }
    // The answer is there before the exchange has ended, all the same.
    let (annotated, file) =
        annotated(&dump(&late), &recording(&proxy::entries())).expect("a capture");
    let comments = comments(&file);
    assert!(!comments[0].contains("begins"), "{comments:?}");
    assert!(annotated.comments < annotated.remarks);
}

#[test]
fn two_that_do_not_overlap_are_told_apart() {
    let mut earlier = packets();
    for (ts_ns, _) in &mut earlier {
        *ts_ns -= 3_600_000 * MS;
    }
    let (annotated, file) =
        annotated(&dump(&earlier), &recording(&proxy::entries())).expect("a capture");
    assert_eq!((annotated.comments, annotated.remarks), (0, 0));
    assert!(annotated.beyond > 0);
    let (_, last_ns) = annotated.captured_ns.expect("packets");
    assert!(last_ns < annotated.recorded_ns.0);
    assert!(comments(&file).iter().all(|comment| !comment.contains("1:")));
}

#[test]
fn whatever_is_cut_off_gives_a_capture_or_an_error() {
    let (dump, whole) = (dump(&packets()), recording(&proxy::entries()));
    let mut done = 0;
    for part in 0..=50 {
        let cut = &whole[..whole.len() * part / 50];
        if let Ok(mut reader) = Reader::new(cut) {
            let mut out = Vec::new();
            let annotated = annotate(&mut Cursor::new(&dump), &mut reader, 1, &mut out);
            assert_eq!(annotated.expect("what can be read").packets, 6);
            done += 1;
        }
        if let Ok((annotated, out)) = annotated(&dump[..dump.len() * part / 50], &whole) {
            assert_eq!(comments(&out).len() as u64, annotated.packets);
            done += 1;
        }
    }
    assert!(done > 70, "{done}");
}

#[test]
fn a_wall_clock_before_1970_is_no_fault() {
    assert_eq!(super::wall_ns(UNIX_EPOCH - Duration::from_secs(1)), 0);
}
