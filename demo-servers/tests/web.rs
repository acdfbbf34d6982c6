//! The demos of communication patterns, HTTP and proxies: each server with its client, until the
//! client has done what it was told.

// A test that cannot begin has failed.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use demo_servers::demo::{Choice, Launcher, Report, Server, Stop, find};

fn launcher() -> Launcher {
    Launcher { program: PathBuf::from(env!("CARGO_BIN_EXE_demo-servers")), prefix: Vec::new() }
}

/// Runs a demo with these knobs to the client's end, without any failure.
fn run(demo: &str, knobs: &str) -> Report {
    let knobs: Vec<_> = knobs.split_whitespace().collect();
    let choice = Choice::new(find(demo).unwrap(), &knobs).unwrap();
    let server = Server::start(&launcher(), &choice.server).unwrap();
    let report = choice.client.run(server.address(), &Stop::default());
    assert!(report.errors.is_empty(), "{demo}: {report}");
    report
}

/// Values of these facts.
fn facts<const N: usize>(report: &Report, names: [&str; N]) -> [u64; N] {
    names.map(|name| report.fact(name).unwrap_or_else(|| panic!("no fact {name}: {report}")))
}

/// Requests by those who answered them.
fn shares(report: &Report) -> Vec<(&str, u64)> {
    report.workers.iter().map(|(name, count)| (name.as_str(), *count)).collect()
}

#[test]
fn request_response() {
    let report = run(
        "request-response",
        "--clients 2 --connections 4 --requests 3 --pause 0ms --response 100000",
    );
    assert_eq!((report.asked, report.answered, report.connections), (12, 12, 4));
    assert_eq!(facts(&report, ["at_once", "behind", "proxies"]), [1, 4, 0]);
}

#[test]
fn work_that_takes_long() {
    let report = run("synchronous-asynchronous", "--clients 2 --jobs 2 --job-time 20ms");
    assert_eq!(facts(&report, ["done", "accepted", "polls"]), [4, 0, 0]);
    let report = run(
        "synchronous-asynchronous",
        "--clients 2 --jobs 2 --job-time 50ms --asynchronous --poll 5ms",
    );
    let [done, accepted, polls] = facts(&report, ["done", "accepted", "polls"]);
    assert_eq!((done, accepted, report.asked), (4, 4, 4 + polls));
    assert!(polls >= 4, "each has to be fetched: {report}");
}

#[test]
fn news_by_push() {
    let report = run("push", "--clients 3 --news 5 --every 10ms");
    assert_eq!(facts(&report, ["news", "empty", "missed"]), [15, 0, 0]);
    assert_eq!((report.asked, report.connections), (0, 3));
}

#[test]
fn news_for_a_client_that_does_not_read() {
    let report =
        run("push", "--clients 1 --news 40 --every 5ms --line 100000 --stall 400ms --greet");
    let [news, missed, unread, memory] = facts(&report, ["news", "missed", "unread", "memory"]);
    assert_eq!((news, missed), (40, 0), "{report}");
    assert!(unread > 1000 && memory > unread, "{report}");
    assert!(report.latency_us.max() > 300_000, "the first line is as old as the stall: {report}");
}

#[test]
fn a_client_that_forgets_misses_events() {
    let knobs = "--clients 1 --news 6 --every 20ms --end-after 2 --retry 100ms";
    let report = run("server-sent-events", knobs);
    assert_eq!(facts(&report, ["missed"]), [0], "{report}");
    let report = run("server-sent-events", &format!("{knobs} --forget"));
    assert!(facts(&report, ["missed"]) >= [4], "{report}");
}

#[test]
fn each_pattern_has_its_connection() {
    let report = run("who-speaks-first", "--events 2 --every 20ms");
    assert_eq!((facts(&report, ["patterns"]), report.connections), ([6], 7), "{report}");
}

#[test]
fn records_are_acknowledged() {
    for knobs in ["--ack written", "--sync-time 1ms", "--ack replica --replica-time 1ms"] {
        let report = run(
            "durable-writes",
            &format!("{knobs} --clients 2 --connections 2 --requests 5 --pause 0ms"),
        );
        assert_eq!(report.answered, 10, "{knobs}: {report}");
    }
    let knobs = "--clients 1 --connections 1 --requests 3 --pause 0ms --replica-time 80ms";
    let report = run("durable-writes", &format!("--ack replica {knobs}"));
    assert!(report.latency_us.min() >= 80_000, "none before its replica: {report}");
}

#[test]
fn a_slow_answer_holds_up_those_behind_it_on_the_same_connection() {
    let knobs = "--sleep 0ms --slow 150ms --slow-every 4 --clients 1 --connections 1 --requests 4 --pause 0ms";
    let report = run("http1", &format!("{knobs} --pipeline 4"));
    assert!(report.latency_us.min() >= 149_000, "in order: {report}");
    let report = run("http2", &format!("{knobs} --streams 4"));
    assert!(report.latency_us.value_at_quantile(0.5) < 149_000, "each by itself: {report}");
    assert!(report.latency_us.max() >= 149_000, "{report}");
}

