//! Entries that the iterator over open files shows: listeners, watched and beside them.

use std::{collections::HashMap, iter};

use backscope_abi as abi;

use crate::{
    model::event::SockId,
    sensor::decode::{comm, record},
    text::Untrusted,
};

/// Listeners by process and descriptor.
pub(super) type Descriptors = HashMap<(u32, u32), SockId>;

/// A socket that was found.
pub(super) enum Found {
    /// A watched listener.
    Listener(abi::ScanEntry),
    /// A Unix-domain listener.
    Unix(abi::ScanUnix),
    /// A listener beside a watched one.
    Other(abi::ScanOther),
}

/// Returns the entries in an iterator's output, up to anything that is not known.
pub(super) fn entries(mut bytes: &[u8]) -> impl Iterator<Item = Found> {
    iter::from_fn(move || {
        let (entry, size) = match record::<u32>(bytes)? {
            abi::SCAN_LISTENER => (Found::Listener(record(bytes)?), size_of::<abi::ScanEntry>()),
            abi::SCAN_UNIX => (Found::Unix(record(bytes)?), size_of::<abi::ScanUnix>()),
            abi::SCAN_OTHER => (Found::Other(record(bytes)?), size_of::<abi::ScanOther>()),
            _ => return None,
        };
        bytes = &bytes[size..];
        Some(entry)
    })
}

/// The path of a Unix-domain socket as `ss` shows it: one in the abstract namespace begins with
/// `@`.
pub(super) fn unix_path(raw: &abi::ScanUnix) -> Untrusted {
    let bytes = &raw.path[..raw.path.len().min(raw.length as usize)];
    match bytes.split_first() {
        Some((0, name)) => format!("@{}", String::from_utf8_lossy(name)).into(),
        _ => comm(bytes),
    }
}
