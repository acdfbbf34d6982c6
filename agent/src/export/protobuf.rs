//! Prometheus' protobuf format (`io.prometheus.client`), which alone carries native histograms.
//! They come with the classic buckets, of which the scraper takes what it is set up for.

use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use super::{
    family::{Family, Kind},
    histogram::{Exemplar, Filled, Histogram, SCALE, ZERO_THRESHOLD},
    labels::Labels,
    page::{Page, Point},
};

/// Its media type.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.google.protobuf; \
                                     proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// Buckets between which nothing was counted are left out where there are more than so many: a
/// span costs as much as they do.
const SHORT_GAP: usize = 2;

/// Writes a page.
pub(crate) fn write(page: &Page<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (family, all) in &page.families {
        let mut metric = Vec::new();
        for series in all {
            metric.push(metric_of(family, &series.labels, series.point, page.since));
        }
        let family = proto::MetricFamily {
            name: Some(family.prometheus().to_string()),
            help: Some(family.help.to_owned()),
            kind: Some(kind_of(family.kind)),
            metric,
        };
        // A vector takes everything.
        let _ = family.encode_length_delimited(&mut bytes);
    }
    bytes
}

fn kind_of(kind: Kind) -> i32 {
    match kind {
        Kind::Counter => 0,
        Kind::Gauge => 1,
        Kind::Histogram => 4,
    }
}

fn metric_of(
    family: &Family,
    labels: &Labels,
    point: Point<'_>,
    since: SystemTime,
) -> proto::Metric {
    let mut metric = proto::Metric::default();
    for (name, value) in labels {
        let (name, value) = (Some(name.replace('.', "_")), Some(value.plain()));
        metric.label.push(proto::LabelPair { name, value });
    }
    match (point, family.kind) {
        (Point::Histogram(of), _) => metric.histogram = Some(histogram(of, since)),
        (Point::Number(value), Kind::Counter) => {
            let created = timestamp(since);
            metric.counter = Some(proto::Counter { value: Some(value), created });
        }
        (Point::Number(value), _) => metric.gauge = Some(proto::Gauge { value: Some(value) }),
    }
    metric
}

fn exemplar(of: &Exemplar) -> proto::Exemplar {
    let mut label = Vec::new();
    for (name, id) in [("trace_id", &of.trace_id), ("span_id", &of.span_id)] {
        let mut hex = String::new();
        for byte in id {
            hex.push_str(&format!("{byte:02x}"));
        }
        label.push(proto::LabelPair { name: Some(name.to_owned()), value: Some(hex) });
    }
    proto::Exemplar { label, value: Some(of.us as f64 / 1e6), timestamp: timestamp(of.at) }
}

fn timestamp(time: SystemTime) -> Option<proto::Timestamp> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some(proto::Timestamp {
        seconds: i64::try_from(since.as_secs()).ok()?,
        nanos: i32::try_from(since.subsec_nanos()).ok()?,
    })
}

fn histogram(of: &Histogram, since: SystemTime) -> proto::Histogram {
    let mut bucket = Vec::new();
    let mut exemplar = of.exemplar().map(exemplar);
    let bounds = of.classic().chain([(f64::INFINITY, of.count())]);
    for (bound, count) in bounds {
        // It is in the first bucket that has it.
        let is_in = exemplar.as_ref().is_some_and(|it| it.value <= Some(bound));
        bucket.push(proto::Bucket {
            cumulative_count: Some(count),
            upper_bound: Some(bound),
            exemplar: if is_in { exemplar.take() } else { None },
        });
    }
    let (positive_span, positive_delta) = spans(of.filled());
    proto::Histogram {
        sample_count: Some(of.count()),
        sample_sum: Some(of.sum()),
        bucket,
        schema: Some(SCALE),
        zero_threshold: Some(ZERO_THRESHOLD),
        zero_count: Some(of.zero()),
        positive_span,
        positive_delta,
        created: timestamp(since),
    }
}

/// Runs of buckets, each by its distance from the one before, and the counts, each as the
/// difference to the one before.
fn spans(filled: Filled<'_>) -> (Vec<proto::BucketSpan>, Vec<i64>) {
    let (mut spans, mut deltas) = (Vec::<proto::BucketSpan>::new(), Vec::new());
    let (mut before, mut gap) = (0_i64, 0_usize);
    for (place, &count) in filled.counts.iter().enumerate() {
        if count == 0 {
            gap += 1;
            continue;
        }
        match spans.last_mut() {
            Some(last) if gap <= SHORT_GAP => {
                for _ in 0..gap {
                    deltas.push(-before);
                    before = 0;
                }
                last.length = Some(last.length.unwrap_or(0) + gap as u32 + 1);
            }
            Some(_) => spans.push(proto::BucketSpan { offset: Some(gap as i32), length: Some(1) }),
            None => {
                let offset = Some(filled.first + place as i32);
                spans.push(proto::BucketSpan { offset, length: Some(1) });
            }
        }
        gap = 0;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        deltas.push(count - before);
        before = count;
    }
    (spans, deltas)
}

