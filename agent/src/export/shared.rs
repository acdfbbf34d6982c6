//! State that the run, the scrapes and the collector's client share. All of them run on one thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{
    collect::{Collector, Tally},
    family,
    page::Page,
    protobuf, text,
};

/// The metrics, as they are written until the next refresh.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// `None` until backscope has attached.
    collector: Option<Collector>,
    text: Option<Bytes>,
    protobuf: Option<Bytes>,
    scrapes: Tally,
    exports: Tally,
    spans_lost: Tally,
}

/// Format of a scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Protobuf,
}

impl State {
    fn page(&self) -> Option<Page<'_>> {
        let tallies = [
            (family::SCRAPES, ["outcome", ""], &self.scrapes),
            (family::OTLP_EXPORTS, ["signal", "outcome"], &self.exports),
            (family::SPANS_LOST, ["reason", ""], &self.spans_lost),
        ];
        Some(self.collector.as_ref()?.page(&tallies))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done where it panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, collector: Collector) {
        self.lock().collector = Some(collector);
    }

    /// Changes the metrics.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Collector)) {
        if let Some(collector) = &mut self.lock().collector {
            change(collector);
        }
    }

    /// Shows from now on what was changed.
    pub(crate) fn refreshed(&self) {
        let mut state = self.lock();
        (state.text, state.protobuf) = (None, None);
    }

    /// Returns the page, which is written once between two refreshes; `None` before the first.
    pub(crate) fn write(&self, format: Format) -> Option<Bytes> {
        let mut state = self.lock();
        let written = match format {
            Format::Text => &state.text,
            Format::Protobuf => &state.protobuf,
        };
        if let Some(bytes) = written {
            return Some(bytes.clone());
        }
        let page = state.page()?;
        let bytes = match format {
            Format::Text => Bytes::from(text::write(&page)),
            Format::Protobuf => Bytes::from(protobuf::write(&page)),
        };
        let written = match format {
            Format::Text => &mut state.text,
            Format::Protobuf => &mut state.protobuf,
        };
        *written = Some(bytes.clone());
        Some(bytes)
    }

    /// Hands the page to whoever writes it otherwise.
    pub(crate) fn with_page<T>(&self, write: impl FnOnce(&Page<'_>) -> T) -> Option<T> {
        let state = self.lock();
        Some(write(&state.page()?))
    }

    pub(crate) fn count_scrape(&self, outcome: &'static str) {
        *self.lock().scrapes.entry((outcome, "")).or_default() += 1;
    }

    pub(crate) fn count_export(&self, signal: &'static str, outcome: &'static str) {
        *self.lock().exports.entry((signal, outcome)).or_default() += 1;
    }

    pub(crate) fn count_lost_spans(&self, reason: &'static str, count: u64) {
        if count > 0 {
            *self.lock().spans_lost.entry((reason, "")).or_default() += count;
        }
    }
}
