//! HTTP/1 and the preface of HTTP/2.

use httparse::{EMPTY_HEADER, Header, Request, Response};

use super::Reading;
use crate::model::event::{RequestLine, Sign};

/// Headers that are looked at, at most.
const HEADERS: usize = 64;
/// Of a path, characters that are kept.
const PATH: usize = 256;
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const GRPC: &[u8] = b"application/grpc";
/// The same by the static Huffman code of HPACK (RFC 7541, appendix B), up to the last byte that it
/// fills.
const GRPC_HUFFMAN: &[u8] = &[0x1d, 0x75, 0xd0, 0x62, 0x0d, 0x26, 0x3d, 0x4c, 0x4d, 0x65];
const HEADERS_FRAME: u8 = 1;
pub(super) const FRAME_HEAD: usize = 9;

/// The first of a client's bytes. Its first request may come later: some wait for the server's
/// settings.
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
            let whole = body.len() == length;
            return (has(GRPC) || has(GRPC_HUFFMAN)).then_some(true).or(whole.then_some(false));
        }
        frames = &rest[body.len()..];
    }
    None
}

/// A request, if its first line is there in full.
pub(super) fn request(bytes: &[u8]) -> Option<Sign> {
    let mut headers = [EMPTY_HEADER; HEADERS];
    let mut request = Request::new(&mut headers);
    let head = whole_lines(bytes)?;
    // Headers that are no headers do not make the first line one of another protocol.
    let _ = request.parse(&head);
    // `PRI` is no method: it is what HTTP/2 begins with, so that nobody takes it for one.
    let is_method = |method: &&str| {
        *method != "PRI" && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
    };
    request.method.filter(is_method)?;
    Some(Sign::HttpRequest { minor: request.version? })
}

/// How many requests begin these bytes of which the head is there in full, and what the first of
/// them asks for. Those behind one with a body are not counted.
pub(super) fn requests(bytes: &[u8]) -> (u8, Option<RequestLine>) {
    let (mut rest, mut count, mut first) = (bytes, 0_u8, None);
    loop {
        let mut headers = [EMPTY_HEADER; HEADERS];
        let mut request = Request::new(&mut headers);
        // What is cut off still has its first line.
        let head = whole_lines(rest);
        let parsed = request.parse(head.as_deref().unwrap_or_default());
        if count == 0 {
            first =
                request.method.zip(request.path).map(|(method, path)| request_line(method, path));
        }
        let has_body = ["content-length", "transfer-encoding"]
            .iter()
            .any(|name| find(request.headers, name).is_some());
        let end = end_of_head(rest).filter(|_| parsed.is_ok());
        let Some(end) = end else { return (count, first) };
        count = count.saturating_add(1);
        if has_body {
            return (count, first);
        }
        rest = &rest[end..];
    }
}

fn request_line(method: &str, target: &str) -> RequestLine {
    let path = target.split('?').next().unwrap_or_default();
    RequestLine { method: method.to_owned(), path: path.chars().take(PATH).collect() }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    bytes.windows(END.len()).position(|window| window == END).map(|at| at + END.len())
}

/// A response, if its first line is there in full.
pub(super) fn response(bytes: &[u8]) -> Option<Sign> {
    const SWITCHING: u16 = 101;
    let mut headers = [EMPTY_HEADER; HEADERS];
    let mut response = Response::new(&mut headers);
    let head = whole_lines(bytes)?;
    let _ = response.parse(&head);
    let (minor, status) = (response.version?, response.code?);
    let begins = |name: &str, value: &str| {
        find(response.headers, name).is_some_and(|found| begins_with(found, value))
    };
    Some(Sign::HttpResponse {
        minor,
        status,
        websocket: status == SWITCHING && begins("upgrade", "websocket"),
        event_stream: begins("content-type", "text/event-stream"),
    })
}

/// The lines that are there in full, and an end behind them.
fn whole_lines(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = bytes.windows(2).rposition(|window| window == b"\r\n")? + 2;
    Some([&bytes[..end], b"\r\n"].concat())
}

fn find<'a>(headers: &[Header<'a>], name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

fn begins_with(value: &[u8], wanted: &str) -> bool {
    value.get(..wanted.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(wanted.as_bytes()))
}
