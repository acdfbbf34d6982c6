//! Files: whose, and what was there before.

use std::{fs, io::Write, os::unix::fs::PermissionsExt};

use super::super::{CreateError, check_path, create};

#[test]
fn only_the_owner_can_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.bsrec");
    let file = create(&path, false).unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_exists_is_replaced_only_on_demand() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.bsrec");
    fs::write(&path, "precious").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(create(&path, false), Err(CreateError::Exists(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    create(&path, true).unwrap().write_all(b"new").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn links_and_devices_are_never_touched() {
    let dir = tempfile::tempdir().unwrap();
    let (target, link) = (dir.path().join("target"), dir.path().join("link"));
    fs::write(&target, "precious").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    for path in [link.as_path(), dir.path(), "/dev/null".as_ref()] {
        assert!(
            matches!(check_path(path, true), Err(CreateError::NoFile(_))),
            "{}",
            path.display()
        );
        assert!(create(path, true).is_err());
    }
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    assert!(matches!(
        create(&dir.path().join("no/such/folder"), false),
        Err(CreateError::Io { .. })
    ));
}
