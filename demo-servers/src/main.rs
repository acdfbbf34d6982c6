//! `demo-servers PATTERN [KNOBS]`: runs one of the patterns until it is signalled.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use demo_servers::{
    ask, datagrams, delay_link, execution, fork_storm, inherit, io_uring, load, never_accept, serve, slow_acceptor,
};

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
    Acceptors(execution::acceptors::Options),
    /// One process listens, another accepts
    Inherit(inherit::Options),
    /// Forks many short-lived children; the last one listens
    ForkStorm(fork_storm::Options),
    /// Accepts through io_uring; exits 77 where the kernel refuses it
    IoUring(io_uring::Options),
    /// Answers every line, with faults to be switched on
    Serve(serve::Options),
    /// Receives datagrams more slowly than they come, or sends them
    Datagrams(datagrams::Options),
    /// A link between 10.77.0.1 and 10.77.0.2 with a round-trip time and losses; exits 77 where there is no TUN device
    DelayLink(delay_link::Options),
    /// Makes connections
    Load(load::Options),
    /// Asks a request-response server
    Ask(ask::Options),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().pattern {
        Pattern::SlowAcceptor(options) => slow_acceptor::run(&options),
        Pattern::NeverAccept(options) => never_accept::run(&options),
        Pattern::Acceptors(options) => execution::acceptors::run(&options),
        Pattern::Inherit(options) => inherit::run(&options),
        Pattern::ForkStorm(options) => fork_storm::run(&options),
        Pattern::IoUring(options) => io_uring::run(&options),
        Pattern::Serve(options) => serve::run(&options),
        Pattern::Datagrams(options) => datagrams::run(&options),
        Pattern::DelayLink(options) => delay_link::run(&options),
        Pattern::Load(options) => load::run(&options),
        Pattern::Ask(options) => ask::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<io_uring::Unavailable>() || error.is::<delay_link::Unavailable>() => {
            eprintln!("demo-servers: {error}");
            ExitCode::from(77)
        }
        Err(error) => {
            eprintln!("demo-servers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn no_two_knobs_are_called_the_same() {
        Cli::command().debug_assert();
    }
}
