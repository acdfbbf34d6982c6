//! PostgreSQL's protocol, version 3.0.

use super::{Answer, Ask};

/// User and database `postgres`.
pub(super) const STARTUP: &[u8] = b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0";

pub(super) fn request(ask: Ask) -> Vec<u8> {
    match ask {
        // A million rows take some 40 ms of a processor. The kernel says how long it really was.
        Ask::Compute(ms) => {
            query(&format!("SELECT count(*) FROM generate_series(1, {})", ms * 12_000))
        }
        Ask::Sleep(ms) => query(&format!("SELECT pg_sleep({})", ms as f64 / 1_000.0)),
        Ask::Big(bytes) => query(&format!("SELECT repeat('x', {bytes})")),
        _ => query("SELECT 1"),
    }
}

fn query(text: &str) -> Vec<u8> {
    let length = text.len() as u32 + 5;
    [b"Q", &length.to_be_bytes()[..], text.as_bytes(), b"\0"].concat()
}

/// Parses all messages up to ReadyForQuery.
pub(super) fn answer(came: &[u8]) -> Option<Answer> {
    let mut at = 0;
    loop {
        let head = came.get(at..at + 5)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        at += 1 + length;
        if at > came.len() {
            return None;
        }
        if head[0] == b'Z' {
            return Some(Answer::of(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end_with_ready() {
        let ready = b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I";
        assert_eq!(answer(ready), Some(Answer::of(ready.len())));
        assert_eq!(answer(&ready[..ready.len() - 1]), None);
        assert_eq!(request(Ask::Quick), b"Q\0\0\0\x0dSELECT 1\0");
    }
}
