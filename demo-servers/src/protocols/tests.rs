//! Runs servers and clients of this program with one another.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use clap::Parser;

use crate::demo::in_process;
use crate::program::Program;

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

/// Starts a server of a verb in a thread, which ends with the tests, and returns its address.
fn serve(verb: &[&str]) -> SocketAddr {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let listen = format!("--listen={address}");
    let program = Program::parse_from([&["demo-servers"], verb, &[listen.as_str()]].concat());
    thread::spawn(move || program.serve().unwrap());
    while TcpStream::connect(address).is_err() {
        thread::yield_now();
    }
    address
}

/// Sends bytes, closes the half if told to, and returns all that comes back.
fn send(address: SocketAddr, bytes: &[u8], half_close: bool) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.write_all(bytes).unwrap();
    if half_close {
        socket.shutdown(Shutdown::Write).unwrap();
    }
    let mut answer = Vec::new();
    // A reset behind an answer is an end, too.
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_half_closed_client_gets_its_answers() {
    const TWO: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for verb in [&["http", "--sleep=50ms"][..], &["layers"]] {
        let answer = send(serve(verb), TWO, true);
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{verb:?}: {answer}");
    }
}

#[test]
fn what_is_no_request_is_refused() {
    for verb in [&["http"][..], &["layers"]] {
        let address = serve(verb);
        for garbage in
            [&b"garbage\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01", b"GET / FTP/9\r\n\r\n"]
        {
            let answer = send(address, garbage, false);
            assert!(answer.starts_with("HTTP/1.1 400 Bad Request"), "{verb:?}: {answer:?}");
        }
    }
}

#[test]
fn the_same_messages_come_back_over_each_protocol() {
    for over in ["udp", "tcp", "http1", "tls", "http2"] {
        let report = in_process::run("same-message", &["--over", over, "--messages", "20"]);
        assert_eq!((report.asked, report.answered), (20, 20), "{over}: {report}");
        assert_eq!(report.fact("overtaken"), Some(0), "{over}: {report}");
        assert_eq!(report.connections, u64::from(over != "udp"), "{over}: {report}");
        assert!(report.errors.is_empty(), "{report}");
    }
}

#[test]
fn who_closes_first_keeps_the_connection_in_time_wait() {
    let report = in_process::run("tcp", &["--connections", "3", "--pause", "0ms"]);
    assert_eq!(report.fact("time_wait"), Some(3), "{report}");
    let report =
        in_process::run("tcp", &["--connections", "3", "--pause", "0ms", "--client-reset"]);
    assert_eq!(report.fact("time_wait"), Some(0), "{report}");
}

#[test]
fn each_ping_gets_a_pong() {
    let knobs = ["--clients", "2", "--messages", "3", "--pings", "5", "--pause", "0ms"];
    let report = in_process::run("websocket", &knobs);
    assert_eq!((report.answered, report.fact("pongs")), (6, Some(10)), "{report}");
    assert!(report.errors.is_empty(), "{report}");
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
