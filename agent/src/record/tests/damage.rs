//! Recordings that were cut off or changed: never a panic, never in silence, and all that is whole
//! is read.

use miniz_oxide::deflate::compress_to_vec;
use postcard::to_stdvec;

use super::super::format::{CHUNK_HEAD, Kind, MAX_CONTENTS, PREAMBLE, SYNC, chunk};
use super::super::{DamageKind, ReadError, Reader, RecordEntry};
use super::{header, read, recording, ticks};
use crate::model::tests::world::setup;

/// Where chunks begin.
fn chunks(bytes: &[u8]) -> Vec<usize> {
    (0..bytes.len()).filter(|at| bytes[*at..].starts_with(&SYNC)).collect()
}

#[test]
fn a_cut_leaves_a_beginning_and_is_named() {
    let entries = ticks(4);
    let bytes = recording(&entries);
    let header_end = chunks(&bytes)[1];
    for length in 0..bytes.len() {
        let mut reader = match Reader::new(&bytes[..length]) {
            Ok(reader) => reader,
            Err(ReadError::NotARecording) if length == 0 => continue,
            Err(ReadError::NoHeader(damage)) if length < header_end => {
                assert_eq!(damage.kind, DamageKind::CutShort, "{length}");
                continue;
            }
            Err(error) => panic!("{length}: {error}"),
        };
        let read: Vec<RecordEntry> = std::iter::from_fn(|| reader.next_entry().unwrap()).collect();
        assert!(entries.starts_with(&read), "{length}");
        let kinds: Vec<_> = reader.damages().iter().map(|damage| damage.kind).collect();
        let expected =
            if chunks(&bytes).contains(&length) { DamageKind::NoEnd } else { DamageKind::CutShort };
        assert_eq!((kinds, reader.totals()), (vec![expected], None), "{length}");
    }
}

#[test]
fn every_whole_chunk_before_a_cut_is_read() {
    let entries = ticks(4);
    let bytes = recording(&entries);
    let starts = chunks(&bytes);
    // Two headers, four samples, the last entry, the end mark.
    assert_eq!(starts.len(), 8);
    assert_eq!(read(&bytes[..starts[5] - 1]).0, entries[..4]);
    assert_eq!(read(&bytes[..starts[5]]).0, entries[..6]);
}

#[test]
fn every_changed_byte_is_noticed_and_costs_one_chunk() {
    let entries = ticks(4);
    let bytes = recording(&entries);
    for at in 0..bytes.len() {
        for flip in [0x01, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            let mut reader = match Reader::new(changed.as_slice()) {
                Ok(reader) => reader,
                Err(ReadError::NotARecording | ReadError::Version(_)) if at < PREAMBLE => continue,
                Err(error) => panic!("{at}: {error}"),
            };
            assert_eq!(*reader.header(), header(setup("full")), "{at}");
            let read: Vec<RecordEntry> =
                std::iter::from_fn(|| reader.next_entry().unwrap()).collect();
            assert_eq!(reader.damage_count(), 1, "{at}: {:?}", reader.damages());
            assert!(read.len() + 2 >= entries.len(), "{at}");
            assert!(read.iter().all(|entry| entries.contains(entry)), "{at}");
        }
    }
}

#[test]
fn the_damaged_chunk_is_named() {
    let bytes = recording(&ticks(4));
    let starts = chunks(&bytes);
    let damage = |at: usize, value: u8| {
        let mut changed = bytes.clone();
        changed[at] = value;
        let (_, reader) = read(&changed);
        let [damage] = *reader.damages() else { panic!("{:?}", reader.damages()) };
        assert_eq!((damage.chunk, damage.offset), (3, starts[3] as u64));
        assert_eq!(damage.skipped, (starts[4] - starts[3]) as u64);
        damage
    };
    let contents = damage(starts[3] + CHUNK_HEAD + 3, 0xee);
    let text = format!(
        "chunk 3 at byte {}: the checksum is wrong; {} bytes left out",
        starts[3], contents.skipped
    );
    assert_eq!(contents.to_string(), text);
    assert_eq!(damage(starts[3], 0).kind, DamageKind::NoChunk);
    // The highest byte of the length.
    assert_eq!(damage(starts[3] + SYNC.len() + 8, 0x70).kind, DamageKind::Length);
    // A length that reaches beyond the end.
    assert_eq!(damage(starts[3] + SYNC.len() + 7, 0x70).kind, DamageKind::Length);
}

