//! Front-ends that write text: `--json` and `--plain`.

#[cfg(feature = "lessons")]
pub mod course;
pub mod json;
mod kernel_names;
pub mod page;
pub mod perfetto;
pub mod plain;
#[cfg(test)]
pub(crate) mod tests;

use std::io;

use crate::model::output::{Interest, Output};
use crate::model::snapshot::Snapshot;
pub use crate::model::{Attached, WallClock};
pub use crate::run::PlayError;

/// A text front-end: writes what the model reports, batch by batch.
pub trait Sink {
    /// Returns the outputs that it has a use for.
    fn interest(&self) -> Interest;

    /// Writes the setup of the watch; once, first.
    ///
    /// # Errors
    /// Those of `out`.
    fn attached(&mut self, out: &mut dyn io::Write, attached: &Attached) -> io::Result<()>;

    /// Writes notices on the watch itself that are new.
    ///
    /// # Errors
    /// Those of `out`.
    fn notices(&mut self, out: &mut dyn io::Write, snapshot: &Snapshot) -> io::Result<()>;

    /// Writes what the model reported since the last call. `snapshot` is the state after it.
    ///
    /// # Errors
    /// Those of `out`.
    fn write(
        &mut self,
        out: &mut dyn io::Write,
        outputs: &[Output],
        snapshot: &Snapshot,
    ) -> io::Result<()>;
}
