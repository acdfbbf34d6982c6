//! Lines for people.

use std::net::SocketAddr;

use super::{attached, written};
use crate::model::event::{ListenerSample, Stage, UnixListener};
use crate::model::output::{Output, ProxyOutput, UnixOutput};
use crate::model::snapshot::{ProxySide, ProxyView, Reuse, Spreading, UpstreamView, WaitView};
use crate::model::tests::world::{MS, SECOND, World, listener};
use crate::report::Sink;
use crate::report::plain::{Colour, Plain};

/// A server that takes one connection in 300 ms while more are refused.
fn overloaded() -> World {
    let mut world = World::with_limit(4);
    world.listeners[0].depth = 5;
    for _ in 0..4 {
        world.now += 300 * MS;
        world.accept(0, 4243, 900 * MS, MS);
        world.refuse(0, Stage::Syn);
    }
    world.sample_after(0);
    world
}

#[test]
fn an_overloaded_server_reads_well() {
    let mut world = overloaded();
    let outputs = std::mem::take(&mut world.out);
    let text = written(&mut Plain::new(Colour::Never), &outputs, &world);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "    0.300 accept    10.0.0.9:40122 at 10.0.0.1:8080: waited 900 ms, \
             taken by worker-4243 (4243) as fd 9",
            "    0.300 overflow  10.0.0.7:53122 at 0.0.0.0:8080: SYN dropped, accept queue 5 of 4",
        ]
    );
    let (heading, row) = (lines[8], lines[9]);
    assert!(
        heading.trim_start().starts_with("TIME LISTENER") && row.contains(" 0.0.0.0:8080 "),
        "{text}"
    );
    assert!(
        row.contains(" 5/4 ") && row.contains(" 900 ms ") && row.ends_with("▲4 +3.3/s"),
        "{row}"
    );
    let column = |line: &str, word: &str| line.find(word).map(|at| line[..at].chars().count());
    assert_eq!(
        column(heading, "OVERFLOWS"),
        column(row, "▲"),
        "columns stand under their headings"
    );
    assert!(
        text.contains(
            "\n  WARNING, the app's doing (A). 0.0.0.0:8080: Connections wait 900 ms to be accepted"
        ),
        "{text}"
    );
    assert!(text.contains("\n    Try: find out what those who accept do"));
    let follower = "  follows from accept-starved: CRITICAL. 0.0.0.0:8080: \
                    Clients are being refused: 4 SYNs so far, 3.3 a second.";
    assert!(lines.contains(&follower), "what follows is one line: {text}");
    assert!(lines.iter().all(|line| line.chars().count() <= 110) && !text.contains('\x1b'));
}

#[test]
fn colour_is_for_loss_alone() {
    let mut world = overloaded();
    let outputs = std::mem::take(&mut world.out);
    let text = written(&mut Plain::new(Colour::Loss), &outputs, &world);
    assert!(
        text.contains("\x1b[31moverflow \x1b[0m") && text.contains("\x1b[31m▲4 +3.3/s\x1b[0m"),
        "{text}"
    );
    let red: Vec<_> = text.lines().filter(|line| line.contains('\x1b')).collect();
    assert!(
        red.iter().all(|line| line.contains("overflow")
            || line.contains('▲')
            || line.contains("CRITICAL"))
    );
    let plain = text.replace("\x1b[31m", "").replace("\x1b[0m", "");
    assert_eq!(plain, written(&mut Plain::new(Colour::Never), &outputs, &world));
}

#[test]
fn floods_are_summed_up() {
    let mut world = World::with_limit(4);
    world.now += SECOND;
    for _ in 0..500 {
        world.accept(0, 1, 0, 0);
        world.refuse(0, Stage::Syn);
    }
    world.sample_after(100 * MS);
    let text = written(&mut Plain::new(Colour::Never), &world.out, &world);
    let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
    assert_eq!((count(" accept    10.0.0.9"), count(" overflow  10.0.0.7")), (20, 20));
    assert_eq!((count("… and 480 more accepts"), count("… and 480 more refused packets")), (1, 1));
}

#[test]
fn many_listeners_make_a_short_table_with_the_busiest() {
    let mut world = World::new("full", (0..500).map(|sock| listener(sock, 128)).collect());
    world.listeners[400] = ListenerSample { depth: 77, ..listener(400, 128) };
    world.sample_after(SECOND);
    let text = written(&mut Plain::new(Colour::Never), &world.out, &world);
    assert_eq!(text.lines().count(), 22);
    assert!(text.contains(" 77/128 ") && text.ends_with("… and 480 quieter listeners\n"));
}

