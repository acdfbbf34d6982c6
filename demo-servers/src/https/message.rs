//! As much of HTTP/1.1 as the demos need: requests without a body, answers with a length.

/// The end of a head.
const BLANK_LINE: &[u8] = b"\r\n\r\n";

/// Builds a request. The last one of a connection asks to close it.
pub(crate) fn request(last: bool) -> Vec<u8> {
    let close = if last { "Connection: close\r\n" } else { "" };
    format!("GET / HTTP/1.1\r\nHost: localhost\r\n{close}\r\n").into_bytes()
}

/// Builds an answer with the server's name and so many bytes.
pub(crate) fn response(name: &str, bytes: usize, last: bool) -> Vec<u8> {
    let close = if last { "Connection: close\r\n" } else { "" };
    let body = body(name, bytes);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{close}\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// Builds the answer to what is no request. The connection ends with it.
pub(crate) fn refusal() -> Vec<u8> {
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()
}

/// Whether what has come so far may be the beginning of a request: a method, and a head that is not
/// without end.
pub(crate) fn may_be_request(received: &[u8]) -> bool {
    const LONGEST_HEAD: usize = 16_384;
    let method = received.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    match received.get(method) {
        Some(b' ') => {
            let line = received.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let whole = line.len() < received.len();
            let line = String::from_utf8_lossy(line);
            let versioned = line
                .trim_end()
                .rsplit(' ')
                .next()
                .is_some_and(|last| matches!(last, "HTTP/1.1" | "HTTP/1.0"));
            method > 0 && (versioned || !whole) && received.len() <= LONGEST_HEAD
        }
        Some(_) => false,
        None => method <= LONGEST_METHOD,
    }
}

/// The longest method that is waited for, bytes.
const LONGEST_METHOD: usize = 32;

/// Builds the body of an answer: a line of so many bytes that begins with a name.
pub(crate) fn body(name: &str, bytes: usize) -> Vec<u8> {
    let mut body = format!("{name} ").into_bytes();
    body.resize(bytes.max(body.len() + 1) - 1, b'x');
    body.push(b'\n');
    body
}

/// Returns the name of the server that gave an answer.
pub(crate) fn name_in(body: &[u8]) -> Option<String> {
    let end = body.iter().position(|byte| *byte == b' ')?;
    Some(String::from_utf8_lossy(&body[..end]).into_owned())
}

/// Removes a head from the received bytes and returns it, if it is complete.
pub(crate) fn take_head(received: &mut Vec<u8>) -> Option<String> {
    let end =
        received.windows(BLANK_LINE.len()).position(|four| four == BLANK_LINE)? + BLANK_LINE.len();
    Some(String::from_utf8_lossy(&received.drain(..end).collect::<Vec<_>>()).into_owned())
}

/// Whether the connection ends with this message.
pub(crate) fn is_last(head: &str) -> bool {
    let close = value(head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    close || head.lines().next().is_some_and(|line| line.contains("HTTP/1.0"))
}

/// The bytes that follow a head.
pub(crate) fn length(head: &str) -> usize {
    value(head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0)
}

fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields
        .into_iter()
        .find(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        let mut received = [request(false), request(true)].concat();
        let first = take_head(&mut received).unwrap();
        assert!(first.starts_with("GET / HTTP/1.1\r\n") && !is_last(&first));
        assert!(is_last(&take_head(&mut received).unwrap()));
        assert_eq!((received.len(), take_head(&mut received)), (0, None));
        assert!(is_last("GET / HTTP/1.0\r\n\r\n"));
    }

    #[test]
    fn what_is_no_request_is_seen_at_once() {
        for good in [&b""[..], b"GE", b"GET /", b"GET / HTTP/1.1\r\nHost", b"POST / HTTP/1.0\r\n"] {
            assert!(may_be_request(good), "{}", String::from_utf8_lossy(good));
        }
        let long = [&b"GET /"[..], &[b'x'; 20_000]].concat();
        for bad in [&b"\x16\x03\x01"[..], b"garbage", b" GET", b"GET\r\n", b"GET / FTP\r\n", &long]
        {
            assert!(!may_be_request(bad), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn answers_have_a_length_and_a_name() {
        for bytes in [0, 200] {
            let mut received = response("conn-1", bytes, true);
            let head = take_head(&mut received).unwrap();
            assert_eq!((length(&head), is_last(&head)), (received.len(), true));
            assert_eq!(received.len(), bytes.max("conn-1 \n".len()));
            assert_eq!(name_in(&received).as_deref(), Some("conn-1"));
        }
    }
}
