//! Parses the verdicts that the tests inside a virtual machine print on its serial console:
//!
//! ```text
//! VERDICTS begin
//! VERDICT <pass|fail|skip> <test name> <milliseconds> [reason]
//! VERDICTS done
//! ```

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
    pub(crate) millis: u64,
    /// Why it failed, at its last run or at first, or was skipped; may be empty.
    pub(crate) reason: String,
}

/// A line of the console that concerns the tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Verdict(Verdict),
    /// The kernel has booted, and the tests begin.
    Begin,
    /// Every test that was to run has had its verdict.
    Done,
    /// A verdict that the console has garbled, so that one is missing.
    Garbled,
}

/// Reads a line of the console; `None` if it does not concern the tests.
pub(crate) fn parse(line: &str) -> Option<Line> {
    let line = line.trim();
    match line {
        "VERDICTS begin" => return Some(Line::Begin),
        "VERDICTS done" => return Some(Line::Done),
        _ => {}
    }
    // A message of the kernel may precede it on the line.
    let start = line.find("VERDICT")?;
    Some(
        line[start..]
            .strip_prefix("VERDICT ")
            .and_then(verdict)
            .map_or(Line::Garbled, Line::Verdict),
    )
}

fn verdict(words: &str) -> Option<Verdict> {
    let mut words = words.splitn(4, ' ');
    let outcome = match words.next()? {
        "pass" => Outcome::Pass,
        "fail" => Outcome::Fail,
        "skip" => Outcome::Skip,
        _ => return None,
    };
    let test = words.next().filter(|name| !name.is_empty())?.to_owned();
    let millis = words.next()?.parse().ok()?;
    let reason = words.next().unwrap_or_default().to_owned();
    Some(Verdict { outcome, test, millis, reason })
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

/// The counts of a libtest summary, `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
pub(crate) fn parse_summary(line: &str) -> Option<Counts> {
    let (_, counts) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
    let mut sum = Counts::default();
    for part in counts.split("; ") {
        match part.split_once(' ')? {
            (n, "passed") => sum.passed = n.parse().ok()?,
            (n, "failed") => sum.failed = n.parse().ok()?,
            (n, "ignored") => sum.skipped = n.parse().ok()?,
            _ => {}
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_lines() {
        let fail = Verdict {
            outcome: Outcome::Fail,
            test: "watch::overflow".into(),
            millis: 1200,
            reason: "expected 3, got 2".into(),
        };
        assert_eq!(
            parse("VERDICT fail watch::overflow 1200 expected 3, got 2\r"),
            Some(Line::Verdict(fail))
        );
        let pass =
            Verdict { outcome: Outcome::Pass, test: "a".into(), millis: 0, reason: String::new() };
        assert_eq!(parse("VERDICT pass a 0"), Some(Line::Verdict(pass.clone())));
        assert_eq!(parse("[    1.5] noise VERDICT pass a 0"), Some(Line::Verdict(pass)));
        assert_eq!(parse("VERDICTS begin"), Some(Line::Begin));
        assert_eq!(parse("VERDICTS done"), Some(Line::Done));
        assert_eq!(parse("[    1.5] random: crng init done"), None);
    }

    #[test]
    fn a_garbled_verdict_is_not_overlooked() {
        for line in [
            "VERDICT",
            "VERDICT maybe a 1",
            "VERDICT pass a",
            "VERDICT pass a soon",
            "VERDICTS don",
        ] {
            assert_eq!(parse(line), Some(Line::Garbled), "{line}");
        }
    }

    #[test]
    fn libtest_summaries() {
        let line = "test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered \
                    out; finished in 0.00s";
        assert_eq!(parse_summary(line), Some(Counts { passed: 3, failed: 1, skipped: 2 }));
        assert_eq!(parse_summary("test watch ... ok"), None);
    }
}
