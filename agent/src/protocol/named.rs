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

/// Recognises Redis by its answer to `PING`. Commands it also takes as plain words, as many
/// protocols do.
pub(super) fn of_server(bytes: &[u8]) -> Option<Sign> {
    if bytes.starts_with(b"+PONG\r\n") { Some(Sign::Redis) } else { None }
}

/// Whether this is a startup message of version 3 with the user's name among its parameters, or one
/// that asks for encryption (PostgreSQL, "Message Formats").
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
            let Ok(length) = usize::try_from(length) else { return false };
            length >= bytes.len() && bytes[8..].windows(5).any(|window| window == b"user\0")
        }
        _ => false,
    }
}

/// Whether this is an array of strings, the first of them a command (RESP).
fn is_redis(bytes: &[u8]) -> bool {
    let Some(command) = redis_command(bytes) else { return false };
    command.iter().all(|byte| byte.is_ascii_alphabetic() || b"._-".contains(byte))
}

/// Returns the first string of an array.
fn redis_command(bytes: &[u8]) -> Option<&[u8]> {
    const LONGEST: usize = 32;
    let (count, rest) = redis_number(bytes, b'*')?;
    let (length, rest) = redis_number(rest, b'$')?;
    let command = rest.get(..length)?;
    let fits = count > 0 && (1..=LONGEST).contains(&length);
    if fits && rest[length..].starts_with(b"\r\n") { Some(command) } else { None }
}

/// Takes a number behind its mark; returns it, and the bytes behind its line.
fn redis_number(bytes: &[u8], mark: u8) -> Option<(usize, &[u8])> {
    let rest = bytes.strip_prefix(&[mark])?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    Some((number, rest[digits..].strip_prefix(b"\r\n")?))
}
