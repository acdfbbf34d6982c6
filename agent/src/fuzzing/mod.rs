//! What bytes from outside pass through, as functions over any bytes: the targets of `fuzz/`, and
//! the test that feeds them its corpora. No part of the library: only the feature `fuzzing` and
//! tests have it.

mod formats;
mod recordings;
#[cfg(test)]
mod seeds;
mod show;
#[cfg(test)]
mod tests;

use crate::kernel::btf::{Btf, Wanted};
use crate::kernel::layout;
use crate::protocol::{self, Records, Streams};
use crate::sensor::fuzzing as sensor;

pub use formats::{capture, converted};
pub use recordings::{entries, header, recording};
use show::Shown;

/// A target: its name, and what it does with the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target. `fuzz/fuzz_targets` has a file for each, and `fuzz/corpus` a folder.
pub const TARGETS: [Target; 16] = [
    ("http", http),
    ("http2", http2),
    ("tls", tls),
    ("databases", databases),
    ("datagram", datagram),
    ("first_bytes", first_bytes),
    ("ring", ring),
    ("scan", scan),
    ("recording", recording),
    ("entries", entries),
    ("header", header),
    ("btf", btf),
    ("workload", workload),
    ("capture", capture),
    ("converted", converted),
    ("config", config),
];

/// `/proc/PID/cgroup`, then a file of a container's runtime. A zero separates them.
pub fn workload(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let cgroup = parts.next().unwrap_or_default();
    sensor::workload(cgroup, parts.next().unwrap_or_default());
}

/// Requests and responses of HTTP/1.
pub fn http(bytes: &[u8]) {
    for begin in [&b""[..], b"GET ", b"POST /", b"HTTP/1."] {
        both_ways(&[begin, bytes].concat());
    }
}

/// An HTTP/2 connection whose frames come in pieces, some of them missing.
pub fn http2(bytes: &[u8]) {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    both_ways(&[PREFACE, bytes].concat());
    let mut streams = Streams::default();
    let mut at = [0_u64; 2];
    streams.take(true, 0, PREFACE, false);
    at[1] = PREFACE.len() as u64;
    for piece in pieces(bytes) {
        let at = &mut at[usize::from(piece.flag)];
        *at += piece.skipped;
        streams.take(piece.flag, *at, piece.bytes, piece.last);
        *at += piece.bytes.len() as u64;
    }
}

/// Hellos of TLS, and records in pieces, some of them missing.
pub fn tls(bytes: &[u8]) {
    both_ways(bytes);
    both_ways(&[&[22, 3, 1], bytes].concat());
    let mut records = Records::starting_at(0);
    let mut at = 0;
    for piece in pieces(bytes) {
        at += piece.skipped;
        records.take(piece.flag, at, piece.bytes, |_| {});
        at += piece.bytes.len() as u64;
    }
}

/// Protocols that are known by their names and first messages: databases, SSH, mail and others.
pub fn databases(bytes: &[u8]) {
    both_ways(bytes);
}

/// Datagrams: QUIC, DTLS, STUN.
pub fn datagram(bytes: &[u8]) {
    let Some(([low, high], bytes)) = bytes.split_first_chunk() else { return };
    let size = usize::from(u16::from_le_bytes([*low, *high]));
    protocol::read_datagram(bytes, size);
    protocol::read_datagram(bytes, bytes.len());
    protocol::quic_packets(bytes);
}

/// Records of first bytes, up to what is shown of them.
pub fn first_bytes(bytes: &[u8]) {
    let mut shown = Shown::new();
    sensor::first_bytes(bytes, |event| shown.take(event));
    shown.end();
}

/// Records of the ring buffer, up to what is shown of them.
pub fn ring(bytes: &[u8]) {
    let mut shown = Shown::new();
    sensor::ring(bytes, |event| shown.take(event));
    shown.end();
}

/// Records of the iterators and values of maps, up to what is shown of them.
pub fn scan(bytes: &[u8]) {
    let mut shown = Shown::new();
    sensor::scan(bytes, |event| shown.take(event));
    shown.end();
}

/// The kernel's types.
pub fn btf(bytes: &[u8]) {
    let wanted = Wanted {
        structs: layout::structs().collect(),
        functions: ["tcp_check"].into(),
        tracepoints: ["kfree_skb"].into(),
        enumerators: ["DROP_LISTEN"].into(),
    };
    let Ok(btf) = Btf::parse(bytes.to_vec(), &wanted) else { return };
    let _ = layout::resolve(&btf);
    for structure in layout::structs() {
        btf.offset(structure, "skc_family");
        btf.bit(structure, "queue.skc_num");
    }
    btf.arity("tcp_check");
    btf.tracepoint_arity("kfree_skb");
    btf.enumerator("DROP_LISTEN");
}

/// The configuration file.
pub fn config(bytes: &[u8]) {
    if let Err(error) = crate::preferences::check(&String::from_utf8_lossy(bytes)) {
        assert!(error.to_string().len() < 1_000, "{error}");
    }
}

/// Reads first bytes as a client's and as a server's.
fn both_ways(bytes: &[u8]) {
    for from_client in [true, false] {
        if let Some(sign) = protocol::read(from_client, bytes).sign {
            protocol::detail(sign.clone(), bytes, false);
            protocol::detail(sign, bytes, true);
        }
        Streams::begins(from_client, bytes);
    }
    protocol::is_tls(bytes);
}

/// A piece of a stream of bytes.
struct Piece<'a> {
    flag: bool,
    last: bool,
    /// Bytes that are missing before it.
    skipped: u64,
    bytes: &'a [u8],
}

/// Cuts bytes into pieces: each begins with a byte of flags and one that is its length.
fn pieces(mut bytes: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    std::iter::from_fn(move || {
        let ([flags, length], rest) = bytes.split_first_chunk()?;
        let length = usize::from(*length).min(rest.len());
        let (piece, rest) = rest.split_at(length);
        bytes = rest;
        let skipped = if flags & 4 == 0 { 0 } else { u64::from(flags >> 3) };
        Some(Piece { flag: flags & 1 != 0, last: flags & 2 != 0, skipped, bytes: piece })
    })
}
