//! Runs servers and clients of this program with one another: sessions resumed, early data
//! accepted, round trips waited for.

use crate::demo::{Report, in_process};

/// The facts with these names.
fn facts<const N: usize>(report: &Report, names: [&str; N]) -> [Option<u64>; N] {
    assert!(report.errors.is_empty(), "{report}");
    assert_eq!(report.asked, report.answered, "{report}");
    names.map(|name| report.fact(name))
}

#[test]
fn each_way_over_tcp_takes_its_round_trips() {
    const NAMES: [&str; 5] = ["measured", "tls", "resumed", "early_data", "round_trips"];
    for (demo, knobs, expected) in [
        ("https-tls12", &[][..], [4, 12, 0, 0, 4]),
        ("https-tls12-resumed", &[], [3, 12, 3, 0, 3]),
        ("https-tls13", &[], [4, 13, 0, 0, 3]),
        ("https-tls13", &["--resume"], [3, 13, 3, 0, 3]),
        ("https-tls13", &["--group", "secp256r1"], [4, 13, 0, 0, 4]),
        ("https-tls13-0rtt", &[], [3, 13, 3, 3, 2]),
        ("https-tls13-0rtt", &["--no-half-rtt"], [3, 13, 3, 3, 3]),
        ("https-tls13-0rtt", &["--tickets", "none"], [3, 13, 0, 0, 3]),
    ] {
        let knobs = [knobs, &["--connections", "4", "--pause", "0ms"]].concat();
        let report = in_process::run(demo, &knobs);
        assert_eq!(facts(&report, NAMES), expected.map(Some), "{demo} {knobs:?}: {report}");
        assert_eq!((report.connections, report.answered), (4, 4));
    }
}

#[test]
fn later_requests_take_no_handshake() {
    let report = in_process::run(
        "https-tls13-0rtt",
        &["--connections", "3", "--requests", "5", "--pause", "0ms"],
    );
    assert_eq!(
        facts(&report, ["measured", "early_data", "round_trips"]),
        [Some(2), Some(2), Some(2)]
    );
    assert_eq!((report.connections, report.answered), (3, 15));
    assert!(
        report.workers.values().all(|answers| *answers == 5),
        "a thread for each connection: {report}"
    );
}

#[test]
fn quic_takes_early_data_on_every_stream() {
    for (demo, expected) in
        [("https-quic", [3, 13, 0, 0, 8]), ("https-quic-0rtt", [2, 13, 2, 2, 8])]
    {
        let knobs = ["--connections", "3", "--pause", "0ms", "--streams", "8", "--requests", "2"];
        let report = in_process::run(demo, &[&knobs[..], &["--request-size", "100000"]].concat());
        let names = ["measured", "tls", "resumed", "early_data", "streams"];
        assert_eq!(facts(&report, names), expected.map(Some), "{demo}: {report}");
        assert_eq!((report.connections, report.answered), (3, 48));
        assert_eq!(report.workers.keys().collect::<Vec<_>>(), ["event-loop"]);
    }
}
