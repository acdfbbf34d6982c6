//! What the model reports, as events on tracks.

use std::io::{self, Write};

use super::{
    MAX_EARLY, Trace,
    names::{Category, Facts, Key, Name},
    packets::Event,
    tracks,
};
use crate::{
    model::{
        event::{Accept, Connect, HoldReason, Pause, Role, Side, SocketEventKind, Stage},
        output::{
            ConnectionOutput, ExchangeOutput, FindingOutput, ListenerOutput, Lost, Output,
            OverflowOutput, SocketEventOutput,
        },
        snapshot::{Severity, Slice, SliceKind},
    },
    record::Header,
    text::Untrusted,
};

fn event(track: u64, category: Category, name: Name, facts: Facts) -> Event {
    Event { track, category, name, facts, flows: Vec::new() }
}

impl<W: Write> Trace<W> {
    /// Writes what is known before the first event.
    pub(super) fn header(&mut self, header: &Header) -> io::Result<()> {
        let attached = &header.attached;
        let facts = Facts::default()
            .text(Key::WrittenBy, &header.written_by)
            .text(Key::Kernel, &attached.kernel)
            .text(Key::Tier, &attached.tier)
            .text(Key::Targets, &Untrusted::join(&attached.targets, ", "))
            .text(Key::Gaps, &Untrusted::join(&attached.gaps, "; "));
        let track = self.tracks.watch(&mut self.packets)?;
        self.packets.instant(attached.ts_ns, event(track, Category::Watch, Name::ATTACHED, facts))
    }

    /// Writes what is known only at the end.
    pub(super) fn end(&mut self, end_ns: u64, damages: u64) -> io::Result<()> {
        self.begin()?;
        for refused in self.early.drain(..) {
            self.written.left_out += refused.count;
        }
        let track = self.tracks.watch(&mut self.packets)?;
        if self.is_paused {
            self.packets.end(end_ns, track)?;
        }
        let facts = Facts::default();
        let (name, facts) = match damages {
            0 => (Name::END, facts),
            _ => (Name::DAMAGED, facts.count(Key::Count, damages)),
        };
        self.packets.instant(end_ns, event(track, Category::Watch, name, facts))
    }

    pub(super) fn output(&mut self, output: &Output) -> io::Result<()> {
        match output {
            Output::Listener(listener) => self.listener(listener),
            Output::Accept(accept) => self.accept(accept),
            Output::Overflow(refused) => self.refused(refused),
            Output::Exchange(exchange) => self.exchange(exchange),
            Output::Connection(connection) => self.connection(connection),
            Output::Connect(connect) => self.connect(connect),
            Output::Finding(finding) => self.finding(finding),
            Output::Pause(pause) => self.pause(pause),
            Output::Lost(lost) => self.lost(lost),
            Output::SocketEvent(of_socket) => self.of_socket(of_socket),
            Output::Unix(_)
            | Output::Syn(_)
            | Output::Datagrams(_)
            | Output::Quic(_)
            | Output::SynAckRetransmit(_)
            | Output::Process(_)
            | Output::Pattern(_)
            | Output::Proxy(_)
            | Output::Summary(_) => Ok(()),
        }
    }

    fn listener(&mut self, output: &ListenerOutput) -> io::Result<()> {
        let (packets, view) = (&mut self.packets, &output.view);
        let process = self.tracks.process(packets, view.pid, &view.comm)?;
        self.tracks.listener(packets, view.sock, process, &view.local.to_string())?;
        let counters = self.tracks.counters(packets, view.sock)?;
        packets.count(output.ts_ns, counters.depth, view.depth)?;
        packets.count(output.ts_ns, counters.limit, view.limit)?;
        packets.count(output.ts_ns, counters.syn_depth, view.syn_depth)?;
        let is_of_it = |refused: &mut OverflowOutput| refused.listener == view.sock;
        let early: Vec<OverflowOutput> = self.early.extract_if(.., is_of_it).collect();
        for refused in &early {
            self.refused(refused)?;
        }
        Ok(())
    }

    fn accept(&mut self, accept: &Accept) -> io::Result<()> {
        let Some(party) = self.parties.get(accept.sock) else { return Ok(()) };
        let packets = &mut self.packets;
        let track = self.tracks.connection(packets, accept.sock, party)?;
        let counters = self.tracks.counters(packets, accept.listener)?;
        packets.count(accept.ts_ns, counters.depth, accept.depth)?;
        let facts = Facts::default()
            .count(Key::Tid, accept.tid)
            .maybe(Key::QueuedUs, accept.queued_us())
            .count(Key::Depth, accept.depth);
        let queued_ns = accept.queued_ns.filter(|queued_ns| *queued_ns < accept.ts_ns);
        match queued_ns {
            // Otherwise it is a slice of the first exchange.
            Some(queued_ns) if !self.watches_exchanges => {
                let kind = SliceKind::AcceptQueue;
                let category = Category::Owner(kind.owner());
                packets.slice(queued_ns, event(track, category, Name::Slice(kind), facts))?;
                packets.end(accept.ts_ns, track)
            }
            _ => packets
                .instant(accept.ts_ns, event(track, Category::Connection, Name::ACCEPTED, facts)),
        }
    }

