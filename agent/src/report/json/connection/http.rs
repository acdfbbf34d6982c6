//! The first request of HTTP/1, the streams of HTTP/2.

use serde::Serialize;

use crate::model::event::{Http2Streams, RequestLine};
use crate::text::Untrusted;

/// First request of HTTP/1.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RequestBody<'a> {
    /// Method.
    method: &'a Untrusted,
    /// Path: no user, host, query, fragment or `;parameters`. Empty where the target has none
    /// (`CONNECT`).
    path: &'a Untrusted,
}

impl<'a> From<&'a RequestLine> for RequestBody<'a> {
    fn from(request: &'a RequestLine) -> Self {
        Self { method: &request.method, path: &request.path }
    }
}

/// The streams of HTTP/2 in the clear.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct StreamsBody {
    /// Streams that the client opened.
    opened: u32,
    /// Most that were open at a time.
    most_at_once: u32,
    /// `true` if there were at least so many, since not everything was looked at (the first 60
    /// calls in each direction, of `writev` the first buffer).
    partly: bool,
}

impl From<Http2Streams> for StreamsBody {
    fn from(Http2Streams { opened, most, partly }: Http2Streams) -> Self {
        Self { opened, most_at_once: most, partly }
    }
}
