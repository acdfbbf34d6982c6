//! Names of threads. `ps`, `/proc` and backscope show them, and answers begin with them.

use std::cell::RefCell;
use std::ffi::CString;

thread_local! {
    static NAME: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Names the calling thread. The kernel keeps 15 bytes of it.
pub(crate) fn name_thread(name: &str) {
    NAME.with_borrow_mut(|own| name.clone_into(own));
    if let Ok(name) = CString::new(name) {
        // SAFETY: the name ends with a zero byte and outlives the call, which copies it.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    }
}

/// Calls this with the name that the thread was given.
pub(crate) fn with_name<T>(call: impl FnOnce(&str) -> T) -> T {
    NAME.with_borrow(|name| call(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_the_name() {
        std::thread::spawn(|| {
            name_thread("acceptor-reader");
            let comm = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
            assert_eq!(comm.trim_end(), "acceptor-reader");
            assert!(with_name(|name| name == "acceptor-reader"));
        })
        .join()
        .unwrap();
    }
}
