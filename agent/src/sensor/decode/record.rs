//! Reads plain records and their fields from bytes that the probes wrote.
#![expect(unsafe_code, reason = "a record's bytes become the type that its kind names")]

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use backscope_abi as abi;

use crate::model::event::{Ending, HoldReason, Progress, Role, Side};
use crate::text::Untrusted;

/// The record in these bytes, if there are enough of them.
pub(in crate::sensor) fn record<T: Copy>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: long enough; every record type is `repr(C)` integers and valid for any bytes.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// A figure of which the probes write 0 for "not seen".
pub(in crate::sensor) fn known<T: Default + PartialEq>(raw: T) -> Option<T> {
    if raw == T::default() { None } else { Some(raw) }
}

pub(in crate::sensor) fn address(end: abi::Endpoint) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::from(end.addr)).to_canonical(), end.port)
}

/// A command name up to its NUL.
pub(in crate::sensor) fn comm(bytes: &[u8]) -> Untrusted {
    name(bytes).into()
}

/// A command name without a copy, if it is UTF-8.
pub(super) fn name(bytes: &[u8]) -> Cow<'_, str> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end])
}

pub(in crate::sensor) fn role(raw: u8) -> Role {
    if raw == abi::role::CLIENT { Role::Client } else { Role::Server }
}

pub(super) fn progress(raw: u8) -> Progress {
    match raw {
        abi::progress::FOLLOWED => Progress::Followed,
        abi::progress::CLOSED => Progress::Closed,
        _ => Progress::Open,
    }
}

/// The kernel's lowest round-trip time, once it has one.
pub(super) fn round_trip_us(raw: u32) -> Option<u32> {
    match raw {
        0 | u32::MAX => None,
        us => Some(us),
    }
}

/// A number of which the probes write the largest for "not known".
pub(super) fn not_max(raw: u32) -> Option<u32> {
    if raw == u32::MAX { None } else { Some(raw) }
}

pub(super) fn side(raw: u8) -> Option<Side> {
    match raw {
        1 => Some(Side::Local),
        2 => Some(Side::Peer),
        _ => None,
    }
}

pub(super) fn ending(raw: u8) -> Option<Ending> {
    match raw {
        abi::ending::FIN => Some(Ending::Fin),
        abi::ending::RESET => Some(Ending::Reset),
        abi::ending::TIMEOUT => Some(Ending::Timeout),
        _ => None,
    }
}

/// Reasons by [`abi::hold`].
pub(super) const HOLD_REASONS: [HoldReason; abi::hold::COUNT] = [
    HoldReason::Nagle,
    HoldReason::Cork,
    HoldReason::Congestion,
    HoldReason::ReceiveWindow,
    HoldReason::Pacing,
];

pub(super) fn hold_reason(raw: u8) -> Option<HoldReason> {
    HOLD_REASONS.get(usize::from(raw)).copied()
}
