//! memcached's text protocol.

use super::{Answer, Ask, find};

pub(super) fn request(ask: Ask) -> Vec<u8> {
    match ask {
        Ask::Big(_) => b"get big\r\n".to_vec(),
        _ => b"get none\r\n".to_vec(),
    }
}

/// Stores a value of so many bytes under `big`.
pub(super) fn store(bytes: usize) -> Vec<u8> {
    let mut request = format!("set big 0 0 {bytes}\r\n").into_bytes();
    request.resize(request.len() + bytes, b'x');
    request.extend_from_slice(b"\r\n");
    request
}

pub(super) fn answer(came: &[u8]) -> Option<Answer> {
    let line = find(came, 0, b"\r\n")? + 2;
    let text = std::str::from_utf8(&came[..line]).ok()?;
    let Some(value) = text.strip_prefix("VALUE ") else { return Some(Answer::of(line)) };
    let size: usize = value.trim().rsplit(' ').next()?.parse().ok()?;
    let end = line + size + b"\r\nEND\r\n".len();
    (came.len() >= end).then_some(Answer::of(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_end_after_their_bytes() {
        assert_eq!(answer(b"END\r\n"), Some(Answer::of(5)));
        assert_eq!(answer(b"VALUE big 0 3\r\nEND\r\nEND\r\n"), Some(Answer::of(25)));
        assert_eq!(answer(b"VALUE big 0 3\r\nEND\r\nEND\r"), None);
    }
}
