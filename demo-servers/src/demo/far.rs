//! A demo with a round-trip time: in a network namespace of its own, with a link that delays.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::Context;

use super::Choice;
use crate::delay_link::{self, FAR, NEAR, Unavailable};
use crate::{own_network, tun};

impl Choice {
    /// Moves a demo with a round-trip time into a network of its own. The calling thread, and all
    /// that it starts from now on, get a network namespace with a delaying link, at whose near end
    /// the server will listen.
    ///
    /// # Errors
    /// Without root, and where the kernel has no TUN device.
    pub fn go_far(&mut self) -> anyhow::Result<()> {
        match self.enter_network()? {
            Some(rtt) => link(rtt, self.run.loss),
            None => Ok(()),
        }
    }

    /// Gives the calling thread a network namespace of its own, if there is a round-trip time, and
    /// returns that. The server will listen at the near end of the [`link`].
    pub(super) fn enter_network(&mut self) -> anyhow::Result<Option<Duration>> {
        let Some(rtt) = self.run.rtt else { return Ok(None) };
        own_network::enter().context(
            "--rtt needs a network namespace of its own, and that needs root (CAP_SYS_ADMIN)",
        )?;
        self.listen_at(SocketAddr::from((NEAR, 0)));
        Ok(Some(rtt))
    }

    /// Returns the address at which the client reaches a server that listens at this address.
    pub fn seen_from_client(&self, server: SocketAddr) -> SocketAddr {
        seen_from_client(self.run.rtt, server)
    }
}

/// Makes a link with this round-trip time and this percentage of losses in the calling thread's network namespace, for as long as
/// this process runs.
pub(super) fn link(rtt: Duration, loss: u8) -> anyhow::Result<()> {
    let device = tun::open("delay0", NEAR).map_err(Unavailable)?;
    let options = delay_link::Options { loss, ..delay_link::Options::with_rtt(rtt) };
    thread::Builder::new()
        .name("delay-link".to_owned())
        .spawn(move || delay_link::relay(&device, &options))?;
    Ok(())
}

/// Returns the address at which the client reaches a server, by the round-trip time between them.
pub(super) fn seen_from_client(rtt: Option<Duration>, server: SocketAddr) -> SocketAddr {
    if rtt.is_some() { SocketAddr::from((FAR, server.port())) } else { server }
}

/// Parses a round-trip time that is short enough to wait for.
pub(super) fn rtt(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(5);
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time > LONGEST { Err(format!("the longest is {LONGEST:?}")) } else { Ok(time) }
}
