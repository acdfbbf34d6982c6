//! Progress of a learner, kept in the user's state folder.

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

/// Bytes that are read of the file at most: it is ours, but anybody may have put it there.
const MAX_BYTES: u64 = 64 * 1_024;

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
    /// Questions of them that were answered rightly.
    #[serde(default)]
    pub right: usize,
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
        let Some(path) = path() else {
            return Err(io::Error::other("neither XDG_STATE_HOME nor HOME is set"));
        };
        self.save_to(&path)
    }

    fn save_to(&self, path: &Path) -> io::Result<()> {
        write_whole(path, &serde_json::to_string_pretty(self)?)
    }
}

/// Writes a file aside and renames it, so that there is always a whole one.
pub(super) fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        make_folders(folder)?;
    }
    let aside = path.with_extension(format!("{}.new", std::process::id()));
    let file = fs::File::options().write(true).create_new(true).mode(0o600).open(&aside)?;
    let saved = write_and_rename(file, text, &aside, path);
    if saved.is_err() {
        // The first error is the one to tell of.
        let _ = fs::remove_file(&aside);
    }
    saved
}

fn write_and_rename(mut file: fs::File, text: &str, aside: &Path, path: &Path) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    give_to_caller(aside)?;
    fs::rename(aside, path)
}

/// Reads a file of the state folder. It is ours, but anybody may have put it there.
pub(super) fn read_state(path: &Path) -> Option<String> {
    use io::Read;
    let mut text = String::new();
    fs::File::open(path).ok()?.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

fn path() -> Option<PathBuf> {
    Some(state_folder()?.join("lessons.json"))
}

/// The user's state folder for this program.
pub(super) fn state_folder() -> Option<PathBuf> {
    let state = match absolute("XDG_STATE_HOME") {
        Some(state) => state,
        None => home()?.join(".local/state"),
    };
    Some(state.join("backscope"))
}

/// The home folder of who called sudo, as HOME may be root's then; else HOME.
fn home() -> Option<PathBuf> {
    if let Some((user, _)) = caller()
        && let Some(home) = home_of(user)
    {
        return Some(home);
    }
    absolute("HOME")
}

/// The path that a variable holds, if it is an absolute one.
fn absolute(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os(name)?);
    if path.is_absolute() { Some(path) } else { None }
}

/// User and group of who called sudo.
fn caller() -> Option<(u32, u32)> {
    let id = |name| env::var(name).ok()?.parse().ok();
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    Some((id("SUDO_UID")?, id("SUDO_GID")?))
}

fn home_of(user: u32) -> Option<PathBuf> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    for line in users.lines() {
        let fields: Vec<_> = line.split(':').collect();
        if let [_, _, id, _, _, home, ..] = fields.as_slice()
            && id.parse() == Ok(user)
        {
            let home = PathBuf::from(home);
            return if home.is_absolute() { Some(home) } else { None };
        }
    }
    None
}

pub(super) fn make_folders(folder: &Path) -> io::Result<()> {
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
pub(super) fn give_to_caller(path: &Path) -> io::Result<()> {
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
