//! Short names for reading the agent's objects.

use std::net::SocketAddr;

pub use serde_json::Value;

/// The object's type.
pub fn kind(object: &Value) -> &str {
    object["type"].as_str().unwrap_or("")
}

/// Whether the object is of this type.
pub fn is(object: &Value, wanted: &str) -> bool {
    kind(object) == wanted
}

/// A whole number, by JSON pointer (`/overflows/syn`); `None` if it is null, absent or something
/// else.
pub fn number(object: &Value, pointer: &str) -> Option<u64> {
    object.pointer(pointer)?.as_u64()
}

/// An address, by JSON pointer.
pub fn address(object: &Value, pointer: &str) -> Option<SocketAddr> {
    object.pointer(pointer)?.as_str()?.parse().ok()
}

/// Whether this is a `listener` object of the socket on that port.
pub fn listens_on(object: &Value, port: u16) -> bool {
    is(object, "listener") && address(object, "/local").is_some_and(|local| local.port() == port)
}

/// Whether the stream's `attached` object says that this kernel and tier show the signal.
pub fn sees(objects: &[Value], signal: &str) -> bool {
    objects.first().is_some_and(|attached| attached["hooks"][signal].is_string())
}

/// Returns the overflows of the accept queue, of both stages together. An overflow of an unknown
/// stage is counted at one of them.
pub fn overflows(listener: &Value) -> u64 {
    number(listener, "/overflows/syn").unwrap_or(0)
        + number(listener, "/overflows/ack").unwrap_or(0)
}

/// Whether this is a `finding` of that kind.
pub fn finds(object: &Value, wanted: &str) -> bool {
    is(object, "finding") && object["kind"] == wanted
}
