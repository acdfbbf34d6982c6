//! An exercise as data, read from its Markdown file.
//!
//! The figures stand in TOML between two lines of `+++`, the words below them under headings;
//! `docs/learn.md` has the whole of it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::second::FoundNow;
use crate::model::{
    finding_kinds,
    snapshot::{Owner, Severity},
};

/// A broken server, and how it is cured.
#[derive(Clone, Debug)]
pub struct Exercise {
    /// Its name on the command line.
    pub name: String,
    /// Figures and short texts.
    pub plan: Plan,
    /// Text on what goes wrong.
    pub symptom: Vec<Piece>,
    /// Hints, each says more than the one before.
    pub hints: Vec<Vec<Piece>>,
    /// Text on what to do.
    pub cure: Vec<Piece>,
    /// Text on whose job it was.
    pub why: Vec<Piece>,
    /// Files of the work folder, by name.
    pub files: &'static [(&'static str, &'static str)],
}

/// Figures of an exercise.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Its title.
    pub title: String,
    /// The symptom in a sentence.
    pub symptom: String,
    /// Minutes that it takes.
    pub minutes: u8,
    /// Options of the customers.
    pub load: String,
    /// Answers a second from which on the load counts as served.
    pub rate: f64,
    /// The kind of finding that must go.
    pub finding: String,
    /// Kinds that a half cure turns it into, which must go as well.
    pub turns_into: Vec<String>,
    /// It counts as a warning only: on a busy machine it stands as information anyway.
    #[serde(default)]
    pub warnings_only: bool,
    /// Seconds for which it must be gone.
    pub hold: u32,
    /// Settings of the network namespace before anything runs.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// The server gets a cgroup of its own, for a quota of processor time.
    #[serde(default)]
    pub quota: bool,
    /// Changes that cure it.
    pub cures: Vec<Change>,
    /// Changes that do not.
    pub wrong: Vec<Change>,
}

/// A change that a learner may make, followed by a restart.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What it is, in words.
    pub name: String,
    /// Text of start.sh that is replaced, and by what.
    #[serde(default)]
    pub edits: Vec<(String, String)>,
    /// Settings of the network namespace.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
}

/// A paragraph, which may tell of one owner's job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The owner.
    pub owner: Option<Owner>,
    /// The paragraph.
    pub text: String,
}

/// A text that is no exercise, and the reason.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("exercise {name}: {flaw}")]
pub struct ExerciseError {
    name: String,
    flaw: String,
}

impl Exercise {
    /// Reads an exercise.
    ///
    /// # Errors
    /// The text is none, or contradicts its files.
    pub fn parse(
        name: &str,
        text: &str,
        files: &'static [(&'static str, &'static str)],
    ) -> Result<Self, ExerciseError> {
        let failed = |flaw| ExerciseError { name: name.to_owned(), flaw };
        let exercise = Self::read(name, text, files).map_err(failed)?;
        match exercise.flaw() {
            None => Ok(exercise),
            Some(flaw) => Err(ExerciseError { name: name.to_owned(), flaw }),
        }
    }

    fn read(
        name: &str,
        text: &str,
        files: &'static [(&'static str, &'static str)],
    ) -> Result<Self, String> {
        let mut parts = text.splitn(3, "+++\n").skip(1);
        let (Some(front), Some(body)) = (parts.next(), parts.next()) else {
            return Err("the lines of +++ are missing".to_owned());
        };
        let plan = toml::from_str(front).map_err(|error| error.to_string())?;
        let mut out = Self {
            name: name.to_owned(),
            plan,
            symptom: Vec::new(),
            hints: Vec::new(),
            cure: Vec::new(),
            why: Vec::new(),
            files,
        };
        for section in body.split("\n# ").skip(1) {
            let (title, text) = section.split_once('\n').unwrap_or((section, ""));
            let pieces = paragraphs(text);
            match title.trim() {
                "Symptom" => out.symptom = pieces,
                "Hint" => out.hints.push(pieces),
                "Cure" => out.cure = pieces,
                "Why" => out.why = pieces,
                other => return Err(format!("there is no heading “{other}”")),
            }
        }
        Ok(out)
    }