    fn refused(&mut self, refused: &OverflowOutput) -> io::Result<()> {
        if !self.tracks.has_listener(refused.listener) {
            if self.early.len() < MAX_EARLY {
                self.early.push(refused.clone());
            } else {
                self.written.left_out += refused.count;
            }
            return Ok(());
        }
        let packets = &mut self.packets;
        let counters = self.tracks.counters(packets, refused.listener)?;
        packets.count(refused.ts_ns, counters.depth, refused.depth)?;
        let stage = match refused.stage {
            _ if !refused.stage_certain => "syn or ack",
            Stage::Syn => "syn",
            Stage::Ack => "ack",
            Stage::SynQueue => "syn, the SYN queue being full",
            Stage::Cookie => "cookie",
        };
        let mut facts = Facts::default()
            .word(Key::Stage, stage)
            .count(Key::Count, refused.count)
            .count(Key::Depth, refused.depth)
            .count(Key::Limit, refused.limit);
        if let Some(peer) = refused.peer {
            facts = facts.word(Key::Peer, peer.to_string());
        }
        let track = tracks::listener(refused.listener);
        packets.instant(refused.ts_ns, event(track, Category::Refusal, Name::REFUSED, facts))
    }

    fn exchange(&mut self, output: &ExchangeOutput) -> io::Result<()> {
        let Some(party) = self.parties.get(output.sock) else {
            self.written.left_out += 1;
            return Ok(());
        };
        self.written.exchanges += 1;
        let (packets, view) = (&mut self.packets, &output.view);
        self.tracks.connection(packets, output.sock, party)?;
        let (start_ns, end_ns) = (view.start_ns, output.ts_ns.max(view.start_ns));
        let id = (output.sock, view.seq);
        let track = self.tracks.exchange(packets, id, (start_ns, end_ns))?;
        let name = match output.role {
            _ if view.multiplexed => Name::EXCHANGE,
            Role::Server => Name::REQUEST,
            Role::Client => Name::CALL,
        };
        let mut of_exchange = event(track, Category::Exchange, name, facts_of(output));
        for call in &view.upstream {
            of_exchange.flows.push(tracks::flow(call.sock, call.seq));
        }
        if let Some(request) = view.downstream {
            of_exchange.flows.push(tracks::flow(output.sock, view.seq));
            of_exchange.facts = of_exchange.facts.share(Key::Confidence, request.confidence);
        }
        packets.slice(start_ns, of_exchange)?;
        let mut at_ns = start_ns;
        for (place, slice) in view.slices.iter().enumerate() {
            // Whole microseconds would leave gaps.
            let next_ns = view.slices.get(place + 1).map_or(end_ns, |next| next.start_ns);
            let until_ns = next_ns.clamp(at_ns, end_ns);
            if until_ns > at_ns {
                packets.slice(at_ns, of_slice(track, slice))?;
                packets.end(until_ns, track)?;
                at_ns = until_ns;
            }
        }
        packets.end(end_ns, track)
    }

    fn connection(&mut self, output: &ConnectionOutput) -> io::Result<()> {
        self.parties.ended(output);
        let view = &output.view;
        let Some(party) = self.parties.get(view.sock) else { return Ok(()) };
        let packets = &mut self.packets;
        let track = self.tracks.connection(packets, view.sock, party)?;
        let mut holds = Vec::new();
        for hold in &view.holds {
            let reason = name_of_hold(hold.reason);
            holds.push(format!("{reason}: {}, {} µs", hold.count, hold.us));
        }
        let mut facts = Facts::default()
            .word(Key::Sock, view.sock.to_string())
            .count(Key::Exchanges, view.exchanges)
            .count(Key::BytesIn, view.bytes_in)
            .count(Key::BytesOut, view.bytes_out)
            .count(Key::Retransmits, view.retransmits)
            .if_true(Key::Preexisting, view.preexisting);
        if !holds.is_empty() {
            facts = facts.word(Key::Holds, holds.join("; "));
        }
        if let Some((by, how)) = view.ended {
            let by = match by {
                Side::Local => "local",
                Side::Peer => "peer",
            };
            facts = facts.word(Key::EndedBy, format!("{by}, {how:?}").to_lowercase());
        }
        let name = if view.closed_ns.is_some() { Name::CLOSED } else { Name::OPEN_AT_END };
        let ts_ns = view.closed_ns.unwrap_or(output.ts_ns);
        packets.instant(ts_ns, event(track, Category::Connection, name, facts))?;
        self.tracks.ended(view.sock);
        Ok(())
    }

    fn connect(&mut self, connect: &Connect) -> io::Result<()> {
        let packets = &mut self.packets;
        let track = self.tracks.process(packets, connect.pid, &connect.comm)?;
        let facts = Facts::default()
            .word(Key::Peer, connect.peer.to_string())
            .word(Key::Outcome, connect.outcome.name())
            .maybe(Key::Error, connect.error)
            .maybe(Key::Tid, connect.tid);
        let name = Name::CONNECT_FAILED;
        packets.instant(connect.ts_ns, event(track, Category::Connection, name, facts))
    }

