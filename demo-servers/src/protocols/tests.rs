//! Runs servers and clients of this program with one another.

use crate::demo::in_process;

#[test]
fn one_request_is_counted_at_each_layer() {
    let report =
        in_process::run("layers", &["--connections", "2", "--pause", "0ms", "--response", "3000"]);
    let fact = |name| report.fact(name).unwrap();
    assert_eq!((report.connections, report.answered, report.errors.len()), (2, 2, 0), "{report}");
    assert_eq!((fact("writes"), fact("with_data_out")), (1, 1), "{report}");
    assert!(fact("reads") >= 1 && fact("http_in") > 3000, "{report}");
    // Out: SYN, ACK and the request at least. In: SYN-ACK, the answer and perhaps the FIN.
    assert!(fact("segments_out") >= 3 && fact("segments_in") >= 2, "{report}");
    for way in ["out", "in"] {
        let [http, tcp, ip] = ["http", "tcp", "ip"].map(|layer| {
            report.facts.iter().find(|(name, _)| *name == format!("{layer}_{way}")).unwrap().1
        });
        assert!(http < tcp && tcp < ip, "{report}");
    }
}

#[test]
fn datagrams_are_answered_or_dropped() {
    let knobs = ["--requests", "3", "--pause", "0ms", "--read-size", "40"];
    let report = in_process::run("udp", &knobs);
    assert_eq!((report.fact("got"), report.fact("cut")), (Some(3 * 40), Some(3 * 60)), "{report}");
    let report = in_process::run("udp", &["--requests", "20", "--pause", "0ms"]);
    assert_eq!((report.asked, report.answered, report.fact("lost")), (20, 20, Some(0)), "{report}");
    assert_eq!(report.workers.get("one-by-one"), Some(&20));
    // The buffer has room for few of 300 datagrams; each read takes a millisecond.
    let knobs =
        ["--requests", "300", "--burst", "300", "--read-delay", "1ms", "--receive-buffer", "4096"];
    let report = in_process::run("udp", &[&knobs[..], &["--timeout", "2s"]].concat());
    assert_eq!(report.asked, 300);
    assert!(report.fact("lost") > Some(0) && report.answered > 0, "{report}");
    assert!(report.fact("dropped") > Some(0) && report.errors.is_empty(), "{report}");
}

#[test]
fn a_stream_ends_in_order_by_a_reset_or_not_at_all() {
    for (knobs, [orderly, reset, unanswered]) in [
        (&[][..], [3, 0, 0]),
        (&["--client-reset"], [0, 3, 0]),
        (&["--server-reset"], [0, 3, 0]),
        (&["--no-half-close", "--timeout", "100ms"], [0, 0, 3]),
    ] {
        let report =
            in_process::run("tcp", &[knobs, &["--connections", "3", "--pause", "0ms"]].concat());
        let facts = ["orderly", "reset", "unanswered"].map(|name| report.fact(name).unwrap());
        assert_eq!(facts, [orderly, reset, unanswered], "{knobs:?}: {report}");
        assert_eq!(report.fact("counted"), Some(orderly * 10_000), "{report}");
        assert!(report.errors.is_empty(), "{report}");
    }
}

#[test]
fn one_handshake_serves_many_requests() {
    let report =
        in_process::run("tls", &["--connections", "1", "--requests", "20", "--pause", "0ms"]);
    assert_eq!(
        (report.connections, report.answered, report.fact("tls")),
        (1, 20, Some(13)),
        "{report}"
    );
}

#[test]
fn eight_streams_share_a_connection() {
    let report =
        in_process::run("http3", &["--connections", "1", "--requests", "10", "--pause", "0ms"]);
    assert_eq!(
        (report.connections, report.answered, report.fact("streams")),
        (1, 80, Some(8)),
        "{report}"
    );
    assert!(report.errors.is_empty(), "{report}");
}

#[test]
fn a_data_channel_carries_messages() {
    let report = in_process::run(
        "webrtc",
        &["--connections", "2", "--requests", "20", "--request-size", "5000"],
    );
    assert_eq!(
        (report.connections, report.answered, report.fact("channels")),
        (2, 40, Some(2)),
        "{report}"
    );
    assert_eq!(report.workers.get("event-loop"), Some(&40), "{report}");
    // A check each way at least, and messages of several datagrams.
    assert!(report.fact("checks") >= Some(4) && report.fact("data") > Some(4 * 40), "{report}");
    assert!(report.fact("check_answers") <= report.fact("checks"), "{report}");
    assert!(report.fact("handshake") >= Some(2 * 4), "{report}");
    assert!(report.errors.is_empty(), "{report}");
}
