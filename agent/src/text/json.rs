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
    let mut line = Vec::with_capacity(128);
    value.serialize(&mut Serializer::with_formatter(&mut line, Harmless))?;
    Ok(line)
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
