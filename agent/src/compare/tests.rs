//! Recordings that differ in one thing, and those that do not.

use super::{Comparison, Group, LEAST, Side, Verdict, compare, findings::Change, show};
use crate::{
    model::{
        event::{Event, Exchange, Opened, Pause, Role, Stage},
        tests::{
            connections::{closed, opened},
            facts::{Build, at, server},
            world::{LISTENER, MS, SECOND, World},
        },
    },
    record::{
        Reader, RecordEntry,
        tests::{entries_of, recording},
    },
    report::tests::schema::keeps_to,
};

/// What a server does.
#[derive(Clone, Copy, Debug)]
struct Doing {
    seconds: u64,
    /// Wait of each connection in the accept queue, ms.
    wait_ms: u64,
    /// Time of the application for an exchange, ms.
    app_ms: u64,
    /// Exchanges a second.
    exchanges: u64,
    /// Refusals a second.
    refusals: u64,
    /// Begins the chance of it all.
    seed: u64,
}

const CALM: Doing =
    Doing { seconds: 30, wait_ms: 2, app_ms: 20, exchanges: 40, refusals: 0, seed: 1 };

/// Returns numbers from 0 to 99.
fn chance(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % 100
    }
}

fn entries(doing: Doing) -> Vec<RecordEntry> {
    let mut world = World::with_limit(64);
    let mut chance = chance(doing.seed);
    for second in 0..doing.seconds {
        for number in 0..doing.exchanges {
            world.now += SECOND / (doing.exchanges + 1);
            let wait_ns = doing.wait_ms * MS * (50 + chance()) / 100;
            world.accept(0, 100, wait_ns, wait_ns + MS);
            let sock = 1_000 + second * doing.exchanges + number;
            let Event::Opened(known) = opened(sock, Role::Server, false) else {
                panic!("not opened")
            };
            let ts_ns = world.now - 400 * MS;
            let known = Opened { listener: Some(LISTENER), ts_ns, ..known };
            world.apply(Event::Opened(known));
            let app_ns = doing.app_ms * MS * (50 + chance()) / 100;
            // It is over by now.
            let later = (world.now - 300 * MS).saturating_sub(at(0));
            let exchange = server().writing(at(app_ns)).later(later);
            world.apply(Event::Exchange(Exchange { sock, ts_ns: world.now, ..exchange }));
            world.apply(closed(sock, world.now));
        }
        for _ in 0..doing.refusals + chance() % 2 * doing.refusals.min(1) {
            world.refuse(0, Stage::Syn);
        }
        world.sample_after(SECOND / (doing.exchanges + 1));
    }
    let mut entries = entries_of(world.given);
    entries.push(RecordEntry::Finish(world.now));
    entries
}

fn side_of(bytes: &[u8]) -> Side {
    let mut reader = Reader::new(bytes).expect("a recording");
    Side::of(&mut reader).expect("it can be read")
}

fn side(doing: Doing) -> Side {
    side_of(&recording(&entries(doing)))
}

