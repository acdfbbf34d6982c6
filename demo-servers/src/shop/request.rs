//! Requests of HTTP/1.1, as far as the shop needs them.

/// Bytes of a head at most.
const LONGEST_HEAD: usize = 16_384;

/// A head with the place where the body begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) path: String,
    /// Bytes of the head, its empty line included.
    pub(super) length: usize,
    /// Bytes of the body.
    pub(super) body: usize,
    /// The client wants the connection closed after the answer.
    pub(super) closes: bool,
}

/// Looks for a whole head at the beginning of the bytes. `None` if more must be read.
///
/// # Errors
/// It is no request of HTTP/1.1, or too long a one.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() > LONGEST_HEAD { Err("the head is too long") } else { Ok(None) };
    };
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| "the head is not text")?;
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(_method), Some(path), Some("HTTP/1.1" | "HTTP/1.0")) =
        (words.next(), words.next(), words.next())
    else {
        return Err("no request of HTTP/1");
    };
    let mut head = Head { path: path.to_owned(), length: end + 4, body: 0, closes: false };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.body = value.parse().map_err(|_| "no such length")?;
        } else if name.eq_ignore_ascii_case("connection") {
            head.closes = value.eq_ignore_ascii_case("close");
        }
    }
    Ok(Some(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_come_whole_or_not_at_all() {
        let text = b"POST /picture HTTP/1.1\r\nContent-Length: 12\r\nConnection: close\r\n\r\nab";
        let head =
            Head { path: "/picture".to_owned(), length: text.len() - 2, body: 12, closes: true };
        assert_eq!(parse(text), Ok(Some(head)));
        assert_eq!(parse(&text[..40]), Ok(None));
        for wrong in ["hello\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n"] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(parse(&[b'x'; LONGEST_HEAD + 1]).is_err());
    }
}
