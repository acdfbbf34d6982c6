//! Reads what tests print: libtest, libtest-mimic, and the lines that the end-to-end tests and the
//! init of a virtual machine add:
//!
//! ```text
//! running <number> tests
//! case begins: <test>
//! case <failed|passed alone|measured>: <test>: <reason>
//! test <test> ... <ok|FAILED|ignored> [(reason)]
//! failures: (with their messages up to the summary)
//! test result: FAILED. 1 passed; 1 failed; 0 ignored; ...
//! e2e ended: <exit status>
//! ```

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// The outcome of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Pass,
    Fail,
    Skip,
}

/// The verdict on one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    pub(crate) test: String,
    /// Time since it began.
    pub(crate) took: Duration,
    /// Why it failed, at its last run or at first, or was skipped; may be empty.
    pub(crate) reason: String,
}

/// A line that concerns the tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// So many tests are to run.
    Running(u64),
    /// An end-to-end test begins, perhaps for a second time.
    Begins(&'a str),
    /// An end-to-end test `failed`, `passed alone` or was `measured`. Its result follows.
    Reason {
        how: &'static str,
        test: &'a str,
        reason: &'a str,
    },
    /// A test has ended.
    Result {
        outcome: Outcome,
        test: &'a str,
        reason: &'a str,
    },
    /// Messages of failed tests follow.
    Failures,
    Summary(Counts),
    /// The test program of a virtual machine ended with this status.
    Ended(&'a str),
}

/// Reads a line; `None` if it does not concern the tests. Something else may precede what it says:
/// a message of the kernel, or half a line of another thread.
pub(crate) fn parse(line: &str) -> Option<Line<'_>> {
    let line = line.trim();
    if line == "failures:" {
        return Some(Line::Failures);
    }
    // A reason may look like any other line.
    if let Some(case) = after(line, "case ").and_then(case) {
        return Some(case);
    }
    if let Some(result) = result(line) {
        return Some(result);
    }
    if let Some(summary) = after(line, "test result: ") {
        return counts(summary).map(Line::Summary);
    }
    if let Some(status) = after(line, "e2e ended: ") {
        return Some(Line::Ended(status));
    }
    let (number, tests) = after(line, "running ")?.split_once(' ')?;
    let number = number.parse().ok().filter(|_| matches!(tests, "test" | "tests"))?;
    Some(Line::Running(number))
}

/// Returns what follows the first occurrence of the text.
fn after<'a>(line: &'a str, text: &str) -> Option<&'a str> {
    line.split_once(text).map(|(_, rest)| rest)
}

fn case(words: &str) -> Option<Line<'_>> {
    if let Some(test) = words.strip_prefix("begins: ") {
        return Some(Line::Begins(test));
    }
    for how in ["failed", "passed alone", "measured"] {
        if let Some(rest) = words.strip_prefix(how) {
            let (test, reason) = rest.strip_prefix(": ")?.split_once(": ")?;
            return Some(Line::Reason { how, test, reason });
        }
    }
    None
}

fn result(line: &str) -> Option<Line<'_>> {
    let (head, rest) = line.split_once(" ... ")?;
    let (_, test) = head.rsplit_once("test ")?;
    let (outcome, reason) = outcome(rest)?;
    let test = test.trim_end();
    let is_name = !test.is_empty() && !test.contains(char::is_whitespace);
    is_name.then_some(Line::Result { outcome, test, reason })
}

fn outcome(text: &str) -> Option<(Outcome, &str)> {
    match text {
        "ok" => Some((Outcome::Pass, "")),
        "FAILED" => Some((Outcome::Fail, "")),
        "ignored" => Some((Outcome::Skip, "")),
        _ => {
            let reason = text.strip_prefix("ignored (")?.strip_suffix(')')?;
            Some((Outcome::Skip, reason))
        }
    }
}

/// Returns the first half of a result, `test NAME ... `, if something else follows it: libtest-mimic
/// writes the outcome by itself, and another thread may have written a line in between.
fn torn(line: &str) -> Option<&str> {
    let (head, rest) = line.split_once(" ... ")?;
    let begin = head.rfind("test ")?;
    let end = line.len() - rest.len();
    outcome(rest.trim()).is_none().then_some(&line[begin..end])
}

/// Numbers of tests by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    /// Counts one more.
    pub(crate) fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Pass => self.passed += 1,
            Outcome::Fail => self.failed += 1,
            Outcome::Skip => self.skipped += 1,
        }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Reads the counts of a summary, `ok. 3 passed; 0 failed; 1 ignored; …`.
