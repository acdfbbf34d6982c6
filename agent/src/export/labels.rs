//! Labels of series.

use std::{fmt, net::IpAddr};

use smallvec::SmallVec;

use super::family::write_underscored;
use crate::text::Untrusted;

/// The value of a label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Value {
    Word(&'static str),
    Number(u64),
    Address(IpAddr),
    /// From outside.
    Text(Untrusted),
}

impl Value {
    /// Returns it as plain text. What Prometheus reads out of the text format is the same, so that a
    /// series has one name in every format.
    pub(crate) fn plain(&self) -> String {
        match self {
            Self::Word(word) => (*word).to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Address(address) => address.to_string(),
            Self::Text(text) => text.for_terminal().to_string(),
        }
    }
}

/// Labels by dotted name.
pub(crate) type Labels = SmallVec<[(&'static str, Value); 5]>;

/// Makes labels.
pub(crate) fn labels<const N: usize>(all: [(&'static str, Value); N]) -> Labels {
    all.into_iter().collect()
}

/// Writes labels in the text format: `{a="b",c="d"}`, with one more behind them if there is one.
/// Nothing at all if there are none.
pub(crate) fn write(
    out: &mut impl fmt::Write,
    labels: &Labels,
    more: Option<(&str, &dyn fmt::Display)>,
) -> fmt::Result {
    let mut before = '{';
    for (name, value) in labels {
        out.write_char(before)?;
        before = ',';
        write_underscored(out, name)?;
        match value {
            Value::Word(word) => write!(out, "=\"{word}\"")?,
            Value::Number(number) => write!(out, "=\"{number}\"")?,
            Value::Address(address) => write!(out, "=\"{address}\"")?,
            Value::Text(text) => write!(out, "=\"{}\"", text.for_label())?,
        }
    }
    if let Some((name, value)) = more {
        write!(out, "{before}{name}=\"{value}\"")?;
        before = ',';
    }
    if before == ',' { out.write_char('}') } else { Ok(()) }
}
