//! What the text front-ends write.

mod connection;
mod json;
mod plain;
pub(crate) mod schema;
mod socket_event;

use std::time::{Duration, UNIX_EPOCH};

use super::{Attached, Sink, WallClock};
use crate::model::Sandbox;
use crate::model::output::Output;
use crate::model::tests::world::{START, World};

/// The watch began at a round moment.
fn clock() -> WallClock {
    WallClock { mono_ns: START, wall: UNIX_EPOCH + Duration::from_secs(1_750_000_000) }
}

fn attached() -> Attached {
    Attached {
        ts_ns: START,
        kernel: "6.12.1".into(),
        tier: "tracepoint".into(),
        hooks: [("accept".into(), Some("sys_exit_accept".into())), ("syn".into(), None)].into(),
        targets: vec!["pid 4242".into()],
        attach_us: 120_000,
        gaps: vec!["syn: fentry is refused".into()],
        sandbox: Some(Sandbox {
            capabilities: vec!["CAP_SYS_PTRACE".into()],
            no_new_privs: true,
            seccomp: true,
            landlock: None,
            gaps: vec!["no Landlock: not here".into()],
        }),
    }
}

/// What `sink` makes of these outputs.
fn written(sink: &mut dyn Sink, outputs: &[Output], world: &World) -> String {
    let mut text = Vec::new();
    sink.write(&mut text, outputs, &world.model.snapshot()).expect("a vector takes everything");
    String::from_utf8(text).expect("UTF-8")
}

#[test]
fn wall_clock_times_are_right_and_never_out_of_range() {
    assert_eq!(clock().rfc3339(START + 1_500_000_999), "2025-06-15T15:06:41.500000Z");
    assert_eq!(clock().rfc3339(START - 1_000_000_000), "2025-06-15T15:06:39.000000Z");
    let early = WallClock { mono_ns: u64::MAX, wall: UNIX_EPOCH };
    assert_eq!(early.rfc3339(0), "1970-01-01T00:00:00.000000Z");
    let late = WallClock { mono_ns: 0, wall: UNIX_EPOCH + Duration::from_secs(253_402_300_799) };
    assert_eq!(late.rfc3339(u64::MAX), "9999-12-31T23:59:59.000000Z");
}