#[test]
fn nothing_from_outside_reaches_the_terminal_as_it_is() {
    let mut world = World::with_limit(4);
    world.now += SECOND;
    world.accept(0, 1, 0, 0);
    let Some(Output::Accept(mut accept)) = world.out.pop() else { panic!("no accept") };
    accept.comm = "evil\x1b]0;x\x07\\".into();
    world.model.set_notices(vec!["4242 (a\x1bb\\) has no listening socket yet".into()]);
    let mut plain = Plain::new(Colour::Never);
    let text = written(&mut plain, &[Output::Accept(accept)], &world);
    assert!(
        text.contains(r"evil\u{1b}]0;x\u{7}\\")
            && text.contains(r"note      4242 (a\u{1b}b\\) has no"),
        "{text}"
    );
    assert_eq!(written(&mut plain, &[], &world), "", "a note is written once");
    let mut hostile = attached();
    hostile.targets = vec!["-- \x1b[2J".into()];
    let mut text = Vec::new();
    plain.attached(&mut text, &hostile).expect("a vector takes everything");
    assert!(!text.contains(&0x1b));
}

#[test]
fn attaching_and_the_end_are_told() {
    let mut plain = Plain::new(Colour::Never);
    let mut text = Vec::new();
    plain.attached(&mut text, &attached()).expect("a vector takes everything");
    let text = String::from_utf8_lossy(&text);
    assert_eq!(
        text,
        "Watching pid 4242 on kernel 6.12.1, tracepoint tier, attached in 120 ms.\n  Sees less on \
         this kernel: syn; see `backscope doctor`\n"
    );
    let mut world = overloaded();
    world.out.clear();
    world.finish();
    let text = written(&mut plain, &world.out, &world);
    for line in [
        "Summary after 1.20 s",
        "  connections  4 queued, 4 accepted, 0 left unaccepted",
        "  refused      4 SYNs dropped, 0 final ACKs ignored",
        "  wait         p50 900 ms, p90 900 ms, p99 900 ms, max 900 ms (4 accepts)",
        "  findings     2",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} is missing in {text}");
    }
}

#[test]
fn a_last_sample_and_the_end_in_one_batch_make_one_table() {
    let mut world = overloaded();
    world.finish();
    let text = written(&mut Plain::new(Colour::Never), &world.out, &world);
    assert_eq!(text.lines().filter(|line| line.contains(" 5/4 ")).count(), 1, "{text}");
    assert!(!text.contains("quieter") && !text.contains("\n\n\n"), "{text}");
}

#[test]
fn a_unix_listener_says_once_what_is_not_seen_of_it() {
    let world = World::with_limit(4);
    let line = |depth| {
        let view = UnixListener {
            sock: 7,
            path: "/run/php.sock".into(),
            pid: 4242,
            comm: "php-fpm".into(),
            holders: vec![4242, 4243],
            netns: 1,
            depth,
            limit: 1,
            refused: None,
            unnamed_holders: 0,
        };
        Output::Unix(UnixOutput { ts_ns: world.now, view })
    };
    let mut plain = Plain::new(Colour::Never);
    let first = written(&mut plain, &[line(0)], &world);
    assert!(
        first.contains(
            "/run/php.sock: queue 0/1, php-fpm 4242 +1; connects that find it full are not seen"
        ),
        "{first}"
    );
    let next = written(&mut plain, &[line(2)], &world);
    assert!(next.contains("queue 2/1, full, php-fpm") && !next.contains("not seen"), "{next}");
}

#[test]
fn a_proxy_has_a_line_with_its_upstreams() {
    let address = |port: u16| SocketAddr::from(([10, 0, 1, 1], port));
    let upstream = |port: u16, us, slow| UpstreamView {
        side: ProxySide { connections: 4, exchanges: 1_000 },
        share: 0.5,
        time: WaitView { p50: us, p99: 2 * us, count: 1_000, ..WaitView::default() },
        slow,
        ..UpstreamView::new(address(port))
    };
    let view = ProxyView {
        pid: 4242,
        comm: "balance\u{1b}[31m".into(),
        downstream: ProxySide { connections: 6, exchanges: 2_000 },
        upstream: ProxySide { connections: 8, exchanges: 2_000 },
        joined: 2_000,
        reuse: Some(Reuse::Pooled),
        spreading: Some(Spreading::PerRequest),
        imbalance: Some(1.0),
        upstreams: vec![
            upstream(9_001, 3_000, false),
            upstream(9_002, 40_000, true),
            UpstreamView {
                time: WaitView::default(),
                share: 0.0,
                connect_fails: 3,
                ..upstream(9_003, 0, false)
            },
        ],
    };
    let world = World::with_limit(4);
    let outputs = [Output::Proxy(Box::new(ProxyOutput { ts_ns: world.now, view }))];
    let text = written(&mut Plain::new(Colour::Never), &outputs, &world);
    assert!(
        text.contains(
            "2,000 requests on 6 connections → 2,000 calls on 8, pooled, spread per-request; "
        ),
        "{text}"
    );
    assert!(
        text.contains("10.0.1.1:9003 no calls, 3 connects failed"),
        "no median of nothing: {text}"
    );
    assert!(
        text.contains("10.0.1.1:9002 50 %, p50 40 ms, p99 80 ms ← slow")
            && !text.contains('\u{1b}'),
        "{text}"
    );
}

