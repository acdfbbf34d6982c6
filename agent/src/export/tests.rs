//! What is shown of a run, in every format.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::UNIX_EPOCH,
};

use super::{
    Collector, MAX_FINDINGS, MAX_SERVERS, family,
    labels::{Value, labels},
    page::Page,
    protobuf, text,
};
use crate::model::{
    Attached, WallClock,
    event::{Event, ListenerSample, ProcessWorkload, Stage},
    snapshot::{Finding, Owner, Severity, Stood},
    tests::{
        facts::{Build, server},
        world::{LISTENER, MS, SECOND, START, World, address, listener},
    },
    workload::{Container, Pod, Workload},
};

fn collector() -> Collector {
    let clock = WallClock { mono_ns: 0, wall: UNIX_EPOCH };
    let attached = Attached {
        ts_ns: START,
        kernel: "6.1.0".into(),
        tier: "full".into(),
        ..Attached::default()
    };
    Collector::new(&attached, clock)
}

/// Gives a collector what the world has reported since the last time.
fn show(world: &mut World, collector: &mut Collector) -> String {
    collector.know(world.model.workloads());
    for output in world.out.drain(..) {
        collector.take(&output);
    }
    collector.refresh(world.model.figures());
    text::write(&collector.page(&[]))
}

/// The value of a series, as it is written.
fn value<'a>(page: &'a str, series: &str) -> Option<&'a str> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
}

const HERE: &str = r#"server_address="0.0.0.0",server_port="8080",comm="server""#;

