//! Single events in words.

use crate::model::event::{Accept, Pause, Process, ProcessChange, SockId, Stage};
use crate::model::output::{Lost, OverflowOutput};
use crate::model::snapshot::{PatternView, Snapshot};
use crate::text::{count, count_of, duration_us, named};

/// The address of a listener.
pub(super) fn local_of(listener: SockId, snapshot: &Snapshot) -> String {
    match snapshot.listeners.iter().find(|view| view.sock == listener) {
        Some(view) => view.local.to_string(),
        None => "a new listener".to_owned(),
    }
}

pub(super) fn accept(accept: &Accept) -> String {
    let about = if accept.queued_estimated { "about " } else { "" };
    let waited = match accept.queued_us() {
        Some(us) => format!("waited {about}{}", duration_us(us)),
        None => "wait not observed".to_owned(),
    };
    let fd = match accept.fd {
        Some(fd) => format!(" as fd {fd}"),
        None => String::new(),
    };
    let (comm, tid) = (accept.comm.for_terminal(), accept.tid);
    format!("{} at {}: {waited}, taken by {comm} ({tid}){fd}", accept.peer, accept.local)
}

pub(super) fn overflow(overflow: &OverflowOutput, snapshot: &Snapshot) -> String {
    let what = match overflow.stage {
        _ if !overflow.stage_certain => "SYN or final ACK refused",
        Stage::Syn => "SYN dropped",
        Stage::Ack => "final ACK ignored",
        Stage::SynQueue => "SYN dropped, SYN queue full",
        Stage::Cookie => "syncookie sent",
    };
    let who = match overflow.peer {
        Some(peer) => peer.to_string(),
        None => format!("{} from unknown peers", count_of(overflow.count, "packet")),
    };
    let local = local_of(overflow.listener, snapshot);
    format!("{who} at {local}: {what}, accept queue {} of {}", overflow.depth, overflow.limit)
}

pub(super) fn process(process: &Process) -> String {
    let name = format!("{} ({})", process.pid, process.comm.for_terminal());
    match process.change {
        ProcessChange::Forked { parent } => {
            format!("{name} is a new child of {parent}, now watched")
        }
        ProcessChange::Executed => format!("{name} executed a new program"),
        ProcessChange::Exited => format!("{name} exited"),
        ProcessChange::ExitedWith { status } => format!("{name} exited: {}", status.words()),
    }
}

/// "api-server 4242: acceptor + readers, threads, event-loop (0.97): 1 thread accepts, 4 read and
/// write".
pub(super) fn pattern(view: &PatternView) -> String {
    let mut kind = view.name.words().to_owned();
    if let Some(units) = view.units {
        kind += &format!(", {}", units.name());
    }
    if let Some(io) = view.io {
        kind += &format!(", {}", io.name());
    }
    format!(
        "{}: {kind} ({:.2}): {}",
        named(&view.comm, view.pid).for_terminal(),
        view.confidence,
        view.headline
    )
}

pub(super) fn pause(pause: &Pause) -> &'static str {
    if pause.begins {
        "exchanges are not watched, to keep to the budget"
    } else {
        "exchanges are watched again"
    }
}

pub(super) fn lost(lost: &Lost) -> String {
    format!(
        "{} (\"{}\"), {} so far",
        count(lost.count),
        lost.probe.for_terminal(),
        count(lost.total)
    )
}
