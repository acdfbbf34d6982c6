use super::*;
use crate::model::event::{ThreadSample, ThreadUse};

const MS: u64 = 1_000_000;

fn used(from_ms: u64, cpu_ms: u64, delay_ms: u64) -> ThreadUse {
    let since_ns = Some(from_ms * MS);
    ThreadUse { pid: 1, tid: 7, since_ns, run_delay_ns: delay_ms * MS, cpu_ns: cpu_ms * MS }
}

fn add(spans: &mut Spans, from_ms: u64, to_ms: u64, cpu_ms: u64, delay_ms: u64) {
    spans.add(7, Span::of(&used(from_ms, cpu_ms, delay_ms), to_ms * MS).expect("a span"));
}

fn spent(spans: &Spans, from_ms: u64, to_ms: u64) -> Option<(u64, u64)> {
    spans.spent(7, from_ms * MS, to_ms * MS).map(|spent| (spent.cpu_ns / MS, spent.delay_ns / MS))
}

#[test]
fn a_stretch_is_the_sum_of_its_calls_in_whatever_order_they_are_told() {
    let mut spans = Spans::default();
    add(&mut spans, 140, 160, 20, 0);
    add(&mut spans, 100, 120, 18, 2);
    add(&mut spans, 120, 140, 10, 10);
    assert_eq!(spent(&spans, 100, 160), Some((48, 12)));
    add(&mut spans, 120, 140, 10, 10);
    assert_eq!(spent(&spans, 100, 160), Some((48, 12)), "told twice");
    assert_eq!(spent(&spans, 100, 240), None, "of half of it nothing is known");
    assert_eq!(spans.spent(8, 100 * MS, 160 * MS), None, "another thread");
}

#[test]
fn a_span_that_reaches_beyond_the_stretch_tells_only_what_must_be() {
    let mut spans = Spans::default();
    add(&mut spans, 0, 1_000, 300, 0);
    assert_eq!(spent(&spans, 800, 1_000), None, "all of it may have been before");
    let mut spans = Spans::default();
    add(&mut spans, 0, 1_000, 980, 0);
    assert_eq!(spent(&spans, 800, 1_000), Some((190, 0)));
    let mut spans = Spans::default();
    add(&mut spans, 0, 1_000, 4, 0);
    assert_eq!(spent(&spans, 800, 1_000), Some((2, 0)));
}

#[test]
fn what_any_thread_of_a_process_lacked_bounds_what_held_it() {
    let thread = |pid, tid, delay_ms: u64| ThreadSample {
        pid,
        tid,
        run_delay_ns: delay_ms * MS,
        ..ThreadSample::default()
    };
    let sampled = |spans: &mut Spans, at_ms: u64, threads: &[ThreadSample]| {
        spans.sampled(&Sample {
            ts_ns: at_ms * MS,
            threads: threads.to_vec(),
            ..Sample::default()
        });
    };
    let mut spans = Spans::default();
    sampled(&mut spans, 1_000, &[thread(1, 7, 100), thread(1, 8, 500), thread(2, 9, 0)]);
    sampled(&mut spans, 2_000, &[thread(1, 7, 130), thread(1, 8, 510), thread(2, 9, 400)]);
    sampled(
        &mut spans,
        3_000,
        &[thread(1, 7, 135), thread(1, 8, 510), thread(1, 10, 900), thread(2, 9, 400)],
    );
    let lacked = |spans: &Spans, pid, from_ms, to_ms| {
        spans.lacked(pid, from_ms * MS, to_ms * MS).map(|ns| ns / MS)
    };
    assert_eq!(lacked(&spans, 1, 1_200, 1_300), Some(30));
    assert_eq!(
        lacked(&spans, 1, 1_900, 2_100),
        Some(35),
        "what a thread had before it was watched is left out"
    );
    assert_eq!(lacked(&spans, 2, 1_200, 1_300), Some(400));
    assert_eq!(
        (lacked(&spans, 1, 900, 1_100), lacked(&spans, 1, 2_900, 3_100)),
        (None, None),
        "not all of it"
    );
    assert_eq!(lacked(&spans, 3, 1_200, 1_300), None);
    sampled(&mut spans, 4_000, &[thread(1, 8, 510), thread(1, 10, 900), thread(2, 9, 400)]);
    assert_eq!(lacked(&spans, 1, 3_200, 3_300), None, "a thread ended");
}

#[test]
fn quick_calls_take_little_room() {
    let mut spans = Spans::default();
    for at in 0..10_000 {
        let from_ns = at * MS / 10;
        let thread = ThreadUse { cpu_ns: MS / 20, since_ns: Some(from_ns), ..used(0, 0, 0) };
        spans.add(7, Span::of(&thread, from_ns + MS / 10).expect("a span"));
    }
    assert!(spans.threads[&7].len() <= MAX_SPANS);
    assert_eq!(spent(&spans, 900, 1_000), Some((50, 0)));
}

#[test]
fn quick_calls_with_something_between_them_tell_of_themselves_alone() {
    let mut spans = Spans::default();
    // One of each millisecond is known, of four.
    for at in (0..100).rev() {
        add(&mut spans, 4 * at, 4 * at + 1, 1, 0);
    }
    assert_eq!(spent(&spans, 100, 300), None, "a quarter is not nearly all");
    for at in (0..100).rev() {
        add(&mut spans, 4 * at + 1, 4 * at + 4, 0, 2);
    }
    assert_eq!(spent(&spans, 100, 300), Some((50, 100)));
}
