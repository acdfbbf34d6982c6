//! Protocols that are known by their first message alone.

use crate::model::event::Sign;

pub(super) fn of_client(bytes: &[u8]) -> Option<Sign> {
    if is_postgresql(bytes) {
        Some(Sign::Postgresql)
    } else if is_redis(bytes) {
        Some(Sign::Redis)
    } else {
        None
    }
}

/// Redis also takes commands as plain words, which many protocols do: its answer to `PING` is its
/// own.
pub(super) fn of_server(bytes: &[u8]) -> Option<Sign> {
    bytes.starts_with(b"+PONG\r\n").then_some(Sign::Redis)
}

/// A startup message of version 3 with the user's name among its parameters, or one that asks for
/// encryption (PostgreSQL, "Message Formats").
fn is_postgresql(bytes: &[u8]) -> bool {
    const VERSION_3: u32 = 3 << 16;
    const SSL: u32 = 80_877_103;
    const GSS: u32 = 80_877_104;
    let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (Some(length), Some(code)) = (word(0), word(4)) else { return false };
    match code {
        SSL | GSS => length == 8 && bytes.len() == 8,
        // The minor version is the lower half.
        _ if code & 0xffff_0000 == VERSION_3 => {
            usize::try_from(length).is_ok_and(|length| length >= bytes.len())
                && bytes[8..].windows(5).any(|window| window == b"user\0")
        }
        _ => false,
    }
}

/// An array of strings, the first of them a command (RESP).
fn is_redis(bytes: &[u8]) -> bool {
    fn number(bytes: &[u8], mark: u8) -> Option<(usize, &[u8])> {
        let rest = bytes.strip_prefix(&[mark])?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
        Some((number, rest[digits..].strip_prefix(b"\r\n")?))
    }
    const LONGEST: usize = 32;
    let command = || {
        let (count, rest) = number(bytes, b'*')?;
        let (length, rest) = number(rest, b'$')?;
        let name = rest.get(..length)?;
        let fits = count > 0 && (1..=LONGEST).contains(&length);
        (fits && rest[length..].starts_with(b"\r\n")).then_some(name)
    };
    command().is_some_and(|name| {
        name.iter().all(|byte| byte.is_ascii_alphabetic() || b"._-".contains(byte))
    })
}
