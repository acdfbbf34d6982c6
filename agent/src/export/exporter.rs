//! The exporter of a run: what the run reports goes into the metrics, and tasks beside the run hand
//! them on.

use tokio::task::JoinHandle;

use super::{
    Collector, MAX_FINDINGS, MAX_SERVERS,
    server::{self, Server},
    shared::Shared,
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
/// Largest page in the text format, bytes. The other one is smaller.
const MAX_PAGE: usize = (MAX_SERVERS * LINES_OF_SERVER + OTHER_LINES) * LONGEST_LINE;

/// The exporter of a run.
///
/// [`attached`](Self::attached) comes first, within the event loop. The tasks that it starts end
/// when it is dropped.
pub(crate) struct Exporter {
    shared: Shared,
    clock: WallClock,
    server: Option<Server>,
    tasks: Vec<JoinHandle<()>>,
    pub(crate) announced: Vec<Untrusted>,
}

impl Exporter {
    /// Everything is counted.
    pub(crate) const INTEREST: Interest = Interest { exchanges_from_us: 0, connections: false };

    /// Largest size of what is exported and on its way, bytes.
    pub(crate) const MAX_BYTES: usize = Collector::MAX_BYTES + 2 * MAX_PAGE + server::MAX_BYTES;

    pub(crate) fn new(server: Option<Server>, clock: WallClock) -> Self {
        Self { shared: Shared::default(), clock, server, tasks: Vec::new(), announced: Vec::new() }
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
    }

    /// Takes what the model reports.
    pub(crate) fn report(&mut self, outputs: &[Output]) {
        self.shared.change(|collector| {
            for output in outputs {
                collector.take(output);
            }
        });
    }

    /// Takes the state after a sample.
    pub(crate) fn refresh(&mut self, model: &Model) {
        let figures = model.figures();
        self.shared.change(|collector| collector.refresh(figures));
        self.shared.refreshed();
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