#[test]
fn servers_of_one_address_are_told_apart_by_their_containers() {
    let container = |name: &str| {
        let container =
            Container { id: name.into(), name: Some(name.into()), runtime: Some("docker".into()) };
        Workload {
            cgroup: Some("/kubepods/x".into()),
            container: Some(container),
            pod: Some(Pod {
                namespace: Some("shop".into()),
                name: Some("cart-0".into()),
                uid: None,
            }),
            unit: Some("docker.service".into()),
        }
    };
    // Each in a network namespace of its own; the third process is in none.
    let listeners = [(7, 1, 11), (8, 2, 12), (9, 3, 13)].map(|(sock, netns, pid)| ListenerSample {
        netns,
        pid,
        accepted: pid.into(),
        ..listener(sock, 10)
    });
    let mut world = World::new("full", listeners.to_vec());
    for (pid, name) in [(11, "a"), (12, "b\"c")] {
        let ts_ns = world.now;
        let workload = container(name);
        world.apply(Event::Workload(ProcessWorkload { ts_ns, pid, workload }));
    }
    let mut collector = collector();
    world.sample_after(SECOND);
    let page = show(&mut world, &mut collector);
    let accepted = |home: &str| {
        let series = format!("backscope_connections_accepted_total{{{HERE}{home}}}");
        value(&page, &series).map(str::to_owned)
    };
    let pod = r#"k8s_namespace_name="shop",k8s_pod_name="cart-0""#;
    assert_eq!(accepted(&format!(r#",container_name="a",{pod}"#)).as_deref(), Some("11"), "{page}");
    assert_eq!(accepted(&format!(r#",container_name="b\"c",{pod}"#)).as_deref(), Some("12"));
    assert_eq!(accepted("").as_deref(), Some("13"));
}

#[test]
fn a_listener_has_its_figures_and_what_is_not_observed_has_no_series() {
    let mut world = World::with_limit(10);
    world.listeners[0].synack_acked = None;
    world.listeners[0].syn_dropped = None;
    let mut collector = collector();
    world.sample_after(SECOND);
    world.accept(0, 7, 300 * MS, MS);
    world.refuse(0, Stage::Ack);
    (world.listeners[0].depth, world.listeners[0].peak) = (3, 9);
    world.sample_after(SECOND);
    let page = show(&mut world, &mut collector);
    for (name, expected) in [
        ("backscope_accept_queue_depth", Some("3")),
        ("backscope_accept_queue_limit", Some("10")),
        ("backscope_accept_queue_peak", Some("9")),
        ("backscope_accept_queue_utilization_ratio", Some("0.9")),
        ("backscope_connections_accepted_total", Some("1")),
        ("backscope_accept_wait_duration_seconds_sum", Some("0.3")),
        ("backscope_accept_wait_duration_seconds_count", Some("1")),
    ] {
        assert_eq!(value(&page, &format!("{name}{{{HERE}}}")), expected, "{name}\n{page}");
    }
    let refused = |stage: &str| {
        let series = format!("backscope_connections_refused_total{{{HERE},stage=\"{stage}\"}}");
        value(&page, &series)
    };
    assert_eq!((refused("ack"), refused("syn")), (Some("1"), Some("0")));
    assert_eq!((refused("syn_queue"), refused("syn_or_ack")), (None, None), "{page}");
    let bucket = |le: &str| {
        let name = "backscope_accept_wait_duration_seconds_bucket";
        value(&page, &format!("{name}{{{HERE},le=\"{le}\"}}"))
    };
    assert_eq!((bucket("0.25"), bucket("0.5"), bucket("+Inf")), (Some("0"), Some("1"), Some("1")));
    assert!(!page.contains("backscope_exchange_duration"), "there was none");
    assert!(!page.contains("backscope_probe_time"), "nobody measured it");
}

#[test]
fn what_was_counted_stays_when_its_listener_goes_and_another_comes() {
    let mut world = World::with_limit(10);
    let mut collector = collector();
    world.accept(0, 7, MS, MS);
    world.sample_after(SECOND);
    show(&mut world, &mut collector);
    world.listeners[0].closed_ns = Some(world.now);
    world.sample_after(SECOND);
    show(&mut world, &mut collector);
    let mut next = listener(LISTENER + 1, 20);
    next.accepted = 4;
    world.listeners = vec![next];
    world.sample_after(SECOND);
    let page = show(&mut world, &mut collector);
    let of = |name: &str| value(&page, &format!("{name}{{{HERE}}}"));
    assert_eq!(of("backscope_connections_accepted_total"), Some("5"));
    assert_eq!(of("backscope_accept_queue_limit"), Some("20"));
    world.listeners[0].closed_ns = Some(world.now);
    world.sample_after(SECOND);
    world.listeners.clear();
    world.sample_after(SECOND);
    let page = show(&mut world, &mut collector);
    let of = |name: &str| value(&page, &format!("{name}{{{HERE}}}"));
    assert_eq!(of("backscope_connections_accepted_total"), Some("5"));
    assert_eq!(of("backscope_accept_queue_limit"), None, "nobody listens");
}

#[test]
fn exchanges_are_counted_where_their_listener_is_and_their_time_by_who_held_it() {
    let mut world = World::with_limit(10);
    let mut collector = collector();
    world.sample_after(SECOND);
    show(&mut world, &mut collector);
    world.accept(0, 7, 2 * MS, MS);
    let mut exchange = server().later(SECOND);
    exchange.sock = world.accepted();
    exchange.seq = 1;
    world.apply(Event::Exchange(exchange));
    world.sample_after(3 * SECOND);
    let page = show(&mut world, &mut collector);
    let series = format!("{{{HERE},role=\"server\"}}");
    assert_eq!(
        value(&page, &format!("backscope_exchange_duration_seconds_count{series}")),
        Some("1"),
        "{page}"
    );
    let prefix = format!("backscope_exchange_time_seconds_total{{{HERE},role=\"server\",owner=");
    let sum: f64 = page
        .lines()
        .filter(|line| line.starts_with(&prefix))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    let total = value(&page, &format!("backscope_exchange_duration_seconds_sum{series}"));
    let total: f64 = total.unwrap().parse().unwrap();
    assert!(total > 0.0 && (sum - total).abs() < 1e-9, "{sum} of {total}");
    assert!(page.contains("owner=\"app\",kind=\"accept_queue\""), "{page}");
}

#[test]
fn an_exchange_counts_as_often_as_it_stands_for_one() {
    let mut world = World::with_limit(10);
    let mut collector = collector();
    world.sample_after(SECOND);
    show(&mut world, &mut collector);
    world.accept(0, 7, 0, 0);
    for (seq, untold) in [(1, 0), (6, 4)] {
        let mut exchange = server().later(SECOND + seq * SECOND / 10);
        (exchange.sock, exchange.seq, exchange.untold) =
            (world.accepted(), seq as u32, Some(untold));
        world.apply(Event::Exchange(exchange));
    }
    world.sample_after(3 * SECOND);
    let page = show(&mut world, &mut collector);
    let figure = |metric: &str, more: &str| -> f64 {
        let series = format!("backscope_exchange_{metric}{{{HERE},role=\"server\"{more}}}");
        value(&page, &series).unwrap_or_else(|| panic!("{series} in {page}")).parse().unwrap()
    };
    assert_eq!(figure("duration_seconds_count", ""), 6.0);
    assert_eq!(figure("io_bytes_total", ",direction=\"response\""), 6.0 * 200.0);
    let app = figure("time_seconds_total", ",owner=\"app\",kind=\"app\"");
    assert!((app - 6.0 * 900e-6).abs() < 1e-9, "{app}");
}

fn finding(kind: &'static str, subject: &str) -> Finding {
    Finding {
        kind,
        severity: Severity::Critical,
        owner: Owner::App,
        sock: 1,
        subject: subject.into(),
        pid: None,
        since_ns: 0,
        stood: Stood::default(),
        headline: "".into(),
        text: "".into(),
        inferred: false,
        claims: Vec::new(),
        evidence: Vec::new(),
        fix: "".into(),
        explained_by: None,
        explains: Vec::new(),
    }
}

#[test]
fn series_are_bounded_and_what_is_beyond_is_counted() {
    let mut world = World::new("full", Vec::new());
    for number in 0..2 * MAX_SERVERS {
        let mut one = listener(LISTENER + number as u64, 10);
        one.local = address(&format!("10.0.{}.{}:80", number / 250, number % 250));
        one.accepted = 3;
        world.listeners.push(one);
    }
    let mut collector = collector();
    world.sample_after(SECOND);
    let page = show(&mut world, &mut collector);
    let lines =
        page.lines().filter(|line| line.starts_with("backscope_connections_accepted_total"));
    assert_eq!(lines.count(), MAX_SERVERS - 1, "one of them stands for the rest");
    let other = r#"server_address="other",server_port="other",comm="other""#;
    let rest = 3 * (MAX_SERVERS + 2);
    let counted = value(&page, &format!("backscope_connections_accepted_total{{{other}}}"));
    assert_eq!(counted, Some(rest.to_string().as_str()));
    let folded = value(&page, "backscope_export_folded_total");
    assert_eq!(folded, Some((MAX_SERVERS + 2).to_string().as_str()));

    // Those that went make room after a while.
    world.listeners.truncate(3);
    world.sample_after(SECOND);
    world.sample_after(700 * SECOND);
    show(&mut world, &mut collector);
    let mut new = listener(99_999, 10);
    new.local = address("10.9.9.9:80");
    world.listeners.push(new);
    world.sample_after(SECOND);
    let page = show(&mut world, &mut collector);
    assert!(page.contains("10.9.9.9"), "{page}");
    let lines =
        page.lines().filter(|line| line.starts_with("backscope_connections_accepted_total"));
    assert_eq!(lines.count(), 5, "{page}");

    let mut figures = world.model.figures();
    for number in 0..3 * MAX_FINDINGS {
        figures.findings.push(finding("close-wait-leak", &format!("server {number}")));
    }
    collector.refresh(figures);
    let page = text::write(&collector.page(&[]));
    let lines = page.lines().filter(|line| line.starts_with("backscope_finding{"));
    assert_eq!(lines.count(), MAX_FINDINGS + 1);
    assert!(page.contains(&format!("subject=\"other\"}} {}", 2 * MAX_FINDINGS)), "{page}");
}

const HOSTILE: &str = "a\"b\\c\nd\te\u{1f980}{}=,\u{202e}\u{0}é";

fn hostile() -> (World, Collector) {
    let mut world = World::with_limit(10);
    world.listeners[0].comm = HOSTILE.into();
    let mut collector = collector();
    world.accept(0, 7, 300 * MS, MS);
    world.sample_after(SECOND);
    collector.know(world.model.workloads());
    for output in world.out.drain(..) {
        collector.take(&output);
    }
    let mut figures = world.model.figures();
    figures.findings.push(finding("keepalive-race", HOSTILE));
    collector.refresh(figures);
    (world, collector)
}

/// Reads a line of the text format as its definition says.
fn parse(line: &str) -> (String, Vec<(String, String)>, f64) {
    let (head, rest) = match line.split_once('{') {
        Some((name, rest)) => (name.to_owned(), rest),
        None => {
            let (name, value) = line.split_once(' ').unwrap();
            return (name.to_owned(), Vec::new(), value.parse().unwrap());
        }
    };
    let mut labels = Vec::new();
    let mut rest = rest;
    while !rest.starts_with('}') {
        let (name, after) = rest.trim_start_matches(',').split_once("=\"").unwrap();
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().unwrap() {
                (place, '"') => break place,
                (_, '\\') => value.push(match characters.next().unwrap().1 {
                    'n' => '\n',
                    other @ ('\\' | '"') => other,
                    other => panic!("\\{other} in {line}"),
                }),
                (_, other) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
        rest = &after[end + 1..];
    }
    (head, labels, rest[2..].parse().unwrap())
}

#[test]
fn whatever_a_label_holds_every_line_is_one_series() {
    let (_world, collector) = hostile();
    let page = text::write(&collector.page(&[]));
    let mut comms = 0;
    for line in page.lines() {
        if line.starts_with('#') {
            continue;
        }
        let (name, labels, _) = parse(line);
        assert!(name.starts_with("backscope_") || name.starts_with("process_"), "{line}");
        for (label, value) in labels {
            if label == "comm" || label == "subject" {
                assert_eq!(value, Value::Text(HOSTILE.into()).plain(), "{line}");
                assert!(value.contains('\u{1f980}') && !value.contains('\n'), "{value:?}");
                comms += 1;
            }
        }
    }
    assert!(comms > 20, "{comms}");
}

#[test]
fn promtool_has_nothing_to_say_of_it() {
    let (_world, collector) = hostile();
    let tally = [(("ok", ""), 3)].into();
    let page = collector.page(&[(family::SCRAPES, ["outcome", ""], &tally)]);
    let mut promtool = match Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(promtool) => promtool,
        Err(error) => {
            eprintln!("not checked: no promtool ({error}); `cargo xtask setup` installs it");
            return;
        }
    };
    promtool.stdin.take().unwrap().write_all(text::write(&page).as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[test]
fn both_formats_have_the_same_series() {
    let (_world, collector) = hostile();
    let page = collector.page(&[]);
    let bytes = protobuf::write(&page);
    let text = text::write(&page);
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = name.split(' ').next().unwrap();
        assert!(bytes.windows(name.len()).any(|part| part == name.as_bytes()), "{name}");
    }
    let comm = Value::Text(HOSTILE.into()).plain();
    assert!(bytes.windows(comm.len()).any(|part| part == comm.as_bytes()));
}

#[test]
fn an_empty_page_is_empty() {
    let page = Page::new(UNIX_EPOCH, UNIX_EPOCH);
    assert_eq!(text::write(&page), "");
    assert!(protobuf::write(&page).is_empty());
    let mut page = Page::new(UNIX_EPOCH, UNIX_EPOCH);
    page.add_known(family::ACCEPTED, &labels([]), None);
    assert_eq!(text::write(&page), "", "what is not known has no series");
}

#[test]
fn an_exemplar_is_in_the_bucket_of_its_time() {
    let mut histogram = super::histogram::Histogram::default();
    histogram.record(300_000, 1);
    let exemplar = super::histogram::Exemplar {
        us: 300_000,
        at: UNIX_EPOCH,
        trace_id: vec![0xab; 16],
        span_id: vec![1; 8],
    };
    let mut page = Page::new(UNIX_EPOCH, UNIX_EPOCH);
    page.add_histogram(family::EXCHANGE, &labels([]), &histogram);
    let without = protobuf::write(&page).len();
    histogram.link(exemplar);
    let mut page = Page::new(UNIX_EPOCH, UNIX_EPOCH);
    page.add_histogram(family::EXCHANGE, &labels([]), &histogram);
    let bytes = protobuf::write(&page);
    let id = "ab".repeat(16);
    let found = bytes.windows(id.len()).filter(|part| *part == id.as_bytes()).count();
    assert!(found == 1 && bytes.len() > without, "once, in one bucket");
}
