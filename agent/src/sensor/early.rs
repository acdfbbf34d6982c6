//! Threads that were inside accept(2) already when its listener came into view: their entry into the call was not seen.
//!
//! Where the kernel shows connections being queued, that tells the listener of what such a thread returns with. Where it
//! does not, only the thread's own system call does.

use std::fs;

use backscope_abi::Call;

/// Threads of these processes that wait in accept(2) now, as (process, thread, descriptor).
pub(super) fn waiting_in_accept(pids: impl Iterator<Item = u32>) -> Vec<(u32, u32, u32)> {
    pids.flat_map(|pid| threads(pid).into_iter().map(move |tid| (pid, tid)))
        .filter_map(|(pid, tid)| {
            let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")).ok()?;
            Some((pid, tid, accepting(&text)?))
        })
        .collect()
}

/// A call that was entered before anybody watched.
pub(super) fn call(listener: u64, sk: u64) -> Call {
    Call { entered_ns: 0, listener, sk, file: 0, returned_ns: 0 }
}

fn threads(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The descriptor on which a thread waits for a connection, by its `syscall` file: number, then arguments in hex.
fn accepting(text: &str) -> Option<u32> {
    let mut words = text.split_ascii_whitespace();
    let number: i64 = words.next()?.parse().ok()?;
    let descriptor = u32::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    [libc::SYS_accept, libc::SYS_accept4].contains(&number).then_some(descriptor)
}

#[cfg(test)]
mod tests {
    use super::accepting;

    #[test]
    fn tells_who_waits_in_accept() {
        let of = |number: i64| accepting(&format!("{number} 0x1f 0x0 0x0 0x80800 0x0 0x0 0x7ffd 0x7f31\n"));
        assert_eq!(of(libc::SYS_accept4), Some(31));
        assert_eq!(of(libc::SYS_accept), Some(31));
        assert_eq!(of(libc::SYS_read), None);
        for other in ["running\n", "-1 0x7ffd 0x7f31\n", ""] {
            assert_eq!(accepting(other), None);
        }
    }
}
