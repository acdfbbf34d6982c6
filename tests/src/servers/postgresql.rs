//! PostgreSQL.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;

use super::{PORT, Server};
use crate::harness::{Protocol, Skip};

/// Version 3.0, user and database `postgres`.
const STARTUP: &[u8] = b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0";

/// A process a connection. The cluster is created for each start.
pub(super) const POSTGRESQL: Server = Server {
    name: "postgresql",
    protocol: Protocol {
        greeting: STARTUP,
        request: b"Q\0\0\0\x0eSELECT 1;\0",
        end: b"Z\0\0\0\x05I",
    },
    prepare,
};

fn prepare(folder: &Path) -> anyhow::Result<Command> {
    let (Some(programs), Some((uid, gid))) = (programs(), user("postgres")) else {
        return Err(Skip("postgresql is not installed".to_owned()).into());
    };
    std::os::unix::fs::chown(folder, Some(uid), Some(gid))?;
    let as_user = |program: &str| {
        let mut command = Command::new(programs.join(program));
        command.uid(uid).gid(gid).current_dir("/").arg("-D").arg(folder.join("data"));
        command
    };
    let made = as_user("initdb").args(["-A", "trust", "-U", "postgres", "-N"]).output()?;
    ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    let mut server = as_user("postgres");
    server.args(["-p", &PORT.to_string(), "-h", "127.0.0.1", "-k"]).arg(folder);
    Ok(server)
}

/// Returns the folder in which the distribution keeps its programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let places =
        versions.map(|version| version.path().join("bin")).chain([PathBuf::from("/usr/local/bin")]);
    places.filter(|place| place.join("initdb").exists()).min()
}

/// Returns the ids of the user of that name: PostgreSQL refuses to run as root.
fn user(name: &str) -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let mut fields =
        users.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
