//! A run as an answer: findings first, then the exchanges that took longest, within a bounded
//! number of bytes.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    digest::{ConnectionBrief, Digest, FindingStory, ListenerStory, WorstExchange},
    model::{output::FindingState, snapshot::Protocol},
    report::json::{ExchangeBody, FindingBody, ListenerBody, SummaryBody},
    text::{Untrusted, to_json},
};

/// Bytes of an answer: what an assistant can read at once.
const MAX_BYTES: usize = 48 * 1024;
/// Entries of a list, before the bytes are counted.
const MAX_FINDINGS: usize = 30;
const MAX_LISTENERS: usize = 20;
/// Bytes of a list of sentences or names.
const MAX_WORDS: usize = 3 * 1024;
/// Exchanges that a digest for an answer keeps.
pub(crate) const WORST: usize = 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    /// It cannot be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// What is not left out is too long: nobody records such names.
    #[error("its names alone have more than {MAX_BYTES} bytes")]
    TooLong,
}

/// A run summed up.
#[derive(Serialize)]
struct Answer<'a> {
    /// Whom the run watched.
    targets: &'a [Untrusted],
    kernel: &'a Untrusted,
    tier: &'a Untrusted,
    /// When the run began (RFC 3339), and its length.
    begin: String,
    seconds: f64,
    /// False of a recording that is damaged or breaks off: the answer is of what can be read.
    complete: bool,
    damage: Vec<String>,
    /// The gravest first.
    findings: Vec<FoundBody<'a>>,
    /// By the time of the kind that took most of each.
    worst_exchanges: Vec<WorstBody<'a>>,
    listeners: Vec<ListenedBody<'a>>,
    summary: Option<SummaryBody>,
    /// Records lost, by where.
    lost: BTreeMap<&'a Untrusted, u64>,
    /// What could not be observed here.
    gaps: &'a [Untrusted],
    notices: &'a [Untrusted],
    left_out: LeftOut,
}

/// Entries that did not fit.
#[derive(Serialize)]
struct LeftOut {
    findings: u64,
    worst_exchanges: u64,
    listeners: u64,
    /// There were more than were followed.
    further_listeners: bool,
    /// Targets, gaps, notices and places of losses.
    words: u64,
}

#[derive(Serialize)]
struct FoundBody<'a> {
    #[serde(flatten)]
    finding: FindingBody<'a>,
    /// Since the begin of the run: when it was first found, and when it last held.
    begun_s: f64,
    ended_s: f64,
    /// It held at the end of the run.
    standing: bool,
}

#[derive(Serialize)]
struct WorstBody<'a> {
    #[serde(flatten)]
    exchange: ExchangeBody,
    /// Since the begin of the run.
    ended_s: f64,
    connection: Option<ConnectionBody<'a>>,
}

#[derive(Serialize)]
struct ConnectionBody<'a> {
    local: String,
    peer: String,
    pid: u32,
    comm: &'a Untrusted,
    protocol: Option<&'static str>,
}

#[derive(Serialize)]
struct ListenedBody<'a> {
    #[serde(flatten)]
    last: ListenerBody<'a>,
    /// Deepest accept queue of the run.
    deepest: u32,
}

/// Returns a run as JSON on one line. What does not fit is left out, the least important first, and
/// counted.
///
/// # Errors
/// It cannot be written as JSON, or not within the bound.
pub(crate) fn answer(digest: &Digest) -> Result<Vec<u8>, AnswerError> {
    let mut answer = Answer::of(digest);
    let mut text = to_json(&answer)?;
    while text.len() > MAX_BYTES && answer.shorten() {
        text = to_json(&answer)?;
    }
    if text.len() > MAX_BYTES { Err(AnswerError::TooLong) } else { Ok(text) }
}

impl<'a> Answer<'a> {
    fn of(digest: &'a Digest) -> Self {
        let attached = &digest.attached;
        let begin_ns = attached.ts_ns;
        let findings = digest.findings.worst_first();
        let exchanges = digest.worst.exchanges();
        let stories = digest.listeners.stories();
        let (damages, damage_count) = &digest.damages;
        let lists = [&attached.targets, &attached.gaps, &digest.notices].map(Vec::as_slice);
        let [targets, gaps, notices] = lists.map(|list| &list[..that_fit(list.iter())]);
        let lost: Vec<_> = digest.lost.iter().collect();
        let lost = &lost[..that_fit(lost.iter().map(|(place, _)| *place))];
        let kept = [targets.len(), gaps.len(), notices.len(), lost.len()];
        let all = lists.map(<[_]>::len).iter().sum::<usize>() + digest.lost.len();
        Self {
            targets,
            kernel: &attached.kernel,
            tier: &attached.tier,
            begin: digest.clock.rfc3339(begin_ns),
            seconds: since(begin_ns, digest.end_ns()),
            complete: *damage_count == 0,
            damage: damages.iter().map(ToString::to_string).collect(),
            findings: findings
                .iter()
                .take(MAX_FINDINGS)
                .map(|story| found(story, begin_ns))
                .collect(),
            worst_exchanges: exchanges.iter().map(|exchange| worst(exchange, begin_ns)).collect(),
            listeners: stories.values().take(MAX_LISTENERS).map(listened).collect(),
            summary: digest.summary.as_ref().map(SummaryBody::from),
            lost: lost.iter().map(|(place, count)| (*place, **count)).collect(),
            gaps,
            notices,
            left_out: LeftOut {
                findings: findings.len().saturating_sub(MAX_FINDINGS) as u64
                    + digest.findings.left_out(),
                worst_exchanges: 0,
                listeners: stories.len().saturating_sub(MAX_LISTENERS) as u64,
                further_listeners: digest.listeners.leaves_out(),
                words: (all - kept.iter().sum::<usize>()) as u64,
            },
        }
    }

