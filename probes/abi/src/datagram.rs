//! UDP sockets: what the probes count of each, and how long its datagrams wait to be read.

use crate::Endpoint;

/// Stamps of arrivals that wait to be read; a power of two. Beyond that datagrams share the newest
/// one's stamp, so that their wait is known as "at least".
pub const MARKS: u32 = 256;
/// Buckets of [`Datagram::latencies`], a power of two.
pub const LATENCY_BUCKETS: usize = 256;
/// Bits of a mark that hold the number of the newest datagram that it stands for.
pub const MARK_NUMBER_BITS: u32 = 23;
/// The bit of a mark that says that its datagrams came before its stamp, not at it.
pub const MARK_LATE: u64 = 1 << MARK_NUMBER_BITS;
/// Where the stamp begins in a mark.
pub const MARK_TIME_SHIFT: u32 = MARK_NUMBER_BITS + 1;
/// A stamp in a mark counts units of so many bits of ns: some µs.
pub const MARK_UNIT_SHIFT: u32 = 10;

/// A UDP socket: the value of the `DATAGRAMS` map, keyed by its cookie, or by its address where
/// tracing programs cannot ask for cookies (before 5.12). All zero is the beginning.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Datagram {
    /// Time at which it became watched; 0 while the value is being written.
    pub since_ns: u64,
    /// Its id.
    pub sock: u64,
    /// Local address.
    pub local: Endpoint,
    /// Remote address of a connected socket; port 0 if it is none.
    pub peer: Endpoint,
    /// Datagrams that entered the receive queue, as far as noticed, those in it when the socket
    /// became watched included.
    pub noted: u64,
    /// Of them, those that left it by no read that was seen: a checksum proved bad, or the call had
    /// begun before the attach.
    pub vanished: u64,
    /// Bytes that entered the receive queue. Full tier only.
    pub bytes_in: u64,
    /// Reads that took a datagram.
    pub read: u64,
    /// Bytes that they returned.
    pub read_bytes: u64,
    /// Writes that sent a datagram.
    pub written: u64,
    /// Bytes of them.
    pub written_bytes: u64,
    /// Latencies in `latencies` that are lower bounds.
    pub at_least: u64,
    /// Time of the newest read.
    pub read_ns: u64,
    /// `tgid << 32 | tid` of the thread that read last.
    pub reader: u64,
    /// The newest arrival or read.
    pub active_ns: u64,
    /// Not 0: a datagram came then, and the one before it was either being read just then or had
    /// left the queue unseen.
    pub doubt_ns: u64,
    /// Longest wait, ns.
    pub longest_ns: u64,
    /// Longest wait in the even and odd refresh periods, ns.
    pub longest_in_ns: [u64; 2],
    /// Most bytes in the receive buffer in the even and odd refresh periods.
    pub peak: [u32; 2],
    /// The refresh period, plus one, that each of these belongs to.
    pub period: [u32; 2],
    /// Bytes in the receive buffer, with the kernel's overhead.
    pub queued: u32,
    /// Size of the receive buffer.
    pub buffer: u32,
    /// Datagrams in the receive queue.
    pub waiting: u32,
    /// Datagrams dropped since the socket was made.
    pub drops: u32,
    /// `drops` when it became watched.
    pub drops_base: u32,
    /// Process that used it first, or was found to hold it.
    pub tgid: u32,
    /// Command name of that process.
    pub comm: [u8; 16],
    /// Datagrams that were inspected for their protocol.
    pub inspected: u32,
    /// Not 0: one of them was QUIC's.
    pub quic: u32,
    /// The oldest of `marks` that is in use.
    pub head: u32,
    /// Where the next one goes.
    pub tail: u32,
    /// A ring of arrivals that wait to be read: stamp, [`MARK_LATE`], number of the newest datagram
    /// it stands for.
    pub marks: [u64; MARKS as usize],
    /// Receive-queue latencies, datagrams by [`latency_bucket`].
    pub latencies: [u32; LATENCY_BUCKETS],
}

impl Datagram {
    /// Nothing known, nothing counted.
    pub const BLANK: Self = Self {
        since_ns: 0,
        sock: 0,
        local: Endpoint { addr: [0; 16], port: 0, _pad: [0; 3] },
        peer: Endpoint { addr: [0; 16], port: 0, _pad: [0; 3] },
        noted: 0,
        vanished: 0,
        bytes_in: 0,
        read: 0,
        read_bytes: 0,
        written: 0,
        written_bytes: 0,
        at_least: 0,
        read_ns: 0,
        reader: 0,
        active_ns: 0,
        doubt_ns: 0,
        longest_ns: 0,
        longest_in_ns: [0; 2],
        peak: [0; 2],
        period: [0; 2],
        queued: 0,
        buffer: 0,
        waiting: 0,
        drops: 0,
        drops_base: 0,
        tgid: 0,
        comm: [0; 16],
        inspected: 0,
        quic: 0,
        head: 0,
        tail: 0,
        marks: [0; MARKS as usize],
        latencies: [0; LATENCY_BUCKETS],
    };
}

/// The bucket of a wait: whole µs below 8, then eight buckets to each doubling; the last one takes
/// all beyond four hours.
#[inline(always)]
pub const fn latency_bucket(us: u64) -> usize {
    if us < 8 {
        return us as usize;
    }
    let top = 63 - us.leading_zeros();
    let bucket = (top as usize - 2) * 8 + (us >> (top - 3) & 7) as usize;
    if bucket < LATENCY_BUCKETS { bucket } else { LATENCY_BUCKETS - 1 }
}

/// The middle of a bucket, µs.
pub const fn bucket_middle_us(bucket: usize) -> u64 {
    if bucket < 16 {
        return bucket as u64;
    }
    let step = bucket / 8 - 1;
    ((8 + (bucket % 8) as u64) << step) + (1 << step) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_bucket_is_within_a_sixteenth_of_its_waits() {
        let mut us = 1;
        while us < 60_000_000 {
            let middle = bucket_middle_us(latency_bucket(us));
            assert!(middle.abs_diff(us) * 16 <= us, "{us} µs is shown as {middle} µs");
            us += us / 100 + 1;
        }
    }

    #[test]
    fn buckets_follow_one_another_and_end() {
        assert!((1..100_000).all(|us| latency_bucket(us) - latency_bucket(us - 1) <= 1));
        assert_eq!(latency_bucket(u64::MAX), LATENCY_BUCKETS - 1);
    }
}
