//! Log lines of the probes themselves, for developers: hook, socket, decision. The committed object
//! has none; `cargo xtask probes --log` makes one that has.

use std::{fs, path::Path};

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};

use super::error::SensorError;

/// Prints log lines to standard error.
#[derive(Clone, Copy, Debug)]
struct ToStderr;

impl Log for ToStderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        note!("probe: {}", record.args());
    }

    fn flush(&self) {}
}

/// Reader of the probes' log lines.
pub(super) struct ProbeLog(EbpfLogger<ToStderr>);

impl ProbeLog {
    /// Takes the log's buffer from an object.
    ///
    /// # Errors
    /// The object has none: it was compiled without log lines.
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, SensorError> {
        match EbpfLogger::init_with_logger(ebpf, ToStderr) {
            Ok(logger) => Ok(Self(logger)),
            Err(error) => Err(SensorError::ProbeLog(error.to_string())),
        }
    }

    /// Prints what the probes have logged since the last call.
    pub(super) fn print(&mut self) {
        self.0.flush();
    }
}

/// Reads an object with log lines.
///
/// # Errors
/// It cannot be read.
pub(super) fn object(path: &Path) -> Result<Vec<u8>, SensorError> {
    match fs::read(path) {
        Ok(object) => Ok(object),
        Err(error) => Err(SensorError::ProbeLog(format!("{}: {error}", path.display()))),
    }
}
