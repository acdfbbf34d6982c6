//! The evidence in sentences. Threads and processes are named by number only: nothing here came
//! from outside.

use super::facts::PatternFacts;
use super::judge::{Helpers, Judgement, Reason};
use super::waits::Waits;
use crate::model::event::Place;
use crate::model::snapshot::{PatternName, Units, WaitView};
use crate::text::{count, count_of, duration_us, times};

/// Everything that sentences are made of.
pub(super) struct Evidence<'a> {
    pub(super) judgement: Judgement,
    pub(super) facts: &'a PatternFacts,
    pub(super) helpers: Helpers,
    pub(super) waits: &'a Waits,
    pub(super) handoff: WaitView,
    pub(super) place: Place,
    /// Processes of the family that accept or serve.
    pub(super) processes: usize,
    /// Other addresses that the family listens at.
    pub(super) elsewhere: usize,
}

/// A verb that agrees with its number: "1 thread accepts", "2 threads accept".
fn does(n: usize, verb: &str) -> String {
    if n == 1 { format!("{verb}s") } else { verb.to_owned() }
}

fn processes_of(n: usize) -> String {
    if n == 1 { "1 process".to_owned() } else { format!("{} processes", count(n as u64)) }
}

impl Evidence<'_> {
    /// Counts those who accept: "4 threads", or processes where these share the work and each has
    /// one thread.
    fn acceptors(&self) -> String {
        let (threads, processes) = (self.facts.accepting.len(), self.facts.processes());
        let by_process =
            self.judgement.units == Some(Units::Processes) && threads == processes && threads > 1;
        if by_process { processes_of(processes) } else { count_of(threads as u64, "thread") }
    }

    /// Returns one clause for a headline.
    pub(super) fn headline(&self) -> String {
        let facts = self.facts;
        let (accepting, servers) = (facts.accepting.len(), facts.servers.len());
        let acceptors = self.acceptors();
        match self.judgement.name {
            PatternName::SingleThread => "1 thread accepts, reads and writes".to_owned(),
            PatternName::AcceptorPlusReaders => {
                let others = self.servers(servers);
                format!(
                    "{acceptors} {}, {others} read and write{}",
                    does(accepting, "accept"),
                    self.hand_off()
                )
            }
            PatternName::MessageLoadBalancing => {
                let hands = "1 thread accepts and reads";
                match facts.other_writers.len() {
                    0 => format!("{hands}, {} work", count(self.helpers.threads)),
                    n => format!("{hands}, {n} {}", does(n, "write")),
                }
            }
            PatternName::MultipleAcceptors => {
                format!("{acceptors} accept on one listener and serve what they took")
            }
            PatternName::SocketSharding => {
                format!(
                    "{acceptors} accept, each on one of {}",
                    count_of(facts.listeners, "listener")
                )
            }
            PatternName::ThreadPerConnection => {
                format!("a new thread serves each connection{}", self.hand_off())
            }
            PatternName::ProcessPerConnection => {
                format!("a new process serves each connection{}", self.hand_off())
            }
            PatternName::Unknown => self.reason().to_owned(),
        }
    }

    fn servers(&self, servers: usize) -> String {
        match self.judgement.units {
            Some(Units::Processes) => {
                let processes: std::collections::BTreeSet<u32> =
                    self.facts.servers.keys().map(|(pid, _)| *pid).collect();
                processes_of(processes.len())
            }
            _ => count(servers as u64),
        }
    }

    fn hand_off(&self) -> String {
        if self.handoff.count == 0 {
            String::new()
        } else {
            format!(", hand-off {}", duration_us(self.handoff.p50))
        }
    }

    fn reason(&self) -> &'static str {
        match self.judgement.reason {
            Some(Reason::Few) | None => "too few connections were seen being served",
            Some(Reason::Roaming) => {
                "connections move between threads that all accept and read: a runtime schedules \
                 them"
            }
            Some(Reason::Mixed) => "no single way of sharing applies to most connections",
        }
    }

    /// Returns the evidence of the judgement, a sentence each.
    pub(super) fn sentences(&self) -> Vec<String> {
        let mut out = vec![self.who_accepts()];
        if self.judgement.reason.is_some() {
            let seen = count_of(self.facts.connections, "connection");
            out.push(format!("{}: {seen} with a known server", self.reason()));
        }
        self.who_serves(&mut out);
        if self.handoff.count > 0 {
            let [p50, p99] = [self.handoff.p50, self.handoff.p99].map(duration_us);
            let n = count_of(self.handoff.count, "connection");
            out.push(format!(
                "from accept to the first read by another thread: median {p50}, p99 {p99}, over {n}"
            ));
        }
        self.how_they_wait(&mut out);
        if self.processes > 1 {
            out.push(format!("{} processes take part", count(self.processes as u64)));
        }
        if self.facts.preexisting > 0 {
            let n = count(self.facts.preexisting);
            out.push(format!(
                "{n} of these connections had been opened before the attach: who accepted them was \
                 not observed"
            ));
        }
        if self.elsewhere > 0 {
            let n = count_of(self.elsewhere as u64, "other place");
            out.push(format!("judged by the busiest listener; there are listeners in {n}, too"));
        }
        out
    }

    fn who_accepts(&self) -> String {
        let facts = self.facts;
        let (address, accepting) = (self.place.0, facts.accepting.len());
        let idle = accepting - facts.acceptors.len().min(accepting);
        let on = match facts.listeners {
            0 | 1 => address.to_string(),
            n => format!("{} listeners at {address} (SO_REUSEPORT)", count(n)),
        };
        let taken = count_of(facts.acceptors.values().sum(), "connection");
        match (accepting, idle) {
            (0, _) => format!("nobody was seen accepting on {on}"),
            (_, 0) => format!(
                "{} {} on {on}: {taken} examined",
                self.acceptors(),
                does(accepting, "accept")
            ),
            _ => format!(
                "{} {} on {on}: {taken} examined; acceptors that waited and took none of these: \
                 {idle}",
                self.acceptors(),
                does(accepting, "accept")
            ),
        }
    }

    fn who_serves(&self, out: &mut Vec<String>) {
        let facts = self.facts;
        let of =
            |part: u64| format!("{} of {}", count(part), count_of(facts.connections, "connection"));
        let ways = [
            (facts.own, "served by the thread that accepts"),
            (facts.peer, "served by another of the threads that accept"),
            (facts.handed, "served by a thread that does not accept"),
            (facts.for_it, "served by a thread or process that was started for it"),
            (facts.roaming, "read by several of the threads that accept"),
        ];
        for (part, way) in ways {
            if part > 0 {
                out.push(format!("{}: {way}", of(part)));
            }
        }
        if facts.split > 0 {
            let both = count(facts.both);
            let writers = count_of(facts.other_writers.len() as u64, "thread");
            let split = count(facts.split);
            out.push(format!(
                "{split} of {both} connections are written by a different thread than the one that \
                 reads them: {writers}"
            ));
        }
        if self.judgement.name == PatternName::MessageLoadBalancing && facts.split == 0 {
            let (helpers, runs) =
                (count_of(self.helpers.threads, "other thread"), self.helpers.runs_per_read);
            out.push(format!("{helpers} of the process ran {runs:.1} times for each read"));
        }
    }

    fn how_they_wait(&self, out: &mut Vec<String>) {
        let facts = self.facts;
        let calls = facts.blocked + facts.found;
        if calls > 0 {
            out.push(format!(
                "accept() blocked in {} of {} calls",
                count(facts.blocked),
                count(calls)
            ));
        }
        for (who, looks) in
            [("that serve", self.waits.servers), ("that only accept", self.waits.acceptors)]
        {
            let looks = [
                (looks.one, "one descriptor"),
                (looks.many, "events of many"),
                (looks.several, "any of several descriptors"),
                (looks.lock, "a lock"),
            ];
            let mut seen = Vec::new();
            for (n, what) in looks {
                if n > 0 {
                    seen.push(format!("for {what} {}", times(n)));
                }
            }
            if !seen.is_empty() {
                out.push(format!("threads {who}, sampled asleep, waited {}", seen.join(", ")));
            }
        }
        if facts.serial > 0 {
            let n = count(facts.serial + facts.overlapping);
            out.push(format!(
                "{} of {n} connections waited until the thread's previous connection had ended",
                count(facts.serial)
            ));
        }
    }
}