#[test]
fn news_by_short_polling() {
    let report = run("short-polling", "--clients 1 --news 3 --every 100ms --interval 5ms");
    let [news, empty, missed] = facts(&report, ["news", "empty", "missed"]);
    assert!(news >= 3 && empty > 3 && missed == 0, "{report}");
    assert!(report.asked == report.answered && report.asked <= news + empty, "{report}");
}

#[test]
fn news_by_long_polling() {
    let report = run("long-polling", "--clients 2 --news 5 --every 50ms");
    let [news, empty, missed] = facts(&report, ["news", "empty", "missed"]);
    assert!((10..=12).contains(&news) && empty == 0 && missed == 0, "{report}");
    assert!(report.asked <= news, "{report}");
    let report = run("long-polling", "--clients 1 --news 1 --every 1500ms --wait 1");
    assert_eq!(facts(&report, ["news", "empty"]), [1, 1], "the first wait ends without any");
}

#[test]
fn news_by_events() {
    let report = run("server-sent-events", "--clients 2 --news 6 --every 20ms");
    assert_eq!(facts(&report, ["news", "missed"]), [12, 0]);
    assert_eq!((report.asked, report.connections), (2, 2));
    let report = run("server-sent-events", "--clients 1 --news 6 --every 20ms --end-after 2");
    assert_eq!(facts(&report, ["news", "missed"]), [6, 0], "who comes again says what it had last");
    assert_eq!((report.asked, report.connections), (3, 3));
}

#[test]
fn messages_reach_all_subscribers() {
    let report = run(
        "publish-subscribe",
        "--publishers 2 --subscribers 4 --topics 2 --messages 10 --pause 1ms",
    );
    assert_eq!(facts(&report, ["published", "delivered", "lost"]), [20, 40, 0]);
    assert_eq!(report.connections, 6);
}

#[test]
fn a_slow_subscriber_loses_messages() {
    let knobs = "--subscribers 2 --messages 200 --message-size 200000 --pause 0ms --queue 2 --slow-subscriber 30ms";
    let report = run("publish-subscribe", knobs);
    let [published, delivered, lost] = facts(&report, ["published", "delivered", "lost"]);
    assert!(published == 200 && delivered + lost == 400 && lost > 0, "{report}");
}

#[test]
fn a_restart_forgets_sessions_and_refuses_nobody() {
    let knobs = "--workers 1 --restart-after 4 --clients 1 --sessions 1 --steps 6 --pause 0ms";
    for (state, lost) in [("memory", 3), ("request", 0)] {
        let report = run("stateful-stateless", &format!("{knobs} --state {state}"));
        assert_eq!(facts(&report, ["sessions", "steps", "lost"]), [1, 6, lost], "{report}");
        assert_eq!(report.connections, 7, "{report}");
    }
}

#[test]
fn sessions_live_where_their_state_is() {
    let knobs = "--clients 1 --sessions 2 --steps 9 --pause 0ms";
    for (state, lost) in [("memory", 10), ("shared", 0), ("request", 0), ("memory --keep-alive", 0)]
    {
        let report = run("stateful-stateless", &format!("{knobs} --state {state}"));
        assert_eq!(facts(&report, ["sessions", "steps", "lost"]), [2, 18, lost], "{state}");
        assert_eq!(shares(&report), [("worker-1", 10), ("worker-2", 10)], "{state}");
    }
}

#[test]
fn http1_reuses_connections_and_pipelines() {
    let report = run("http1", "--clients 2 --connections 4 --requests 10 --pause 0ms");
    assert_eq!((report.connections, report.answered), (4, 40));
    assert_eq!(facts(&report, ["reused", "pipelined"]), [36, 0]);
    let report = run(
        "http1",
        "--clients 1 --connections 1 --requests 11 --pipeline 5 --pause 0ms --response 70000",
    );
    assert_eq!((report.connections, report.answered), (1, 11));
    assert_eq!(facts(&report, ["reused", "pipelined"]), [10, 8]);
}

#[test]
fn http2_has_many_requests_at_once() {
    let report = run("http2", "--clients 1 --connections 1 --requests 50 --streams 10 --pause 0ms");
    assert_eq!((report.connections, report.answered), (1, 50));
    assert_eq!(facts(&report, ["at_once", "behind"]), [10, 1]);
}

#[test]
fn websocket_has_messages_both_ways() {
    let report = run("websocket", "--clients 2 --messages 5 --pause 0ms --message-size 100000");
    assert_eq!(facts(&report, ["handshakes", "echoed", "pushed"]), [2, 10, 0]);
    let report = run("websocket", "--clients 1 --messages 2 --pause 300ms --push 20ms");
    let [echoed, pushed] = facts(&report, ["echoed", "pushed"]);
    assert!(echoed == 2 && pushed >= 2, "{report}");
}

