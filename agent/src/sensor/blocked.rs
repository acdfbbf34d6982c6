//! Threads that were inside accept before the probes were: their call began unseen, but `/proc`
//! shows where they are.

use std::{collections::BTreeSet, fs};

use backscope_abi::Call;

use super::{maps::Maps, sample::Descriptors};

/// `accept` and `accept4` on x86-64.
const ACCEPT: [u64; 2] = [43, 288];
/// Threads looked at, so that a process with very many does not hold up the attach; the waits of
/// those left out are known all the same, only not that they block.
const MAX_THREADS: usize = 4_096;

/// Notes every thread that is blocked in accept on one of these listeners. Needs the right to trace
/// the process; without it nothing is noted.
pub(super) fn note(listeners: &Descriptors, maps: &mut Maps) {
    let pids: BTreeSet<u32> = listeners.keys().map(|(pid, _)| *pid).collect();
    for (pid, tid) in
        pids.into_iter().flat_map(|pid| threads(pid).map(move |tid| (pid, tid))).take(MAX_THREADS)
    {
        let Some(fd) = accepting_on(pid, tid) else { continue };
        let Some(listener) = u32::try_from(fd).ok().and_then(|fd| listeners.get(&(pid, fd))) else {
            continue;
        };
        let call = Call { entered_ns: 0, listener: *listener, ..Call::default() };
        maps.note_call(pid, tid, call);
        if accepting_on(pid, tid) != Some(fd) {
            // It returned in this very moment, perhaps before the note.
            maps.forget_call(pid, tid);
        }
    }
}

fn threads(pid: u32) -> impl Iterator<Item = u32> {
    let folder = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The descriptor that a thread waits on in accept.
fn accepting_on(pid: u32, tid: u32) -> Option<u64> {
    parse(&fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")).ok()?)
}

/// The file has the system call's number and its arguments in hexadecimal, or a word for a thread
/// that runs.
fn parse(text: &str) -> Option<u64> {
    let mut words = text.split_whitespace();
    let number: u64 = words.next()?.parse().ok()?;
    let first = words.next()?.strip_prefix("0x")?;
    ACCEPT.contains(&number).then(|| u64::from_str_radix(first, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn tells_accept_from_other_calls() {
        assert_eq!(parse("288 0x5 0x7ffe 0x7ffd 0x80800 0x0 0x0 0x7ffc 0x7f01"), Some(5));
        assert_eq!(parse("43 0x3 0x0 0x0 0x0 0x0 0x0 0x7ffc 0x7f01"), Some(3));
        assert_eq!(parse("232 0x5 0x7ffe 0x200 0xffffffffffffffff 0x0 0x8 0x7ffc 0x7f01"), None);
        assert_eq!(parse("running\n"), None);
        assert_eq!(parse("-1 0x7ffc 0x7f01"), None);
    }
}