    /// Returns the kinds of finding that must be gone.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.plan.finding).chain(&self.plan.turns_into).map(String::as_str)
    }

    /// Tells whether this finding must go.
    pub fn is_about(&self, finding: &FoundNow) -> bool {
        let counts = !self.plan.warnings_only || finding.severity >= Severity::Warning;
        counts && self.kinds().any(|kind| kind == finding.kind)
    }

    /// Returns a file of the work folder as it is bundled.
    pub fn file(&self, name: &str) -> Option<&'static str> {
        self.files.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    fn flaw(&self) -> Option<String> {
        if [&self.symptom, &self.cure, &self.why].iter().any(|text| text.is_empty()) {
            return Some("a text is missing".to_owned());
        }
        if self.hints.len() < 2 || self.plan.cures.is_empty() || self.plan.wrong.is_empty() {
            return Some("it needs two hints, a cure and a wrong one".to_owned());
        }
        if let Some(kind) = self.kinds().find(|kind| !finding_kinds().contains(kind)) {
            return Some(format!("there is no finding {kind}"));
        }
        let Some(start) = self.file("start.sh") else { return Some("no start.sh".to_owned()) };
        for change in self.plan.cures.iter().chain(&self.plan.wrong) {
            for (from, to) in &change.edits {
                if start.matches(from.as_str()).count() != 1 || from == to {
                    return Some(format!("“{from}” does not stand in start.sh once"));
                }
            }
        }
        None
    }
}

impl Change {
    /// Applies it to a script. `None` if the script has been changed there already.
    pub fn edited(&self, script: &str) -> Option<String> {
        let mut out = script.to_owned();
        for (from, to) in &self.edits {
            if !out.contains(from.as_str()) {
                return None;
            }
            out = out.replace(from.as_str(), to);
        }
        Some(out)
    }
}

fn paragraphs(text: &str) -> Vec<Piece> {
    let mut out = Vec::new();
    for paragraph in text.split("\n\n") {
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        let owner = match words.first() {
            Some(&"K:") => Some(Owner::Kernel),
            Some(&"A:") => Some(Owner::App),
            Some(&"N:") => Some(Owner::Network),
            Some(&"P:") => Some(Owner::Peer),
            Some(_) => None,
            None => continue,
        };
        let text = words[usize::from(owner.is_some())..].join(" ");
        out.push(Piece { owner, text });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{all, find, names};
    use super::*;

    #[test]
    fn there_are_ten_and_all_are_whole() {
        let all = all().unwrap();
        assert_eq!(all.len(), 10);
        assert_eq!(all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), names());
        let mut findings: Vec<_> = all.iter().map(|one| one.plan.finding.as_str()).collect();
        findings.sort_unstable();
        findings.dedup();
        assert!(findings.len() >= 9, "they differ: {findings:?}");
    }

    /// Who reads the list or the symptom is to find the cause, not to be told it.
    #[test]
    fn the_symptom_does_not_name_the_finding() {
        for exercise in all().unwrap() {
            let told = format!("{} {:?}", exercise.plan.symptom, exercise.symptom).to_lowercase();
            for kind in exercise.kinds() {
                assert!(!told.contains(kind) && !told.contains(&kind.replace('-', " ")), "{told}");
            }
            for (from, _) in exercise.plan.cures.iter().flat_map(|cure| &cure.edits) {
                assert!(!told.contains(from.as_str()), "{told}");
            }
        }
    }

    #[test]
    fn a_change_edits_the_script_once() {
        let exercise = find("checkout").unwrap().unwrap();
        let script = exercise.file("start.sh").unwrap();
        let cured = exercise.plan.cures[0].edited(script).unwrap();
        assert!(cured.contains("--names worker") && !cured.contains("--names acceptor"));
        assert_eq!(exercise.plan.cures[0].edited(&cured), None);
    }

    #[test]
    fn what_is_no_exercise_is_refused() {
        let text = include_str!("../../../exercises/crowd/exercise.md");
        let files = find("crowd").unwrap().unwrap().files;
        let refused = |text: &str| Exercise::parse("crowd", text, files).unwrap_err().flaw;
        assert!(refused(&text.replace("accept-fails", "accept-fialed")).contains("no finding"));
        assert!(refused(&text.replace("[\"ulimit -n 40\"", "[\"ulimit -n 41\"")).contains("once"));
        assert!(refused(&text.replace("# Why", "# Whose")).contains("heading"));
        assert!(refused("no front").contains("+++"));
    }

    #[test]
    fn paragraphs_name_whose_job_they_tell_of() {
        let pieces = paragraphs("\nK: The\nkernel.\n\nNobody.\n");
        let piece = |owner, text: &str| Piece { owner, text: text.to_owned() };
        assert_eq!(pieces, [piece(Some(Owner::Kernel), "The kernel."), piece(None, "Nobody.")]);
    }
}
