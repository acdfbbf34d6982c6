//! HTTP/1.1.

use super::{Answer, Ask, UPLOAD, find, took_us};

pub(super) fn request(ask: Ask) -> Vec<u8> {
    let (path, query) = ask.path();
    let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    if ask == Ask::Unread {
        return format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {UPLOAD}\r\n\r\n")
            .into_bytes();
    }
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

pub(super) fn answer(came: &[u8]) -> Option<Answer> {
    let head = find(came, 0, b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&came[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")).map(str::trim);
    let body = match length {
        Some(length) => length.parse().ok()?,
        None => chunks(&came[head..])?,
    };
    let took_us = took_us(&came[..head]);
    let closes = text.lines().any(|line| line == "connection: close");
    (came.len() >= head + body).then_some(Answer { length: head + body, took_us, closes })
}

/// The length of a chunked body; `None` while its last chunk has not come.
fn chunks(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = find(body, at, b"\r\n")?;
        let size =
            usize::from_str_radix(std::str::from_utf8(&body[at..line]).ok()?.trim(), 16).ok()?;
        at = line + 2 + size + 2;
        if at > body.len() {
            return None;
        }
        if size == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end_where_they_say() {
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Took: 7\r\n\r\nokHTTP";
        assert_eq!(
            answer(plain),
            Some(Answer { length: plain.len() - 4, took_us: Some(7), closes: false })
        );
        assert_eq!(answer(&plain[..plain.len() - 5]), None);
        let last = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        assert!(answer(last).is_some_and(|answer| answer.closes));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n.\r\n0\r\n\r\n";
        assert_eq!(answer(chunked), Some(Answer::of(chunked.len())));
        assert_eq!(answer(&chunked[..chunked.len() - 1]), None);
    }
}