fn verdict_of(comparison: &Comparison, group: Group, name: &str) -> Verdict {
    let mut figures = comparison.figures.iter();
    let found = figures.find(|figure| figure.group == group && figure.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", comparison.figures)).verdict
}

/// The figures that differ, as (group, name).
fn differing(comparison: &Comparison) -> Vec<(Group, String, Verdict)> {
    let mut differing = Vec::new();
    for figure in &comparison.figures {
        if !matches!(figure.verdict, Verdict::Same | Verdict::Unknown) {
            differing.push((figure.group, figure.name.clone(), figure.verdict));
        }
    }
    differing
}

#[test]
fn the_same_server_twice_has_nothing_better_or_worse() {
    let before = side(CALM);
    for seed in 2..16 {
        let comparison = compare(&before, &side(Doing { seed, ..CALM }));
        assert_eq!((comparison.better, comparison.worse), (0, 0), "{comparison:#?}");
        assert_eq!(differing(&comparison), [], "{seed}");
        assert_eq!(verdict_of(&comparison, Group::Exchanges, "p50"), Verdict::Same);
        let text = show::text(&comparison);
        assert!(text.starts_with("No difference that these recordings could show."), "{text}");
    }
}

#[test]
fn refusals_in_both_are_no_difference() {
    let one = Doing { refusals: 3, ..CALM };
    let before = side(one);
    for seed in 2..8 {
        let comparison = compare(&before, &side(Doing { seed, ..one }));
        assert_eq!((comparison.better, comparison.worse), (0, 0), "{comparison:#?}");
    }
}

#[test]
fn a_slower_application_is_worse_and_the_other_way_round_better() {
    // Enough of them for a 99th percentile.
    let many = Doing { exchanges: 60, ..CALM };
    let (fast, slow) = (side(many), side(Doing { app_ms: 60, seed: 5, ..many }));
    for (before, after, expected) in
        [(&fast, &slow, Verdict::Worse), (&slow, &fast, Verdict::Better)]
    {
        let comparison = compare(before, after);
        for name in ["p50", "p90", "p99"] {
            assert_eq!(verdict_of(&comparison, Group::Exchanges, name), expected, "{name}");
        }
        assert_eq!(verdict_of(&comparison, Group::Owners, "app"), expected);
        assert_eq!(verdict_of(&comparison, Group::Kinds, "app"), expected);
        assert_eq!(verdict_of(&comparison, Group::Owners, "peer"), Verdict::Same);
        assert_eq!(verdict_of(&comparison, Group::AcceptWait, "p50"), Verdict::Same);
        assert_eq!(verdict_of(&comparison, Group::Load, "exchanges"), Verdict::Same);
    }
}

#[test]
fn a_longer_wait_and_refusals_are_worse() {
    let worse = Doing { wait_ms: 200, refusals: 4, seed: 3, ..CALM };
    let comparison = compare(&side(CALM), &side(worse));
    assert_eq!(verdict_of(&comparison, Group::AcceptWait, "p50"), Verdict::Worse);
    assert_eq!(verdict_of(&comparison, Group::Failures, "refusals"), Verdict::Worse);
    let new: Vec<_> =
        comparison.findings.iter().filter(|finding| finding.change == Change::New).collect();
    assert!(new.iter().any(|finding| finding.kind == "accept-queue-overflow"), "{new:?}");
    assert!(new.iter().all(|finding| finding.verdict == Verdict::Worse), "{new:?}");
    let back = compare(&side(worse), &side(CALM));
    assert!(back.findings.iter().any(|finding| {
        finding.kind == "accept-queue-overflow"
            && finding.change == Change::Gone
            && finding.verdict == Verdict::Better
    }));
}

#[test]
fn what_a_short_recording_cannot_show_is_not_judged() {
    let short = Doing { seconds: LEAST as u64 - 2, ..CALM };
    let comparison = compare(&side(Doing { app_ms: 200, refusals: 5, ..CALM }), &side(short));
    assert_eq!(differing(&comparison), []);
    assert_eq!(verdict_of(&comparison, Group::Exchanges, "p50"), Verdict::Unknown);
    assert!(comparison.notes.iter().any(|note| note.contains("too few")), "{:?}", comparison.notes);
    assert!(comparison.notes.iter().any(|note| note.starts_with("A lasted")));
}

#[test]
fn a_finding_that_a_short_recording_had_no_time_for_is_not_gone() {
    let long = side(Doing { refusals: 5, ..CALM });
    let took_ns = long.digest.findings.stories()[0].from_ns() - long.header.setup.attached_ns;
    assert!(took_ns > SECOND / 2, "{took_ns}");
    let mut side_without = side(CALM);
    side_without.end_ns = side_without.header.setup.attached_ns + took_ns / 2;
    let comparison = compare(&long, &side_without);
    let gone: Vec<_> =
        comparison.findings.iter().filter(|finding| finding.change == Change::Gone).collect();
    assert!(!gone.is_empty());
    for finding in gone {
        assert_eq!(finding.verdict, Verdict::Unknown);
        assert!(finding.reason.is_some_and(|reason| reason.contains("ended before")));
    }
}

#[test]
fn recordings_without_exchanges_are_compared_in_their_queues() {
    let (one, mut other) = (side(CALM), side(Doing { seed: 9, wait_ms: 300, ..CALM }));
    other.header.setup.exchanges = false;
    let comparison = compare(&one, &other);
    assert_eq!(verdict_of(&comparison, Group::Exchanges, "p50"), Verdict::Unknown);
    assert_eq!(verdict_of(&comparison, Group::Owners, "app"), Verdict::Unknown);
    assert_eq!(verdict_of(&comparison, Group::AcceptWait, "p50"), Verdict::Worse);
    assert!(comparison.notes.iter().any(|note| note.contains("--detail queues")));
}

#[test]
fn owners_are_not_judged_across_tiers() {
    let (one, mut other) = (side(CALM), side(Doing { seed: 9, app_ms: 90, ..CALM }));
    other.header.setup.tier = "tracepoint".into();
    let comparison = compare(&one, &other);
    assert_eq!(verdict_of(&comparison, Group::Owners, "app"), Verdict::Unknown);
    assert_eq!(verdict_of(&comparison, Group::Exchanges, "p50"), Verdict::Worse);
    assert!(comparison.notes.iter().any(|note| note.contains("tiers")));
}

#[test]
fn pauses_count_for_nothing() {
    let mut paused = Vec::new();
    for entry in entries(CALM) {
        let is_sample = matches!(entry, RecordEntry::Event(Event::Sample(_)));
        let ts_ns = match &entry {
            RecordEntry::Event(Event::Sample(sample)) => sample.ts_ns,
            _ => 0,
        };
        paused.push(entry);
        if is_sample {
            for begins in [true, false] {
                let ts_ns = if begins { ts_ns + MS } else { ts_ns + 9 * MS };
                paused.push(RecordEntry::Event(Event::Pause(Pause { ts_ns, begins })));
            }
        }
    }
    let side = side_of(&recording(&paused));
    let seconds = side.paused_ns() as f64 / 1e9;
    assert!((seconds - 30.0 * 0.008).abs() < 0.02, "{seconds}");
    let comparison = compare(&side, &side);
    assert!(comparison.notes.iter().any(|note| note.contains("to keep to its budget")));
}

#[test]
fn more_load_is_neither_better_nor_worse() {
    let comparison = compare(&side(CALM), &side(Doing { exchanges: 90, seed: 4, ..CALM }));
    assert_eq!(verdict_of(&comparison, Group::Load, "exchanges"), Verdict::Changed);
    assert_eq!((comparison.better, comparison.worse), (0, 0), "{:?}", differing(&comparison));
    let note = comparison.notes.iter().find(|note| note.contains("the load differs"));
    assert!(note.is_some_and(|note| note.contains("2.3 times")), "{:?}", comparison.notes);
}

#[test]
fn it_is_json_by_the_schema_and_a_page_that_asks_for_nothing() {
    let worse = Doing { wait_ms: 200, app_ms: 80, refusals: 4, seed: 3, ..CALM };
    let comparison = compare(&side(CALM), &side(worse));
    let object = keeps_to("diff", &comparison);
    assert_eq!(object["type"], "diff");
    assert_eq!(object["worse"], comparison.worse);
    let page = show::page(&comparison);
    for outside in ["http://", "https://", "src=", "<script", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("accept-queue-overflow") && page.contains("worse"));
    assert_eq!(page.matches("<main").count(), 1);
    let text = show::text(&comparison);
    assert!(text.contains("worse") && text.contains("accept-queue-overflow (new)"), "{text}");
    assert!(text.lines().all(|line| !line.ends_with(' ')));
}

#[test]
fn text_from_outside_stays_text() {
    let mut hostile = side(CALM);
    hostile.header.attached.targets = vec!["<b>\u{1b}[31m".into()];
    let comparison = compare(&hostile, &hostile);
    assert!(!show::page(&comparison).contains("<b>"));
    assert!(!show::text(&comparison).contains('\u{1b}'));
    let json = show::json(&comparison).expect("JSON");
    assert!(!json.contains(&0x1b));
}

#[test]
fn a_recording_that_breaks_off_anywhere_is_compared_or_refused() {
    let whole = recording(&entries(CALM));
    let other = side(CALM);
    let mut compared = 0;
    for part in 0..=50 {
        let cut = &whole[..whole.len() * part / 50];
        let Ok(mut reader) = Reader::new(cut) else { continue };
        let comparison = compare(&Side::of(&mut reader).expect("what is there"), &other);
        show::text(&comparison);
        show::page(&comparison);
        assert_eq!(
            (comparison.better, comparison.worse),
            (0, 0),
            "{part}: {:?}",
            differing(&comparison)
        );
        assert!(part == 50 || comparison.before.damages > 0);
        compared += 1;
    }
    assert!(compared > 40, "{compared}");
}
