//! The stage of a fault: a watched server, and the client's side of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::ensure;
use backscope_tests::harness::Demo;

use crate::client::{Line, Outcome, Seen};
use crate::limits::Quota;
use crate::processes;
use crate::subjects::Subject;
use crate::truth::Truth;
use crate::wire::Ask;

/// A watched server, and what was done to it so far.
pub(crate) struct Stage<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) to: SocketAddr,
    /// The server's first process.
    pub(crate) pid: u32,
    pub(crate) truths: Vec<Truth>,
    /// Bytes sent and received, by the client's port; `None` if the server may have sent more
    /// later.
    pub(crate) counted: BTreeMap<u16, Option<(u64, u64)>>,
    /// The link between both ends, unless they use loopback.
    pub(crate) link: Option<Demo>,
    /// The quota that the server is under.
    pub(crate) quota: Option<Quota>,
    /// The last request, and the processor time of the server's processes before it.
    asked: (Ask, u64),
}

impl<'a> Stage<'a> {
    pub(crate) fn new(subject: &'a Subject, to: SocketAddr, link: Option<Demo>, pid: u32) -> Self {
        Self {
            subject,
            to,
            pid,
            truths: Vec::new(),
            counted: BTreeMap::new(),
            link,
            quota: None,
            asked: (Ask::Quick, 0),
        }
    }

    pub(crate) fn request(&self, ask: Ask) -> Vec<u8> {
        self.subject.wire.request(ask)
    }

    /// Returns the first bytes of a connection: a greeting, or a quick request where the protocol
    /// has none.
    pub(crate) fn first_request(&self) -> Vec<u8> {
        match self.subject.wire.greeting() {
            b"" => self.request(Ask::Quick),
            greeting => greeting.to_vec(),
        }
    }

    /// Opens a connection, with a greeting if the protocol has one.
    pub(crate) fn open(&mut self) -> anyhow::Result<Line> {
        let line = self.open_silent()?;
        self.greet(line)
    }

    /// Opens a connection with a receive buffer of so many bytes.
    pub(crate) fn open_with(&mut self, buffer: usize) -> anyhow::Result<Line> {
        let line = Line::open(self.to, self.subject.wire, Some(buffer))?;
        self.greet(line)
    }

    fn greet(&mut self, mut line: Line) -> anyhow::Result<Line> {
        let greeting = self.subject.wire.greeting();
        if !greeting.is_empty() {
            let seen = line.ask(greeting)?;
            ensure!(seen.outcome == Outcome::Answered, "not greeted: {seen:?}");
            self.saw(Truth::healthy(&seen));
        }
        Ok(line)
    }

    /// Opens a connection without sending anything.
    pub(crate) fn open_silent(&self) -> anyhow::Result<Line> {
        Line::open(self.to, self.subject.wire, None)
    }

    /// Begins so many connections at once.
    pub(crate) fn begin(&self, count: usize) -> anyhow::Result<Vec<Line>> {
        (0..count).map(|_| Line::begin(self.to, self.subject.wire)).collect()
    }

    /// Adds the truth of an exchange.
    pub(crate) fn saw(&mut self, truth: Truth) {
        self.truths.push(truth);
    }

    /// Closes a connection.
    pub(crate) fn close(&mut self, line: Line) {
        if line.bytes == (0, 0) {
            return self.close_silent(line);
        }
        self.counted.insert(line.port, Some(line.bytes));
    }

    /// Closes a connection on which nothing was asked. Some servers answer to that.
    pub(crate) fn close_silent(&mut self, line: Line) {
        self.counted.insert(line.port, None);
    }

    /// Returns the segments that the link has dropped: the client's port, and the time.
    pub(crate) fn dropped(&mut self) -> anyhow::Result<Vec<(u16, u64)>> {
        let Some(link) = &mut self.link else { return Ok(Vec::new()) };
        link.await_lines("relayed ", 1)?;
        link.drain();
        let field = |line: &str, name: &str| -> Option<u64> {
            line.split(' ')
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
        };
        let lines = link.lines("dropped ");
        let found = lines
            .filter_map(|line| Some((field(line, "destination")? as u16, field(line, "at_ns")?)));
        Ok(found.collect())
    }

    /// Returns the truth of an answer to [`Ask::Compute`]: by the thread's own clock, or by the
    /// kernel's where the protocol cannot ask for a time.
    pub(crate) fn computed(&self, seen: &Seen) -> Truth {
        match self.asked {
            (Ask::Compute(ms), _) if self.subject.wire.computes_by_clock() => {
                Truth::computed(seen, ms)
            }
            (_, before_us) => {
                Truth::computed_us(seen, processes::cpu_us(self.pid).saturating_sub(before_us))
            }
        }
    }

    /// Asks so many times in turn, with a pause after each answer, on one connection.
    pub(crate) fn asks(
        &mut self,
        times: usize,
        pause_ms: u64,
        ask: Ask,
        mut truth: impl FnMut(&Self, &Seen) -> Truth,
    ) -> anyhow::Result<()> {
        let request = self.request(ask);
        let mut line = self.open()?;
        for _ in 0..times {
            self.asked = (ask, processes::cpu_us(self.pid));
            let seen = line.ask(&request)?;
            // If an upstream fails at a later request, HAProxy closes without an answer: the client
            // may try again.
            let gave_up = seen.outcome == Outcome::Closed
                && matches!(ask, Ask::Refused | Ask::Silent | Ask::Hanging);
            ensure!(seen.outcome == Outcome::Answered || gave_up, "no answer to {ask:?}: {seen:?}");
            let truth = truth(self, &seen);
            self.saw(truth);
            if gave_up || seen.closes {
                let next = self.open()?;
                self.close(std::mem::replace(&mut line, next));
            }
            thread::sleep(Duration::from_millis(pause_ms));
        }
        self.close(line);
        Ok(())
    }
}
