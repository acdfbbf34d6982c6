//! Core dumps: a process that sees payload leaves none.

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

use super::error::SensorError;

/// Forbids core dumps of this process, for as long as it runs. That it is not dumpable holds where a
/// program takes the dump from a pipe, too; the limit is what can be seen from outside.
///
/// What is started from here on inherits the limit, so a command of the user's is started before.
///
/// # Errors
/// The kernel refuses, as under a filter of system calls.
pub(super) fn forbid() -> Result<(), SensorError> {
    let forbid = || {
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        // The hard limit stays as it is: whoever starts something may give it its own back.
        let Rlimit { maximum, .. } = getrlimit(Resource::Core);
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum })
    };
    forbid().map_err(|error: rustix::io::Errno| SensorError::CoreDumps(error.to_string()))
}
