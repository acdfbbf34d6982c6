//! The screen when something ends: the target, the disk; and the keys that take something along.

mod disk;
mod ends;
mod keys;

use std::path::Path;
use std::time::Instant;

use anyhow::ensure;

use crate::cases::{any_tier, native};
use crate::harness::terminal::OnScreen;
use crate::harness::{Case, Demo, World, converse};

pub(in crate::cases) const CASES: &[Case] = &[
    any_tier("screen::how_a_target_ended", ends::how_a_target_ended)
        .by_processor()
        .on_each_kernel(),
    any_tier("screen::one_of_several_ends", ends::one_of_several),
    native("screen::it_stands_still_once_the_target_has_gone", ends::target_gone),
    native("screen::it_stands_still_once_the_command_has_ended", ends::command_ended),
    native("screen::a_time_that_is_over_ends_it_all_the_same", ends::time_is_over),
    native("screen::a_full_disk_ends_the_recording_alone", disk::full_disk),
    native("screen::a_limit_of_file_sizes_ends_the_recording_alone", disk::file_limit),
    native("screen::a_full_disk_for_a_report", disk::report_on_full_disk),
    native("screen::keys_take_along", keys::keys_take_along),
    native("screen::keys_on_a_full_disk", keys::keys_on_full_disk),
    native("screen::keys_in_a_replay", keys::keys_in_replay),
];

/// A server that answers.
fn server(world: &World) -> anyhow::Result<Demo> {
    world.demo(&["slow-acceptor", "--accept-delay", "0ms"])
}

/// A watch of a server on a terminal, which has shown a connection.
fn watch(world: &World, demo: &Demo, args: &[&str], folder: &Path) -> anyhow::Result<OnScreen> {
    let mut command = world.agent_command(&["watch", "--interval", "100ms"]);
    command.args(["--pid", &demo.pid_arg()]).args(args).current_dir(folder);
    let mut screen = OnScreen::start(command)?;
    screen.await_shown(world, &demo.pid().to_string())?;
    converse(demo.addr)?;
    screen.type_keys("2")?;
    screen.await_shown(world, " → ")?;
    Ok(screen)
}

/// Talks to the server until the screen shows this.
fn talk_until(
    world: &World,
    demo: &Demo,
    screen: &mut OnScreen,
    wanted: &str,
) -> anyhow::Result<String> {
    let deadline = Instant::now() + world.patience();
    while !screen.shown().contains(wanted) {
        ensure!(Instant::now() < deadline, "no {wanted:?}:\n{}", screen.shown());
        for _ in 0..20 {
            converse(demo.addr)?;
        }
        screen.drain()?;
    }
    Ok(screen.shown())
}
