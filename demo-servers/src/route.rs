//! Three hosts in a row: a client, a router and a server, each with a network of its own. The wires
//! between them are TUN devices, and this program carries each packet from one end to the other and
//! tells its headers.
//!
//! The client's host is the network namespace that this was started in.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::thread;

use anyhow::{Context, anyhow};
use clap::Args;

use crate::delay_link::Unavailable;
use crate::packet::Packet;
use crate::sock::{announce, monotonic_ns};
use crate::{own_network, tun};

/// Address of the client.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 78, 1, 2);
/// Address of the router, on the client's wire.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 78, 1, 1);
/// Address of the router, on the server's wire.
const ROUTER_FAR: Ipv4Addr = Ipv4Addr::new(10, 78, 2, 1);
/// Address of the server.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 78, 2, 2);

/// Knobs of the route.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Longest packet that the router sends to the server, bytes; neither end knows of it
    #[arg(
        long,
        default_value_t = 1500,
        value_name = "BYTES",
        value_parser = clap::value_parser!(u32).range(576..=65_535)
    )]
    pub mtu: u32,
    /// Lose all messages of ICMP on the client's wire, as some firewalls do
    #[arg(long)]
    pub lose_icmp: bool,
}

/// Relays until signalled. Prints `route CLIENT SERVER`, `network PATH` with the server's network
/// namespace, and for each packet `packet at_us=N wire=1` (the client's) or `wire=2`, its headers,
/// and `lost=1` if it was lost.
///
/// Fails with [`Unavailable`] where the kernel has no TUN device.
///
/// # Errors
/// Without CAP_NET_ADMIN and CAP_SYS_ADMIN.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let client = tun::open("wire", CLIENT).map_err(Unavailable)?;
    tun::route(ROUTER_FAR, ROUTER).context("cannot add a route")?;
    let mtu = options.mtu;
    let (near, far) = host(move || {
        let near = tun::open("wire-1", ROUTER)?;
        let far = tun::open("wire-2", ROUTER_FAR)?;
        tun::set_mtu("wire-2", mtu)?;
        fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
        Ok((near, far))
    })
    .context("cannot make the router")?;
    let (server, path) = host(|| {
        let wire = tun::open("wire", SERVER)?;
        tun::route(ROUTER, ROUTER_FAR)?;
        Ok((wire, fs::read_link("/proc/thread-self")?))
    })
    .context("cannot make the server's host")?;
    announce(format_args!("route {CLIENT} {SERVER}"));
    announce(format_args!("network /proc/{}/ns/net", path.display()));
    let lose = options.lose_icmp;
    thread::scope(|scope| {
        let directions = [
            (1, &client, &near, lose),
            (1, &near, &client, lose),
            (2, &server, &far, false),
            (2, &far, &server, false),
        ];
        let carry = directions
            .map(|(wire, from, to, lose)| scope.spawn(move || carry(wire, from, to, lose)));
        for thread in carry {
            thread.join().map_err(|_| anyhow!("a wire broke"))??;
        }
        Ok(())
    })
}

/// Makes something in a network namespace of its own, which lives as long as this process: its
/// thread stays.
fn host<T: Send + 'static>(
    make: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let (sender, made) = std::sync::mpsc::channel();
    thread::Builder::new().name("host".to_owned()).spawn(move || {
        let _ = sender.send(own_network::enter().and_then(|()| make()));
        loop {
            thread::park();
        }
    })?;
    Ok(made.recv().context("its thread ended")??)
}

/// Carries packets one way, until that fails.
fn carry(wire: u8, mut from: &File, mut to: &File, lose_icmp: bool) -> io::Result<()> {
    let mut buffer = [0; 65_536];
    loop {
        let length = from.read(&mut buffer)?;
        let Some(packet) = Packet::parse(&buffer[..length]) else { continue };
        let lost = lose_icmp && packet.is_icmp();
        announce(format_args!(
            "packet at_us={} wire={wire} {packet} lost={}",
            monotonic_ns() / 1_000,
            u8::from(lost)
        ));
        if !lost {
            // A packet that the kernel refuses counts as lost on the way.
            let _ = to.write(&buffer[..length]);
        }
    }
}
