//! Findings that follow from one another.

use backscope::model::snapshot::{Finding, FindingRef, Owner, Severity, Snapshot};
use ratatui::crossterm::event::KeyCode;

use super::scene::incident;
use super::{Screen, assert_screen, assert_shows};

/// One of the findings on the full listener of the scene.
fn finding(kind: &'static str, severity: Severity, headline: &str) -> Finding {
    let base = incident().findings.remove(0);
    Finding {
        kind,
        severity,
        owner: Owner::App,
        headline: headline.into(),
        text: "The kernel has completed their handshakes.".into(),
        fix: "run more workers (gunicorn --workers), or answer sooner.".into(),
        ..base
    }
}

/// Makes each finding follow from the one before it.
fn linked(mut findings: Vec<Finding>) -> Vec<Finding> {
    for at in 1..findings.len() {
        let cause = FindingRef::to(&findings[at - 1]);
        findings[at].explained_by = Some(cause);
    }
    findings
}

/// Two workers that are used up: what the model says of them, causes first.
fn exhausted() -> Snapshot {
    let root = finding(
        "slow-app",
        Severity::Warning,
        "2 workers serve one connection at a time, 250 ms each: 8 a second, 61 come.",
    );
    let mut starved = finding(
        "accept-starved",
        Severity::Warning,
        "Connections wait 1.80 s to be accepted, 2.25 s at worst.",
    );
    starved.evidence = vec![("wait_mean_us", 1_800_000.0)];
    let mut overflow = finding(
        "accept-queue-overflow",
        Severity::Critical,
        "Clients are being refused: 132 SYNs so far, 35 a second.",
    );
    overflow.evidence = vec![("overflows_per_second", 35.0)];
    overflow.claims = vec!["syns-dropped", "syn-again"];
    let mut clients = finding(
        "connect-fails",
        Severity::Warning,
        "No answer yet from 0.0.0.0:8080: 131 connects, for 4.93 s so far.",
    );
    (clients.sock, clients.subject, clients.pid) = (8_929, "nginx 8929".into(), Some(8_929));
    (clients.evidence, clients.owner) = (vec![("failed", 131.0)], Owner::Peer);
    let mut snapshot = incident();
    snapshot.findings = linked(vec![root, starved, overflow, clients]);
    snapshot
}

#[test]
fn the_first_screen_has_the_cause_and_a_line_of_what_follows() {
    for size in [(80, 24), (120, 35)] {
        let mut screen = Screen::new(exhausted()).sized(size.0, size.1);
        assert_screen("chain", &mut screen);
        let text = screen.text();
        assert_shows(&text, &["250 ms each:", "So: accept queue full → 35 SYNs refused a second"]);
        assert!(
            !text.contains("1.80 s to be accepted"),
            "the symptoms are on the view of findings"
        );
        assert!(!text.contains("more finding"), "all of them are one chain:\n{text}");
    }
}

#[test]
fn what_follows_is_set_in_below_its_cause() {
    let mut screen = Screen::new(exhausted());
    screen.key(KeyCode::Char('4'));
    screen.key(KeyCode::Down);
    assert_screen("chain_findings", &mut screen);
    assert_shows(&screen.text(), &["└ A", "Follows from: 2 workers serve one connection"]);
}

/// A finding that is no part of the chain is counted beside it.
#[test]
fn another_finding_is_counted_beside_a_chain() {
    let mut snapshot = exhausted();
    snapshot.findings.push(finding("backlog-clamped", Severity::Info, "listen() got less."));
    let mut screen = Screen::new(snapshot);
    assert_shows(&screen.text(), &["and 1 more finding here"]);
}
