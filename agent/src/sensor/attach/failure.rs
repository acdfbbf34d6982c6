//! Reasons that the kernel gives against a program.

use std::{error::Error, io};

use aya::programs::ProgramError;

use crate::sensor::procfs;

/// `ENOTSUPP` (include/linux/errno.h): an error that the kernel does not mean for applications, so
/// that C libraries have no words for it.
const ENOTSUPP: i32 = 524;

/// A reason against a program.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// In words.
    pub reason: String,
    /// The error's number, if the kernel gave one.
    pub errno: Option<i32>,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self { reason, errno: None }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self { reason: error.to_string(), errno: error.raw_os_error() }
    }
}

impl From<ProgramError> for Failure {
    fn from(error: ProgramError) -> Self {
        let errno = match &error {
            ProgramError::LoadError { io_error, .. } => io_error.raw_os_error(),
            ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
            ProgramError::IOError(error) => error.raw_os_error(),
            _ => None,
        };
        Self { reason: kernel_reason(&error), errno }
    }
}

impl Failure {
    /// Returns whether the kernel had no descriptor for us: that says nothing of the hook.
    pub(super) fn is_out_of_files(&self) -> bool {
        matches!(self.errno, Some(libc::EMFILE | libc::ENFILE))
    }
}

/// Returns whether an error, or one of its causes, is that there was no descriptor for us.
pub(super) fn is_out_of_files(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let number = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        if matches!(number, Some(libc::EMFILE | libc::ENFILE)) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Returns the first line of an error with its causes, and the verifier's last line on it, without
/// the log between them.
fn kernel_reason(error: &dyn Error) -> String {
    let text = causes(error);
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    // The loader repeats the system call's error behind a verifier log that is empty.
    let (first, _) = first.split_once(". Verifier output").unwrap_or((first, ""));
    let first = first.trim_end_matches([':', ' ']);
    let noise = |line: &str| {
        line.contains("processed ")
            || ["verification", "stack depth", ": "].iter().any(|head| line.starts_with(head))
    };
    let last = lines.rfind(|line| !noise(line));
    match last {
        Some(last) => format!("{first}: {}", last.trim()),
        None => first.to_owned(),
    }
}

/// Returns an error's text with those of its causes.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    let unknown = io::Error::from_raw_os_error(ENOTSUPP).to_string();
    text.replace(&unknown, &format!("Not supported (os error {ENOTSUPP})"))
}

/// Adds that a filter of system calls may be the cause, if there is one: ours comes later.
pub(super) fn with_filter(text: String) -> String {
    let is_filtered = procfs::status_field(std::process::id(), "Seccomp:").as_deref() == Some("2");
    if is_filtered && text.contains("(os error 1)") {
        return format!(
            "{text}. A filter of system calls (seccomp) is in force, which may forbid bpf(2): that \
             of older container runtimes lets only CAP_SYS_ADMIN make it. Run the container with \
             another one, or without (seccomp=unconfined, seccompProfile Unconfined): backscope \
             puts a narrower one in force once it has attached"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use aya::sys::SyscallError;

    use super::*;

    #[test]
    fn a_lack_of_descriptors_is_found_among_the_causes() {
        let error = |number| {
            let io_error = io::Error::from_raw_os_error(number);
            ProgramError::SyscallError(SyscallError { call: "bpf_prog_load", io_error })
        };
        assert!(is_out_of_files(&error(libc::EMFILE)) && !is_out_of_files(&error(libc::EPERM)));
        assert!(Failure::from(error(libc::EMFILE)).is_out_of_files());
        assert!(!Failure::from(error(libc::EINVAL)).is_out_of_files());
    }

    #[test]
    fn an_error_without_words_gets_some() {
        let io_error = io::Error::from_raw_os_error(ENOTSUPP);
        let error = ProgramError::SyscallError(SyscallError { call: "bpf_link_create", io_error });
        let Failure { reason, errno } = error.into();
        assert_eq!(errno, Some(ENOTSUPP));
        assert_eq!(reason, "`bpf_link_create` failed: Not supported (os error 524)");
    }

    #[test]
    fn the_error_has_its_number_and_the_texts_of_its_causes() {
        let io_error = io::Error::from_raw_os_error(libc::EPERM);
        let error = ProgramError::SyscallError(SyscallError { call: "bpf_prog_load", io_error });
        let Failure { reason, errno } = error.into();
        assert_eq!(errno, Some(libc::EPERM));
        assert_eq!(reason, "`bpf_prog_load` failed: Operation not permitted (os error 1)");
    }
}
