//! Traces, read back: as Perfetto's trace processor would, and against what the model reports.

use std::collections::{BTreeMap, HashMap, HashSet};

use prost::Message;

use super::{
    Written,
    proto::{COUNTER, INSTANT, MONOTONIC, SLICE_BEGIN, SLICE_END, TrackDescriptor, TrackEvent},
    proto::{InternedName, TracePacket},
    write,
};
use crate::{
    digest::tests::entries,
    model::{Model, event::SockId, output::Output, snapshot::SliceKind},
    record::{Reader, tests::recording},
};

fn trace_of(bytes: &[u8]) -> (Vec<u8>, Written) {
    let mut reader = Reader::new(bytes).expect("a recording");
    let mut trace = Vec::new();
    let written = write(&mut reader, &mut trace).expect("a trace");
    (trace, written)
}

fn packets(mut trace: &[u8]) -> Vec<TracePacket> {
    let mut packets = Vec::new();
    while let Some((tag, rest)) = trace.split_first() {
        assert_eq!(*tag, 0x0a, "field 1 of Trace");
        trace = rest;
        packets.push(TracePacket::decode_length_delimited(&mut trace).expect("a packet"));
    }
    packets
}

/// A slice that has ended.
#[derive(Clone, Debug)]
struct Ended {
    name: String,
    categories: Vec<u64>,
    begun_ns: u64,
    ended_ns: u64,
    depth: usize,
    flows: Vec<u64>,
    facts: HashMap<String, String>,
}

/// A trace as it is understood.
#[derive(Debug, Default)]
struct Understood {
    tracks: BTreeMap<u64, TrackDescriptor>,
    slices: BTreeMap<u64, Vec<Ended>>,
    instants: Vec<(String, u64)>,
    counts: BTreeMap<u64, Vec<(u64, i64)>>,
}

impl Understood {
    fn of(trace: &[u8]) -> Self {
        let (mut understood, mut events) = (Self::default(), Vec::new());
        let (mut names, mut keys) = (HashMap::new(), HashMap::new());
        let mut default_clock = None;
        for (place, packet) in packets(trace).into_iter().enumerate() {
            assert_eq!(packet.trusted_packet_sequence_id, Some(1));
            if place == 0 {
                let snapshot = packet.clock_snapshot.as_ref().expect("the clocks come first");
                let ids: Vec<_> = snapshot.clocks.iter().map(|clock| clock.clock_id).collect();
                assert_eq!(ids, [Some(3), Some(1)]);
            }
            if let Some(defaults) = &packet.trace_packet_defaults {
                default_clock = defaults.timestamp_clock_id;
            }
            if let Some(data) = packet.interned_data {
                let by_iid = |named: Vec<InternedName>| {
                    let pairs = named.into_iter().filter_map(|name| Some((name.iid?, name.name?)));
                    let all: Vec<(u64, String)> = pairs.collect();
                    let distinct: HashSet<u64> = all.iter().map(|(iid, _)| *iid).collect();
                    assert!(distinct.len() == all.len() && !distinct.contains(&0), "{all:?}");
                    all.into_iter().collect::<HashMap<u64, String>>()
                };
                names = by_iid(data.event_names);
                keys = by_iid(data.debug_annotation_names);
            }
            if let Some(track) = packet.track_descriptor {
                let uuid = track.uuid.expect("a number");
                if let Some(parent) = track.parent_uuid {
                    assert!(understood.tracks.contains_key(&parent), "{track:?}");
                }
                assert!(track.process.is_some() || track.name.is_some());
                if let Some(before) = understood.tracks.insert(uuid, track.clone()) {
                    assert_eq!(before, track, "one track, described differently");
                }
            }
            if let Some(event) = packet.track_event {
                assert_eq!(default_clock, Some(MONOTONIC));
                let uuid = event.track_uuid.expect("a track");
                assert!(understood.tracks.contains_key(&uuid), "described before");
                events.push((packet.timestamp.expect("a time"), event));
            }
        }
        // Its order, but for the times.
        events.sort_by_key(|(ts_ns, _)| *ts_ns);
        let mut open: HashMap<u64, Vec<Ended>> = HashMap::new();
        for (ts_ns, event) in events {
            understood.event(ts_ns, event, &mut open, (&names, &keys));
        }
        assert!(open.values().all(Vec::is_empty), "every slice ends");
        understood
    }

