//! HTTP/1 and the preface of HTTP/2.

use httparse::{EMPTY_HEADER, Header, Request, Response};

use super::{Reading, Scrubbed, target};
use crate::model::event::{RequestLine, Sign};

/// Headers that are looked at, at most.
const HEADERS: usize = 64;
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const GRPC: &[u8] = b"application/grpc";
/// [`GRPC`] in the static Huffman code of HPACK (RFC 7541, appendix B), up to the last byte that it
/// fills.
const GRPC_HUFFMAN: &[u8] = &[0x1d, 0x75, 0xd0, 0x62, 0x0d, 0x26, 0x3d, 0x4c, 0x4d, 0x65];
const HEADERS_FRAME: u8 = 1;
pub(super) const FRAME_HEAD: usize = 9;

/// Recognises a client's first bytes of HTTP/2. Its first request may come later: some wait for the
/// server's settings.
pub(super) fn preface(bytes: &[u8]) -> Option<Reading> {
    let grpc = asks_for_grpc(bytes.strip_prefix(PREFACE)?);
    Some(Reading { sign: Some(Sign::Http2 { grpc: grpc.unwrap_or(false) }), more: grpc.is_none() })
}

/// Whether the first request names gRPC's type of content. Nothing has been put into the tables of
/// header compression yet, and the fixed one lacks it: it stands there in full, plain or by the
/// fixed code. `None` while there is no request.
fn asks_for_grpc(mut frames: &[u8]) -> Option<bool> {
    while let Some((head, rest)) = frames.split_at_checked(FRAME_HEAD) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let body = &rest[..length.min(rest.len())];
        if head[3] == HEADERS_FRAME {
            let has = |wanted: &[u8]| body.windows(wanted.len()).any(|window| window == wanted);
            if has(GRPC) || has(GRPC_HUFFMAN) {
                return Some(true);
            }
            let is_whole = body.len() == length;
            return if is_whole { Some(false) } else { None };
        }
        frames = &rest[body.len()..];
    }
    None
}

/// Recognises a request, if its first line is there in full.
pub(super) fn request(bytes: &[u8]) -> Option<Sign> {
    let mut headers = [EMPTY_HEADER; HEADERS];
    let mut request = Request::new(&mut headers);
    let head = whole_lines(bytes)?;
    // Headers that are no headers do not make the first line one of another protocol.
    let _ = request.parse(&head);
    if !is_method(request.method?) {
        return None;
    }
    Some(Sign::HttpRequest { minor: request.version? })
}

/// Whether a word may be a method. `PRI` is none: HTTP/2 begins with it.
fn is_method(word: &str) -> bool {
    word != "PRI" && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
}

/// Counts the requests that these bytes begin with, by heads that are there in full, and returns
/// with `paths` the line of the first one. Requests behind one with a body are not counted.
pub(super) fn requests(bytes: &[u8], paths: bool) -> (u8, Option<RequestLine>) {
    let (mut rest, mut count, mut first) = (bytes, 0_u8, None);
    loop {
        let mut headers = [EMPTY_HEADER; HEADERS];
        let mut request = Request::new(&mut headers);
        // What is cut off still has its first line.
        let head = whole_lines(rest);
        let parsed = request.parse(head.as_deref().unwrap_or_default());
        if count == 0
            && paths
            && let (Some(method), Some(path)) = (request.method, request.path)
        {
            first = Some(RequestLine { method: method.into(), path: target::path(path).into() });
        }
        let has_body = ["content-length", "transfer-encoding"]
            .iter()
            .any(|name| find(request.headers, name).is_some());
        if parsed.is_err() {
            return (count, first);
        }
        let Some(end) = end_of_head(rest) else { return (count, first) };
        count = count.saturating_add(1);
        if has_body {
            return (count, first);
        }
        rest = &rest[end..];
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    let at = bytes.windows(END.len()).position(|window| window == END)?;
    Some(at + END.len())
}

/// Recognises a response, if its first line is there in full.
pub(super) fn response(bytes: &[u8]) -> Option<Sign> {
    const SWITCHING: u16 = 101;
    let mut headers = [EMPTY_HEADER; HEADERS];
    let mut response = Response::new(&mut headers);
    let head = whole_lines(bytes)?;
    let _ = response.parse(&head);
    let (minor, status) = (response.version?, response.code?);
    let begins = |name: &str, value: &str| {
        let Some(found) = find(response.headers, name) else { return false };
        begins_with(found, value)
    };
    Some(Sign::HttpResponse {
        minor,
        status,
        websocket: status == SWITCHING && begins("upgrade", "websocket"),
        event_stream: begins("content-type", "text/event-stream"),
    })
}

/// Returns the lines that are there in full, and an end behind them.
fn whole_lines(bytes: &[u8]) -> Option<Scrubbed> {
    let end = bytes.windows(2).rposition(|window| window == b"\r\n")? + 2;
    let mut lines = Scrubbed::copy_of(&bytes[..end]);
    lines.append(b"\r\n");
    Some(lines)
}

fn find<'a>(headers: &[Header<'a>], name: &str) -> Option<&'a [u8]> {
    let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    Some(header.value)
}

fn begins_with(value: &[u8], wanted: &str) -> bool {
    let Some(begin) = value.get(..wanted.len()) else { return false };
    begin.eq_ignore_ascii_case(wanted.as_bytes())
}
