//! Progress of a learner, kept in the user's state folder.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::Lesson;
use super::state_folder::{read_state, state_folder, write_whole};

/// Progress by lesson.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    #[serde(default)]
    lessons: BTreeMap<String, Done>,
}

/// Progress in one lesson.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Rounds seen to their end.
    #[serde(default)]
    pub rounds: usize,
    /// Questions of them that were answered rightly, at the first try or a later one. Files of
    /// before [`Done::asked`] have no more than this.
    #[serde(default)]
    pub right: usize,
    /// The questions that were asked, by their places from 0.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub asked: BTreeMap<usize, Asked>,
}

/// What became of one question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The answer that was given first.
    #[serde(default)]
    pub first: String,
    /// The first answer was right.
    #[serde(default)]
    pub first_right: bool,
    /// An answer was right: the best of all.
    #[serde(default)]
    pub right: bool,
    /// The answer that was given last.
    #[serde(default)]
    pub last: String,
    /// The last answer was right.
    #[serde(default)]
    pub last_right: bool,
    /// Times that it was answered.
    #[serde(default)]
    pub times: u32,
    /// When it was answered last, seconds since 1970.
    #[serde(default)]
    pub at: u64,
    /// Times that it was asked again, and answered rightly.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub again: usize,
    /// Steps whose owner was named rightly, in the best try, and of how many that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owners: Option<Score>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Time until a question is asked again: after the first answer, and after each right one since, in
/// seconds.
const AGAIN_AFTER: [u64; 3] = [DAY, 7 * DAY, 30 * DAY];

const DAY: u64 = 24 * 60 * 60;

/// How many of how many were right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// Right ones.
    pub right: usize,
    /// All.
    pub of: usize,
}

impl Score {
    /// Adds another score.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let (right, of) =
            (self.right.saturating_add(other.right), self.of.saturating_add(other.of));
        Self { right, of }
    }

    /// True if a larger share is right than of the other.
    fn beats(self, other: Self) -> bool {
        let [ours, theirs] = [(self.right, other.of), (other.right, self.of)]
            .map(|(right, of)| right.saturating_mul(of));
        ours > theirs || (ours == theirs && self.of > other.of)
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.right, self.of)
    }
}

impl Done {
    /// Predictions that were right at some try, of the questions seen to their end.
    pub fn predictions(&self) -> Score {
        let right = self.asked.values().filter(|asked| asked.right).count();
        Score { right: self.right.max(right), of: self.rounds }
    }

    /// Predictions that were right at the first try, of the questions of which that is known.
    pub fn first_tries(&self) -> Score {
        let right = self.asked.values().filter(|asked| asked.first_right).count();
        Score { right, of: self.asked.len() }
    }

    /// Steps whose owner was named rightly.
    pub fn owners(&self) -> Score {
        let scores = self.asked.values().filter_map(|asked| asked.owners);
        scores.fold(Score::default(), Score::plus)
    }
}

impl Progress {
    /// Reads it. A file that is damaged counts as none: the next save puts a good one in its place.
    pub fn load() -> Self {
        match path() {
            Some(path) => Self::load_from(&path),
            None => Self::default(),
        }
    }

    fn load_from(path: &Path) -> Self {
        Self::read(path).unwrap_or_default()
    }

    fn read(path: &Path) -> Option<Self> {
        serde_json::from_str(&read_state(path)?).ok()
    }

    /// Returns the progress in one lesson.
    pub fn of(&self, slug: &str) -> Done {
        self.lessons.get(slug).cloned().unwrap_or_default()
    }

    /// True once every question of the lesson was seen to its end.
    pub fn is_done(&self, lesson: &Lesson) -> bool {
        self.of(&lesson.slug).rounds >= lesson.rounds.len()
    }

    /// True if nothing was done at all.
    pub fn is_empty(&self) -> bool {
        self.lessons.is_empty()
    }

