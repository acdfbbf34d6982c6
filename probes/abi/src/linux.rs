//! Numbers of the kernel's own interface that both sides compare with.

/// States of a TCP socket (`include/net/tcp_states.h`), as `skc_state` has them.
pub mod tcp_state {
    #![expect(missing_docs, reason = "the kernel's names say it")]

    pub const TCP_ESTABLISHED: u8 = 1;
    pub const TCP_SYN_SENT: u8 = 2;
    pub const TCP_SYN_RECV: u8 = 3;
    pub const TCP_FIN_WAIT1: u8 = 4;
    pub const TCP_FIN_WAIT2: u8 = 5;
    pub const TCP_TIME_WAIT: u8 = 6;
    pub const TCP_CLOSE: u8 = 7;
    pub const TCP_CLOSE_WAIT: u8 = 8;
    pub const TCP_LAST_ACK: u8 = 9;
    pub const TCP_LISTEN: u8 = 10;
    pub const TCP_CLOSING: u8 = 11;
    pub const TCP_NEW_SYN_RECV: u8 = 12;
}

/// Numbers of errors (`include/uapi/asm-generic/errno.h`), positive as records carry them. They are
/// the same on x86-64 and arm64.
pub mod errno {
    #![expect(missing_docs, reason = "the kernel's names say it")]

    pub const EPERM: u32 = 1;
    pub const EINTR: u32 = 4;
    pub const EAGAIN: u32 = 11;
    pub const ENOMEM: u32 = 12;
    pub const EACCES: u32 = 13;
    pub const EEXIST: u32 = 17;
    pub const ENFILE: u32 = 23;
    pub const EMFILE: u32 = 24;
    pub const EPIPE: u32 = 32;
    pub const EADDRNOTAVAIL: u32 = 99;
    pub const ECONNABORTED: u32 = 103;
    pub const ECONNRESET: u32 = 104;
    pub const ENOBUFS: u32 = 105;
    pub const ETIMEDOUT: u32 = 110;
    pub const ECONNREFUSED: u32 = 111;
    pub const ECANCELED: u32 = 125;

    /// Returns the error as a function of the kernel returns it.
    #[must_use]
    pub const fn negative(errno: u32) -> i32 {
        -(errno as i32)
    }
}
