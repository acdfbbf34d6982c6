//! Packets of a trace, as they are written: one sequence, whose names come with its first packet.

use std::io::{self, Write};

use prost::Message;

use super::{
    names::{Category, Facts, Name, interned},
    proto::{
        COUNTER, Clock, ClockSnapshot, INSTANT, MONOTONIC, NEEDS_STATE, REALTIME, SLICE_BEGIN,
        SLICE_END, STATE_CLEARED, TracePacket, TracePacketDefaults, TrackDescriptor, TrackEvent,
    },
};
use crate::model::WallClock;

/// The one sequence of packets.
const SEQUENCE: u32 = 1;
/// Tag of `Trace.packet`: field 1, with a length.
const PACKET: u8 = 0x0a;

/// An event of a track.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) track: u64,
    pub(super) category: Category,
    pub(super) name: Name,
    pub(super) facts: Facts,
    /// Events with the same number are joined by arrows, in the order of their times.
    pub(super) flows: Vec<u64>,
}

/// Writes packets.
#[derive(Debug)]
pub(super) struct Packets<W> {
    out: W,
    buffer: Vec<u8>,
}

impl<W: Write> Packets<W> {
    /// Begins a trace: its clocks, and the names that its events refer to.
    pub(super) fn begin(out: W, clock: &WallClock) -> io::Result<Self> {
        let mut packets = Self { out, buffer: Vec::new() };
        let moment =
            |clock_id: u32, ns: u64| Clock { clock_id: Some(clock_id), timestamp: Some(ns) };
        let wall = clock.at(clock.mono_ns).duration_since(std::time::UNIX_EPOCH);
        let wall_ns = wall.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
        packets.put(&TracePacket {
            clock_snapshot: Some(ClockSnapshot {
                clocks: vec![moment(MONOTONIC, clock.mono_ns), moment(REALTIME, wall_ns)],
                // What other traces have in place of it is a matter of their own snapshots.
                primary_trace_clock: i32::try_from(MONOTONIC).ok(),
            }),
            trusted_packet_sequence_id: Some(SEQUENCE),
            ..TracePacket::default()
        })?;
        packets.put(&TracePacket {
            trusted_packet_sequence_id: Some(SEQUENCE),
            interned_data: Some(interned()),
            trace_packet_defaults: Some(TracePacketDefaults {
                timestamp_clock_id: Some(MONOTONIC),
            }),
            sequence_flags: Some(STATE_CLEARED),
            first_packet_on_sequence: Some(true),
            ..TracePacket::default()
        })?;
        Ok(packets)
    }

    /// Describes a track.
    pub(super) fn describe(&mut self, track: TrackDescriptor) -> io::Result<()> {
        self.put(&TracePacket {
            trusted_packet_sequence_id: Some(SEQUENCE),
            track_descriptor: Some(track),
            ..TracePacket::default()
        })
    }

    /// Begins a slice. [`Packets::end`] ends it; slices of a track are nested.
    pub(super) fn slice(&mut self, ts_ns: u64, event: Event) -> io::Result<()> {
        self.event(ts_ns, SLICE_BEGIN, event)
    }

    /// Ends the innermost slice of a track.
    pub(super) fn end(&mut self, ts_ns: u64, track: u64) -> io::Result<()> {
        self.put_event(
            ts_ns,
            TrackEvent { kind: Some(SLICE_END), track_uuid: Some(track), ..TrackEvent::default() },
        )
    }

    /// Writes an event without a duration.
    pub(super) fn instant(&mut self, ts_ns: u64, event: Event) -> io::Result<()> {
        self.event(ts_ns, INSTANT, event)
    }

    /// Writes the value of a counter.
    pub(super) fn count(&mut self, ts_ns: u64, track: u64, value: u32) -> io::Result<()> {
        self.put_event(
            ts_ns,
            TrackEvent {
                kind: Some(COUNTER),
                track_uuid: Some(track),
                counter_value: Some(value.into()),
                ..TrackEvent::default()
            },
        )
    }

    /// Ends the trace.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn event(&mut self, ts_ns: u64, kind: i32, event: Event) -> io::Result<()> {
        let name_iid = event.name.iid();
        let name = match event.name {
            Name::Own(name) => Some(name),
            Name::Slice(_) | Name::Fixed(_) => None,
        };
        self.put_event(
            ts_ns,
            TrackEvent {
                category_iids: vec![event.category.iid()],
                debug_annotations: event.facts.0,
                kind: Some(kind),
                name_iid,
                track_uuid: Some(event.track),
                name,
                counter_value: None,
                flow_ids: event.flows,
            },
        )
    }

    fn put_event(&mut self, ts_ns: u64, event: TrackEvent) -> io::Result<()> {
        self.put(&TracePacket {
            timestamp: Some(ts_ns),
            trusted_packet_sequence_id: Some(SEQUENCE),
            track_event: Some(event),
            sequence_flags: Some(NEEDS_STATE),
            ..TracePacket::default()
        })
    }

    fn put(&mut self, packet: &TracePacket) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.push(PACKET);
        packet.encode_length_delimited(&mut self.buffer).map_err(io::Error::other)?;
        self.out.write_all(&self.buffer)
    }
}
