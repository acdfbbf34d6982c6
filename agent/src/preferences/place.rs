//! The configuration file: where it is, and how it is read.
//!
//! Under sudo it is that of the user who called it, who prefers what they prefer as root, too. So
//! root reads a file that another can put anything in place of. It is opened without effect first
//! (`O_PATH`), and read only if it is that user's own, or root's and for everybody to read. It may
//! be a link, as managers of such files make them.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, open};

use crate::{record::caller_of_sudo, sensor::User};

/// The file's place below the folder of configuration files.
const NAME: &str = "backscope/config.toml";
/// Size of a file at most, in bytes.
const MOST: u64 = 1 << 16;

/// The reason why the file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The system refuses.
    #[error("cannot read {}: {error}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is something else.
    #[error("{} is no ordinary file", path.display())]
    NoFile {
        /// The file.
        path: PathBuf,
    },
    /// Root does not read it for another.
    #[error("{} is not read as root: it is not for the user who called sudo", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is too large to be one.
    #[error("{} has more than {MOST} bytes", path.display())]
    Large {
        /// The file.
        path: PathBuf,
    },
    /// It is no text.
    #[error("{} is not UTF-8", path.display())]
    NoText {
        /// The file.
        path: PathBuf,
    },
}

/// A file to read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    path: PathBuf,
    /// It was named, so it must be there.
    named: bool,
    /// Whose it must be, if not root's; anybody's if `None`.
    owner: Option<u32>,
}

/// Returns the place of the file: what the environment names, or the user's own. `None` if there is
/// to be none.
///
/// # Errors
/// The system's users cannot be read.
pub(super) fn find(named: Option<OsString>) -> Result<Option<Place>, Unreadable> {
    let caller = caller_of_sudo().filter(|(uid, _)| *uid != 0);
    let owner = caller.map(|(uid, _)| uid);
    if let Some(path) = named {
        let path = PathBuf::from(path);
        let is_none = path.as_os_str().is_empty();
        return Ok((!is_none).then_some(Place { path, named: true, owner }));
    }
    let folder = match caller {
        Some((uid, gid)) => {
            let user = User::of_ids(uid, gid).map_err(|error| Unreadable::Refused {
                path: "the system's users".into(),
                error,
            })?;
            let home = user.entry.map(|entry| entry.home);
            folder(None, home.as_deref())
        }
        None => {
            let [config, home] = ["XDG_CONFIG_HOME", "HOME"].map(std::env::var_os);
            folder(config.as_deref(), home.as_deref())
        }
    };
    Ok(folder.map(|folder| Place { path: folder.join(NAME), named: false, owner }))
}

/// Returns the folder of configuration files. The standard ignores one that is not absolute.
fn folder(config: Option<&OsStr>, home: Option<&OsStr>) -> Option<PathBuf> {
    let config = config.map(Path::new).filter(|path| path.is_absolute());
    let home = home.map(Path::new).filter(|path| path.is_absolute());
    config.map(Path::to_owned).or_else(|| Some(home?.join(".config")))
}

/// Reads the file; `None` if there is none.
///
/// # Errors
/// It cannot be read, or is not one to be read.
pub(super) fn read(place: Option<Place>) -> Result<Option<(PathBuf, String)>, Unreadable> {
    let Some(Place { path, named, owner }) = place else { return Ok(None) };
    // No device is touched by it, and no pipe waits.
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let refused = |error: io::Error| Unreadable::Refused { path: path.clone(), error };
    let handle = match open(&path, flags, Mode::empty()) {
        Ok(handle) => handle,
        Err(error) if !named && is_absent(error, owner.is_some()) => return Ok(None),
        Err(error) => return Err(refused(error.into())),
    };
    let handle = File::from(handle);
    let metadata = handle.metadata().map_err(refused)?;
    if !metadata.is_file() {
        return Err(Unreadable::NoFile { path });
    }
    if owner.is_some_and(|owner| !is_for(owner, metadata.uid(), metadata.mode())) {
        return Err(Unreadable::Foreign { path });
    }
    let opened = File::open(format!("/proc/self/fd/{}", handle.as_raw_fd())).map_err(refused)?;
    let mut bytes = Vec::new();
    opened.take(MOST + 1).read_to_end(&mut bytes).map_err(refused)?;
    if bytes.len() as u64 > MOST {
        return Err(Unreadable::Large { path });
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some((path, text))),
        Err(_) => Err(Unreadable::NoText { path }),
    }
}

