//! Captures, and recordings in the formats of other tools.

use std::io::{self, Cursor};

use crate::annotate::annotate;
use crate::annotate::capture::{Capture, with_comments};
use crate::compare::{Side, compare, show};
use crate::record::Reader;
use crate::report::perfetto;

/// A file that may be a capture: what it is as pcapng can be read again, and has the same packets.
pub fn capture(bytes: &[u8]) {
    let (packets, copy) = commented(bytes);
    let (again, _) = commented(&copy);
    assert_eq!(packets, again);
}

/// Returns the stamps and bytes of the packets, and the capture with comments.
fn commented(bytes: &[u8]) -> (Vec<(u64, Vec<u8>)>, Vec<u8>) {
    let (mut packets, mut copy) = (Vec::new(), Vec::new());
    let Ok(mut capture) = Capture::new(bytes) else { return (packets, copy) };
    let (mut block, mut out) = (Vec::new(), Vec::new());
    while let Ok(Some(packet)) = capture.next(&mut block) {
        let Some(packet) = packet else {
            copy.extend(&block);
            continue;
        };
        let _ = packet.segment(&block);
        packets.push((packet.ts_ns, packet.bytes(&block).to_vec()));
        with_comments(&block, &packet, ["held"], &mut out);
        copy.extend(&out);
    }
    (packets, copy)
}

/// A file that may be a recording, as a trace, as comments, and compared with itself.
pub fn converted(bytes: &[u8]) {
    let reader = || Reader::new(bytes);
    let Ok(mut first) = reader() else { return };
    let written = perfetto::write(&mut first, &mut io::sink());
    assert!(written.is_ok(), "{written:?}");
    let (Ok(mut second), Ok(mut third)) = (reader(), reader()) else { return };
    if let Ok(side) = Side::of(&mut second) {
        let comparison = compare(&side, &side);
        assert_eq!((comparison.better, comparison.worse), (0, 0));
        show::text(&comparison);
        show::page(&comparison);
        assert!(show::json(&comparison).is_ok());
    }
    // Begins a file without packets.
    let empty: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_536, 1];
    let mut dump = Cursor::new(empty.map(u32::to_le_bytes).concat());
    let annotated = annotate(&mut dump, &mut third, 0, &mut io::sink());
    assert!(annotated.is_ok(), "{annotated:?}");
}
