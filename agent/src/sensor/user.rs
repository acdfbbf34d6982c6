//! Users, as the system knows them, and becoming one.
#![expect(
    unsafe_code,
    reason = "getpwnam_r(3), getpwuid_r(3) and getgrouplist(3): no library that we have offers them"
)]

use std::{
    ffi::{CStr, CString, OsString},
    io,
    os::unix::ffi::OsStringExt,
    ptr,
};

use rustix::{
    process::{Gid, Uid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

/// Longest entry that is read, in bytes.
const MAX_ENTRY: usize = 1 << 20;
/// Most groups of a user that are taken, as many as the kernel knows.
const MAX_GROUPS: libc::c_int = 65_536;

/// A user as whom a program can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Number of the user.
    pub uid: u32,
    /// Number of the group.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
    /// Name, home and shell, if the system has an entry.
    pub entry: Option<UserEntry>,
}

/// What the system knows about a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEntry {
    /// Name.
    pub name: OsString,
    /// Home directory.
    pub home: OsString,
    /// Shell.
    pub shell: OsString,
}

impl User {
    /// Returns the user of this name; `None` if there is none.
    ///
    /// # Errors
    /// The system's users cannot be read.
    pub fn named(name: &str) -> io::Result<Option<Self>> {
        let name = CString::new(name)?;
        find(|entry, buffer, found| {
            // SAFETY: the name ends in NUL, the buffer's length is given, and all live through the
            // call.
            unsafe {
                libc::getpwnam_r(name.as_ptr(), entry, buffer.as_mut_ptr(), buffer.len(), found)
            }
        })
    }

    /// Returns the user of these numbers, whether the system has an entry or not.
    ///
    /// # Errors
    /// As [`User::named`].
    pub fn of_ids(uid: u32, gid: u32) -> io::Result<Self> {
        let found = find(|entry, buffer, found| {
            // SAFETY: the buffer's length is given, and all live through the call.
            unsafe { libc::getpwuid_r(uid, entry, buffer.as_mut_ptr(), buffer.len(), found) }
        })?;
        Ok(match found {
            Some(user) => Self { gid, ..user },
            None => Self { uid, gid, groups: vec![gid], entry: None },
        })
    }
}

/// Looks an entry up, with a buffer that grows until it fits.
fn find(
    look: impl Fn(*mut libc::passwd, &mut [libc::c_char], *mut *mut libc::passwd) -> libc::c_int,
) -> io::Result<Option<User>> {
    let mut buffer: Vec<libc::c_char> = vec![0; 1_024];
    loop {
        // SAFETY: a struct of integers and pointers, for which zero is a value.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = ptr::null_mut();
        match look(&mut entry, &mut buffer, &mut found) {
            libc::ERANGE if buffer.len() < MAX_ENTRY => buffer.resize(2 * buffer.len(), 0),
            0 if found.is_null() => return Ok(None),
            // SAFETY: it was found, so its strings are in the buffer, which lives on.
            0 => return Ok(Some(unsafe { user_of(&entry) })),
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// # Safety
/// The entry's strings are valid, and end in NUL.
unsafe fn user_of(entry: &libc::passwd) -> User {
    let string = |text: *const libc::c_char| {
        // SAFETY: the caller's promise.
        let text = unsafe { CStr::from_ptr(text) };
        OsString::from_vec(text.to_bytes().to_vec())
    };
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(entry.pw_name) };
    User {
        uid: entry.pw_uid,
        gid: entry.pw_gid,
        groups: groups_of(name, entry.pw_gid),
        entry: Some(UserEntry {
            name: string(entry.pw_name),
            home: string(entry.pw_dir),
            shell: string(entry.pw_shell),
        }),
    }
}

fn groups_of(name: &CStr, gid: u32) -> Vec<u32> {
    let mut count: libc::c_int = 64;
    loop {
        let mut groups = vec![0; count as usize];
        // SAFETY: the name ends in NUL, and the array has as many places as the count says.
        let fits =
            unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &mut count) };
        if fits >= 0 {
            groups.truncate(usize::try_from(count).unwrap_or(0));
            return groups;
        }
        if groups.len() as libc::c_int >= MAX_GROUPS || count <= groups.len() as libc::c_int {
            return vec![gid];
        }
    }
}

/// Becomes a user, for good. For a process with one thread: the kernel holds this by thread.
///
/// # Errors
/// The kernel refuses: it takes root.
pub(super) fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // The C library's word for "leave it as it is".
    if uid == u32::MAX || gid == u32::MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let groups: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    set_thread_groups(&groups)?;
    set_thread_res_gid(gid, gid, gid)?;
    Ok(set_thread_res_uid(uid, uid, uid)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_by_number() {
        let root = User::named("root").unwrap().expect("everybody has one");
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(root.groups.contains(&0));
        assert_eq!(User::of_ids(0, 0).unwrap(), root);
        assert_eq!(User::named("no such user").unwrap(), None);
        assert!(User::named("a\0b").is_err());
    }

    #[test]
    fn a_number_without_an_entry_is_a_user_all_the_same() {
        let user = User::of_ids(4_000_000_001, 4_000_000_002).unwrap();
        assert_eq!((user.entry, user.groups), (None, vec![4_000_000_002]));
    }

    #[test]
    fn nobody_is_left_as_they_are_by_accident() {
        assert!(become_user(u32::MAX, 1, &[]).is_err());
        assert!(become_user(1, u32::MAX, &[]).is_err());
    }
}
