//! Redis.

use super::{PORT, Server, command};
use crate::harness::Protocol;

/// One thread that does everything.
pub(super) const REDIS: Server = Server {
    name: "redis",
    protocol: Protocol { greeting: b"", request: b"PING\r\n", end: b"\r\n" },
    prepare: |_| {
        let mut command =
            command("redis-server", &format!("--port {PORT} --bind 127.0.0.1 --appendonly no"))?;
        command.args(["--save", ""]);
        Ok(command)
    },
};
