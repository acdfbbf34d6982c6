//! The files of a package, before anything is packed.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

/// Files by their paths, which are relative to where the package is installed or unpacked.
#[derive(Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, Entry>,
}

struct Entry {
    content: Vec<u8>,
    mode: u32,
}

impl Tree {
    /// Adds a file that is read.
    pub(crate) fn file(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.entry(path.into(), content.into(), 0o644);
    }

    /// Adds a file that is executed.
    pub(crate) fn program(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.entry(path.into(), content.into(), 0o755);
    }

    fn entry(&mut self, path: String, content: Vec<u8>, mode: u32) {
        self.files.insert(path, Entry { content, mode });
    }

    /// Returns the paths with their modes, in order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = (&str, u32)> {
        self.files.iter().map(|(path, entry)| (path.as_str(), entry.mode))
    }

    /// Returns the paths with the contents, in order.
    pub(crate) fn contents(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, entry)| (path.as_str(), entry.content.as_slice()))
    }

    /// Writes everything into a folder, with modes and times that depend neither on the umask nor
    /// on now.
    pub(crate) fn lay(&self, dir: &Path, seconds: u64) -> Result<()> {
        for (path, entry) in &self.files {
            let path = dir.join(path);
            let parent = path.parent().context("a file has a folder")?;
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot make {}", parent.display()))?;
            fs::write(&path, &entry.content)
                .with_context(|| format!("cannot write {}", path.display()))?;
            fs::set_permissions(&path, Permissions::from_mode(entry.mode))?;
        }
        settle(dir, seconds)
    }
}

/// Sets the times of a folder and of all in it, and the modes of folders.
fn settle(dir: &Path, seconds: u64) -> Result<()> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let times = FileTimes::new().set_accessed(time).set_modified(time);
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            settle(&path, seconds)?;
        } else {
            File::open(&path)?.set_times(times)?;
        }
    }
    fs::set_permissions(dir, Permissions::from_mode(0o755))?;
    File::open(dir)?.set_times(times)?;
    Ok(())
}
