use super::*;

const KEY: Key = (1, 77);
const BASE: ListenCounters = ListenCounters { overflows: 100, drops: 100 };

fn listener(full: u64, syn_full: u64, acks: u64) -> Listener {
    Listener {
        drops_full: full,
        drops_syn_full: syn_full,
        overflow_ack: acks,
        netns: KEY.0,
        netns_cookie: KEY.1,
        ..Listener::BLANK
    }
}

/// Counts of refused SYNs by listener, if the namespace counted so many overflows and so many
/// other drops.
fn counted(overflows: u64, others: u64, listeners: &[Listener]) -> Vec<Count> {
    let mut refused = Refused::default();
    refused.namespaces.insert(KEY, Namespace { base: BASE, now: BASE, ..Namespace::default() });
    let now = ListenCounters {
        overflows: BASE.overflows + overflows,
        drops: BASE.drops + overflows + others,
    };
    count(&mut refused, listeners, now)
}

fn count(refused: &mut Refused, listeners: &[Listener], now: ListenCounters) -> Vec<Count> {
    let members: Vec<(SockId, Listener)> = (1..).zip(listeners.iter().copied()).collect();
    refused.count(KEY, &members.iter().collect::<Vec<_>>(), Some(now), false);
    members.iter().map(|(id, _)| refused.of(*id)).collect()
}

fn overflow(overflow: u64) -> Count {
    Count { overflow, dropped: 0 }
}

#[test]
fn drops_of_a_queue_with_room_are_no_refusals_whatever_the_neighbours_suffer() {
    // RSTs of health checks, bare ACKs under TCP_DEFER_ACCEPT: `sk_drops` grew, the queue was
    // never full.
    let healthy = Listener { drops: 40, unexplained: 40, ..listener(0, 0, 0) };
    assert_eq!(counted(1_000, 1_000, &[healthy]), [Count::default()]);
    let beside = [healthy, listener(9, 0, 0)];
    assert_eq!(counted(1_000, 0, &beside), [Count::default(), overflow(9)]);
}

#[test]
fn several_that_overflow_at_once_have_their_own() {
    assert_eq!(
        counted(60, 0, &[listener(14, 0, 0), listener(46, 0, 0)]),
        [overflow(14), overflow(46)]
    );
    // An unwatched one of the namespace makes no difference.
    assert_eq!(
        counted(900, 0, &[listener(14, 0, 0), listener(46, 0, 0)]),
        [overflow(14), overflow(46)]
    );
}

#[test]
fn the_sum_never_exceeds_the_kernels_total() {
    // Before 6.18 an ignored final ACK counts twice at the socket, and nothing tells it from a
    // SYN.
    assert_eq!(counted(9, 0, &[listener(18, 0, 0)]), [overflow(9)]);
    assert_eq!(counted(9, 0, &[listener(12, 0, 0), listener(6, 0, 0)]), [overflow(6), overflow(3)]);
    assert_eq!(counted(10, 0, &[listener(7, 0, 7)]), [overflow(3)]);
}

#[test]
fn a_full_syn_queue_without_syncookies_is_no_overflow() {
    assert_eq!(counted(0, 5, &[listener(0, 5, 0)]), [Count { overflow: 0, dropped: 5 }]);
    assert_eq!(counted(4, 5, &[listener(9, 0, 0)]), [Count { overflow: 4, dropped: 5 }]);
    assert_eq!(counted(0, 2, &[listener(0, 5, 0)]), [Count { overflow: 0, dropped: 2 }]);
}

#[test]
fn a_namespace_that_cannot_be_read_leaves_what_the_listener_shows() {
    let mut refused = Refused::default();
    let member = (1, listener(14, 3, 0));
    refused.count(KEY, &[&member], None, false);
    assert_eq!(refused.of(1), overflow(14));
}

/// A container that overflows in its last second: its namespace is gone with it.
#[test]
fn what_came_after_the_last_look_at_a_namespace_is_not_lost() {
    let mut refused = Refused::default();
    let alive = (1, listener(2, 0, 0));
    refused.count(KEY, &[&alive], Some(BASE), false);
    let dead = (1, Listener { closed_ns: 9, ..listener(7, 0, 0) });
    for _ in 0..3 {
        refused.count(KEY, &[&dead], None, false);
        assert_eq!(refused.of(1), overflow(7));
    }
    // Before 6.18 acknowledgements that were ignored are among them.
    let ended = (2, listener(0, 0, 3));
    refused.count(KEY, &[&ended], None, false);
    assert_eq!(refused.of(2), Count::default());
}

