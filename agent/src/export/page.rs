//! Everything that is shown at one moment, for the formats to write.

use std::time::SystemTime;

use super::{
    family::{Family, Kind},
    histogram::Histogram,
    labels::Labels,
};

/// The value of a series.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Point<'a> {
    Number(f64),
    Histogram(&'a Histogram),
}

/// A series.
#[derive(Clone, Debug)]
pub(crate) struct Series<'a> {
    pub(crate) labels: Labels,
    pub(crate) point: Point<'a>,
}

/// All metrics that have a series, in order.
#[derive(Clone, Debug)]
pub(crate) struct Page<'a> {
    /// Counters count since then.
    pub(crate) since: SystemTime,
    /// Time of the figures.
    pub(crate) at: SystemTime,
    pub(crate) families: Vec<(Family, Vec<Series<'a>>)>,
}

impl<'a> Page<'a> {
    pub(crate) fn new(since: SystemTime, at: SystemTime) -> Self {
        Self { since, at, families: Vec::new() }
    }

    /// Adds a series. Those of one family need not come one behind the other.
    pub(crate) fn add(&mut self, family: Family, labels: Labels, value: f64) {
        debug_assert!(family.kind != Kind::Histogram, "{}", family.name);
        self.push(family, Series { labels, point: Point::Number(value) });
    }

    /// Adds a series, if the figure is known.
    pub(crate) fn add_known(&mut self, family: Family, labels: &Labels, value: Option<u64>) {
        if let Some(value) = value {
            self.add(family, labels.clone(), value as f64);
        }
    }

    /// Adds a histogram, if it has counted anything.
    pub(crate) fn add_histogram(
        &mut self,
        family: Family,
        labels: &Labels,
        histogram: &'a Histogram,
    ) {
        if histogram.count() > 0 {
            let point = Point::Histogram(histogram);
            self.push(family, Series { labels: labels.clone(), point });
        }
    }

    fn push(&mut self, family: Family, series: Series<'a>) {
        match self.families.iter_mut().find(|(one, _)| one.name == family.name) {
            Some((_, all)) => all.push(series),
            None => self.families.push((family, vec![series])),
        }
    }
}