/// True if root may read a file of this owner and mode for this user.
fn is_for(user: u32, owner: u32, mode: u32) -> bool {
    owner == user || (owner == 0 && mode & 0o004 != 0)
}

/// True if there is no file there. To root, homes of others may be closed (on a network), whether
/// they have one or not.
fn is_absent(error: rustix::io::Errno, is_anothers: bool) -> bool {
    use rustix::io::Errno;
    matches!(error, Errno::NOENT | Errno::NOTDIR) || (is_anothers && error == Errno::ACCESS)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn at(path: &Path, owner: Option<u32>) -> Option<Place> {
        Some(Place { path: path.to_owned(), named: false, owner })
    }

    fn told(place: Option<Place>) -> String {
        read(place).expect_err("it is not to be read").to_string()
    }

    #[test]
    fn the_folder_is_that_of_the_standard() {
        let of = |config: &str, home: &str| folder(Some(OsStr::new(config)), Some(home.as_ref()));
        assert_eq!(of("/c", "/h"), Some("/c".into()));
        assert_eq!(of("c", "/h"), Some("/h/.config".into()));
        assert_eq!(of("", "/h"), Some("/h/.config".into()));
        assert_eq!(of("", "h"), None);
    }

    #[test]
    fn an_empty_name_stands_for_no_file() {
        assert_eq!(find(Some("".into())).unwrap(), None);
        let named = find(Some("/a".into())).unwrap().unwrap();
        assert!(named.named);
        assert!(told(Some(Place { path: "/nowhere/a".into(), ..named })).contains("/nowhere/a"));
    }

    #[test]
    fn ordinary_files_are_read_through_links_too() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link] = ["a.toml", "b.toml"].map(|name| folder.path().join(name));
        assert!(read(at(&file, None)).unwrap().is_none(), "there is none");
        fs::write(&file, "clock = \"utc\"").unwrap();
        symlink(&file, &link).unwrap();
        let (path, text) = read(at(&link, None)).unwrap().unwrap();
        assert_eq!((path, &*text), (link, "clock = \"utc\""));
        let own = rustix::process::geteuid().as_raw();
        assert!(read(at(&file, Some(own))).unwrap().is_some());
    }

    #[test]
    fn a_user_gets_their_own_and_what_everybody_may_read() {
        assert!(is_for(1_000, 1_000, 0o100_600) && is_for(1_000, 0, 0o100_644));
        assert!(!is_for(1_000, 0, 0o100_640), "as /etc/shadow is");
        assert!(!is_for(1_000, 1_001, 0o100_644));
    }

    #[test]
    fn root_reads_for_a_user_what_is_theirs() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let [file, link] = ["theirs", "link"].map(|name| folder.path().join(name));
        fs::write(&file, "").unwrap();
        std::os::unix::fs::chown(&file, Some(4_711), None).unwrap();
        assert!(read(at(&file, Some(4_711))).unwrap().is_some());
        symlink(&file, &link).unwrap();
        assert!(told(at(&link, Some(4_712))).contains("not for the user"));
    }

    #[test]
    fn what_is_no_ordinary_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR, 0)
            .unwrap();
        for path in [&*pipe, folder.path(), Path::new("/dev/zero")] {
            assert!(told(at(path, None)).contains("no ordinary file"), "{}", path.display());
        }
    }

    #[test]
    fn size_and_text_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs::write(&file, vec![b'#'; MOST as usize]).unwrap();
        assert!(read(at(&file, None)).unwrap().is_some());
        fs::write(&file, vec![b'#'; MOST as usize + 1]).unwrap();
        assert!(told(at(&file, None)).contains("more than 65536 bytes"));
        fs::write(&file, b"\xff").unwrap();
        assert!(told(at(&file, None)).contains("not UTF-8"));
    }
}
