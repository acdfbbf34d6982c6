//! JSON that is safe on a terminal.

use std::io;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::escape::is_harmless;

/// Returns a value as JSON on one line. In every string and key, what could steer or deceive a
/// terminal is written as `\u` and four hexadecimal digits: a parser gives the text back as it came,
/// and a person may print it.
///
/// # Errors
/// Fails if the value is not to be had as JSON: a map without strings for keys.
pub fn to_json(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    // Few lines are longer, and none needs more than it is made for as long as it is written.
    let mut line = Line(Vec::with_capacity(1_024));
    value.serialize(&mut Serializer::with_formatter(&mut line, Harmless))?;
    Ok(line.0)
}

/// A line to which short pieces are added: names, commas, figures. The C library is called for none
/// of them, since musl's `memcpy` takes as long for a few bytes as for hundreds.
struct Line(Vec<u8>);

impl Line {
    fn add(&mut self, piece: &[u8]) {
        match piece.len() {
            0 => {}
            1 => self.0.push(piece[0]),
            2..=4 => self.add_ends::<2>(piece),
            5..=8 => self.add_ends::<4>(piece),
            9..=16 => self.add_ends::<8>(piece),
            17..=32 => self.add_ends::<16>(piece),
            _ => self.0.extend_from_slice(piece),
        }
    }

    /// Adds a piece of `N` to `2 * N` bytes: its first `N`, and its last `N`, which may overlap. A
    /// compiler makes copies of a length that it knows itself.
    fn add_ends<const N: usize>(&mut self, piece: &[u8]) {
        let (Some(first), Some(last)) = (piece.first_chunk::<N>(), piece.last_chunk::<N>()) else {
            return self.0.extend_from_slice(piece);
        };
        let begin = self.0.len();
        self.0.extend_from_slice(first);
        self.0.truncate(begin + piece.len() - N);
        self.0.extend_from_slice(last);
    }
}

impl io::Write for Line {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.add(piece);
        Ok(piece.len())
    }

    fn write_all(&mut self, piece: &[u8]) -> io::Result<()> {
        self.add(piece);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W>(&mut self, out: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        // Nearly every string is plain ASCII.
        if fragment.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return out.write_all(fragment.as_bytes());
        }
        let mut written = 0;
        for (at, character) in fragment.char_indices() {
            if is_harmless(character) {
                continue;
            }
            out.write_all(&fragment.as_bytes()[written..at])?;
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                write!(out, "\\u{unit:04x}")?;
            }
            written = at + character.len_utf8();
        }
        out.write_all(&fragment.as_bytes()[written..])
    }
}

/// Returns a value as [`to_json`] does, for an element `script` of an HTML page: no text in it can
/// end the element or begin another.
///
/// # Errors
/// Those of [`to_json`].
pub fn to_json_in_html(value: &impl Serialize) -> serde_json::Result<String> {
    let json = String::from_utf8_lossy(&to_json(value)?).into_owned();
    // They stand in strings alone, where a parser takes these for the same characters.
    Ok(json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_every_length_are_added_as_they_are() {
        let bytes: Vec<u8> = (0..=100).collect();
        let mut line = Line(Vec::new());
        let mut expected = Vec::new();
        for length in (0..=bytes.len()).chain((0..=40).rev()) {
            let piece = &bytes[bytes.len() - length..];
            line.add(piece);
            expected.extend_from_slice(piece);
            assert_eq!(line.0, expected, "a piece of {length} bytes");
        }
    }
}
