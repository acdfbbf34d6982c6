//! The user's state folder: what lessons keep there, whole and of the user's own.

use std::{
    env, fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, chownat};

/// Bytes that are read of the file at most: it is ours, but anybody may have put it there.
const MAX_BYTES: u64 = 512 * 1_024;

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