    /// Notes that a round was seen to its end, with this answer. A later try can improve the score,
    /// and never makes it worse.
    pub fn note(&mut self, slug: &str, round: usize, answer: &str, right: bool) {
        let done = self.lessons.entry(slug.to_owned()).or_default();
        let is_new = done.rounds <= round;
        let asked = done.asked.entry(round).or_default();
        if asked.times == 0 {
            answer.clone_into(&mut asked.first);
            // Of a round that an older file counts it is not known what came first.
            asked.first_right = right && is_new;
        }
        answer.clone_into(&mut asked.last);
        asked.last_right = right;
        asked.right |= right;
        asked.times = asked.times.saturating_add(1);
        asked.at = now();
        done.rounds = done.rounds.max(round + 1);
        if is_new {
            done.right = done.right.saturating_add(usize::from(right));
        }
        done.right = done.predictions().right;
    }

    /// Returns the questions that are to be asked again by now, the one that waits longest first:
    /// lesson, and place of the round.
    pub fn due(&self) -> Vec<(String, usize)> {
        self.due_at(now())
    }

    fn due_at(&self, now: u64) -> Vec<(String, usize)> {
        let mut due = Vec::new();
        for (slug, done) in &self.lessons {
            for (round, asked) in &done.asked {
                // What was only looked at was not asked.
                let Some(after) = AGAIN_AFTER.get(asked.again).filter(|_| asked.times > 0) else {
                    continue;
                };
                let at = asked.at.saturating_add(*after);
                if at <= now {
                    due.push((at, slug, *round));
                }
            }
        }
        due.sort();
        due.into_iter().map(|(_, slug, round)| (slug.clone(), round)).collect()
    }

    /// Notes the answer to a question that was asked again. A wrong one begins anew: it is asked
    /// again after a day.
    pub fn note_again(&mut self, slug: &str, round: usize, right: bool) {
        let done = self.lessons.entry(slug.to_owned()).or_default();
        let asked = done.asked.entry(round).or_default();
        asked.again = if right { asked.again.saturating_add(1) } else { 0 };
        asked.times = asked.times.saturating_add(1);
        asked.at = now();
    }

