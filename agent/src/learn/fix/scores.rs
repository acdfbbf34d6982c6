//! Scores of a learner, kept in the user's state folder.

use std::{collections::BTreeMap, io, path::Path, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::learn::state_folder::{read_state, state_folder, write_whole};

/// Scores by exercise: the best of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scores {
    #[serde(default)]
    exercises: BTreeMap<String, Score>,
}

/// Score of an exercise that was won.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// Seconds that it took.
    #[serde(default)]
    pub seconds: u64,
    /// Hints that were shown.
    #[serde(default)]
    pub hints: usize,
    /// The cure was shown.
    #[serde(default)]
    pub cure_shown: bool,
    /// Restarts of the server.
    #[serde(default)]
    pub restarts: u32,
}

impl Score {
    /// The less was shown the better, then the sooner.
    fn rank(&self) -> (bool, usize, u64) {
        (self.cure_shown, self.hints, self.seconds)
    }
}

impl Scores {
    /// Reads them. A file that is damaged counts as none.
    pub fn load() -> Self {
        match path() {
            Some(path) => Self::load_from(&path),
            None => Self::default(),
        }
    }

    fn load_from(path: &Path) -> Self {
        let read = |path| serde_json::from_str(&read_state(path)?).ok();
        read(path).unwrap_or_default()
    }

    /// Returns the best score of an exercise; `None` if it was never won.
    pub fn of(&self, name: &str) -> Option<&Score> {
        self.exercises.get(name)
    }

    /// Takes a score, if it is the best.
    pub fn note(&mut self, name: &str, score: Score) {
        match self.exercises.get(name) {
            Some(best) if best.rank() <= score.rank() => {}
            _ => drop(self.exercises.insert(name.to_owned(), score)),
        }
    }

    /// Writes them.
    ///
    /// # Errors
    /// There is no state folder, or it cannot be written to.
    pub fn save(&self) -> io::Result<()> {
        let Some(path) = path() else {
            return Err(io::Error::other("neither XDG_STATE_HOME nor HOME is set"));
        };
        write_whole(&path, &serde_json::to_string_pretty(self)?)
    }
}

fn path() -> Option<PathBuf> {
    Some(state_folder()?.join("exercises.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_kept() {
        let score = |seconds, hints| Score { seconds, hints, ..Score::default() };
        let mut scores = Scores::default();
        scores.note("crowd", Score { cure_shown: true, ..score(20, 0) });
        scores.note("crowd", score(300, 2));
        scores.note("crowd", score(200, 3));
        assert_eq!(scores.of("crowd"), Some(&score(300, 2)));
        scores.note("crowd", score(100, 2));
        assert_eq!(scores.of("crowd"), Some(&score(100, 2)));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exercises.json");
        write_whole(&path, &serde_json::to_string(&scores).unwrap()).unwrap();
        assert_eq!(Scores::load_from(&path), scores);
        std::fs::write(&path, b"{").unwrap();
        assert_eq!(Scores::load_from(&path), Scores::default());
    }
}
