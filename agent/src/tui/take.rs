//! What is selected, for whoever wants to take it along: as a sentence, as text, as the view itself.

use ratatui::{Terminal, backend::TestBackend};

use super::app::{App, Open, Tab};
use super::theme::Theme;
use crate::model::event::{Role, TcpState};
use crate::model::snapshot::{
    ConnectionView, Finding, ListenerView, Severity, Snapshot, ThreadView,
};
use crate::text::{Untrusted, bytes, count, count_of, duration_us, percent, rate_of};

/// Columns of a view that is written to a file, and most of its lines.
const COLUMNS: u16 = 110;
const LINES: u16 = 300;

/// Request of a key: to take something along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// What is selected, to the clipboard.
    Copy,
    /// What is selected, to files.
    Write,
    /// The run, from now on; or not any more.
    Record,
    /// The run so far, as a page.
    Report,
}

/// The row that is selected, or what is open over the rows.
#[derive(Clone, Debug)]
pub enum Selected {
    /// A listener.
    Listener(Box<ListenerView>),
    /// A connection.
    Connection(Box<ConnectionView>),
    /// A thread.
    Thread(Box<ThreadView>),
    /// A finding.
    Finding(Box<Finding>),
}

impl Selected {
    /// Returns the word for it in names of files.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Listener(_) => "listener",
            Self::Connection(_) => "connection",
            Self::Thread(_) => "thread",
            Self::Finding(_) => "finding",
        }
    }

    /// Says it in words: a line, of a finding a few.
    pub fn words(&self) -> Vec<Untrusted> {
        match self {
            Self::Listener(listener) => vec![listener_words(listener)],
            Self::Connection(connection) => vec![connection_words(connection)],
            Self::Thread(thread) => vec![thread_words(thread)],
            Self::Finding(finding) => finding_words(finding),
        }
    }
}

impl App {
    /// Returns what is selected; `None` of an empty list.
    pub fn selected(&self) -> Option<Selected> {
        let snapshot = self.shown.as_ref()?;
        match &self.open {
            Some(Open::Connection(connection)) => {
                return Some(Selected::Connection(connection.clone()));
            }
            Some(Open::Listener(sock)) => {
                let listener = snapshot.listeners.iter().find(|known| known.sock == *sock)?;
                return Some(Selected::Listener(Box::new(listener.clone())));
            }
            Some(Open::Past(finding)) => return Some(Selected::Finding(finding.clone())),
            None => {}
        }
        Some(match self.tab {
            Tab::Queues => Selected::Listener(Box::new(self.listeners.selected(snapshot)?.clone())),
            Tab::Connections => {
                Selected::Connection(Box::new(self.connections.selected(snapshot)?.clone()))
            }
            Tab::Threads => Selected::Thread(Box::new(self.threads.selected(snapshot)?.clone())),
            Tab::Findings => Selected::Finding(Box::new(self.selected_finding()?.finding.clone())),
        })
    }

    /// Returns the snapshot on screen.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.shown.as_ref()
    }

    /// Shows a line of feedback, until the next key.
    pub fn tell(&mut self, told: Untrusted) {
        self.told = Some(told);
    }

    /// Returns the view of one listener or connection as text, in full; `None` of other things,
    /// which have none.
    pub fn view_of(&self, selected: &Selected) -> Option<String> {
        let mut app = Self::new(Theme::plain());
        app.shown = self.shown.clone();
        app.open = Some(match selected {
            Selected::Listener(listener) => Open::Listener(listener.sock),
            Selected::Connection(connection) => Open::Connection(connection.clone()),
            Selected::Thread(_) | Selected::Finding(_) => return None,
        });
        app.exchange = self.exchange;
        // Into memory: it cannot fail.
        let mut terminal = Terminal::new(TestBackend::new(COLUMNS, LINES)).ok()?;
        terminal.draw(|frame| app.draw(frame)).ok()?;
        Some(body(&terminal.backend().to_string()))
    }
}

/// Returns the lines between the tabs and the footer.
fn body(screen: &str) -> String {
    let mut lines = Vec::new();
    for line in screen.lines() {
        // Each line of the buffer stands in quotes.
        let line = line.trim_start_matches('"').trim_end();
        lines.push(line.trim_end_matches('"').trim_end().to_owned());
    }
    lines.pop();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.drain(..lines.len().min(2));
    lines.join("\n")
}

fn listener_words(listener: &ListenerView) -> Untrusted {
    let totals = &listener.totals;
    compose!(
        "{} ({} {}): accept queue {} of {}, {} queued, {} accepted, {} refused",
        listener.local,
        listener.comm,
        listener.pid,
        listener.depth,
        listener.limit,
        count(totals.queued),
        count(totals.accepted),
        count(totals.overflows())
    )
}

fn connection_words(connection: &ConnectionView) -> Untrusted {
    let ends = match connection.role {
        Role::Server => format!("{} to {}", connection.peer, connection.local),
        Role::Client => format!("{} to {}", connection.local, connection.peer),
    };
    let mut words = compose!(
        "{ends} ({} {}): {}, {}, {} in, {} out, {} retransmitted",
        connection.comm,
        connection.pid,
        state_words(connection),
        count_of(connection.exchanges, "exchange"),
        bytes(connection.bytes_in),
        bytes(connection.bytes_out),
        count_of(connection.retransmits, "segment")
    );
    if let Some(worst) = &connection.worst {
        words.push(format!("; the longest exchange took {}", duration_us(worst.total_us)));
        if let Some(most) = worst.held_most() {
            let (us, kind, holder) = (duration_us(most.us), most.kind.name(), most.holder.name());
            words.push(format!(", {us} of it {kind} ({holder})"));
        }
    }
    words
}

fn state_words(connection: &ConnectionView) -> &'static str {
    match connection.state {
        _ if connection.closed_ns.is_some() => "closed",
        TcpState::Closed => "closed",
        TcpState::Established => "established",
        TcpState::SynSent => "SYN sent",
        TcpState::FinWait1 | TcpState::FinWait2 => "closed by this side",
        TcpState::Closing | TcpState::LastAck => "closing",
        TcpState::CloseWait => "closed by the peer",
    }
}

fn thread_words(thread: &ThreadView) -> Untrusted {
    let share = |share: Option<f64>| share.map_or_else(|| "unknown".to_owned(), percent);
    compose!(
        "{} {} of process {}: {}, {}, {}; on a CPU {}, waiting for one {}, asleep {}; {}",
        thread.comm,
        thread.tid,
        thread.pid,
        rate_of(thread.accepts, "accept"),
        rate_of(thread.reads, "read"),
        rate_of(thread.writes, "write"),
        share(thread.busy),
        share(thread.waits),
        share(thread.asleep),
        count_of(thread.connections.into(), "open connection")
    )
}

fn finding_words(finding: &Finding) -> Vec<Untrusted> {
    let severity = match finding.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    };
    let (kind, owner) = (finding.kind, finding.owner.name());
    let mut evidence = Vec::new();
    for (name, figure) in &finding.evidence {
        evidence.push(format!("{name} {figure}"));
    }
    vec![
        compose!("{}: {}", finding.subject, finding.headline),
        finding.text.clone(),
        compose!("Try: {}", finding.fix),
        compose!("{kind}, {severity}, held by: {owner}. Evidence: {}.", evidence.join(", ")),
    ]
}
