//! Failed connects, completed by what the network namespace of their process says.

use std::time::{Duration, Instant};

use crate::{
    model::event::{Connect, Outcome},
    sensor::procfs::{self, Routes},
};

/// Time for which a namespace is not read again: a thousand connects may fail in a second.
const STANDS: Duration = Duration::from_millis(500);

/// The network namespace that was read last.
#[derive(Debug, Default)]
pub(in crate::sensor) struct Networks {
    newest: Option<Network>,
}

#[derive(Debug)]
struct Network {
    pid: u32,
    read: Instant,
    time_wait: Option<u64>,
    routes: Routes,
}

impl Networks {
    /// Adds to a connect that failed on this host what the probes cannot see of it.
    pub(in crate::sensor) fn complete(&mut self, connect: &mut Connect) {
        match connect.outcome {
            Outcome::NoPort => connect.time_wait = self.of(connect.pid).time_wait,
            Outcome::NoRoute if connect.error.is_none() => {
                connect.error = self.of(connect.pid).routes.error(connect.peer.ip());
                connect.inferred = connect.error.is_some();
            }
            _ => {}
        }
    }

    fn of(&mut self, pid: u32) -> &Network {
        if let Some(network) = &self.newest
            && (network.pid != pid || network.read.elapsed() >= STANDS)
        {
            self.newest = None;
        }
        self.newest.get_or_insert_with(|| Network::read(pid))
    }
}

impl Network {
    fn read(pid: u32) -> Self {
        Self {
            pid,
            read: Instant::now(),
            time_wait: procfs::time_wait_sockets(pid),
            routes: procfs::routes(pid),
        }
    }
}
