//! `learn --fix --shell`: a shell beside the server of the exercise that runs in another terminal.

use std::{
    env,
    fs::File,
    os::{fd::AsFd, unix::process::CommandExt},
    process::{Command, ExitCode},
};

use anyhow::Context;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{commands::Usage, learn::fix::Session, privileges};

/// Enters the network of the exercise, and becomes a shell in its folder.
pub(super) fn run() -> anyhow::Result<ExitCode> {
    let Some(session) = Session::running() else {
        return Err(Usage(
            "no exercise is running; start one in another terminal: sudo backscope learn --fix"
                .to_owned(),
        )
        .into());
    };
    if let Some(blocker) = privileges::network_blocker("the shell enters the exercise's network") {
        return Err(crate::sensor::SensorError::Blocked(blocker).into());
    }
    let network = session.network();
    let file =
        File::open(&network).with_context(|| format!("cannot open {}", network.display()))?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .context("cannot enter the exercise's network")?;
    note!(
        "backscope: this shell is in the network of the exercise {}, in {}. `exit` leaves it.",
        session.name,
        session.folder.display()
    );
    let shell = env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    // Returns only if it fails.
    let error = Command::new(&shell).current_dir(&session.folder).exec();
    Err(error).with_context(|| format!("cannot start {}", shell.to_string_lossy()))
}