#[test]
fn grpc_has_calls_of_four_kinds() {
    let report = run("grpc", "--clients 1 --streams 2 --calls 4 --messages 10 --pause 0ms");
    assert_eq!(
        facts(&report, ["unary", "server_stream", "client_stream", "bidirectional"]),
        [2, 2, 2, 2]
    );
    assert_eq!(
        facts(&report, ["sent", "received"]),
        [2 * (1 + 1 + 10 + 10), 2 * (1 + 10 + 1 + 10)]
    );
    assert_eq!((report.connections, report.answered), (1, 8));
}

#[test]
fn many_connections_become_one_or_a_pool() {
    let knobs = "--clients 8 --connections 8 --requests 5 --pause 0ms --backend-sleep 20ms --upstream-protocol";
    let report = run("multiplexing", &format!("{knobs} http2"));
    assert_eq!((report.connections, report.answered), (8, 40));
    assert_eq!(facts(&report, ["behind", "proxies"]), [1, 1]);
    let report = run("multiplexing", &format!("{knobs} http1"));
    let [behind] = facts(&report, ["behind"]);
    assert!((2..=8).contains(&behind), "as many as requests at a time: {report}");
}

#[test]
fn a_request_passes_two_sidecars() {
    let report = run("sidecar", "--clients 2 --connections 2 --requests 5 --pause 0ms");
    assert_eq!(facts(&report, ["proxies"]), [2]);
    assert_eq!(shares(&report), [("backend-1", 10)]);
}

#[test]
fn a_forward_proxy_sees_what_it_asks_and_not_what_it_tunnels() {
    let knobs = "--clients 2 --connections 4 --requests 3 --pause 0ms";
    let report = run("forward-proxy", knobs);
    assert_eq!(facts(&report, ["tunnels", "seen"]), [4, 0]);
    assert_eq!(shares(&report), [("origin", 12)]);
    let report = run("forward-proxy", &format!("{knobs} --absolute-form"));
    assert_eq!(facts(&report, ["tunnels", "seen"]), [0, 12]);
    assert_eq!(shares(&report), [("origin", 12)]);
}

#[test]
fn a_reverse_proxy_keeps_connections() {
    let knobs = "--clients 1 --connections 4 --requests 5 --pause 1ms";
    let report = run("reverse-proxy", &format!("{knobs} --pool 0"));
    assert_eq!(facts(&report, ["behind", "proxies"]), [20, 1], "one for each request");
    let report = run("reverse-proxy", knobs);
    assert_eq!((report.connections, report.answered), (4, 20));
    let [behind] = facts(&report, ["behind"]);
    assert!(behind <= 2, "the next client gets the connection of the last: {report}");
}

#[test]
fn connections_are_balanced_as_they_are() {
    let report = run("layer4-balancer", "--clients 3 --connections 6 --requests 5 --pause 0ms");
    assert_eq!(shares(&report), [("backend-1", 10), ("backend-2", 10), ("backend-3", 10)]);
    assert_eq!(facts(&report, ["behind", "proxies"]), [6, 0]);
    let one = "--clients 1 --connections 1 --requests 30 --pause 0ms";
    assert_eq!(shares(&run("layer4-balancer", one)), [("backend-1", 30)]);
    let report = run("layer4-balancer", &format!("{one} --h2c --http2 --streams 10"));
    assert_eq!(shares(&report), [("backend-1", 30)], "streams cannot be told apart");
}

#[test]
fn requests_are_balanced_one_by_one() {
    let one = "--clients 1 --connections 1 --requests 30 --pause 0ms";
    assert_eq!(
        shares(&run("layer7-balancer", one)),
        [("backend-1", 10), ("backend-2", 10), ("backend-3", 10)],
        "even those of one connection"
    );
    let uneven = run("layer7-balancer", &format!("{one} --balance uneven"));
    assert_eq!(uneven.workers.get("backend-1"), Some(&27), "{uneven}");
    let least = "--clients 3 --connections 3 --requests 20 --pause 0ms --slow-backend 200ms --balance least";
    let report = run("layer7-balancer", least);
    let slow = report.workers.get("backend-1").copied().unwrap_or(0);
    assert!((1..15).contains(&slow), "who is slow gets fewer: {report}");
}

#[test]
fn a_server_that_is_not_there_is_a_bad_gateway() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let choice =
        Choice::new(find("reverse-proxy").unwrap(), &["--upstream", &free.to_string()]).unwrap();
    let server = Server::start(&launcher(), &choice.server).unwrap();
    let mut client = std::net::TcpStream::connect(server.address()).unwrap();
    std::io::Write::write_all(
        &mut client,
        b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .unwrap();
    let answer = std::io::read_to_string(client).unwrap();
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
}
