//! Recordings: the inputs of a model, in their order, in a file.
//!
//! Fed to a new model, the entries of a recording give the same outputs as the live run did. Events
//! carry no payload, so a recording has none.

mod chunks;
mod encoder;
mod flight;
mod format;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod older;
mod on_demand;
mod reader;
mod recorder;
mod resume;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

pub use flight::Trigger;
pub(crate) use flight::{EXTENSION, Flight, Options as FlightOptions, stamp};
pub use format::{Header, RecordEntry, Totals, VERSION};
pub(crate) use on_demand::OnDemand;
pub use reader::{Damage, DamageKind, MAX_DAMAGES, ReadError, Reader, check_file};
pub(crate) use recorder::Recorder;
pub use resume::Resumption;
pub(crate) use writer::bare;
pub use writer::{CreateError, STDOUT, WriteError, Writer, caller_of_sudo, check_path, create};
