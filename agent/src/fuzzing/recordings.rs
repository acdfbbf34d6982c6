//! Recordings, as they are and with checksums that are right.

use std::io;

use super::show::Shown;
use crate::digest::Digest;
use crate::record::{Reader, fuzzing as format};
use crate::report::Sink;
use crate::report::json::Json;
use crate::report::page;
use crate::report::plain::{Colour, Plain};

/// A file that may be a recording.
pub fn recording(bytes: &[u8]) {
    let Ok(mut reader) = Reader::new(bytes) else { return };
    let (setup, clock) = (reader.header().setup.clone(), reader.header().clock);
    let mut shown = Shown::of(setup, clock);
    // Bytes in memory can always be read.
    while let Ok(Some(entry)) = reader.next_entry() {
        shown.entry(&entry);
    }
    shown.end();
    for damage in reader.damages() {
        damage.to_string();
    }
    // Summed up, it makes a page all the same.
    let Ok(mut reader) = Reader::new(bytes) else { return };
    let digest = Digest::of(&mut reader, page::WORST);
    assert!(digest.is_ok_and(|digest| page::write(&mut io::sink(), &digest).is_ok()));
}

/// The entries of a recording, of this version or the one before, whose checksums are right.
pub fn entries(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    recording(&format::with_entries(first & 1 != 0, rest));
}

/// A header whose checksum is right, and what is shown of it.
pub fn header(bytes: &[u8]) {
    let file = format::with_header(bytes);
    let Ok(reader) = Reader::new(&file[..]) else { return };
    let attached = &reader.header().attached;
    let mut text = Vec::new();
    let mut json = Json::new(reader.header().clock);
    let mut plain = Plain::new(Colour::Never);
    let written = json.attached(&mut text, attached).and(plain.attached(&mut text, attached));
    assert!(written.is_ok(), "{written:?}");
    recording(&file);
}