/// The messages, as far as they are used: `io/prometheus/client/metrics.proto`.
mod proto {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct MetricFamily {
        #[prost(string, optional, tag = "1")]
        pub(super) name: Option<String>,
        #[prost(string, optional, tag = "2")]
        pub(super) help: Option<String>,
        #[prost(int32, optional, tag = "3")]
        pub(super) kind: Option<i32>,
        #[prost(message, repeated, tag = "4")]
        pub(super) metric: Vec<Metric>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Metric {
        #[prost(message, repeated, tag = "1")]
        pub(super) label: Vec<LabelPair>,
        #[prost(message, optional, tag = "2")]
        pub(super) gauge: Option<Gauge>,
        #[prost(message, optional, tag = "3")]
        pub(super) counter: Option<Counter>,
        #[prost(message, optional, tag = "7")]
        pub(super) histogram: Option<Histogram>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct LabelPair {
        #[prost(string, optional, tag = "1")]
        pub(super) name: Option<String>,
        #[prost(string, optional, tag = "2")]
        pub(super) value: Option<String>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Gauge {
        #[prost(double, optional, tag = "1")]
        pub(super) value: Option<f64>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Counter {
        #[prost(double, optional, tag = "1")]
        pub(super) value: Option<f64>,
        #[prost(message, optional, tag = "3")]
        pub(super) created: Option<Timestamp>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Histogram {
        #[prost(uint64, optional, tag = "1")]
        pub(super) sample_count: Option<u64>,
        #[prost(double, optional, tag = "2")]
        pub(super) sample_sum: Option<f64>,
        #[prost(message, repeated, tag = "3")]
        pub(super) bucket: Vec<Bucket>,
        #[prost(sint32, optional, tag = "5")]
        pub(super) schema: Option<i32>,
        #[prost(double, optional, tag = "6")]
        pub(super) zero_threshold: Option<f64>,
        #[prost(uint64, optional, tag = "7")]
        pub(super) zero_count: Option<u64>,
        #[prost(message, repeated, tag = "12")]
        pub(super) positive_span: Vec<BucketSpan>,
        #[prost(sint64, repeated, packed = "false", tag = "13")]
        pub(super) positive_delta: Vec<i64>,
        #[prost(message, optional, tag = "15")]
        pub(super) created: Option<Timestamp>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Bucket {
        #[prost(uint64, optional, tag = "1")]
        pub(super) cumulative_count: Option<u64>,
        #[prost(double, optional, tag = "2")]
        pub(super) upper_bound: Option<f64>,
        #[prost(message, optional, tag = "3")]
        pub(super) exemplar: Option<Exemplar>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Exemplar {
        #[prost(message, repeated, tag = "1")]
        pub(super) label: Vec<LabelPair>,
        #[prost(double, optional, tag = "2")]
        pub(super) value: Option<f64>,
        #[prost(message, optional, tag = "3")]
        pub(super) timestamp: Option<Timestamp>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct BucketSpan {
        #[prost(sint32, optional, tag = "1")]
        pub(super) offset: Option<i32>,
        #[prost(uint32, optional, tag = "2")]
        pub(super) length: Option<u32>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Timestamp {
        #[prost(int64, tag = "1")]
        pub(super) seconds: i64,
        #[prost(int32, tag = "2")]
        pub(super) nanos: i32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_deltas_give_the_counts_back() {
        let counts = [3, 0, 0, 5, 0, 0, 0, 0, 1, 1];
        let (spans, deltas) = spans(Filled { first: -40, counts: &counts });
        let (mut place, mut count, mut deltas) = (-40_i32 + 40, 0, deltas.into_iter());
        let mut seen = vec![0; counts.len()];
        let mut first = true;
        for span in &spans {
            place += span.offset.unwrap() + if first { 40 } else { 0 };
            first = false;
            for _ in 0..span.length.unwrap() {
                count += deltas.next().unwrap();
                seen[place as usize] = count as u64;
                place += 1;
            }
        }
        assert_eq!((seen.as_slice(), deltas.next(), spans.len()), (&counts[..], None, 2));
    }
}
