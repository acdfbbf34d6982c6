//! The command line of all servers and clients.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::communication::{broker, jobs, news, opening, sessions, store, waiting};
use crate::demo::{self, Choice, Launcher};
use crate::execution::{acceptors, balancing, map, per_connection, readers, single_thread};
use crate::naming::name_thread;
use crate::protocols::{self, grpc, websocket};
use crate::protocols::{echo, layers, tcp, udp, webrtc};
use crate::proxying::{forward, layer4, layer7};
use crate::{
    capture, client, connects, datagrams, delay_link, fork_storm, https, inherit, io_uring, load,
    never_accept, payments, route, serve, shop, slow_acceptor,
};

/// Servers with known faults, and the clients that bring them out
#[derive(Parser)]
#[command(name = "demo-servers", version)]
pub struct Program {
    /// The server or tool to run.
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A named demo: a server with its client
    Demo(DemoArgs),
    #[command(flatten)]
    Verb(Verb),
}

/// The verbs.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// One thread for everything: it accepts, reads and answers
    SingleThread(single_thread::Options),
    /// A thread for each connection
    ThreadPerConnection(per_connection::Options),
    /// A process for each connection, forked after the accept
    ProcessPerConnection(per_connection::Options),
    /// One thread accepts, others read and answer
    AcceptorPlusReaders(readers::Options),
    /// One thread accepts and reads, workers answer
    MessageLoadBalancing(balancing::Options),
    /// Several acceptors on one socket, or on a SO_REUSEPORT group
    Acceptors(acceptors::Options),
    /// Every pattern at once, each in a process of its own, on consecutive ports
    Patterns(map::Options),
    /// Carries out each order once, if it has a key; answers late now and then
    Payments(payments::Options),
    /// HTTP/1.1 over TLS, with a thread for each connection
    Https(https::server::Options),
    /// HTTP/3 over QUIC, with an event loop
    Quic(https::quic_server::Options),
    /// HTTP/1.1 without TLS, for requests without a body
    Layers(layers::ServerOptions),
    /// Sends each message back, over one protocol or another
    Echo(echo::ServerOptions),
    /// Answers datagrams
    Udp(udp::ServerOptions),
    /// Reads until the client closes its half, and answers with the number of bytes
    Tcp(tcp::ServerOptions),
    /// Answers on WebRTC data channels
    Webrtc(webrtc::ServerOptions),
    /// Accepts late: every connection waits in the accept queue
    SlowAcceptor(slow_acceptor::Options),
    /// Listens and never accepts: the kernel finishes handshakes until the queue is full
    NeverAccept(never_accept::Options),
    /// One process listens, another accepts
    Inherit(inherit::Options),
    /// Forks many short-lived children; the last one listens
    ForkStorm(fork_storm::Options),
    /// Accepts through io_uring; exits with 77 where the kernel refuses it
    IoUring(io_uring::Options),
    /// Answers every line, with faults that can be switched on
    Serve(serve::Options),
    /// Receives datagrams more slowly than they arrive, or sends them
    Datagrams(datagrams::Options),
    /// A link between 10.77.0.1 and 10.77.0.2 with a round-trip time and losses; exits with 77
    /// where there is no TUN device
    DelayLink(delay_link::Options),
    /// Tells the packets of this network namespace, until standard input ends
    Capture(capture::Options),
    /// A client's host, a router and a server's host, and the wires between them; exits with 77
    /// where there is no TUN device
    Route(route::Options),
    /// Answers over HTTP/1.1 or HTTP/2
    Http(protocols::http::Options),
    /// Speaks WebSocket: sends each message back, and also messages of its own
    #[command(name = "websocket")]
    WebSocket(websocket::Options),
    /// Answers the four kinds of gRPC call
    Grpc(grpc::Options),
    /// Does jobs that take long, and answers when they are done, or before that
    Jobs(jobs::Options),
    /// Reports events to clients that ask, wait or listen
    News(news::Options),
    /// Speaks in every pattern: answers, reports events, writes unasked, and is a broker
    Opening(opening::Options),
    /// Keeps records, and acknowledges them when they are written, on the disk, or replicated
    Store(store::Options),
    /// Answers lines with one thread, and counts the system calls that it takes
    Waiting(waiting::Options),
    /// Passes on published messages to the subscribers
    Broker(broker::Options),
    /// Keeps session state in each worker, shared among the workers, or not at all
    Sessions(sessions::Options),
    /// A proxy that makes a tunnel for the client, or the request itself; its origin is a separate
    /// process
    ForwardProxy(forward::Options),
    /// A balancer of connections to servers that are separate processes
    Layer4(layer4::Options),
    /// A proxy or balancer of HTTP requests to servers that are separate processes
    Layer7(layer7::Options),
    /// The web shop of the exercises (`learn --fix`)
    Shop(shop::Options),
    /// The customers of the shop, who tell each second how they fared
    Customers(shop::customers::Options),
    /// Makes connections
    Load(load::Options),
    /// Sends requests to a request-response server
    Client(client::Options),
    /// Makes connections that may fail
    Connects(connects::Options),
    /// Runs the client of a demo beside a watch of its server
    #[command(name = demo::beside::VERB, hide = true)]
    ClientBeside(demo::beside::Options),
}

