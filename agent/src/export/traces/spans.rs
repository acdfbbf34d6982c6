//! One exchange as spans.

use crate::{
    export::otlp::{
        QueuedSpan,
        proto::{self, Any, KeyValue, Span, Status},
        unix_nanos,
    },
    model::{
        WallClock,
        event::Role,
        output::{Ends, ExchangeOutput},
        snapshot::Slice,
    },
    text::Untrusted,
};

/// The ids of an exchange's span.
pub(crate) struct Ids {
    pub(crate) trace: Vec<u8>,
    pub(crate) span: Vec<u8>,
    pub(crate) parent: Option<Vec<u8>>,
}

/// Writes the span of an exchange, and those of its slices.
pub(super) fn write(
    exchange: &ExchangeOutput,
    clock: &WallClock,
    ids: &Ids,
    slice_id: impl Fn(u32) -> Vec<u8>,
    spans: &mut Vec<QueuedSpan>,
) {
    let Some(ends) = &exchange.ends else { return };
    let service = ends.comm.for_terminal().to_string();
    let span = whole(exchange, ends, clock, ids);
    spans.push(QueuedSpan { service: service.clone(), span });
    for (number, slice) in exchange.view.slices.iter().enumerate() {
        if slice.us > 0 {
            let span = part(slice, clock, ids, slice_id(number as u32));
            spans.push(QueuedSpan { service: service.clone(), span });
        }
    }
}

fn nanos(clock: &WallClock, start_ns: u64, us: u64) -> (u64, u64) {
    let start = unix_nanos(clock.at(start_ns));
    (start, start.saturating_add(us.saturating_mul(1_000)))
}

fn whole(exchange: &ExchangeOutput, ends: &Ends, clock: &WallClock, ids: &Ids) -> Span {
    let view = &exchange.view;
    let (start, end) = nanos(clock, view.start_ns, view.total_us);
    let (kind, verb) = match exchange.role {
        Role::Server => (proto::SERVER, "serve"),
        Role::Client => (proto::CLIENT, "call"),
    };
    let protocol = exchange.protocol.map_or("TCP", |protocol| protocol.name());
    let status = view
        .unanswered
        .then(|| Status { message: "it ended without an answer".to_owned(), code: proto::ERROR });
    Span {
        trace_id: ids.trace.clone(),
        span_id: ids.span.clone(),
        parent_span_id: ids.parent.clone().unwrap_or_default(),
        name: format!("{verb} {protocol}"),
        kind,
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        attributes: attributes(exchange, ends),
        status,
    }
}

fn attributes(exchange: &ExchangeOutput, ends: &Ends) -> Vec<KeyValue> {
    let view = &exchange.view;
    let (server, client) = match exchange.role {
        Role::Server => (ends.local, ends.peer),
        Role::Client => (ends.peer, ends.local),
    };
    let mut attributes = vec![
        proto::text("server.address", server.ip().to_string()),
        proto::number("server.port", server.port().into()),
        proto::text("client.address", client.ip().to_string()),
        proto::number("client.port", client.port().into()),
        proto::text("network.transport", "tcp"),
        proto::number("process.pid", ends.pid.into()),
        proto::text("backscope.socket", exchange.sock.to_string()),
        proto::number("backscope.exchange.seq", view.seq.into()),
        proto::number("backscope.request.bytes", view.request_bytes),
        proto::number("backscope.response.bytes", view.response_bytes),
    ];
    if let Some(protocol) = exchange.protocol {
        let (name, version) = protocol.name().split_once('/').unwrap_or((protocol.name(), ""));
        attributes.push(proto::text("network.protocol.name", name));
        if !version.is_empty() {
            attributes.push(proto::text("network.protocol.version", version));
        }
    }
    if let Some(verdict) = view.verdict {
        attributes.push(proto::text("backscope.verdict.owner", verdict.kind.owner().name()));
        attributes.push(proto::text("backscope.verdict.kind", verdict.kind.name()));
    }
    if let Some(join) = view.downstream {
        attributes
            .push(proto::attribute("backscope.join.confidence", Any::Double(join.confidence)));
    }
    if let Some(tid) = view.read_tid {
        attributes.push(proto::number("thread.id", tid.into()));
    }
    attributes
}

fn part(slice: &Slice, clock: &WallClock, ids: &Ids, id: Vec<u8>) -> Span {
    let (start, end) = nanos(clock, slice.start_ns, slice.us);
    let mut attributes = vec![
        proto::text("backscope.slice.owner", slice.kind.owner().name()),
        proto::text("backscope.slice.kind", slice.kind.name()),
    ];
    if let Some(us) = slice.cpu_us {
        attributes.push(proto::number("backscope.slice.cpu_us", us));
    }
    if let Some(us) = slice.upstream_us {
        attributes.push(proto::number("backscope.slice.upstream_us", us));
    }
    Span {
        trace_id: ids.trace.clone(),
        span_id: id,
        parent_span_id: ids.span.clone(),
        name: slice.kind.name().to_owned(),
        kind: proto::INTERNAL,
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        attributes,
        status: None,
    }
}

/// The host, as far as it is known without asking anybody.
pub(crate) fn host_attributes() -> Vec<KeyValue> {
    let mut attributes = vec![proto::text("os.type", "linux")];
    if let Ok(name) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        let name = Untrusted::from(name.trim_end()).for_terminal().to_string();
        attributes.push(proto::text("host.name", name));
    }
    attributes
}