    fn event(
        &mut self,
        ts_ns: u64,
        event: TrackEvent,
        open: &mut HashMap<u64, Vec<Ended>>,
        (names, keys): (&HashMap<u64, String>, &HashMap<u64, String>),
    ) {
        let track = event.track_uuid.expect("a track");
        let open = open.entry(track).or_default();
        let name = || match event.name_iid {
            Some(iid) => names[&iid].clone(),
            None => event.name.clone().expect("a name"),
        };
        match event.kind.expect("a kind") {
            SLICE_BEGIN => {
                let mut facts = HashMap::new();
                for fact in &event.debug_annotations {
                    let key = keys[&fact.name_iid.expect("a key")].clone();
                    let number = fact.uint_value.map(|value| value.to_string());
                    let word = fact.string_value.clone().or(number);
                    facts.insert(key, word.unwrap_or_default());
                }
                open.push(Ended {
                    name: name(),
                    categories: event.category_iids.clone(),
                    begun_ns: ts_ns,
                    ended_ns: 0,
                    depth: open.len(),
                    flows: event.flow_ids.clone(),
                    facts,
                });
            }
            SLICE_END => {
                let slice = open.pop().expect("a slice to end");
                let ended = Ended { ended_ns: ts_ns, ..slice };
                self.slices.entry(track).or_default().push(ended);
            }
            INSTANT => self.instants.push((name(), ts_ns)),
            COUNTER => {
                assert!(self.tracks[&track].counter.is_some());
                let value = event.counter_value.expect("a value");
                self.counts.entry(track).or_default().push((ts_ns, value));
            }
            kind => panic!("a kind {kind}"),
        }
    }

    fn instants(&self, name: &str) -> usize {
        self.instants.iter().filter(|(known, _)| known == name).count()
    }
}

/// Everything that the model reports.
fn reported(bytes: &[u8]) -> Vec<Output> {
    let mut reader = Reader::new(bytes).expect("a recording");
    let (mut model, mut out) = (Model::new(reader.header().setup.clone()), Vec::new());
    while let Some(entry) = reader.next_entry().expect("an entry") {
        entry.give(&mut model, &mut out);
    }
    out
}

