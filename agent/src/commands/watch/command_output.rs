//! The file that takes the command's output while the screen is shown.

use std::{
    env,
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use rustix::process::geteuid;
use tempfile::{Builder, NamedTempFile, TempDir};

/// The longest output that is printed at the end, in bytes. Of a longer one the file is kept.
const MAX_PRINTED: u64 = 1 << 20;

/// The file that takes the command's output, removed when it is dropped.
///
/// Its name is random, only its owner can read it, and it is in a folder in which nobody else can
/// put anything.
pub(super) struct CommandOutput {
    file: NamedTempFile,
    /// Folder of its own, where there is no runtime directory.
    folder: Option<TempDir>,
}

impl CommandOutput {
    /// Makes the file.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn create() -> anyhow::Result<Self> {
        let context = "cannot create a file for the command's output";
        let (folder, place) = match runtime_folder() {
            Some(place) => (None, place),
            None => {
                let folder = private_folder().context(context)?;
                let place = folder.path().to_owned();
                (Some(folder), place)
            }
        };
        let mut file = Builder::new();
        file.prefix("backscope-").suffix(".log").rand_bytes(12);
        Ok(Self { file: file.tempfile_in(place).context(context)?, folder })
    }

    /// The open file.
    pub(super) fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Returns its path, for a sentence.
    pub(super) fn place(&self) -> String {
        self.file.path().display().to_string()
    }

    /// Prints what the command wrote and removes the file; one that is too long is kept, and its
    /// place is said.
    pub(super) fn finish(self) {
        let place = self.place();
        match self.text() {
            Ok(Some(text)) if text.is_empty() => {}
            Ok(Some(text)) => {
                note!("backscope: the command wrote:");
                for line in text.lines() {
                    note!("{line}");
                }
            }
            Ok(None) => {
                note!("backscope: the command wrote more than 1 MiB: it is in {place}");
                self.keep();
            }
            Err(error) => {
                note!("backscope: cannot read what the command wrote ({error}): it is in {place}");
                self.keep();
            }
        }
    }

    /// Returns what was written; `None` if it is too long.
    fn text(&self) -> io::Result<Option<String>> {
        // Read by position: the command's descriptor shares the offset, and may still be written to.
        let length = self.file().metadata()?.len();
        if length > MAX_PRINTED {
            return Ok(None);
        }
        let mut bytes = vec![0; length as usize];
        self.file().read_exact_at(&mut bytes, 0)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn keep(self) {
        let Self { file, folder } = self;
        // What cannot be kept has been named, and there is nobody else to tell.
        let _ = file.keep();
        if let Some(folder) = folder {
            let _ = folder.keep();
        }
    }
}

/// Makes a folder that nobody else may enter.
fn private_folder() -> io::Result<TempDir> {
    Builder::new().prefix("backscope-").permissions(Permissions::from_mode(0o700)).tempdir()
}

/// The user's runtime directory, if there is one in which nobody else can put anything.
fn runtime_folder() -> Option<PathBuf> {
    let named = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usual = PathBuf::from(format!("/run/user/{}", geteuid().as_raw()));
    named.into_iter().chain([usual]).find(|folder| is_ours_alone(folder))
}

/// True of a folder that is ours, and that nobody else may enter.
fn is_ours_alone(folder: &Path) -> bool {
    let Ok(metadata) = fs::symlink_metadata(folder) else { return false };
    folder.is_absolute()
        && metadata.is_dir()
        && metadata.uid() == geteuid().as_raw()
        && metadata.mode() & 0o077 == 0
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::fs::symlink};

    use super::*;

    fn in_folder(place: &Path) -> CommandOutput {
        CommandOutput { file: NamedTempFile::new_in(place).unwrap(), folder: None }
    }

    #[test]
    fn only_a_private_folder_of_our_own_is_taken() {
        let folder = private_folder().unwrap();
        assert!(is_ours_alone(folder.path()));
        let link = folder.path().join("link");
        symlink(folder.path(), &link).unwrap();
        assert!(!is_ours_alone(&link), "whoever made the link may turn it");
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        assert!(!is_ours_alone(&open));
        assert!(!is_ours_alone(&folder.path().join("absent")));
        assert!(!is_ours_alone(Path::new("target")));
    }

    #[test]
    fn only_its_owner_can_read_it_and_its_name_cannot_be_guessed() {
        let (one, other) = (CommandOutput::create().unwrap(), CommandOutput::create().unwrap());
        assert_eq!(one.file().metadata().unwrap().mode() & 0o777, 0o600);
        assert_ne!(one.place(), other.place());
        assert!(!one.place().contains(&std::process::id().to_string()));
    }

    #[test]
    fn what_was_printed_is_removed_and_what_is_too_long_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let left = || fs::read_dir(folder.path()).unwrap().count();
        let output = in_folder(folder.path());
        output.file().write_all(b"one\ntwo \x1b[31mred\n").unwrap();
        // `note!` escapes each line.
        let text = output.text().unwrap().expect("it is short");
        assert_eq!(text, "one\ntwo \x1b[31mred\n");
        output.finish();
        assert_eq!(left(), 0);
        let output = in_folder(folder.path());
        output.file().write_all(&vec![b'x'; MAX_PRINTED as usize + 1]).unwrap();
        assert!(output.text().unwrap().is_none());
        output.finish();
        assert_eq!(left(), 1);
    }
}
