//! Text that every front-end and the model's sentences share: figures with their units, outside
//! text made safe, lines of a bounded width.
//!
//! A figure has one rounding and up to two forms: one for sentences ([`duration_us`], [`rate`],
//! [`percent`]) and a narrow one for columns (`…_short`). The module is pure.

#[macro_use]
mod untrusted;
mod escape;
mod figures;
mod json;
mod wrap;

pub use figures::{
    bytes, compact, count, count_of, duration_fine, duration_short, duration_us, errno_name, named,
    noun, of_last, percent, percent_short, rate, rate_of, rate_short, times, were,
};
pub use json::{to_json, to_json_in_html};
pub(crate) use untrusted::part;
pub use untrusted::{Escaped, Untrusted};
pub use wrap::{take_columns, wrap};