impl Verb {
    /// Runs until it is done or signalled. Servers that start others use the launcher.
    fn run(&self, launcher: &Launcher) -> anyhow::Result<()> {
        match self {
            Self::SingleThread(options) => single_thread::run(options),
            Self::ThreadPerConnection(options) => per_connection::by_threads(options),
            Self::ProcessPerConnection(options) => per_connection::by_processes(options),
            Self::AcceptorPlusReaders(options) => readers::run(options),
            Self::MessageLoadBalancing(options) => balancing::run(options),
            Self::Acceptors(options) => acceptors::run(options),
            Self::Patterns(options) => map::run(options),
            Self::Payments(options) => payments::run(options),
            Self::Https(options) => https::server::run(options),
            Self::Quic(options) => https::quic_server::run(options),
            Self::Layers(options) => layers::serve(options),
            Self::Echo(options) => echo::run(options),
            Self::Udp(options) => udp::serve(options),
            Self::Tcp(options) => tcp::serve(options),
            Self::Webrtc(options) => webrtc::serve(options),
            Self::SlowAcceptor(options) => slow_acceptor::run(options),
            Self::NeverAccept(options) => never_accept::run(options),
            Self::Inherit(options) => inherit::run(options),
            Self::ForkStorm(options) => fork_storm::run(options),
            Self::IoUring(options) => io_uring::run(options),
            Self::Serve(options) => serve::run(options),
            Self::Datagrams(options) => datagrams::run(options),
            Self::Route(options) => route::run(options),
            Self::Capture(options) => capture::run(options),
            Self::DelayLink(options) => delay_link::run(options),
            Self::Http(options) => protocols::http::run(options),
            Self::WebSocket(options) => websocket::run(options),
            Self::Grpc(options) => grpc::run(options),
            Self::Jobs(options) => jobs::run(options),
            Self::News(options) => news::run(options),
            Self::Opening(options) => opening::run(options),
            Self::Store(options) => store::run(options, launcher),
            Self::Waiting(options) => waiting::run(options),
            Self::Broker(options) => broker::run(options),
            Self::Sessions(options) => sessions::run(options, launcher),
            Self::ForwardProxy(options) => forward::run(options, launcher),
            Self::Layer4(options) => layer4::run(options, launcher),
            Self::Layer7(options) => layer7::run(options, launcher),
            Self::Shop(options) => shop::run(options),
            Self::Customers(options) => shop::customers::run(options),
            Self::Load(options) => load::run(options),
            Self::Client(options) => client::run(options),
            Self::Connects(options) => connects::run(options),
            Self::ClientBeside(options) => demo::beside::run(options),
        }
    }
}

/// Runs the server of a command line, which begins with the program's name, in this process.
pub(crate) fn serve(words: impl IntoIterator<Item = OsString>) -> anyhow::Result<()> {
    match Program::try_parse_from(words)?.what {
        What::Verb(verb) => verb.run(&Launcher::this_program(&[])?),
        What::Demo(_) => anyhow::bail!("a demo is no server"),
    }
}

#[cfg(test)]
impl Program {
    /// Runs the verb.
    pub(crate) fn serve(&self) -> anyhow::Result<()> {
        match &self.what {
            What::Verb(verb) => verb.run(&Launcher::this_program(&[])?),
            What::Demo(_) => anyhow::bail!("a demo is no server"),
        }
    }
}

/// Which demo.
#[derive(Args)]
#[command(
    subcommand_value_name = "NAME",
    subcommand_help_heading = "Demos",
    disable_help_subcommand = true
)]
pub(crate) struct DemoArgs {
    /// List the demos
    #[arg(long)]
    list: bool,
    #[command(subcommand)]
    choice: Option<Choice>,
}

/// Checks a command line, which begins with the program's name, without running it.
///
/// # Errors
/// What is wrong with it.
pub fn check<S: Into<OsString> + Clone>(
    args: impl IntoIterator<Item = S>,
) -> Result<(), clap::Error> {
    Program::try_parse_from(args).map(drop)
}

/// The name of its first thread, whatever the program is called.
pub const NAME: &str = "demo-servers";

/// Runs the verb of the command line. `args` begins with the program's name. `prefix` are the
/// arguments of the running program before the verbs of this one, to start a server as a process of
/// its own. The calling thread takes the name; threads with a role take others.
pub fn main(name: &str, args: impl IntoIterator<Item = OsString>, prefix: &[&str]) -> ExitCode {
    name_thread(name);
    let what = Program::parse_from(args).what;
    let outcome =
        Launcher::this_program(prefix).map_err(Into::into).and_then(|launcher| match what {
            What::Demo(args) => run_demo(args, &launcher),
            What::Verb(verb) => verb.run(&launcher),
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error)
            if error.is::<io_uring::Unavailable>() || error.is::<delay_link::Unavailable>() =>
        {
            crate::sock::complain(format_args!("{error}"));
            ExitCode::from(77)
        }
        Err(error) => {
            crate::sock::complain(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run_demo(args: DemoArgs, launcher: &Launcher) -> anyhow::Result<()> {
    match args.choice {
        Some(choice) => demo::show(choice, launcher),
        None => Ok(demo::write_list(std::io::stdout().lock())?),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Program;

    #[test]
    fn no_two_knobs_are_called_the_same() {
        Program::command().debug_assert();
    }
}
