//! Single events of connections, from their records.

use backscope_abi as abi;
use backscope_abi::{event_kind, side};

use super::{
    context::DecodeContext,
    record::{hold_reason, known},
};
use crate::model::event::{Side, SocketCall, SocketEvent, SocketEventKind};

/// Returns `None` for an event that another one shows better, or that is none.
pub(super) fn socket_event(raw: &abi::Event, context: DecodeContext) -> Option<SocketEvent> {
    let [a, b, c] = raw.small;
    let [x, y, z] = raw.values;
    let kind = match raw.name {
        event_kind::DATA => SocketEventKind::Data {
            unread_bytes: x,
            buffer_used_bytes: y,
            buffer_bytes: z,
            quick: a,
            pingpong: b,
        },
        event_kind::READ => SocketEventKind::Read(call(raw, context.blocked_reads)),
        event_kind::PEEK => SocketEventKind::Peek(call(raw, context.blocked_reads)),
        event_kind::WRITE => {
            SocketEventKind::Write { call: call(raw, context.blocked_writes), why: hold_reason(a) }
        }
        event_kind::SEGMENT => {
            SocketEventKind::Segment { bytes: x, seq: y, ack_seq: z, flags: a, again: b != 0 }
        }
        event_kind::ACK => SocketEventKind::Ack { bytes: x, window_bytes: y, unacked_bytes: z },
        event_kind::HOLD => SocketEventKind::Hold { why: hold_reason(a)?, bytes: x },
        event_kind::RELEASE => SocketEventKind::Release { why: hold_reason(a)?, held_us: x },
        event_kind::DELAYED_ACK => SocketEventKind::DelayedAck { waited_us: x, inferred: a == 0 },
        event_kind::RETRANSMIT => {
            let rto_us = u64::from(z) * context.capabilities.tick_ns / 1_000;
            SocketEventKind::Retransmit { bytes: x, seq: y, flags: b, ca_state: a, rto_us }
        }
        event_kind::WINDOW => SocketEventKind::Window { side: whose(a), zero: b != 0, bytes: x },
        event_kind::STATE if y == 0 && context.time_wait => return None,
        event_kind::STATE => {
            let substate = u8::try_from(x).unwrap_or(0);
            SocketEventKind::State { from: a, to: b, shutdown: c, substate, inferred: y == 0 }
        }
        event_kind::RESET => SocketEventKind::Reset { by: whose(a) },
        event_kind::DESTROYED => SocketEventKind::Destroyed,
        _ => return None,
    };
    Some(SocketEvent { ts_ns: raw.ts_ns, sock: raw.sock, kind })
}

/// A wait of 0 means none only where a hook would have seen one.
fn call(raw: &abi::Event, sees_waits: bool) -> SocketCall {
    let [result, left_bytes, waited_us] = raw.values;
    let result = result.cast_signed();
    SocketCall {
        tid: raw.tid,
        result: if result < 0 { Err(result.unsigned_abs()) } else { Ok(result.unsigned_abs()) },
        left_bytes,
        blocked_us: if sees_waits { Some(waited_us) } else { known(waited_us) },
    }
}

fn whose(raw: u8) -> Side {
    if raw == side::LOCAL { Side::Local } else { Side::Peer }
}

#[cfg(test)]
mod tests {
    use super::{super::context::Capabilities, *};

    const BLIND: DecodeContext = DecodeContext {
        capabilities: Capabilities { tick_ns: 4_000_000, sees_delayed_acks: false },
        blocked_reads: false,
        blocked_writes: false,
        time_wait: false,
    };
    const FULL: DecodeContext =
        DecodeContext { blocked_reads: true, blocked_writes: true, time_wait: true, ..BLIND };

    fn decoded(
        name: u8,
        small: [u8; 3],
        values: [u32; 3],
        context: DecodeContext,
    ) -> Option<SocketEventKind> {
        let raw = abi::Event { kind: abi::EVENT, name, small, ts_ns: 1, sock: 2, tid: 3, values };
        socket_event(&raw, context).map(|socket_event| socket_event.kind)
    }

    #[test]
    fn a_result_is_bytes_or_an_error() {
        let read =
            |result: i32| decoded(event_kind::READ, [0; 3], [result.cast_unsigned(), 0, 0], FULL);
        let call = |result| {
            Some(SocketEventKind::Read(SocketCall {
                tid: 3,
                result,
                left_bytes: 0,
                blocked_us: Some(0),
            }))
        };
        assert_eq!(read(40), call(Ok(40)));
        assert_eq!(read(0), call(Ok(0)));
        assert_eq!(read(-512), call(Err(512)));
    }

    #[test]
    fn no_wait_is_known_only_where_one_is_seen() {
        let blocked = |waited, context| match decoded(
            event_kind::WRITE,
            [255, 0, 0],
            [1, 0, waited],
            context,
        ) {
            Some(SocketEventKind::Write { call, why: None }) => call.blocked_us,
            other => panic!("{other:?}"),
        };
        assert_eq!(blocked(0, FULL), Some(0));
        assert_eq!(blocked(0, BLIND), None);
        assert_eq!(blocked(7, BLIND), Some(7));
    }

    #[test]
    fn time_wait_is_inferred_only_where_it_is_not_seen() {
        let inferred = |context| decoded(event_kind::STATE, [5, 6, 3], [0, 0, 0], context);
        assert_eq!(inferred(FULL), None);
        assert_eq!(
            inferred(BLIND),
            Some(SocketEventKind::State {
                from: 5,
                to: 6,
                shutdown: 3,
                substate: 0,
                inferred: true
            })
        );
    }

    #[test]
    fn what_is_unknown_is_no_event() {
        assert_eq!(decoded(0, [0; 3], [0; 3], FULL), None);
        assert_eq!(decoded(event_kind::HOLD, [255, 0, 0], [0; 3], FULL), None);
    }
}
