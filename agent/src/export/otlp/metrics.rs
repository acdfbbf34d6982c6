//! A page as OTLP metrics.

use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use super::proto::{
    self, Buckets, CUMULATIVE, Data, ExponentialHistogram, Gauge, HistogramPoint, KeyValue, Metric,
    MetricsRequest, NumberPoint, Resource, ResourceMetrics, ScopeMetrics, Sum,
};
use crate::export::{
    family::{Family, Kind},
    histogram::{Exemplar, Histogram, SCALE, ZERO_THRESHOLD},
    labels::{Labels, Value},
    page::{Page, Point, Series},
};

/// Writes a page.
pub(super) fn write(page: &Page<'_>, resource: &Resource) -> Vec<u8> {
    let (since, at) = (unix_nanos(page.since), unix_nanos(page.at));
    let mut metrics = Vec::new();
    for (family, all) in &page.families {
        metrics.push(metric(family, all, since, at));
    }
    let scope_metrics = vec![ScopeMetrics { scope: proto::scope(), metrics }];
    let resource_metrics =
        vec![ResourceMetrics { resource: Some(resource.clone()), scope_metrics }];
    MetricsRequest { resource_metrics }.encode_to_vec()
}

/// Nanoseconds since 1970.
pub(crate) fn unix_nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn metric(family: &Family, all: &[Series<'_>], since: u64, at: u64) -> Metric {
    let (mut numbers, mut histograms) = (Vec::new(), Vec::new());
    for series in all {
        match series.point {
            Point::Number(value) => numbers.push(NumberPoint {
                attributes: attributes(&series.labels),
                start_time_unix_nano: if family.kind == Kind::Counter { since } else { 0 },
                time_unix_nano: at,
                as_double: Some(value),
            }),
            Point::Histogram(of) => histograms.push(histogram(of, &series.labels, since, at)),
        }
    }
    let data = match family.kind {
        Kind::Counter => Data::Sum(Sum {
            data_points: numbers,
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        }),
        Kind::Gauge => Data::Gauge(Gauge { data_points: numbers }),
        Kind::Histogram => Data::Histogram(ExponentialHistogram {
            data_points: histograms,
            aggregation_temporality: CUMULATIVE,
        }),
    };
    Metric {
        name: family.name.to_owned(),
        description: family.help.to_owned(),
        unit: family.unit.ucum().to_owned(),
        data: Some(data),
    }
}

fn attributes(labels: &Labels) -> Vec<KeyValue> {
    let mut attributes = Vec::new();
    for (name, value) in labels {
        attributes.push(match value {
            Value::Number(number) => proto::number(name, *number),
            other => proto::text(name, other.plain()),
        });
    }
    attributes
}

fn exemplar(of: &Exemplar) -> proto::Exemplar {
    proto::Exemplar {
        time_unix_nano: unix_nanos(of.at),
        as_double: Some(of.us as f64 / 1e6),
        span_id: of.span_id.clone(),
        trace_id: of.trace_id.clone(),
    }
}

fn histogram(of: &Histogram, labels: &Labels, since: u64, at: u64) -> HistogramPoint {
    let filled = of.filled();
    HistogramPoint {
        attributes: attributes(labels),
        start_time_unix_nano: since,
        time_unix_nano: at,
        count: of.count(),
        sum: Some(of.sum()),
        scale: SCALE,
        zero_count: of.zero(),
        // OTLP numbers a bucket by its lower bound, Prometheus by its upper one.
        positive: Some(Buckets { offset: filled.first - 1, bucket_counts: filled.counts.to_vec() }),
        exemplars: of.exemplar().map(exemplar).into_iter().collect(),
        zero_threshold: ZERO_THRESHOLD,
    }
}