fn counts(summary: &str) -> Option<Counts> {
    let (_, counts) = summary.split_once(". ")?;
    let mut parts = counts.split("; ");
    let mut next = |word: &str| parts.next()?.strip_suffix(word)?.parse().ok();
    Some(Counts { passed: next(" passed")?, failed: next(" failed")?, skipped: next(" ignored")? })
}

/// What the test program of a virtual machine has said so far.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) verdicts: Vec<Verdict>,
    /// The number of tests that were to run, once it is known.
    pub(crate) announced: Option<u64>,
    /// Tests that have begun and not ended, and when they did.
    running: BTreeMap<String, Instant>,
    /// Reasons of tests whose results are to follow.
    reasons: HashMap<String, String>,
    /// The first half of a result whose second half is to follow.
    torn: Option<String>,
    /// Whether messages of failed tests come now, which may hold anything.
    messages: bool,
    summary: Option<Counts>,
    ended: Option<String>,
}

impl Output {
    /// Reads a line. Returns the verdict if it holds one.
    pub(crate) fn read(&mut self, line: &str) -> Option<&Verdict> {
        if outcome(line.trim()).is_some()
            && let Some(torn) = self.torn.take()
        {
            return self.read(&(torn + line));
        }
        if let Some(half) = torn(line) {
            self.torn = Some(half.to_owned());
        }
        match parse(line)? {
            // The last one counts: a message may hold another.
            Line::Summary(counts) => self.summary = Some(counts),
            Line::Ended(status) => self.ended = Some(status.to_owned()),
            _ if self.messages => {}
            Line::Failures => self.messages = true,
            Line::Running(tests) => self.announced = Some(tests),
            Line::Begins(test) => {
                self.running.entry(test.to_owned()).or_insert_with(Instant::now);
            }
            Line::Reason { test, reason, .. } => {
                self.reasons.insert(test.to_owned(), reason.to_owned());
            }
            Line::Result { outcome, test, reason } => {
                let began = self.running.remove(test);
                let told = self.reasons.remove(test);
                self.verdicts.push(Verdict {
                    outcome,
                    test: test.to_owned(),
                    took: began.map_or(Duration::ZERO, |began| began.elapsed()),
                    reason: told.unwrap_or_else(|| reason.to_owned()),
                });
                return self.verdicts.last();
            }
        }
        None
    }

    /// Whether the test program came to its end and said so.
    pub(crate) fn is_complete(&self) -> bool {
        self.ended.is_some() && self.summary.is_some()
    }

    /// Returns why the verdicts are not to be trusted, if so. `end` says how the output ended.
    pub(crate) fn fault(&self, end: &str) -> Option<String> {
        let Some(status) = &self.ended else {
            return Some(format!("{end} before the tests did{}", self.missing()));
        };
        let Some(summary) = self.summary else {
            return Some(format!("the tests broke off with {status}{}", self.missing()));
        };
        let counts = self.counts();
        if summary != counts {
            let missing = self.missing();
            return Some(format!(
                "the console garbled results: {counts} were read, {summary} by the summary{missing}"
            ));
        }
        if counts == Counts::default() {
            return Some("no test ran".to_owned());
        }
        let is_ok = status == "exit status: 0";
        (!is_ok && counts.failed == 0).then(|| format!("no test failed, but they ended: {status}"))
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.verdicts.iter().for_each(|verdict| counts.add(verdict.outcome));
        counts
    }

