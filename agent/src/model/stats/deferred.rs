//! Slow exchanges of a process that calls others. A request may wait for a call; the answer to a
//! call may lie unread since the client takes no more. So they are judged once requests and calls
//! are joined.

use super::rests::AppTime;
use super::slices::CpuTime;
use super::sums::LeftOut;
use super::unread::Unread;
use super::{ExchangeStats, SLOW_US, StatsByScope, scope_of, unanswered};
use crate::model::connections::{Connection, pid_of};
use crate::model::crossings::{Late, LateQuestion};
use crate::model::event::{Exchange, Role};
use crate::model::proxy::Proxies;
use crate::model::snapshot::{ExchangeView, SliceKind};

impl StatsByScope {
    /// Puts aside the parts of a slow exchange that its other side may explain, and returns them.
    /// An `excused` exchange waits by design.
    pub(super) fn defer(
        &mut self,
        now_ns: u64,
        exchange: &Exchange,
        connection: &Connection,
        view: &ExchangeView,
        excused: bool,
    ) -> LeftOut {
        let app_us = AppTime::of(exchange, view).answer_us;
        let unread = Unread::of(view);
        let is_server = exchange.role == Role::Server;
        let app = is_server && app_us >= SLOW_US && !excused;
        let unread_late = !is_server && unread.us() >= SLOW_US;
        let question = if app {
            let time = CpuTime::of(view, SliceKind::App);
            LateQuestion::App {
                us: app_us,
                cpu: (time.cpu_us, time.known_us),
                inside: !view.inside.is_empty(),
                unanswered: unanswered(exchange, view),
            }
        } else if unread_late {
            let queued = CpuTime::of(view, SliceKind::ReceiveQueue);
            LateQuestion::Unread {
                us: unread.us(),
                known_us: queued.known_us.saturating_add(unread.delay_us),
                cpu_us: queued.cpu_us,
                delay_us: unread.delay_us,
            }
        } else {
            return LeftOut::default();
        };
        let scope = scope_of(&connection.origin);
        self.lates.add(now_ns, exchange, pid_of(exchange, connection), scope, question);
        LeftOut { waits: false, app, unread: unread_late }
    }

    /// Judges the exchanges that were put aside, by what is known of their other side now.
    pub(super) fn judge_late(&mut self, now_ns: u64, proxies: &Proxies) {
        for late in self.lates.due(now_ns) {
            if let Some(entry) = self.table.get_mut(&late.scope) {
                entry.recent.now(now_ns).add_late(&late, proxies);
            }
        }
    }
}

impl ExchangeStats {
    fn add_late(&mut self, late: &Late, proxies: &Proxies) {
        match late.question {
            LateQuestion::App { us, cpu: (cpu_us, known_us), inside, unanswered } => {
                let waited = match proxies.waited(late.pid, late.id) {
                    Some((waited_us, peer)) if waited_us > 0 => Some((waited_us.min(us), peer)),
                    _ => None,
                };
                let joined = u64::from(waited.is_some());
                if let Some(unanswered) = unanswered {
                    self.unanswered.add_request(unanswered);
                    self.unanswered.joined += joined;
                } else {
                    self.slow_mut(SliceKind::App).add(us);
                    self.app.add_cpu(CpuTime { cpu_us, known_us });
                    self.app.calls += u64::from(inside || waited.is_some());
                    self.app.joined += joined;
                }
                if let Some((waited_us, peer)) = waited {
                    self.app.upstream_us = self
                        .app
                        .upstream_us
                        .saturating_add(if unanswered.is_some() { 0 } else { waited_us });
                    self.app.upstreams.add(peer, waited_us);
                }
            }
            LateQuestion::Unread { us, .. } if proxies.full_us(late.pid, late.id) * 2 >= us => {
                self.unread.held_back.add(us);
            }
            LateQuestion::Unread { us, known_us, cpu_us, delay_us } => {
                self.unread.waits.add(us);
                self.unread.cpu_us = self.unread.cpu_us.saturating_add(cpu_us);
                self.unread.delay_us = self.unread.delay_us.saturating_add(delay_us);
                self.unread.known_us = self.unread.known_us.saturating_add(known_us);
            }
        }
    }
}
