//! What a learner has done, kept in the user's state folder.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, chownat};
use serde::{Deserialize, Serialize};

use super::Lesson;

/// What is read of the file at most: it is ours, but it may have been put there by anybody.
const MAX_BYTES: u64 = 64 * 1_024;

/// What was done, by lesson.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    #[serde(default)]
    lessons: BTreeMap<String, Done>,
}

/// What was done of one lesson.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Rounds seen to their end.
    #[serde(default)]
    pub rounds: usize,
    /// How many of their questions were answered rightly.
    #[serde(default)]
    pub right: usize,
}

impl Progress {
    /// Reads it. A file that is damaged counts as none: the next save puts a good one in its place.
    pub fn load() -> Self {
        path().map_or_else(Self::default, |path| Self::load_from(&path))
    }

    fn load_from(path: &Path) -> Self {
        use io::Read;
        let mut text = String::new();
        let read =
            fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
        read.ok().and_then(|_| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// What was done of a lesson.
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

    /// Notes that a round was seen to its end.
    pub fn note(&mut self, slug: &str, round: usize, right: bool) {
        let done = self.lessons.entry(slug.to_owned()).or_default();
        if done.rounds <= round {
            done.rounds = round + 1;
            done.right += usize::from(right);
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// There is no state folder, or it cannot be written to.
    pub fn save(&self) -> io::Result<()> {
        self.save_to(
            &path().ok_or_else(|| io::Error::other("neither XDG_STATE_HOME nor HOME is set"))?,
        )
    }

    /// Written aside and renamed, so that there is always a whole one.
    fn save_to(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            make_folders(folder)?;
        }
        let aside = path.with_extension(format!("{}.new", std::process::id()));
        let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&aside)?;
        let written = serde_json::to_string_pretty(self)
            .map_err(io::Error::other)
            .and_then(|text| file.write_all(text.as_bytes()))
            .and_then(|()| give_to_caller(&aside))
            .and_then(|()| fs::rename(&aside, path));
        written.inspect_err(|_| drop(fs::remove_file(&aside)))
    }
}

fn path() -> Option<PathBuf> {
    let set = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || caller().and_then(|(user, _)| home_of(user)).or_else(|| set("HOME"));
    let state = set("XDG_STATE_HOME").or_else(|| home().map(|home| home.join(".local/state")))?;
    Some(state.join("backscope/lessons.json"))
}

/// User and group of who called sudo.
fn caller() -> Option<(u32, u32)> {
    let id = |name| env::var(name).ok()?.parse().ok();
    rustix::process::geteuid().is_root().then_some(())?;
    Some((id("SUDO_UID")?, id("SUDO_GID")?))
}

/// Under sudo HOME may be root's.
fn home_of(user: u32) -> Option<PathBuf> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let home = fields
        .into_iter()
        .find(|fields| fields.get(2).and_then(|id| id.parse().ok()) == Some(user));
    home.and_then(|fields| fields.get(5).map(PathBuf::from)).filter(|home| home.is_absolute())
}

fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make_folders(above)?;
    }
    fs::create_dir(folder)?;
    give_to_caller(folder)
}

/// Under sudo what is made belongs to who called it. Links are not followed: the folder may be
/// anybody's.
fn give_to_caller(path: &Path) -> io::Result<()> {
    let Some((user, group)) = caller() else { return Ok(()) };
    let (user, group) = (rustix::fs::Uid::from_raw(user), rustix::fs::Gid::from_raw(group));
    Ok(chownat(CWD, path, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state/backscope/lessons.json");
        let mut progress = Progress::load_from(&path);
        assert!(progress.is_empty());
        progress.note("nagle", 0, true);
        progress.note("nagle", 1, false);
        progress.note("nagle", 1, true);
        progress.save_to(&path).expect("it can be written");
        assert_eq!(Progress::load_from(&path), progress);
        assert_eq!(Progress::load_from(&path).of("nagle"), Done { rounds: 2, right: 1 });
        assert_eq!(fs::read_dir(path.parent().expect("a folder")).expect("readable").count(), 1);
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
            progress.note("nagle", 0, false);
            progress.save_to(&path).expect("it can be written");
            assert!(Progress::load_from(&path).of("nagle").rounds > 0);
        }
    }
}
