//! `backscope demo`: a bundled server with its client.

use std::{
    ffi::OsString,
    io::{self, Write},
    iter,
    process::ExitCode,
};

use demo_servers::{
    demo::{self, Choice, ClientBeside, Launcher},
    program,
};

use super::{Usage, watch};
use crate::{
    cli::{
        DEMO_SERVERS_VERB, DemoArgs, Detail, FlightArgs, LookArgs, OutputArgs, RunArgs, RunAsArgs,
        TargetArgs, WatchArgs,
    },
    privileges,
    sensor::SensorError,
};

pub(super) fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let launcher = Launcher::this_program(&[DEMO_SERVERS_VERB])?;
    if let Some(choice) = &args.choice
        && choice.run.rtt.is_some()
        && let Some(blocker) = privileges::network_blocker("--rtt runs the demo")
    {
        return Err(SensorError::Blocked(blocker).into());
    }
    match args.choice {
        Some(choice) if args.watch => watched(choice, &launcher),
        Some(choice) => {
            demo::show(choice, &launcher)?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            demo::write_list(io::stdout().lock())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The hidden verb: the bundled servers' own command line.
pub(super) fn serve(args: Vec<OsString>) -> ExitCode {
    program::main(
        program::NAME,
        iter::once(DEMO_SERVERS_VERB.into()).chain(args),
        &[DEMO_SERVERS_VERB],
    )
}

/// `watch -- SERVER`, with the client beside it: another process, which keeps what the watch gives
/// up.
fn watched(mut choice: Choice, launcher: &Launcher) -> anyhow::Result<ExitCode> {
    if choice.run.server_only || choice.run.client_only.is_some() {
        return Err(Usage("--watch takes both the server and its client".to_owned()).into());
    }
    let mut client = ClientBeside::start(&mut choice, launcher)?;
    // The client must know it, and the server's output is not ours to read.
    client.begin(choice.settle_address()?)?;
    let args = WatchArgs {
        target: TargetArgs::default(),
        command: launcher.command_line(&choice.server),
        // A server of our own, some of which take root.
        run_as: RunAsArgs { as_root: true, user: None },
        output: OutputArgs { plain: false, json: false, save_to: None },
        look: LookArgs::default(),
        run: RunArgs {
            duration: choice.run.duration,
            interval: None,
            detail: Detail::Exchanges,
            budget: None,
            no_protocols: false,
            paths: false,
            tier: None,
            probe_log: None,
        },
        recording: None,
        report: None,
        force: false,
        flight: FlightArgs::default(),
    };
    let outcome = watch::run(args);
    let printed = client.end()?;
    let status = outcome?;
    io::stdout().write_all(printed.as_bytes())?;
    Ok(status)
}
