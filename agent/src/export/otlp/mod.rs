//! Hands metrics and spans to an OpenTelemetry collector: OTLP over HTTP, in protobuf.
//!
//! Metrics are sums since the attach, so a request that is lost takes nothing away: the next one has
//! it all. Spans wait in a queue of [`MAX_QUEUED`]; beyond that they are dropped and counted. There
//! is one request at a time, and one every [`SLOWEST`] at least while the collector does not answer.

mod endpoint;
mod metrics;
pub(crate) mod proto;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
pub(crate) use endpoint::Endpoint;
use endpoint::Outcome;
pub use endpoint::Url;
pub(crate) use metrics::unix_nanos;
use prost::Message;
use tokio::time::{Instant, sleep_until, timeout};

use super::shared::Shared;
use proto::{KeyValue, Resource, ResourceSpans, ScopeSpans, Span, TraceRequest};

/// Spans that wait for the collector.
pub(crate) const MAX_QUEUED: usize = 4_096;
/// Spans of one request.
const MAX_BATCH: usize = 512;
/// Longest time between two tries.
const SLOWEST: Duration = Duration::from_secs(60);
/// Time for the last request, at the end of a run.
const FAREWELL: Duration = Duration::from_secs(2);
/// Largest span, bytes: its attributes are few, and their texts short.
const SPAN_BYTES: usize = 2_048;

/// Bytes that the queue and one request take at most, beside the page.
pub(crate) const MAX_BYTES: usize = MAX_QUEUED * SPAN_BYTES + 2 * MAX_BATCH * SPAN_BYTES;

/// A span, and the service that it is of.
#[derive(Clone, Debug)]
pub(crate) struct QueuedSpan {
    pub(crate) service: String,
    pub(crate) span: Span,
}

/// Spans on their way.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpanQueue(Arc<Mutex<VecDeque<QueuedSpan>>>);

impl SpanQueue {
    fn lock(&self) -> MutexGuard<'_, VecDeque<QueuedSpan>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds spans. Returns the number of those for which there was no room.
    pub(crate) fn add(&self, spans: Vec<QueuedSpan>) -> u64 {
        let mut queue = self.lock();
        let mut lost = 0;
        for span in spans {
            if queue.len() < MAX_QUEUED {
                queue.push_back(span);
            } else {
                lost += 1;
            }
        }
        lost
    }

    /// The spans that have waited longest, for one request. They stay until they are removed.
    fn first(&self) -> Vec<QueuedSpan> {
        self.lock().iter().take(MAX_BATCH).cloned().collect()
    }

    /// Removes as many of those that have waited longest.
    fn remove(&self, count: usize) {
        self.lock().drain(..count);
    }
}

/// Hands on what there is.
#[derive(Clone)]
pub(crate) struct Otlp {
    pub(crate) endpoint: Endpoint,
    pub(crate) every: Duration,
    pub(crate) host: Vec<KeyValue>,
    pub(crate) spans: SpanQueue,
}

impl Otlp {
    /// Exports until it is dropped.
    pub(crate) async fn run(self, shared: Shared) {
        let mut pause = self.every;
        loop {
            sleep_until(Instant::now() + pause).await;
            pause = match self.export(&shared).await {
                None => self.every,
                Some(after) => after.unwrap_or(pause.saturating_mul(2)).clamp(self.every, SLOWEST),
            };
        }
    }

    /// Exports what is left, at the end.
    pub(crate) async fn finish(&self, shared: &Shared) {
        let done = timeout(FAREWELL, self.export(shared)).await;
        let left = self.spans.lock().len();
        if left > 0 || !matches!(done, Ok(None)) {
            note!("backscope: the collector did not take the end of the run ({left} spans)");
        }
    }

    /// Exports metrics, and all spans that wait. `Some` if the collector does not take them now,
    /// with the time that it asks for.
    async fn export(&self, shared: &Shared) -> Option<Option<Duration>> {
        let body = shared.with_page(|page| metrics::write(page, &self.resource("backscope")))?;
        let outcome = self.endpoint.post("/v1/metrics", body.into()).await;
        shared.count_export("metrics", outcome.name());
        if let Outcome::Later { after, .. } = outcome {
            return Some(after);
        }
        loop {
            // Spans are added behind them alone.
            let spans = self.spans.first();
            if spans.is_empty() {
                return None;
            }
            let outcome = self.endpoint.post("/v1/traces", self.request(&spans)).await;
            shared.count_export("traces", outcome.name());
            match outcome {
                Outcome::Later { after, .. } => return Some(after),
                Outcome::Taken { rejected } => shared.count_lost_spans("rejected", rejected),
                Outcome::Refused => shared.count_lost_spans("refused", spans.len() as u64),
            }
            self.spans.remove(spans.len());
        }
    }

    fn resource(&self, service: &str) -> Resource {
        let mut attributes = vec![
            proto::text("service.name", service),
            proto::text("telemetry.sdk.name", "backscope"),
            proto::text("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        ];
        attributes.extend(self.host.iter().cloned());
        Resource { attributes }
    }

    fn request(&self, spans: &[QueuedSpan]) -> Bytes {
        let mut by_service: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
        for queued in spans {
            by_service.entry(&queued.service).or_default().push(queued.span.clone());
        }
        let mut resource_spans = Vec::new();
        for (service, spans) in by_service {
            let scope_spans = vec![ScopeSpans { scope: proto::scope(), spans }];
            let resource = Some(self.resource(service));
            resource_spans.push(ResourceSpans { resource, scope_spans });
        }
        TraceRequest { resource_spans }.encode_to_vec().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(count: usize) -> Vec<QueuedSpan> {
        let span = |number: usize| QueuedSpan {
            service: "server".to_owned(),
            span: Span { name: number.to_string(), ..Span::default() },
        };
        (0..count).map(span).collect()
    }

    #[test]
    fn the_queue_is_bounded_and_keeps_what_was_first() {
        let queue = SpanQueue::default();
        assert_eq!(queue.add(spans(MAX_QUEUED - 1)), 0);
        assert_eq!(queue.add(spans(10)), 9);
        assert_eq!(queue.first().len(), MAX_BATCH);
        queue.remove(MAX_BATCH);
        assert_eq!(queue.first()[0].span.name, MAX_BATCH.to_string());
        assert_eq!(queue.add(spans(MAX_BATCH)), 0);
    }
}
