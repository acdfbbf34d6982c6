//! The place of an exercise: the folder that the learner works in, and how another terminal finds
//! it.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::exercise::Exercise;
use crate::learn::state_folder::{
    give_to_caller, make_folders, read_state, state_folder, write_whole,
};

/// The script that starts the server.
pub(super) const START: &str = "start.sh";

/// The work folder.
#[derive(Clone, Debug)]
pub struct Place {
    folder: PathBuf,
    /// A script of an earlier play was put aside.
    pub kept: Option<PathBuf>,
}

impl Place {
    /// Makes the folder, else the default one in the user's state folder, and writes the files of
    /// the exercise. A start.sh that is there already is kept as start.sh.before.
    ///
    /// # Errors
    /// It cannot be made or written to.
    pub fn make(
        exercise: &Exercise,
        folder: Option<&Path>,
        group: Option<&Path>,
    ) -> io::Result<Self> {
        let folder = match (folder, state_folder()) {
            (Some(folder), _) => std::path::absolute(folder)?,
            (None, Some(state)) => state.join("exercises").join(&exercise.name),
            (None, None) => {
                return Err(io::Error::other("neither XDG_STATE_HOME nor HOME is set; use --dir"));
            }
        };
        make_folders(&folder)?;
        let program = std::env::current_exe()?;
        let mut place = Self { folder, kept: None };
        for (name, text) in exercise.files {
            let text = text
                .replace("@BACKSCOPE@", &quoted(&program))
                .replace("@CGROUP@", &group.map(quoted).unwrap_or_default());
            place.put(name, &text)?;
        }
        Ok(place)
    }

    fn put(&mut self, name: &str, text: &str) -> io::Result<()> {
        let path = self.folder.join(name);
        if let Ok(old) = fs::read_to_string(&path) {
            if old == text {
                return Ok(());
            }
            let before = self.folder.join(format!("{name}.before"));
            fs::rename(&path, &before)?;
            if name == START {
                self.kept = Some(before);
            }
        }
        let mut file = fs::File::options().write(true).create_new(true).mode(0o755).open(&path)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(fs::Permissions::from_mode(0o755))?;
        give_to_caller(&path)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The script.
    pub fn start(&self) -> PathBuf {
        self.folder.join(START)
    }
}

/// As it stands between double quotes in a script.
fn quoted(path: &Path) -> String {
    let mut out = String::new();
    for sign in path.to_string_lossy().chars() {
        if matches!(sign, '"' | '$' | '`' | '\\') {
            out.push('\\');
        }
        out.push(sign);
    }
    out
}

/// A running exercise, as another terminal finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The exercise.
    pub name: String,
    /// The process that runs it.
    pub pid: u32,
    /// Its thread that is in the network namespace.
    pub tid: i32,
    /// The work folder.
    pub folder: PathBuf,
}

impl Session {
    /// Returns the session that was begun last and still runs.
    pub fn running() -> Option<Self> {
        let session: Self = serde_json::from_str(&read_state(&path()?)?).ok()?;
        session.network().exists().then_some(session)
    }

    /// The network namespace.
    pub fn network(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/task/{}/ns/net", self.pid, self.tid))
    }

    pub(super) fn save(&self) -> io::Result<()> {
        let Some(path) = path() else { return Ok(()) };
        write_whole(&path, &serde_json::to_string_pretty(self)?)
    }

    /// Forgets it, unless another one was begun since.
    pub(super) fn forget(&self) {
        if let Some(path) = path()
            && Self::running().as_ref() == Some(self)
        {
            // It would not be found running.
            let _ = fs::remove_file(path);
        }
    }
}

fn path() -> Option<PathBuf> {
    Some(state_folder()?.join("exercise.json"))
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    #[test]
    fn the_folder_has_a_script_that_runs_and_an_older_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("new/one");
        let exercise = find("month-end").unwrap().unwrap();
        let make = || Place::make(&exercise, Some(&folder), Some(Path::new("/a$b"))).unwrap();
        let place = make();
        let text = fs::read_to_string(place.start()).unwrap();
        assert!(!text.contains('@') && text.contains("demo-servers shop"), "{text}");
        assert!(fs::metadata(place.start()).unwrap().permissions().mode() & 0o111 == 0o111);
        let limit = fs::read_to_string(folder.join("limit.sh")).unwrap();
        assert!(limit.contains("group=\"/a\\$b\""), "{limit}");
        assert_eq!(make().kept, None, "nothing was changed");
        fs::write(place.start(), "my own").unwrap();
        let kept = make().kept.unwrap();
        assert_eq!(fs::read_to_string(kept).unwrap(), "my own");
        assert_eq!(fs::read_to_string(place.start()).unwrap(), text);
    }
}
