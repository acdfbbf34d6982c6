//! The system call that a thread is in, from `/proc/PID/task/TID/syscall`.

use crate::{model::event::WaitKind, sensor::procfs};

/// A system call, and its first two arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WaitingCall {
    number: i64,
    first: u64,
    second: u64,
}

impl WaitingCall {
    /// Reads the call of a thread; `None` while it runs, or without the right to trace its process.
    pub(super) fn of(pid: u32, tid: u32) -> Option<Self> {
        Self::parse(&procfs::waiting_syscall(pid, tid)?)
    }

    /// The file has the call's number, its six arguments, the stack pointer and the program counter,
    /// all but the number in hexadecimal, or a word for a thread that runs.
    ///
    /// The calls of a program of 32 bits have other numbers: `None`. It is known by its stack, for
    /// which no other program has an address below 4 GB.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let number: i64 = words.next()?.parse().ok()?;
        if number < 0 {
            return None;
        }
        let mut word = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
        let (first, second) = (word()?, word()?);
        for _third_to_sixth in 0..4 {
            word()?;
        }
        let stack = word()?;
        if stack <= u64::from(u32::MAX) { None } else { Some(Self { number, first, second }) }
    }

    /// The kind of wait that the call is.
    pub(super) fn wait_kind(self) -> WaitKind {
        #[cfg(target_arch = "x86_64")]
        match self.number {
            libc::SYS_poll if self.second == 1 => return WaitKind::Descriptor,
            libc::SYS_poll | libc::SYS_select => return WaitKind::Several,
            _ => {}
        }
        match self.number {
            libc::SYS_accept | libc::SYS_accept4 => WaitKind::Accept,
            libc::SYS_ppoll if self.second == 1 => WaitKind::Descriptor,
            libc::SYS_ppoll | libc::SYS_pselect6 => WaitKind::Several,
            libc::SYS_io_uring_enter => WaitKind::Events,
            libc::SYS_read
            | libc::SYS_readv
            | libc::SYS_recvfrom
            | libc::SYS_recvmsg
            | libc::SYS_write
            | libc::SYS_writev
            | libc::SYS_sendto
            | libc::SYS_sendmsg
            | libc::SYS_sendfile => WaitKind::Descriptor,
            libc::SYS_futex => WaitKind::Lock,
            _ if self.epoll().is_some() => WaitKind::Events,
            _ => WaitKind::Other,
        }
    }

    /// The epoll instance that the thread waits on.
    pub(super) fn epoll(self) -> Option<u32> {
        #[cfg(target_arch = "x86_64")]
        if self.number == libc::SYS_epoll_wait {
            return u32::try_from(self.first).ok();
        }
        match self.number {
            libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => u32::try_from(self.first).ok(),
            _ => None,
        }
    }

    /// The descriptor that the thread waits on in accept.
    pub(super) fn accepting_on(self) -> Option<u32> {
        match self.number {
            libc::SYS_accept | libc::SYS_accept4 => u32::try_from(self.first).ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(text: &str) -> Option<WaitingCall> {
        WaitingCall::parse(text)
    }

    #[test]
    fn the_call_says_what_is_waited_for() {
        let line = |number: i64, second: u64| {
            format!("{number} 0x5 {second:#x} 0x200 0xffff 0x0 0x8 0x7ffc00000010 0x7f01")
        };
        let cases = [
            (libc::SYS_accept4, 0, WaitKind::Accept),
            (libc::SYS_recvfrom, 9, WaitKind::Descriptor),
            (libc::SYS_ppoll, 1, WaitKind::Descriptor),
            (libc::SYS_ppoll, 2, WaitKind::Several),
            (libc::SYS_epoll_pwait, 9, WaitKind::Events),
            (libc::SYS_futex, 9, WaitKind::Lock),
            (libc::SYS_nanosleep, 9, WaitKind::Other),
        ];
        for (number, second, kind) in cases {
            assert_eq!(
                call(&line(number, second)).map(WaitingCall::wait_kind),
                Some(kind),
                "{number}"
            );
        }
        assert_eq!(call(&line(libc::SYS_epoll_pwait, 0)).and_then(WaitingCall::epoll), Some(5));
        assert_eq!([call("running\n"), call("-1 0x7ffc 0x7f01"), call("")], [None; 3]);
    }

    #[test]
    fn numbers_of_32_bit_programs_are_not_taken_for_others() {
        // 7 is waitpid on i386, and poll on x86-64.
        assert_eq!(call("7 0x5 0x1 0x0 0x0 0x0 0x0 0xff8a1b20 0xf7f01549"), None);
        assert!(call("7 0x5 0x1 0x0 0x0 0x0 0x0 0x7fff8a1b20 0x7f01549").is_some());
    }

    #[test]
    fn accept_is_told_from_other_calls() {
        let accepting_on = |number: i64| {
            let text = format!("{number} 0x5 0x7ffe 0x7ffd 0x80800 0x0 0x0 0x7ffc00000010 0x7f01");
            call(&text).and_then(WaitingCall::accepting_on)
        };
        assert_eq!(accepting_on(libc::SYS_accept), Some(5));
        assert_eq!(accepting_on(libc::SYS_accept4), Some(5));
        assert_eq!(accepting_on(libc::SYS_epoll_pwait), None);
    }
}