/// Its counters are read after it refused some, before a scan sees these at its listener.
#[test]
fn what_came_before_the_first_look_at_a_new_namespace_is_not_lost() {
    let mut refused = Refused { has_begun: true, ..Refused::default() };
    let look = |refused: &mut Refused, full, overflows, scanned| {
        let member = (1, listener(full, 0, 0));
        let now = ListenCounters { overflows, drops: overflows };
        refused.count(KEY, &[&member], Some(now), scanned);
        refused.of(1)
    };
    assert_eq!(look(&mut refused, 0, 5, false), Count::default());
    assert_eq!(look(&mut refused, 5, 5, true), overflow(5));
    assert_eq!(look(&mut refused, 9, 8, true), overflow(8), "no more than the kernel counted");
}

#[test]
fn the_share_of_a_closed_listener_counts_once() {
    let mut refused = Refused::default();
    refused.namespaces.insert(KEY, Namespace { base: BASE, now: BASE, ..Namespace::default() });
    let closed = (1, Listener { closed_ns: 9, ..listener(5, 0, 0) });
    let open = (2, listener(4, 0, 0));
    let now = ListenCounters { overflows: 109, drops: 109 };
    for _ in 0..3 {
        refused.count(KEY, &[&closed, &open], Some(now), false);
    }
    let more = (2, listener(6, 0, 0));
    let now = ListenCounters { overflows: 111, drops: 111 };
    refused.count(KEY, &[&closed, &more], Some(now), false);
    assert_eq!((refused.of(1), refused.of(2)), (overflow(5), overflow(6)));
}

#[test]
fn counters_that_went_back_do_not_wrap() {
    let mut refused = Refused::default();
    let overflowing = [listener(5, 0, 0)];
    assert_eq!(
        count(&mut refused, &overflowing, ListenCounters { overflows: 105, drops: 105 }),
        [overflow(5)]
    );
    assert_eq!(count(&mut refused, &overflowing, ListenCounters::default()), [overflow(5)]);
}

#[test]
fn without_a_cookie_a_namespace_of_the_same_number_is_another() {
    let old = |full| Listener { netns_cookie: 0, ..listener(full, 0, 0) };
    let begin = |refused: &mut Refused, id: SockId, full, now| {
        let member = (id, old(full));
        refused.count((KEY.0, 0), &[&member], Some(now), false);
        refused.of(id)
    };
    // The one before had counted 900, and its listener closed; the new one counted 171.
    let mut refused = Refused::default();
    let many = ListenCounters { overflows: 900, drops: 900 };
    assert_eq!(begin(&mut refused, 1, 40, many), overflow(40));
    let few = ListenCounters { overflows: 171, drops: 171 };
    assert_eq!(begin(&mut refused, 2, 171, few), overflow(171), "its counters are lower");
    // It had counted 10, and the new one 900, of which its listener had 3.
    let mut refused = Refused::default();
    let few = ListenCounters { overflows: 10, drops: 10 };
    assert_eq!(begin(&mut refused, 1, 10, few), overflow(10));
    assert_eq!(begin(&mut refused, 2, 0, many), Count::default());
    let more = ListenCounters { overflows: 903, drops: 903 };
    assert_eq!(begin(&mut refused, 2, 700, more), overflow(3), "no more than it counted");
}

#[test]
fn totals_that_no_kernel_has_do_not_overflow() {
    let largest = Listener {
        overflow_ack: u64::MAX,
        closed_ns: 1,
        ..listener(i64::MAX as u64, i64::MAX as u64, 0)
    };
    let most = ListenCounters { overflows: u64::MAX, drops: u64::MAX };
    let mut refused = Refused::default();
    for _ in 0..3 {
        count(&mut refused, &[largest, largest], most);
        count(&mut refused, &[largest], ListenCounters::default());
    }
    let shares = share(&[u64::MAX; 3], u64::MAX);
    assert!(shares.iter().all(|share| *share >= u64::MAX / 4), "{shares:?}");
    assert!(shares.iter().copied().map(u128::from).sum::<u128>() <= u64::MAX.into());
}

#[test]
fn listeners_that_are_gone_keep_their_share() {
    let mut refused = Refused::default();
    refused.namespaces.insert(KEY, Namespace { base: BASE, now: BASE, ..Namespace::default() });
    let now = ListenCounters { overflows: 105, drops: 105 };
    let closed = Listener { closed_ns: 9, ..listener(5, 0, 0) };
    assert_eq!(count(&mut refused, &[closed], now), [overflow(5)]);
    refused.forget(1);
    assert_eq!(
        count(&mut refused, &[listener(3, 0, 0)], now),
        [Count::default()],
        "the kernel counted no more"
    );
}

#[test]
fn totals_never_shrink() {
    let mut refused = Refused::default();
    refused.namespaces.insert(KEY, Namespace { base: BASE, now: BASE, ..Namespace::default() });
    let now = ListenCounters { overflows: 106, drops: 106 };
    assert_eq!(count(&mut refused, &[listener(6, 0, 0)], now), [overflow(6)]);
    assert_eq!(count(&mut refused, &[listener(6, 0, 0), listener(6, 0, 0)], now)[0], overflow(6));
}
