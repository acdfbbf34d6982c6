//! Redis's protocol, version 2.

use super::{Ask, find};

/// Counts up to its argument, some 300 000 in a millisecond. Lua in Redis has no clock, so the
/// kernel says how long it took.
const SPIN: &str = "for i=1,ARGV[1] do end return 1";

/// Stores a value of so many bytes under `big`.
pub(super) fn store(bytes: usize) -> Vec<u8> {
    command(&["SETRANGE", "big", &(bytes - 1).to_string(), "x"])
}

pub(super) fn request(ask: Ask) -> Vec<u8> {
    match ask {
        Ask::Compute(ms) => command(&["EVAL", SPIN, "0", &(ms * 300_000).to_string()]),
        Ask::Sleep(ms) => command(&["DEBUG", "SLEEP", &format!("{}", ms as f64 / 1_000.0)]),
        Ask::Big(bytes) => command(&["GETRANGE", "big", "0", &(bytes - 1).to_string()]),
        _ => command(&["PING"]),
    }
}

fn command(words: &[&str]) -> Vec<u8> {
    let mut text = format!("*{}\r\n", words.len());
    words.iter().for_each(|word| text += &format!("${}\r\n{word}\r\n", word.len()));
    text.into_bytes()
}

/// Returns the end of the value that begins there; `None` if it is incomplete.
pub(super) fn value(came: &[u8], from: usize) -> Option<usize> {
    let line = find(came, from, b"\r\n")?;
    let number = || std::str::from_utf8(&came[from + 1..line]).ok()?.parse::<i64>().ok();
    let end = match came.get(from)? {
        // A length of -1 stands for no value.
        b'$' => line + 2 + usize::try_from(number()?).map_or(0, |size| size + 2),
        b'*' => (0..number()?).try_fold(line + 2, |at, _| value(came, at))?,
        _ => line + 2,
    };
    (end <= came.len()).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_end_where_they_say() {
        assert_eq!(value(b"+PONG\r\n+", 0), Some(7));
        assert_eq!(value(b"$3\r\nabc\r\n", 0), Some(9));
        assert_eq!(value(b"$3\r\nabc\r", 0), None);
        assert_eq!(value(b"*2\r\n:1\r\n$1\r\nx\r\n", 0), Some(15));
        assert_eq!(value(b"*2\r\n:1\r\n", 0), None);
        assert_eq!(value(b"$-1\r\n", 0), Some(5));
        assert_eq!(value(b"", 0), None);
    }

    #[test]
    fn commands_are_arrays_of_strings() {
        assert_eq!(request(Ask::Quick), b"*1\r\n$4\r\nPING\r\n");
    }
}