/// Refreshes for this long, with refusals or without, and returns the lines.
fn refreshed(plain: &mut Plain, world: &mut World, seconds: u64, refuses: bool) -> String {
    let mut text = String::new();
    for _ in 0..seconds {
        world.out.clear();
        if refuses {
            world.refuse(0, Stage::Syn);
        }
        world.sample_after(SECOND);
        text += &written(plain, &world.out, world);
    }
    text
}

#[test]
fn a_finding_is_written_in_full_once_and_then_in_a_line() {
    let mut world = World::with_limit(4);
    let mut plain = Plain::new(Colour::Never);
    let blocks = |text: &str| text.matches("\n    Try: ").count();
    let lines_with = |text: &str, words: &str| text.matches(words).count();
    let first = refreshed(&mut plain, &mut world, 1, true);
    assert_eq!((blocks(&first), lines_with(&first, "CRITICAL, owner unknown")), (1, 1), "{first}");
    // It lasts: a line after 10 s, then after 20 s more.
    let lasting = refreshed(&mut plain, &mut world, 35, true);
    assert_eq!((blocks(&lasting), lines_with(&lasting, "CRITICAL, lasts ")), (0, 2), "{lasting}");
    assert!(
        lasting.contains(
            "\n  CRITICAL, lasts 13.0 s, owner unknown (?). 0.0.0.0:8080: Clients are being \
             refused: 14 SYNs so far"
        ) && lasting.contains("\n  CRITICAL, lasts 26.0 s, "),
        "{lasting}"
    );
    let ending = refreshed(&mut plain, &mut world, 30, false);
    assert!(
        ending.contains(
            "\n  ended: 0.0.0.0:8080: clients were refused (accept-queue-overflow), after 35.0 s.\n"
        ) && blocks(&ending) == 0,
        "{ending}"
    );
    let again = refreshed(&mut plain, &mut world, 2, true);
    assert_eq!((blocks(&again), lines_with(&again, "CRITICAL, again, ")), (0, 1), "{again}");
    refreshed(&mut plain, &mut world, 20, false);
    world.out.clear();
    world.finish();
    let end = written(&mut plain, &world.out, &world);
    assert!(end.contains("\n  findings     1, none stands now\n"), "{end}");
    let block = "\n\n  CRITICAL, ended, owner unknown (?). 0.0.0.0:8080: Clients are being refused: 38 SYNs \
                 so far, 0.4 a second.\n    From 1.000 to 68.000: 36.0 s in all, 2 times.\n    ";
    assert!(end.contains(block) && blocks(&end) == 1, "{end}");
}

#[test]
fn a_healthy_run_ends_without_a_finding() {
    let mut world = World::with_limit(128);
    let mut plain = Plain::new(Colour::Never);
    let text = refreshed(&mut plain, &mut world, 30, false);
    assert!(!text.contains("Try: ") && !text.contains("ended"), "{text}");
    world.out.clear();
    world.finish();
    let end = written(&mut plain, &world.out, &world);
    assert!(end.contains("\n  findings     0\n") && !end.contains("Try: "), "{end}");
}

#[test]
fn what_is_seen_less_is_one_line() {
    let mut attached = attached();
    for signal in ["late", "reset", "time_wait", "window", "ack", "delayed_ack", "splice"] {
        attached.gaps.push(format!("{signal}: nobody tells: at all").into());
        attached.gaps.push(format!("another_{signal}: nobody tells").into());
    }
    let mut text = Vec::new();
    Plain::new(Colour::Never).attached(&mut text, &attached).expect("a vector takes everything");
    let text = String::from_utf8(text).expect("UTF-8");
    let [_, line] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert!(line.starts_with("  Sees less on this kernel: syn, late, another_late"), "{line}");
    assert!(line.ends_with(", reset and 11 more; see `backscope doctor`"), "{line}");
    assert!(line.chars().count() <= 100 && !line.contains("nobody"), "{line}");
    attached.gaps.clear();
    let mut text = Vec::new();
    Plain::new(Colour::Never).attached(&mut text, &attached).expect("a vector takes everything");
    assert_eq!(String::from_utf8_lossy(&text).lines().count(), 1);
}
