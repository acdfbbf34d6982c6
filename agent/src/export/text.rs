//! Prometheus' text format, version 0.0.4. It knows only classic histograms.

use std::fmt::{self, Write};

use super::{
    family::{Family, Kind},
    histogram::Histogram,
    labels::{self, Labels},
    page::{Page, Point},
};

/// Its media type.
pub(crate) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes a page.
pub(crate) fn write(page: &Page<'_>) -> String {
    let mut text = String::new();
    for (family, all) in &page.families {
        // A `String` takes everything.
        let _ = write_head(&mut text, family);
        let name = family.prometheus().to_string();
        for series in all {
            let _ = match series.point {
                Point::Number(value) => write_line(&mut text, &name, &series.labels, value),
                Point::Histogram(one) => write_histogram(&mut text, &name, &series.labels, one),
            };
        }
    }
    text
}

fn write_head(text: &mut String, family: &Family) -> fmt::Result {
    let name = family.prometheus();
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    writeln!(text, "# HELP {name} {}", family.help)?;
    writeln!(text, "# TYPE {name} {kind}")
}

fn write_line(text: &mut String, name: &str, labels: &Labels, value: f64) -> fmt::Result {
    text.push_str(name);
    labels::write(text, labels, None)?;
    writeln!(text, " {value}")
}

fn write_histogram(text: &mut String, name: &str, labels: &Labels, of: &Histogram) -> fmt::Result {
    for (bound, count) in of.classic() {
        write!(text, "{name}_bucket")?;
        labels::write(text, labels, Some(("le", &bound)))?;
        writeln!(text, " {count}")?;
    }
    write!(text, "{name}_bucket")?;
    labels::write(text, labels, Some(("le", &"+Inf")))?;
    writeln!(text, " {}", of.count())?;
    for (end, value) in [("_sum", of.sum()), ("_count", of.count() as f64)] {
        write!(text, "{name}{end}")?;
        labels::write(text, labels, None)?;
        writeln!(text, " {value}")?;
    }
    Ok(())
}
