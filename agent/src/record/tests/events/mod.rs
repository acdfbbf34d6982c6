//! One event of every type.

mod connection;
mod first_bytes;
mod process;
mod sample;

use crate::model::event::{
    Census, Closed, ConnectionPart, Ending, Event, Late, Opened, Overflow, Pause, Process,
    ProcessChange, Role, Side, Stage, Syn, SynAckRetransmit, Why,
};
use crate::model::tests::world::{LISTENER, SECOND, START, address, setup};
use crate::record::tests::{header, read, recording};
use crate::record::{RecordEntry, VERSION};
use connection::{accept, closing, connect, exchange, socket_events};
use first_bytes::{quic, signs};
use process::{cpu, target_end, workload};
use sample::sample;

/// One event of every type.
pub(crate) fn every() -> Vec<Event> {
    let peer = address("10.0.0.7:53122");
    vec![
        Event::Accept(accept()),
        Event::Overflow(Overflow {
            ts_ns: START,
            listener: LISTENER,
            peer,
            stage: Stage::SynQueue,
            depth: 1,
            limit: 2,
            syn_depth: 3,
            bytes: Some(5),
        }),
        Event::Syn(Syn {
            ts_ns: START,
            listener: LISTENER,
            peer,
            depth: 1,
            syn_depth: 2,
            tfo_bytes: Some(0),
        }),
        Event::SynAckRetransmit(SynAckRetransmit {
            ts_ns: START,
            listener: LISTENER,
            peer,
            count: 3,
            first_ns: Some(START - 7_000_000_000),
            ignored: true,
        }),
        Event::Opened(Opened {
            ts_ns: START,
            sock: 78,
            role: Role::Server,
            listener: Some(LISTENER),
            local: peer,
            peer,
            pid: 1,
            comm: "".into(),
            handshake_us: Some(1),
            preexisting: true,
            asked_ns: Some(2),
            syns_again: 3,
        }),
        Event::Exchange(exchange()),
        Event::Closed(Closed {
            ts_ns: START,
            sock: 77,
            by: Some(Side::Peer),
            how: Some(Ending::Timeout),
            since_ns: None,
            bytes_in: 1,
            bytes_out: 2,
            exchanges: 0,
            retransmits: 3,
            delayed_acks: None,
            delayed_ack_us: 4,
            why: Some(Why::Aborted),
            idle_ns: Some(5),
            unread_bytes: 6,
            unacked_bytes: 7,
            unanswered: true,
            asked_ns: Some(8),
            min_rtt_us: Some(9),
            unseen: false,
            multipath: true,
            untold: true,
        }),
        Event::Process(Process {
            ts_ns: START,
            pid: 5,
            comm: "sh".into(),
            change: ProcessChange::Forked { parent: 1 },
        }),
        Event::Connections(ConnectionPart {
            ts_ns: START + SECOND,
            connections: sample().connections,
        }),
        Event::Sample(sample()),
    ]
    .into_iter()
    .chain(socket_events())
    .chain(signs())
    .chain([
        quic(),
        connect(),
        Event::Late(Late { ts_ns: START, local: peer, peer, bytes: 9, lingers: Some((3, 4)) }),
        cpu(),
        Event::Census(Census {
            ts_ns: START + SECOND,
            since_ns: START,
            socks: vec![3, u64::MAX],
            complete: true,
        }),
        Event::Pause(Pause { ts_ns: START + SECOND, begins: true }),
        workload(),
        target_end(),
        closing(),
    ])
    .collect()
}

/// A type that is added must be added to [`every`].
fn place(event: &Event) -> usize {
    match event {
        Event::Accept(_) => 0,
        Event::Overflow(_) => 1,
        Event::Syn(_) => 2,
        Event::SynAckRetransmit(_) => 3,
        Event::Opened(_) => 4,
        Event::Exchange(_) => 5,
        Event::Closed(_) => 6,
        Event::Process(_) => 7,
        Event::Connections(_) => 8,
        Event::Sample(_) => 9,
        Event::SocketEvent(_) => 10,
        Event::Recognised(_) => 11,
        Event::Quic(_) => 12,
        Event::Connect(_) => 13,
        Event::Late(_) => 14,
        Event::Cpu(_) => 15,
        Event::Census(_) => 16,
        Event::Pause(_) => 17,
        Event::Workload(_) => 18,
        Event::TargetEnd(_) => 19,
        Event::Closing(_) => 20,
    }
}

#[test]
fn every_event_comes_back_as_it_was() {
    let events = every();
    let mut places: Vec<_> = events.iter().map(place).collect();
    places.dedup();
    assert_eq!(places, (0..=20).collect::<Vec<_>>());
    let mut entries: Vec<RecordEntry> = events.into_iter().map(RecordEntry::Event).collect();
    entries.insert(0, RecordEntry::Batch(START));
    entries.insert(1, RecordEntry::Target("server 4242 (+1 child)".into()));
    entries.insert(
        2,
        RecordEntry::Notices(vec!["the command's output goes to a file".into(), "".into()]),
    );
    entries.push(RecordEntry::Finish(START + SECOND));
    let bytes = recording(&entries);
    let (read, reader) = read(&bytes);
    assert_eq!(read, entries);
    assert_eq!(reader.damages(), []);
    assert_eq!(reader.totals().map(|totals| totals.entries), Some(entries.len() as u64));
    assert_eq!(reader.totals().and_then(|totals| totals.cost), Some(sample().cost));
}

/// Postcard names no fields: a recording of other types would be read as nonsense. An event that is
/// added behind the others changes nothing of them: the recordings that are there stay readable.
#[test]
fn the_version_changes_with_what_is_serialised() {
    let mut events = every();
    let print = |events: &Vec<Event>| {
        let bytes = postcard::to_stdvec(&(header(setup("full")), events)).unwrap();
        (VERSION, bytes.len(), crc32fast::hash(&bytes))
    };
    assert_eq!(
        print(&events),
        (4, 2_239, 582_591_416),
        "serialised in another way: raise record::VERSION, note the new print"
    );
    assert!(matches!(events.pop(), Some(Event::Closing(_))));
    assert_eq!(print(&events), (4, 2_207, 1_476_208_639), "those that were there before it");
    assert!(matches!(events.pop(), Some(Event::TargetEnd(_))));
    assert_eq!(print(&events), (4, 2_165, 381_100_193), "those that were there before it");
    assert!(matches!(events.pop(), Some(Event::Workload(_))));
    assert_eq!(print(&events), (4, 2_096, 3_698_715_909), "those that were there before it");
}
