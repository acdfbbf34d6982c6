//! Recordings made of any bytes, with checksums that are right.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use super::format::{HEADER_COPIES, Header, Kind, MAGIC, VERSION, chunk};
use super::older::OLDER;
use crate::model::{Attached, Setup, WallClock};

/// Returns a recording with these bytes as the contents of its header.
pub(crate) fn with_header(contents: &[u8]) -> Vec<u8> {
    let mut file = [MAGIC.as_slice(), &VERSION.to_le_bytes()].concat();
    file.extend(chunk(Kind::Header, 0, contents).unwrap_or_default());
    file
}

/// Returns a recording with these bytes as entries, of the version before if `older`.
pub(crate) fn with_entries(older: bool, contents: &[u8]) -> Vec<u8> {
    let version = if older { OLDER } else { VERSION };
    let mut file = [MAGIC.as_slice(), &version.to_le_bytes()].concat();
    let header = postcard::to_stdvec(&header()).unwrap_or_default();
    for number in 0..HEADER_COPIES {
        file.extend(chunk(Kind::Header, number, &header).unwrap_or_default());
    }
    file.extend(chunk(Kind::Entries, HEADER_COPIES, contents).unwrap_or_default());
    file
}

/// Returns a header as a watch writes it.
pub(crate) fn header() -> Header {
    let setup = Setup {
        attached_ns: 1_000_000_000_000,
        target: "server 4242".into(),
        tier: "full".into(),
        detail_events: true,
        exchanges: true,
    };
    Header {
        written_by: "backscope 0.1.0".into(),
        attached: Attached {
            ts_ns: setup.attached_ns,
            kernel: "6.12.0".into(),
            tier: setup.tier.clone(),
            hooks: BTreeMap::from([("accept".into(), None)]),
            targets: vec![setup.target.clone()],
            attach_us: 311_000,
            gaps: vec!["accept: no hook".into()],
            sandbox: None,
        },
        clock: WallClock {
            mono_ns: setup.attached_ns,
            wall: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        },
        setup,
        refresh: Duration::from_secs(1),
    }
}