/// Compares a trace with the model's reports. Returns the number of its arrows that have both ends.
fn holds_what_was_reported(bytes: &[u8]) -> usize {
    let (trace, written) = trace_of(bytes);
    let understood = Understood::of(&trace);
    let outputs = reported(bytes);
    let mut exchanges: BTreeMap<(SockId, u32), (u64, u64, Vec<SliceKind>)> = BTreeMap::new();
    let (mut count, mut refusals, mut findings, mut depths) = (0, 0, 0, 0);
    for output in &outputs {
        match output {
            Output::Exchange(exchange) => {
                count += 1;
                let view = &exchange.view;
                let kinds = view.slices.iter().filter(|slice| slice.us > 0);
                let kinds = kinds.map(|slice| slice.kind).collect();
                let key = (exchange.sock, view.seq);
                exchanges.insert(key, (view.start_ns, exchange.ts_ns, kinds));
            }
            Output::Overflow(_) => refusals += 1,
            Output::Finding(_) => findings += 1,
            Output::Accept(_) | Output::Listener(_) => depths += 1,
            _ => {}
        }
    }
    assert_eq!(written.exchanges + written.left_out, count);
    assert_eq!(written.left_out, 0, "all ends are known");
    let mut told = 0;
    let (mut calls, mut requests) = (HashSet::new(), HashSet::new());
    for slices in understood.slices.values() {
        for slice in slices {
            let (Some(sock), Some(seq)) = (slice.facts.get("sock"), slice.facts.get("seq")) else {
                continue;
            };
            told += 1;
            let key = (sock.parse().expect("a number"), seq.parse().expect("a number"));
            let (begun_ns, ended_ns, kinds) = &exchanges[&key];
            assert_eq!((slice.begun_ns, slice.ended_ns), (*begun_ns, *ended_ns));
            let inner: Vec<&Ended> = slices
                .iter()
                .filter(|inner| {
                    inner.depth == slice.depth + 1
                        && inner.begun_ns >= *begun_ns
                        && inner.ended_ns <= *ended_ns
                })
                .collect();
            let sum: u64 = inner.iter().map(|inner| inner.ended_ns - inner.begun_ns).sum();
            assert_eq!(sum, ended_ns - begun_ns, "its slices tile it");
            // A slice of less than a microsecond may have a length here.
            for kind in kinds {
                let name = kind.name();
                assert!(inner.iter().any(|inner| inner.name == name), "{kind:?} of {inner:?}");
            }
            for slice in inner {
                assert_eq!(slice.categories.len(), 1);
                assert!(slice.facts.contains_key("owner"));
            }
            let ends = if slice.name == "call" { &mut calls } else { &mut requests };
            ends.extend(slice.flows.iter().copied());
        }
    }
    assert_eq!(told, written.exchanges);
    assert_eq!(understood.instants("refused"), refusals);
    let of_findings = understood.instants.iter().filter(|(name, _)| {
        outputs.iter().any(
            |output| matches!(output, Output::Finding(finding) if finding.finding.kind == name),
        )
    });
    assert_eq!(of_findings.count(), findings);
    let counted: usize = understood.counts.values().map(Vec::len).sum();
    assert!(counted >= depths, "{counted} values for {depths} moments");
    calls.intersection(&requests).count()
}

#[test]
fn a_trace_holds_what_was_reported() {
    holds_what_was_reported(&recording(&entries()));
}

#[cfg(feature = "lessons")]
#[test]
fn traces_of_real_runs_hold_what_was_reported() {
    let mut seen = 0;
    for recording in crate::learn::all().iter().flat_map(|lesson| lesson.recordings) {
        holds_what_was_reported(&recording.bytes().expect("it unpacks"));
        seen += 1;
    }
    assert!(seen > 5, "only {seen} recordings");
}

#[test]
fn a_call_and_its_request_are_joined_by_an_arrow() {
    assert!(holds_what_was_reported(&recording(&crate::model::tests::proxy::entries())) > 0);
}

#[test]
fn a_recording_that_breaks_off_anywhere_gives_a_trace_or_an_error() {
    let whole = recording(&entries());
    let mut traces = 0;
    for part in 0..=50 {
        let cut = &whole[..whole.len() * part / 50];
        if let Ok(mut reader) = Reader::new(cut) {
            let mut trace = Vec::new();
            write(&mut reader, &mut trace).expect("what can be read");
            Understood::of(&trace);
            traces += 1;
            assert!(part == 50 || reader.damage_count() > 0, "{part}");
        }
    }
    assert!(traces > 40, "{traces}");
}

#[test]
fn a_full_disk_is_an_error() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.saturating_sub(bytes.len());
            match self.0 {
                0 => Err(std::io::ErrorKind::StorageFull.into()),
                _ => Ok(bytes.len()),
            }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let bytes = recording(&entries());
    for room in [1, 100, 10_000] {
        let mut reader = Reader::new(bytes.as_slice()).expect("a recording");
        let error = write(&mut reader, &mut Full(room)).expect_err("no room");
        assert_eq!(error.to_string(), "cannot write the output");
    }
}
