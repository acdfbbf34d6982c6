//! `demo-servers PATTERN [KNOBS]`: runs one of the patterns until it is signalled.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use demo_servers::{acceptors, fork_storm, inherit, io_uring, load, never_accept, slow_acceptor};

/// Servers with known faults, and the clients that bring them out
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    pattern: Pattern,
}

#[derive(Subcommand)]
enum Pattern {
    /// Accepts late: every connection waits in the accept queue
    SlowAcceptor(slow_acceptor::Options),
    /// Listens and never accepts: the kernel finishes handshakes until the queue is full
    NeverAccept(never_accept::Options),
    /// Several acceptors on one socket, or on a SO_REUSEPORT group
    Acceptors(acceptors::Options),
    /// One process listens, another accepts
    Inherit(inherit::Options),
    /// Forks many short-lived children; the last one listens
    ForkStorm(fork_storm::Options),
    /// Accepts through io_uring; exits 77 where the kernel refuses it
    IoUring(io_uring::Options),
    /// Makes connections
    Load(load::Options),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().pattern {
        Pattern::SlowAcceptor(options) => slow_acceptor::run(&options),
        Pattern::NeverAccept(options) => never_accept::run(&options),
        Pattern::Acceptors(options) => acceptors::run(&options),
        Pattern::Inherit(options) => inherit::run(&options),
        Pattern::ForkStorm(options) => fork_storm::run(&options),
        Pattern::IoUring(options) => io_uring::run(&options),
        Pattern::Load(options) => load::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<io_uring::Unavailable>() => {
            eprintln!("demo-servers: {error}");
            ExitCode::from(77)
        }
        Err(error) => {
            eprintln!("demo-servers: {error:#}");
            ExitCode::FAILURE
        }
    }
}
