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
    /// Its inode; `None` if the process was not there, or in another one, once it was read.
    netns: Option<u32>,
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

    /// Returns the namespace that a process is in now: the process of that number may be another by
    /// now, or have moved. A namespace that gets the number of one that ended within [`STANDS`] is
    /// taken for it.
    fn of(&mut self, pid: u32) -> &Network {
        let netns = procfs::netns_of(pid);
        self.known_or(netns, || Network::read(pid, netns))
    }

    fn known_or(&mut self, netns: Option<u32>, read: impl FnOnce() -> Network) -> &Network {
        if let Some(network) = &self.newest
            && (netns.is_none() || network.netns != netns || network.read.elapsed() >= STANDS)
        {
            self.newest = None;
        }
        self.newest.get_or_insert_with(read)
    }
}

impl Network {
    fn read(pid: u32, netns: Option<u32>) -> Self {
        let read = Instant::now();
        let (time_wait, routes) = (procfs::time_wait_sockets(pid), procfs::routes(pid));
        let netns = netns.filter(|netns| procfs::netns_of(pid) == Some(*netns));
        Self { netns, read, time_wait, routes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_namespace_that_was_read_stands() {
        let mut networks = Networks::default();
        let mut read = |netns, time_wait| {
            let routes = Routes::default();
            let network =
                Network { netns, read: Instant::now(), time_wait: Some(time_wait), routes };
            networks.known_or(netns, || network).time_wait
        };
        assert_eq!(read(Some(7), 1), Some(1));
        assert_eq!(read(Some(7), 2), Some(1), "it stands for a while");
        assert_eq!(read(Some(8), 3), Some(3), "the process is in another one");
        assert_eq!(read(Some(7), 4), Some(4));
        assert_eq!(read(None, 5), Some(5), "it is not known which");
        assert_eq!(read(None, 6), Some(6));
    }

    #[test]
    fn a_process_is_in_the_namespace_that_it_is_in_now() {
        let own = std::process::id();
        let mut networks = Networks::default();
        assert_eq!(networks.of(own).netns, procfs::netns_of(own));
        assert_eq!(networks.of(0).netns, None, "there is no such process");
    }
}