    /// Notes how many owners of a round's steps were named rightly, if that is more than before.
    pub fn note_owners(&mut self, slug: &str, round: usize, score: Score) {
        let done = self.lessons.entry(slug.to_owned()).or_default();
        let asked = done.asked.entry(round).or_default();
        if asked.owners.is_none_or(|before| score.beats(before)) {
            asked.owners = Some(score);
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// There is no state folder, or it cannot be written to.
    pub fn save(&self) -> io::Result<()> {
        let Some(path) = path() else {
            return Err(io::Error::other("neither XDG_STATE_HOME nor HOME is set"));
        };
        self.save_to(&path)
    }

    fn save_to(&self, path: &Path) -> io::Result<()> {
        write_whole(path, &serde_json::to_string_pretty(self)?)
    }
}

/// Seconds since 1970; 0 if the clock is set to before that.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn path() -> Option<PathBuf> {
    Some(state_folder()?.join("lessons.json"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn progress_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state/backscope/lessons.json");
        let mut progress = Progress::load_from(&path);
        assert!(progress.is_empty());
        progress.note("nagle", 0, "44 ms", true);
        progress.note("nagle", 1, "44 ms", false);
        progress.note_owners("nagle", 1, Score { right: 2, of: 3 });
        progress.save_to(&path).expect("it can be written");
        let kept = Progress::load_from(&path);
        assert_eq!(kept, progress);
        let done = kept.of("nagle");
        assert_eq!((done.rounds, done.right), (2, 1));
        assert_eq!(done.owners(), Score { right: 2, of: 3 });
        assert_eq!(fs::read_dir(path.parent().expect("a folder")).expect("readable").count(), 1);
    }

    #[test]
    fn a_retry_improves_the_score_and_the_first_try_stays() {
        let mut progress = Progress::default();
        for (answer, right) in [("4 ms", false), ("44 ms", true), ("1 s", false)] {
            progress.note("nagle", 0, answer, right);
        }
        let done = progress.of("nagle");
        assert_eq!(done.predictions(), Score { right: 1, of: 1 });
        assert_eq!(done.first_tries(), Score { right: 0, of: 1 });
        let asked = &done.asked[&0];
        assert_eq!((asked.first.as_str(), asked.last.as_str(), asked.times), ("4 ms", "1 s", 3));
        assert!(asked.right && !asked.last_right && asked.at > 1_700_000_000);
        for (right, best) in [(1, 1), (3, 3), (2, 3)] {
            progress.note_owners("nagle", 0, Score { right, of: 4 });
            assert_eq!(progress.of("nagle").owners(), Score { right: best, of: 4 });
        }
    }

    #[test]
    fn a_file_of_an_older_version_is_read_and_grows() {
        let old = r#"{"lessons":{"nagle":{"rounds":3,"right":2}}}"#;
        let mut progress: Progress = serde_json::from_str(old).expect("the older version's");
        assert_eq!(progress.of("nagle").predictions(), Score { right: 2, of: 3 });
        assert_eq!(progress.of("nagle").first_tries(), Score { right: 0, of: 0 });
        // Which of the three were right is not known, so one that is right now may have been.
        progress.note("nagle", 0, "44 ms", true);
        assert_eq!(progress.of("nagle").predictions(), Score { right: 2, of: 3 });
        assert!(!progress.of("nagle").asked[&0].first_right, "nobody knows");
        progress.note("nagle", 1, "44 ms", true);
        progress.note("nagle", 2, "44 ms", true);
        assert_eq!(progress.of("nagle").predictions(), Score { right: 3, of: 3 });
    }

    #[test]
    fn a_question_comes_again_after_a_day_a_week_and_a_month() {
        let mut progress = Progress::default();
        progress.note("nagle", 1, "44 ms", false);
        let asked = now();
        let due = |progress: &Progress, days: u64| progress.due_at(now() + days * DAY);
        assert_eq!(due(&progress, 0), []);
        assert_eq!(progress.due_at(asked + DAY - 1), []);
        assert_eq!(due(&progress, 1), [("nagle".to_owned(), 1)]);
        progress.note_again("nagle", 1, true);
        assert_eq!((due(&progress, 6).len(), due(&progress, 7).len()), (0, 1));
        progress.note_again("nagle", 1, true);
        assert_eq!((due(&progress, 29).len(), due(&progress, 30).len()), (0, 1));
        progress.note_again("nagle", 1, false);
        assert_eq!(due(&progress, 1).len(), 1, "a wrong answer begins anew");
        for _ in 0..3 {
            progress.note_again("nagle", 1, true);
        }
        assert_eq!(due(&progress, 1_000), []);
    }

    #[test]
    fn who_waits_longest_is_asked_first() {
        let mut progress = Progress::default();
        for (slug, at) in [("cpu", 300), ("nagle", 100), ("sse", 200)] {
            progress.note(slug, 0, "1", true);
            progress
                .lessons
                .get_mut(slug)
                .and_then(|done| done.asked.get_mut(&0))
                .expect("asked")
                .at = at;
        }
        let slugs: Vec<_> = progress.due_at(DAY + 250).into_iter().map(|(slug, _)| slug).collect();
        assert_eq!(slugs, ["nagle", "sse"]);
    }

    #[test]
    fn damage_is_no_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lessons.json");
        for damaged in
            [&b"{\"lessons\":{\"nagle\":{\"rou"[..], b"[]", b"\xff\xfe", b"", &[b' '; 100_000]]
        {
            fs::write(&path, damaged).expect("it can be written");
            let mut progress = Progress::load_from(&path);
            assert!(progress.is_empty());
            progress.note("nagle", 0, "4 ms", false);
            progress.save_to(&path).expect("it can be written");
            assert!(Progress::load_from(&path).of("nagle").rounds > 0);
        }
    }
}
