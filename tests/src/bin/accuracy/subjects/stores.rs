//! Databases and caches.

use std::fs::OpenOptions;
use std::io::Write;

use backscope_tests::servers::{PORT, Server, command};

use super::Subject;
use crate::wire::{Ask, Wire};

const BASE: Subject = Subject {
    name: "",
    wire: Wire::Redis,
    one_thread: true,
    pipelines: true,
    closes_idle: false,
    can: |_| true,
    prepare: |_| anyhow::bail!("not a server"),
};

/// A process a connection.
pub(super) const POSTGRESQL: Subject = Subject {
    name: "postgresql",
    wire: Wire::Postgresql,
    one_thread: false,
    can: |ask| matches!(ask, Ask::Quick | Ask::Compute(_) | Ask::Sleep(_) | Ask::Big(_)),
    prepare: |place| {
        let mut server = Server::named("postgresql")?.command(place.folder)?;
        server.args(["-h", "0.0.0.0"]);
        // A client behind the link has an address outside loopback.
        let rules = OpenOptions::new().append(true).open(place.folder.join("data/pg_hba.conf"));
        writeln!(rules?, "host all all 10.77.0.0/24 trust")?;
        Ok(server)
    },
    ..BASE
};

/// One thread that does everything.
pub(super) const REDIS: Subject = Subject {
    name: "redis",
    can: |ask| matches!(ask, Ask::Quick | Ask::Compute(_) | Ask::Sleep(_) | Ask::Big(_)),
    prepare: |place| {
        let mut command = command(
            "redis-server",
            &format!(
                "--port {PORT} --bind 0.0.0.0 --protected-mode no --appendonly no \
                 --enable-debug-command yes"
            ),
        )?;
        command.args(["--tcp-backlog", "4096", "--save", ""]).current_dir(place.folder);
        Ok(command)
    },
    ..BASE
};

/// One thread accepts, four read.
pub(super) const MEMCACHED: Subject = Subject {
    name: "memcached",
    wire: Wire::Memcached,
    one_thread: false,
    can: |ask| matches!(ask, Ask::Quick | Ask::Big(_)),
    prepare: |_| command("memcached", &format!("-u nobody -l 0.0.0.0 -p {PORT} -U 0 -t 4 -I 8m")),
    ..BASE
};
