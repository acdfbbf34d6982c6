//! What the targets share.

/// Bytes of the stack on which a fault is told.
const SIZE: usize = 1 << 18;

/// Gives the thread a second stack for the signal of a stack that is exhausted. Without one,
/// libFuzzer's handler has nowhere to run, and the input is lost.
pub fn alternative_stack() {
    let bytes = Box::leak(vec![0_u8; SIZE].into_boxed_slice());
    let stack =
        libc::stack_t { ss_sp: bytes.as_mut_ptr().cast(), ss_flags: 0, ss_size: bytes.len() };
    // SAFETY: the stack lives as long as the process, and nobody else uses it.
    let status = unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) };
    assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: all zeroes is the default action without flags.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // libFuzzer keeps this flag when it puts its own handler there.
    action.sa_flags = libc::SA_ONSTACK;
    // SAFETY: the action is the default one.
    let status = unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut()) };
    assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
}

/// Makes the program of a target of `backscope::fuzzing`.
#[macro_export]
macro_rules! target {
    ($target:path) => {
        libfuzzer_sys::fuzz_target!(
            init: $crate::alternative_stack(),
            |bytes: &[u8]| $target(bytes)
        );
    };
}
