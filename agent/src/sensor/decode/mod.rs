//! Turns records that the probes wrote, to the ring buffer or by an iterator, into the model's
//! events.
//!
//! [`decode`] reads the kind of a record and leaves the rest to the file of that kind.

mod compact;
mod connection;
mod connects;
mod context;
mod datagram;
mod exchange;
mod first;
mod listener;
mod record;
mod socket_events;

use backscope_abi as abi;

pub(in crate::sensor) use self::{
    connection::tcp_state,
    connects::pending,
    context::{Capabilities, DecodeContext},
    datagram::{DatagramSignals, datagram},
    exchange::exchange,
    first::FirstBytes,
    record::{address, comm, known, record, role},
};
use crate::model::event::{Event, Process, ProcessChange, Sample, WaitStatus};

/// Kinds of records, by what becomes of them.
pub(super) enum Decoded {
    /// Something the model wants to know.
    Event,
    /// Bytes to be recognised.
    FirstBytes,
    /// A process may have come by listeners that no record announced: the agent should scan it.
    Adopt(u32),
}

/// The newest event.
///
/// An exchange has a place of its own, also among events of other kinds: most are written over the
/// one before, which is cheaper than to move one there.
pub(super) struct Newest {
    exchange: Event,
    other: Event,
    is_exchange: bool,
    /// Of an accept that stands for others: connections of its listener that were left untold so
    /// far, the low bits of their number.
    pub(super) untold: Option<u16>,
}

impl Newest {
    pub(super) fn new() -> Self {
        let none = || Event::Sample(Sample::default());
        Self { exchange: none(), other: none(), is_exchange: false, untold: None }
    }

    pub(super) fn event(&self) -> &Event {
        if self.is_exchange { &self.exchange } else { &self.other }
    }

    pub(super) fn event_mut(&mut self) -> &mut Event {
        if self.is_exchange { &mut self.exchange } else { &mut self.other }
    }
}

/// Reads a record. If it is an event, it is the newest one from now on.
pub(super) fn decode(bytes: &[u8], context: DecodeContext, newest: &mut Newest) -> Option<Decoded> {
    let capabilities = context.capabilities;
    let kind: u32 = record(bytes)?;
    newest.is_exchange = matches!(kind, abi::EXCHANGE | abi::COMPACT_EXCHANGE);
    if kind == abi::COMPACT_EXCHANGE
        && let Event::Exchange(exchange) = &mut newest.exchange
    {
        compact::fill(exchange, &record(bytes)?, capabilities);
        return Some(Decoded::Event);
    }
    *newest.event_mut() = match kind {
        abi::ACCEPT => {
            let raw = record(bytes)?;
            newest.untold = listener::untold(&raw);
            Event::Accept(listener::accept(raw, capabilities.tick_ns))
        }
        abi::OVERFLOW => Event::Overflow(listener::overflow(record(bytes)?)?),
        abi::SYN => Event::Syn(listener::syn(record(bytes)?)),
        abi::RETRANSMIT => Event::SynAckRetransmit(listener::retransmit(record(bytes)?)),
        abi::OPENED => Event::Opened(connection::opened(&record(bytes)?)),
        abi::EXCHANGE => Event::Exchange(exchange(&record(bytes)?, capabilities)),
        abi::COMPACT_EXCHANGE => {
            let mut exchange = exchange(&abi::Exchange::BLANK, capabilities);
            compact::fill(&mut exchange, &record(bytes)?, capabilities);
            Event::Exchange(exchange)
        }
        abi::ENDED => Event::Closed(connection::closed(&record(bytes)?, capabilities)),
        abi::FAILED => Event::Connect(connects::failed(&record(bytes)?)),
        abi::LATE => Event::Late(connects::late(&record(bytes)?)),
        abi::EVENT => Event::SocketEvent(socket_events::socket_event(&record(bytes)?, context)?),
        abi::PROCESS => Event::Process(process(record(bytes)?)?),
        abi::PAYLOAD_PREFIX | abi::DATAGRAM_PREFIX => return Some(Decoded::FirstBytes),
        abi::ADOPT => return Some(Decoded::Adopt(record::<abi::Adopt>(bytes)?.tgid)),
        // Listeners come and go by the sample, which has all of their figures.
        _ => return None,
    };
    Some(Decoded::Event)
}

