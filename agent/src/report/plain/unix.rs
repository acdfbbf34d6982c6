//! Unix-domain sockets that listen: a line each, when they become known and while connections wait.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::Colour;
use crate::model::event::{SockId, UnixListener, count_holders};
use crate::model::output::Output;
use crate::text::count;

/// Sockets written in one interval.
const MOST: usize = 10;

/// Sockets that had a line, and whether connections waited then.
#[derive(Clone, Debug, Default)]
pub(super) struct UnixLines {
    announced: BTreeMap<SockId, bool>,
}

impl UnixLines {
    /// Writes those that are new, have connections waiting, or had some in their last line.
    pub(super) fn write(
        &mut self,
        out: &mut dyn Write,
        colour: Colour,
        time: &str,
        outputs: &[Output],
    ) -> io::Result<()> {
        let mut newest = BTreeMap::new();
        for output in outputs {
            if let Output::Unix(unix) = output {
                newest.insert(unix.view.sock, &unix.view);
            }
        }
        if newest.is_empty() {
            return Ok(());
        }
        let mut shown = Vec::new();
        for view in newest.values().copied() {
            if view.depth > 0 || self.announced.get(&view.sock) != Some(&false) {
                shown.push(view);
            }
        }
        shown.sort_by_key(|view| (std::cmp::Reverse(view.depth), view.path.clone()));
        for view in shown.iter().take(MOST) {
            // Once is enough: it is so for the whole run.
            let unseen = view.refused.is_none() && !self.announced.contains_key(&view.sock);
            let unseen = if unseen { "; connects that find it full are not seen" } else { "" };
            writeln!(out, "{time} {:<9} {}{unseen}", "unix", line(view, colour))?;
        }
        if shown.len() > MOST {
            writeln!(
                out,
                "{time} {:<9} … and {} quieter sockets",
                "unix",
                count((shown.len() - MOST) as u64)
            )?;
        }
        self.announced.clear();
        for view in newest.values() {
            self.announced.insert(view.sock, view.depth > 0);
        }
        Ok(())
    }
}

fn line(view: &UnixListener, colour: Colour) -> String {
    let more = count_holders(&view.holders, view.unnamed_holders).saturating_sub(1);
    let more = if more > 0 { format!(" +{}", count(more)) } else { String::new() };
    let full = if view.is_full() { ", full" } else { "" };
    let queue = format!("queue {}/{}{full}", count(view.depth.into()), count(view.limit.into()));
    let refused = match view.refused {
        Some(0) | None => String::new(),
        Some(n) => format!(", {}", colour.loss(true, &format!("▲{} found it full", count(n)))),
    };
    let queue = colour.loss(view.is_full(), &queue);
    format!(
        "{}: {queue}{refused}, {} {}{more}",
        view.path.for_terminal(),
        view.comm.for_terminal(),
        view.pid
    )
}
