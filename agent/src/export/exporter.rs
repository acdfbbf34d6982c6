//! The exporter of a run: what the run reports goes into the metrics, and tasks beside the run hand
//! them on.

use tokio::task::JoinHandle;

use super::{
    Collector, MAX_FINDINGS, MAX_SERVERS,
    otlp::{self, Otlp},
    server::{self, Server},
    shared::Shared,
    traces::{self, Traces},
};
use crate::{
    model::{
        Attached, Model, WallClock,
        output::{Interest, Output},
    },
    text::Untrusted,
};

/// Lines of a server, and of the rest, in the text format; and the longest of them, bytes.
const LINES_OF_SERVER: usize = 100;
const OTHER_LINES: usize = 500 + MAX_FINDINGS;
const LONGEST_LINE: usize = 400;
/// Largest page in the text format, bytes. The other ones are smaller.
const MAX_PAGE: usize = (MAX_SERVERS * LINES_OF_SERVER + OTHER_LINES) * LONGEST_LINE;

/// The ways out of a run, open and not used yet.
#[derive(Default)]
pub(crate) struct Exits {
    pub(crate) server: Option<Server>,
    pub(crate) otlp: Option<Otlp>,
    /// Part of the exchanges that become traces.
    pub(crate) traces: Option<f64>,
}

impl Exits {
    /// Largest size of what is exported and on its way, bytes.
    pub(crate) fn max_bytes(&self) -> usize {
        let mut bytes = Collector::MAX_BYTES;
        if self.server.is_some() {
            bytes += server::MAX_BYTES + 2 * MAX_PAGE;
        }
        if self.otlp.is_some() {
            bytes += otlp::MAX_BYTES + MAX_PAGE;
        }
        if self.traces.is_some() {
            bytes += traces::MAX_BYTES;
        }
        bytes
    }
}

/// The exporter of a run.
///
/// [`attached`](Self::attached) comes first, within the event loop, and [`finish`](Self::finish)
/// last. The tasks that it starts end when it is dropped.
pub(crate) struct Exporter {
    shared: Shared,
    clock: WallClock,
    server: Option<Server>,
    otlp: Option<Otlp>,
    traces: Option<Traces>,
    tasks: Vec<JoinHandle<()>>,
    pub(crate) announced: Vec<Untrusted>,
}

impl Exporter {
    pub(crate) fn new(exits: Exits, clock: WallClock) -> Self {
        Self {
            shared: Shared::default(),
            clock,
            server: exits.server,
            otlp: exits.otlp,
            traces: exits.traces.map(|share| Traces::new(share, clock)),
            tasks: Vec::new(),
            announced: Vec::new(),
        }
    }

    /// Everything is counted; of traces each may be wanted.
    pub(crate) fn interest(&self) -> Interest {
        Interest { exchanges_from_us: 0, each: self.traces.is_some(), connections: false }
    }

    /// Begins to export.
    pub(crate) fn attached(&mut self, attached: &Attached) {
        self.shared.begin(Collector::new(attached, self.clock));
        if let Some(server) = self.server.take() {
            let shared = self.shared.clone();
            self.tasks.push(tokio::spawn(async move {
                if let Err(error) = server.serve(shared).await {
                    note!("backscope: no metrics are served: {error}");
                }
            }));
        }
        if let Some(otlp) = &self.otlp {
            self.tasks.push(tokio::spawn(otlp.clone().run(self.shared.clone())));
        }
    }

    /// Takes what the model reports.
    pub(crate) fn report(&mut self, outputs: &[Output], model: &Model) {
        let traces = &mut self.traces;
        self.shared.change(|collector| {
            collector.know(model.workloads());
            for output in outputs {
                collector.take(output);
                if let (Some(traces), Output::Exchange(exchange)) = (&mut *traces, output) {
                    traces.take(exchange);
                }
            }
        });
    }

    /// Takes the state after a sample.
    pub(crate) fn refresh(&mut self, model: &Model) {
        let figures = model.figures();
        let now_ns = figures.now_ns;
        self.shared.change(|collector| collector.refresh(figures));
        self.settle(now_ns, false);
        self.shared.refreshed();
    }

    fn settle(&mut self, now_ns: u64, at_end: bool) {
        let (Some(traces), Some(otlp)) = (&mut self.traces, &self.otlp) else { return };
        let mut spans = Vec::new();
        self.shared.change(|collector| {
            spans = traces.settle(now_ns, at_end, |exchange, ids| {
                collector.link(exchange, &ids.trace, &ids.span);
            });
        });
        self.shared.count_lost_spans("queue_full", otlp.spans.add(spans));
        self.shared.count_lost_spans("too_many_waiting", traces.take_lost());
    }

    /// Exports the end of the run.
    pub(crate) async fn finish(&mut self) {
        self.settle(u64::MAX, true);
        self.stop();
        if let Some(otlp) = &self.otlp {
            otlp.finish(&self.shared).await;
        }
    }

    fn stop(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop();
    }
}