    fn finding(&mut self, output: &FindingOutput) -> io::Result<()> {
        let packets = &mut self.packets;
        let track = self.tracks.findings(packets)?;
        let finding = &output.finding;
        let severity = match finding.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        };
        let text = compose!("{} {}", finding.headline, finding.text);
        let facts = Facts::default()
            .word(Key::State, output.state.name())
            .word(Key::Severity, severity)
            .word(Key::Owner, finding.owner.name())
            .text(Key::Subject, &finding.subject)
            .text(Key::Text, &text)
            .text(Key::Fix, &finding.fix);
        let name = Name::Own(finding.kind.to_owned());
        packets.instant(output.ts_ns, event(track, Category::Finding, name, facts))
    }

    fn pause(&mut self, pause: &Pause) -> io::Result<()> {
        let packets = &mut self.packets;
        let track = self.tracks.watch(packets)?;
        match (pause.begins, self.is_paused) {
            (true, false) => {
                let facts = Facts::default();
                packets.slice(pause.ts_ns, event(track, Category::Watch, Name::PAUSE, facts))?;
            }
            (false, true) => packets.end(pause.ts_ns, track)?,
            // Told twice.
            _ => {}
        }
        self.is_paused = pause.begins;
        Ok(())
    }

    fn lost(&mut self, lost: &Lost) -> io::Result<()> {
        let packets = &mut self.packets;
        let track = self.tracks.watch(packets)?;
        let facts = Facts::default().text(Key::Subject, &lost.probe).count(Key::Count, lost.count);
        packets.instant(lost.ts_ns, event(track, Category::Watch, Name::LOST, facts))
    }

    /// Single events (`--detail events`). A hold is a slice: its end tells how long it was.
    fn of_socket(&mut self, output: &SocketEventOutput) -> io::Result<()> {
        let happened = &output.event;
        let Some(party) = self.parties.get(happened.sock) else { return Ok(()) };
        let packets = &mut self.packets;
        let track = self.tracks.connection(packets, happened.sock, party)?;
        match happened.kind {
            SocketEventKind::Hold { .. } => Ok(()),
            SocketEventKind::Release { why, held_us } => {
                let track = self.tracks.holds(packets, happened.sock)?;
                let kind = kind_of_hold(why);
                let begun_ns = happened.ts_ns.saturating_sub(u64::from(held_us) * 1_000);
                let category = Category::Owner(kind.owner());
                let held = event(track, category, Name::Slice(kind), Facts::default());
                packets.slice(begun_ns, held)?;
                packets.end(happened.ts_ns, track)
            }
            kind => {
                let facts = Facts::default().maybe(Key::Tid, kind.tid());
                let name = Name::Own(kind.name().to_owned());
                packets.instant(happened.ts_ns, event(track, Category::Connection, name, facts))
            }
        }
    }
}

fn of_slice(track: u64, slice: &Slice) -> Event {
    let owner = slice.kind.owner();
    let facts = Facts::default()
        .word(Key::Owner, owner.name())
        .maybe(Key::CpuUs, slice.cpu_us)
        .maybe(Key::UpstreamUs, slice.upstream_us);
    // The others are not inferred in the first place.
    let facts = match slice.kind {
        SliceKind::DelayedAck | SliceKind::Streaming => facts.bool(Key::Proved, slice.proved),
        _ => facts,
    };
    event(track, Category::Owner(owner), Name::Slice(slice.kind), facts)
}

fn facts_of(output: &ExchangeOutput) -> Facts {
    let view = &output.view;
    let mut facts = Facts::default()
        .word(Key::Sock, output.sock.to_string())
        .count(Key::Seq, view.seq)
        .count(Key::RequestBytes, view.request_bytes)
        .count(Key::ResponseBytes, view.response_bytes)
        .maybe(Key::ReadTid, view.read_tid)
        .maybe(Key::WriteTid, view.write_tid)
        .if_true(Key::Preexisting, output.preexisting)
        .if_true(Key::Unanswered, view.unanswered);
    if let Some(protocol) = output.protocol {
        facts = facts.word(Key::Protocol, protocol.name());
    }
    if let Some(verdict) = view.verdict {
        facts = facts
            .word(Key::VerdictOwner, verdict.kind.owner().name())
            .word(Key::VerdictKind, verdict.kind.name())
            .share(Key::VerdictShare, verdict.share);
    }
    facts
}

/// Returns the kind of the slices that such a hold makes.
fn kind_of_hold(reason: HoldReason) -> SliceKind {
    match reason {
        HoldReason::Nagle => SliceKind::Nagle,
        HoldReason::Cork => SliceKind::Cork,
        HoldReason::Congestion => SliceKind::Congestion,
        HoldReason::ReceiveWindow => SliceKind::ReceiveWindow,
        HoldReason::Pacing => SliceKind::Pacing,
    }
}

fn name_of_hold(reason: HoldReason) -> &'static str {
    kind_of_hold(reason).name()
}