fn process(raw: abi::Process) -> Option<Process> {
    let change = match raw.what {
        abi::process::FORK => ProcessChange::Forked { parent: raw.parent },
        abi::process::EXEC => ProcessChange::Executed,
        abi::process::EXIT if raw.status == abi::process::NO_STATUS => ProcessChange::Exited,
        abi::process::EXIT => ProcessChange::ExitedWith { status: WaitStatus(raw.status) },
        _ => return None,
    };
    Some(Process { ts_ns: raw.ts_ns, pid: raw.tgid, comm: comm(&raw.comm), change })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Model, Setup,
        tests::world::{START, setup},
    };
    use crate::report::{
        Sink, WallClock,
        json::Json,
        plain::{Colour, Plain},
    };
    use crate::sensor::Chosen;

    const KINDS: [u32; 15] = [
        abi::ACCEPT,
        abi::OVERFLOW,
        abi::SYN,
        abi::RETRANSMIT,
        abi::OPENED,
        abi::EXCHANGE,
        abi::COMPACT_EXCHANGE,
        abi::ENDED,
        abi::FAILED,
        abi::LATE,
        abi::EVENT,
        abi::PROCESS,
        abi::LISTENER,
        abi::CLOSED,
        abi::ADOPT,
    ];

    /// Counters of a kernel may be anything; nothing between a record and a line of output may
    /// overflow.
    #[test]
    fn records_of_the_largest_and_the_smallest_figures_come_through_every_output() {
        let capabilities = Capabilities { tick_ns: 4_000_000, sees_delayed_acks: true };
        let context = DecodeContext::new(&Chosen::default(), capabilities);
        let mut decoded = 0;
        for fill in [0xff, 0x7f, 0x80, 0x01, 0x00_u8] {
            let mut model = Model::new(Setup { detail_events: true, ..setup("full") });
            let (mut outputs, mut newest) = (Vec::new(), Newest::new());
            // The second round finds what the first has left.
            for kind in KINDS.into_iter().chain(KINDS) {
                let mut bytes = vec![fill; 4_096];
                bytes[..4].copy_from_slice(&kind.to_ne_bytes());
                for place in 4..=7 {
                    // Some kinds have small fields there, which choose a form.
                    bytes[place] = fill & 3;
                    if let Some(Decoded::Event) = decode(&bytes, context, &mut newest) {
                        model.apply(newest.event(), &mut outputs);
                        decoded += 1;
                    }
                }
            }
            model.finish(u64::MAX, &mut outputs);
            let clock = WallClock { mono_ns: START, wall: std::time::UNIX_EPOCH };
            let (snapshot, mut sink) = (model.snapshot(), std::io::sink());
            Json::new(clock).write(&mut sink, &outputs, &snapshot).expect("a sink");
            Plain::new(Colour::Never).write(&mut sink, &outputs, &snapshot).expect("a sink");
        }
        assert!(decoded > 200, "only {decoded} records were events");
    }

    #[test]
    fn a_record_that_is_cut_off_is_none() {
        let capabilities = Capabilities { tick_ns: 4_000_000, sees_delayed_acks: true };
        let context = DecodeContext::new(&Chosen::default(), capabilities);
        let mut newest = Newest::new();
        for kind in KINDS {
            for length in 0..8 {
                let bytes = &kind.to_ne_bytes().repeat(2)[..length];
                assert!(decode(bytes, context, &mut newest).is_none(), "{kind}: {length} bytes");
            }
        }
    }
}
