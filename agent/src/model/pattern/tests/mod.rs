//! Servers in miniature, one for each pattern; and what is said where it is not clear.

mod changes;
mod costs;
mod names;
mod site;

use crate::model::event::{Role, WaitKind, Waiting};
use crate::model::snapshot::{Io, PatternName};
use crate::model::tests::connections::opened;
use crate::model::tests::world::{LISTENER, SECOND, World};
use site::{MAIN, Site, thread};

#[test]
fn the_same_events_give_the_same_pattern() {
    let pool = [thread(1), thread(2), thread(3)];
    let mut site = Site::new()
        .with_threads(&[MAIN], WaitKind::Events)
        .with_threads(&pool, WaitKind::Lock)
        .busy(|site, n| {
            let reader = thread(1 + n % 3);
            site.visit(0, MAIN, reader, reader);
        });
    let mut again = World::with_limit(128);
    site.world.given.iter().for_each(|event| again.model.apply(event, &mut again.out));
    again.now = site.world.now;
    site.world.finish();
    again.finish();
    assert!(!site.told().is_empty());
    assert_eq!(site.world.out, again.out);
}

#[test]
fn connections_open_at_the_attach_have_no_acceptor() {
    let mut site = Site::new().with_threads(&[MAIN, thread(1), thread(2)], WaitKind::Events);
    let wait = |listener| Waiting {
        pid: MAIN.0,
        tid: MAIN.1,
        listener,
        epoll: 5,
        exclusive: false,
        switches: 0,
    };
    site.world.waiting.push(wait(LISTENER));
    (1..=8).for_each(|sock| site.world.apply(opened(sock, Role::Server, true)));
    site.world.apply(opened(9, Role::Client, true));
    for seq in 1..=4 {
        for sock in 1..=9 {
            let reader = thread(1 + sock as u32 % 2);
            site.exchange(sock, seq, reader, reader);
        }
        site.world.sample_after(SECOND);
    }
    let view = site.world.model.snapshot().patterns.remove(0);
    assert_eq!(
        (view.name, view.io),
        (PatternName::AcceptorPlusReaders, Some(Io::EventLoop)),
        "{view:#?}"
    );
    let told = "8 of these connections had been opened before the attach: who accepted them was \
                not observed";
    assert!(view.evidence.iter().any(|text| text == told), "{view:#?}");
}

#[test]
fn too_little_is_unknown_and_says_why() {
    let mut site = Site::new().with_threads(&[MAIN], WaitKind::Events);
    site.visit(0, MAIN, MAIN, MAIN);
    site.visit(0, MAIN, MAIN, MAIN);
    (0..5).for_each(|_| site.world.sample_after(SECOND));
    assert!(site.told().is_empty());
    site.world.finish();
    let told = site.told().remove(0);
    assert_eq!((told.name, told.units, told.confidence), (PatternName::Unknown, None, 0.0));
    assert_eq!(told.headline, "too few connections were seen being served");
}

#[test]
fn tasks_that_move_between_threads_have_no_name() {
    let threads = [thread(0), thread(1), thread(2)];
    let site = Site::new().with_threads(&threads, WaitKind::Events).busy(|site, n| {
        let sock = site.accept(0, thread(n % 3));
        (1..=3)
            .for_each(|seq| site.exchange(sock, seq, thread((n + seq) % 3), thread((n + seq) % 3)));
    });
    assert!(site.told().is_empty(), "{:#?}", site.told());
    let view = site.world.model.snapshot().patterns.remove(0);
    assert!(view.headline.contains("a runtime schedules them"), "{view:#?}");
}

#[test]
fn confidence_comes_with_connections_and_their_agreement() {
    let confidence = |own: u32, handed: u32| {
        let mut site = Site::new().with_threads(&[MAIN, thread(1)], WaitKind::Events);
        (0..own).for_each(|_| site.visit(0, MAIN, MAIN, MAIN));
        (0..handed).for_each(|_| site.visit(0, MAIN, thread(1), thread(1)));
        (0..3).for_each(|_| site.world.sample_after(SECOND));
        site.world.model.snapshot().patterns.remove(0).confidence
    };
    let near = |one: f64, other: f64| (one - other).abs() < 0.005;
    assert!(near(confidence(5, 0), 10.0 / 15.0), "{}", confidence(5, 0));
    assert!(near(confidence(50, 0), 100.0 / 105.0));
    assert!(near(confidence(40, 10), 0.8 * 100.0 / 105.0));
    assert_eq!(confidence(30, 30), 0.0);
    assert!(confidence(250, 0) <= 0.99);
}
