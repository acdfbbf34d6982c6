//! Accepts that fail, queues that clients leave, connections that are accepted and not served, and
//! other listeners.

mod failing;
mod leaving;
mod listeners;
mod unserved;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

use anyhow::Context;

use crate::cases::{each_tier, native};
use crate::harness::{Case, Ended, Process, World};

pub(super) const CASES: &[Case] = &[
    each_tier("accepts::no_descriptor_left", failing::no_descriptor_left),
    each_tier("accepts::no_descriptor_left_for_io_uring", failing::no_descriptor_for_io_uring)
        .on_each_kernel(),
    native("accepts::a_million_failures_make_no_flood", failing::no_flood),
    each_tier("accepts::clients_give_up_in_the_queue", leaving::clients_give_up).on_each_kernel(),
    each_tier("accepts::a_listener_closes_with_a_queue", leaving::closes_with_queue),
    native("accepts::closed_at_once_and_unread", unserved::closed_at_once),
    native("accepts::closed_at_once_with_a_reason", unserved::closed_with_reason),
    native("accepts::served_in_any_way_is_no_such_case", unserved::served),
    native("accepts::a_server_that_is_killed_is_at_no_limit", leaving::killed),
    native("accepts::another_socket_on_the_port", listeners::another_socket),
    native("accepts::unix_listeners_have_their_queue", listeners::unix_listeners),
    native("accepts::a_reuseport_member_ends", listeners::member_ends),
];

/// Checks that there is none of this file's findings. Others may be right: on a busy or an emulated
/// machine connections do wait.
fn check_silent(ended: &Ended) -> anyhow::Result<()> {
    ["accept-fails", "abandoned", "closed-unserved"]
        .into_iter()
        .try_for_each(|kind| ended.check_no_finding(kind))
}

/// Starts a server of our own, in Python, and waits for its first line: its port, or what else it
/// prints.
pub(super) fn python(world: &World, script: &str) -> anyhow::Result<(Process, String)> {
    let mut command = Command::new("python3");
    command.args(["-c", script]);
    let server = Process::start(command)?;
    let first = server.next_line(Instant::now() + world.patience())?.context("the server ended")?;
    Ok((server, first.trim().to_owned()))
}

fn address(port: &str) -> anyhow::Result<SocketAddr> {
    Ok(SocketAddr::from(([127, 0, 0, 1], port.parse()?)))
}