    /// Names the tests that began and have no result, and counts those that did not begin.
    fn missing(&self) -> String {
        let mut text = String::new();
        if !self.running.is_empty() {
            let names: Vec<&str> = self.running.keys().map(String::as_str).collect();
            text = format!("; without a result: {}", names.join(", "));
        }
        let seen = (self.verdicts.len() + self.running.len()) as u64;
        let not_begun = self.announced.unwrap_or(seen).saturating_sub(seen);
        if not_begun > 0 {
            text += &format!("; not begun: {not_begun}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(outcome: Outcome, test: &'static str, reason: &'static str) -> Option<Line<'static>> {
        Some(Line::Result { outcome, test, reason })
    }

    fn read(lines: &[&str]) -> Output {
        let mut output = Output::default();
        for line in lines {
            output.read(line);
        }
        output
    }

    const OK: &str = "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
    const ENDED: &str = "e2e ended: exit status: 0";

    #[test]
    fn results() {
        assert_eq!(parse("test a::b@full ... ok"), result(Outcome::Pass, "a::b@full", ""));
        assert_eq!(parse("test a::b      ... FAILED\r"), result(Outcome::Fail, "a::b", ""));
        assert_eq!(parse("test a ... ignored"), result(Outcome::Skip, "a", ""));
        assert_eq!(
            parse("test a ... ignored (no io_uring (yet))"),
            result(Outcome::Skip, "a", "no io_uring (yet)")
        );
        assert_eq!(
            parse("[    1.5] noise of a test test a ... ok"),
            result(Outcome::Pass, "a", "")
        );
    }

    #[test]
    fn lines_of_our_own() {
        assert_eq!(parse("running 12 tests"), Some(Line::Running(12)));
        assert_eq!(parse("running 1 test"), Some(Line::Running(1)));
        assert_eq!(parse("case begins: a::b"), Some(Line::Begins("a::b")));
        let line = "case failed: a::b@full: left: 1; test c ... ok";
        let reason =
            Line::Reason { how: "failed", test: "a::b@full", reason: "left: 1; test c ... ok" };
        assert_eq!(parse(line), Some(reason));
        assert_eq!(parse("e2e ended: signal: 9"), Some(Line::Ended("signal: 9")));
        assert_eq!(parse("[    1.5] random: crng init done"), None);
    }

    #[test]
    fn summaries() {
        let line = "test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered \
                    out; finished in 0.00s";
        let counts = Counts { passed: 3, failed: 1, skipped: 2 };
        assert_eq!(parse(line), Some(Line::Summary(counts)));
        assert_eq!(parse("test result: ok. many passed; "), None);
    }

    #[test]
    fn verdicts_have_the_reasons() {
        let output = read(&[
            "running 2 tests",
            "case passed alone: a: too late",
            "test a ... ok",
            "case failed: b: too early",
            "test b ... FAILED",
            "failures:",
            "---- b ----",
            "test c ... ok",
            OK,
            "test d ... ok",
            "failures:",
            "    b",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured",
            "e2e ended: exit status: 101",
        ]);
        assert_eq!(output.fault("it ended"), None);
        let reasons: Vec<_> = output.verdicts.iter().map(|verdict| &verdict.reason).collect();
        assert_eq!(reasons, ["too late", "too early"]);
    }

    #[test]
    fn a_garbled_result_is_not_overlooked() {
        for line in ["test a ... o", "test a ... ok[ 1.5] noise", "test  ... ok", "te[ 1.5]st a"] {
            assert_eq!(parse(line), None, "{line}");
            let fault = read(&["case begins: a", line, OK, ENDED]).fault("it ended");
            assert!(fault.is_some_and(|fault| fault.ends_with("without a result: a")), "{line}");
        }
        assert_eq!(read(&["test a ... ok", OK, ENDED]).fault("it ended"), None);
    }

    #[test]
    fn a_torn_result_is_joined() {
        let output = read(&[
            "test a    ... case begins: b",
            "case begins: c",
            "ok",
            "test b    ... ",
            "thread 'c' panicked",
            "ignored (no TUN device)",
            "ok",
            "test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured",
            ENDED,
        ]);
        assert_eq!(output.fault("it ended"), None);
        let verdicts = &output.verdicts;
        assert_eq!((verdicts[0].test.as_str(), verdicts[0].outcome), ("a", Outcome::Pass));
        assert_eq!((verdicts[1].test.as_str(), verdicts[1].outcome), ("b", Outcome::Skip));
    }

    #[test]
    fn a_run_without_an_end_names_what_ran() {
        let lines =
            ["running 4 tests", "case begins: a", "case begins: b", "test a ... ok", "Oops"];
        let fault = read(&lines).fault("the machine ended");
        assert_eq!(
            fault.as_deref(),
            Some("the machine ended before the tests did; without a result: b; not begun: 2")
        );
        let broken_off = [lines.as_slice(), &["e2e ended: signal: 9 (SIGKILL)"]].concat();
        assert!(read(&broken_off).fault("").is_some_and(|fault| fault.contains("SIGKILL")));
    }

    #[test]
    fn a_status_that_contradicts_the_summary_is_a_fault() {
        let output = read(&["test a ... ok", OK, "e2e ended: exit status: 101"]);
        assert!(output.fault("it ended").is_some_and(|fault| fault.contains("101")));
    }
}