    /// Leaves one entry out; false if there is none left. One listener and the findings outlast
    /// everything else.
    fn shorten(&mut self) -> bool {
        let left_out = &mut self.left_out;
        if self.listeners.len() > 1 {
            self.listeners.pop();
            left_out.listeners += 1;
        } else if self.worst_exchanges.pop().is_some() {
            left_out.worst_exchanges += 1;
        } else if self.findings.pop().is_some() {
            left_out.findings += 1;
        } else if self.listeners.pop().is_some() {
            left_out.listeners += 1;
        } else {
            return false;
        }
        true
    }
}

fn found(story: &FindingStory, begin_ns: u64) -> FoundBody<'_> {
    let state = if story.is_standing { FindingState::Begun } else { FindingState::Ended };
    FoundBody {
        finding: FindingBody::of(&story.finding, state),
        begun_s: since(begin_ns, story.from_ns()),
        ended_s: since(begin_ns, story.until_ns()),
        standing: story.is_standing,
    }
}

fn worst(exchange: &WorstExchange, begin_ns: u64) -> WorstBody<'_> {
    WorstBody {
        exchange: ExchangeBody::from(&exchange.output),
        ended_s: since(begin_ns, exchange.output.ts_ns),
        connection: exchange.connection.as_ref().map(connected),
    }
}

fn connected(brief: &ConnectionBrief) -> ConnectionBody<'_> {
    ConnectionBody {
        local: brief.local.to_string(),
        peer: brief.peer.to_string(),
        pid: brief.pid,
        comm: &brief.comm,
        protocol: brief.protocol.map(Protocol::name),
    }
}

fn listened(story: &ListenerStory) -> ListenedBody<'_> {
    let peaks = story.points.points().iter().map(|point| point.peak);
    ListenedBody { last: ListenerBody::from(&story.last), deepest: peaks.max().unwrap_or(0) }
}

/// Returns how many of these have [`MAX_WORDS`] bytes together.
fn that_fit<'a>(words: impl Iterator<Item = &'a Untrusted>) -> usize {
    let mut bytes = 0;
    let fits = |word: &&Untrusted| {
        bytes += word.for_json().to_string().len();
        bytes <= MAX_WORDS
    };
    words.take_while(fits).count()
}

/// Seconds from one moment to another, to the millisecond.
fn since(begin_ns: u64, ts_ns: u64) -> f64 {
    (ts_ns.saturating_sub(begin_ns) / 1_000_000) as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        digest::tests::entries,
        record::{Reader, tests::recording},
    };

    fn digest() -> Digest {
        let bytes = recording(&entries());
        let mut reader = Reader::new(bytes.as_slice()).expect("a recording");
        Digest::of(&mut reader, WORST).expect("it can be read")
    }

    fn answered(digest: &Digest) -> Value {
        let text = answer(digest).expect("an answer");
        assert!(text.len() <= MAX_BYTES, "{} bytes", text.len());
        serde_json::from_slice(&text).expect("JSON")
    }

    #[test]
    fn findings_come_with_evidence_and_exchanges_with_slices() {
        let answer = answered(&digest());
        assert_eq!(answer["complete"], true);
        let findings = answer["findings"].as_array().expect("a list");
        assert!(findings.iter().any(|found| found["kind"] == "accept-queue-overflow"), "{answer}");
        assert!(findings.iter().all(|found| found["evidence"].is_object()));
        let worst = answer["worst_exchanges"].as_array().expect("a list");
        assert_eq!(worst.len(), WORST);
        assert!(worst.iter().all(|exchange| exchange["slices"].is_array()));
        assert!(worst[0]["verdict"]["owner"].is_string(), "{}", worst[0]);
        assert_eq!(answer["listeners"][0]["deepest"], 5);
        assert_eq!(answer["left_out"]["findings"], 0);
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_counted() {
        let mut digest = digest();
        digest.notices = vec!["long ".repeat(100).as_str().into(); 10_000];
        digest.lost = (0..10_000).map(|place| (format!("place {place}").into(), 1)).collect();
        let answer = answered(&digest);
        let lost = answer["lost"].as_object().expect("an object").len();
        let notices = answer["notices"].as_array().expect("a list").len();
        assert!(lost > 0 && notices > 0, "{lost} places, {notices} notices");
        assert_eq!(answer["left_out"]["words"], 20_000 - lost - notices);
        assert!(!answer["findings"].as_array().expect("a list").is_empty(), "they stay");
        digest.attached.kernel = "k".repeat(MAX_BYTES).as_str().into();
        assert!(matches!(super::answer(&digest), Err(AnswerError::TooLong)));
    }

    #[test]
    fn listeners_go_before_exchanges_and_exchanges_before_findings() {
        let digest = digest();
        let mut answer = Answer::of(&digest);
        let findings = answer.findings.len();
        for _ in 0..WORST {
            assert!(answer.shorten());
        }
        assert!(answer.worst_exchanges.is_empty() && answer.findings.len() == findings);
        while answer.shorten() {}
        assert!(answer.findings.is_empty() && answer.listeners.is_empty());
        assert_eq!(answer.left_out.findings, findings as u64);
        assert_eq!(answer.left_out.worst_exchanges, WORST as u64);
    }
}
