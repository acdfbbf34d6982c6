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
        let Some(rtt) = self.run.rtt else { return Ok(()) };
        own_network::enter().context(
            "--rtt needs a network namespace of its own, and that needs root (CAP_SYS_ADMIN)",
        )?;
        let device = tun::open("delay0", NEAR).map_err(Unavailable)?;
        let options = delay_link::Options::with_rtt(rtt);
        thread::Builder::new()
            .name("delay-link".to_owned())
            .spawn(move || delay_link::relay(&device, &options))?;
        self.listen_at(SocketAddr::from((NEAR, 0)));
        Ok(())
    }

    /// Returns the address at which the client reaches a server that listens at this address.
    pub fn seen_from_client(&self, server: SocketAddr) -> SocketAddr {
        if self.run.rtt.is_some() { SocketAddr::from((FAR, server.port())) } else { server }
    }
}

/// Parses a round-trip time that is short enough to wait for.
pub(super) fn rtt(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(5);
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time > LONGEST { Err(format!("the longest is {LONGEST:?}")) } else { Ok(time) }
}