#[test]
fn chunks_that_are_gone_or_come_again_are_noticed() {
    let bytes = recording(&ticks(4));
    let starts = chunks(&bytes);
    let gone = [&bytes[..starts[3]], &bytes[starts[5]..]].concat();
    assert_eq!(read(&gone).1.damages()[0].kind, DamageKind::Missing(2));
    let again = [&bytes[..starts[4]], &bytes[starts[3]..]].concat();
    let (entries, reader) = read(&again);
    assert_eq!((entries, reader.damages()[0].kind), (ticks(4), DamageKind::Order));
    let behind = [&bytes[..], b"more"].concat();
    assert_eq!(read(&behind).1.damages()[0].kind, DamageKind::AfterEnd);
}

#[test]
fn other_files_are_refused() {
    for other in [b"".as_slice(), b"PK\x03\x04 whatever else there is", b"\x89PNG\r\n\x1a\n"] {
        assert!(matches!(Reader::new(other), Err(ReadError::NotARecording)));
    }
    let mut newer = recording(&[]);
    newer[PREAMBLE - 2] = 9;
    let error = Reader::new(newer.as_slice()).err().map(|error| error.to_string());
    assert_eq!(
        error.as_deref(),
        Some(
            "a recording of format version 9, which a newer backscope wrote; this one reads \
             versions 2 and 4"
        )
    );
}

#[test]
fn contents_without_meaning_are_left_out() {
    let bytes = recording(&ticks(2));
    let starts = chunks(&bytes);
    let nonsense = chunk(Kind::Entries, 3, &[0xff; 300]).unwrap();
    let bytes = [&bytes[..starts[3]], &nonsense, &bytes[starts[4]..]].concat();
    let (entries, reader) = read(&bytes);
    assert_eq!(entries.len(), 3);
    assert_eq!(reader.damages()[0].kind, DamageKind::Contents);
}

#[test]
fn entries_are_packed_and_a_packed_chunk_is_not_believed_beyond_the_bound() {
    let entries: Vec<RecordEntry> = (0..20_000).map(RecordEntry::Batch).collect();
    let bytes = recording(&entries);
    let serialised: usize = entries.iter().map(|entry| to_stdvec(entry).unwrap().len()).sum();
    assert!(bytes.len() < serialised, "{} of {serialised} bytes", bytes.len());
    let (back, reader) = read(&bytes);
    assert_eq!((back, reader.damage_count()), (entries, 0));

    let bytes = recording(&ticks(4));
    let starts = chunks(&bytes);
    let too_much = compress_to_vec(&vec![0; MAX_CONTENTS + 1], 1);
    for contents in [too_much, b"no deflate".to_vec()] {
        let nonsense = chunk(Kind::Packed, 3, &contents).unwrap();
        let bytes = [&bytes[..starts[3]], &nonsense, &bytes[starts[4]..]].concat();
        let (_, reader) = read(&bytes);
        assert_eq!(reader.damages()[0].kind, DamageKind::Contents);
        assert_eq!(reader.damage_count(), 1);
    }
}

#[test]
fn a_chunk_that_is_too_long_is_neither_written_nor_believed() {
    assert!(chunk(Kind::Entries, 0, &vec![0; MAX_CONTENTS + 1]).is_none());
    let notices: RecordEntry = RecordEntry::Notices(vec!["x".repeat(MAX_CONTENTS).into()]);
    let mut writer = super::Writer::new(Vec::new(), &header(setup("full"))).unwrap();
    assert!(writer.write(&notices).is_err());
}
