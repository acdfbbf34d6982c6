//! A demo and knobs for it, from the command line: a subcommand for each demo, with the knobs of
//! its server and its client.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand};

use super::{Client, Demo, demos, find};
use crate::program::Verb;

/// A demo with the knobs that were chosen.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The demo.
    pub demo: &'static Demo,
    /// The server's verb and knobs, as arguments of this crate's program.
    pub server: Vec<OsString>,
    /// The client.
    pub client: Client,
    /// The client as arguments.
    pub client_args: Vec<OsString>,
    /// The parts to run, and their duration.
    pub run: RunOptions,
}

/// The parts of a demo to run, and their duration.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Run")]
pub struct RunOptions {
    /// End after this time [default: at Ctrl-C, or when the client has finished]
    #[arg(long, value_name = "TIME", value_parser = super::client::timeout)]
    pub duration: Option<Duration>,
    /// Run the server alone
    #[arg(long, conflicts_with = "client_only")]
    pub server_only: bool,
    /// Run both in their own network namespace, with this round-trip time between them (needs root)
    #[arg(
        long,
        value_name = "TIME",
        value_parser = super::far::rtt,
        conflicts_with_all = ["server_only", "client_only"]
    )]
    pub rtt: Option<Duration>,
    /// Lose this share of the packets between them: the same ones in each run
    #[arg(
        long,
        default_value_t = 0,
        value_name = "PERCENT",
        requires = "rtt",
        value_parser = clap::value_parser!(u8).range(0..=90)
    )]
    pub loss: u8,
    /// Run the client alone, against this server
    #[arg(long, value_name = "ADDR")]
    pub client_only: Option<SocketAddr>,
}

/// The server's option for its address.
const LISTEN: &str = "--listen=";

/// Parses the client's arguments alone.
#[derive(Parser)]
#[command(no_binary_name = true)]
struct ClientLine {
    #[command(subcommand)]
    client: Client,
}

impl Choice {
    /// This demo with these knobs, of its server, its client and the run, as on the command line.
    ///
    /// # Errors
    /// Those of clap, for unknown knobs and wrong values.
    pub fn new(demo: &'static Demo, knobs: &[&str]) -> Result<Self, clap::Error> {
        let matches = demo.command().try_get_matches_from([&[demo.name], knobs].concat())?;
        Self::of(demo, &matches)
    }

    /// Chooses the server's port now rather than when it starts, and returns where it will listen.
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn settle_address(&mut self) -> io::Result<SocketAddr> {
        let asked = self.take_listen();
        let text = asked
            .as_ref()
            .and_then(|arg| arg.to_str()?.strip_prefix(LISTEN))
            .unwrap_or("127.0.0.1:0");
        let mut address: SocketAddr = text.parse().map_err(io::Error::other)?;
        if address.port() == 0 {
            address.set_port(free_port(address)?);
        }
        self.server.push(format!("{LISTEN}{address}").into());
        Ok(address)
    }

    /// Makes the server listen there, whatever was asked for.
    pub(super) fn listen_at(&mut self, address: SocketAddr) {
        self.take_listen();
        self.server.push(format!("{LISTEN}{address}").into());
    }

    fn take_listen(&mut self) -> Option<OsString> {
        let at = self.server.iter().position(|arg| arg.to_string_lossy().starts_with(LISTEN))?;
        Some(self.server.remove(at))
    }

    fn of(demo: &'static Demo, matches: &ArgMatches) -> Result<Self, clap::Error> {
        let client_args = arguments(demo.client, &subcommand::<Client>(demo.client), matches);
        Ok(Self {
            demo,
            server: arguments(demo.server, &subcommand::<Verb>(demo.server), matches),
            client: Client::of_args(&client_args)?,
            client_args,
            run: RunOptions::from_arg_matches(matches)?,
        })
    }
}

impl Client {
    /// The client of these arguments: a verb and its knobs.
    pub(super) fn of_args(args: &[OsString]) -> Result<Self, clap::Error> {
        Ok(ClientLine::try_parse_from(args)?.client)
    }
}

impl FromArgMatches for Choice {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let (demo, matches) = matches
            .subcommand()
            .and_then(|(name, matches)| Some((find(name)?, matches)))
            .ok_or_else(|| clap::Error::new(ErrorKind::MissingSubcommand))?;
        Self::of(demo, matches)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for Choice {
    fn augment_subcommands(command: Command) -> Command {
        // Building the knobs of all demos would make the start slow. Only the demo that is asked
        // for builds its own.
        let named = |demo: &'static Demo| demo.describe(Command::new(demo.name)).defer(with_knobs);
        command.subcommands(demos().map(named))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        find(name).is_some()
    }
}

/// The subcommand of a demo, with its knobs.
fn with_knobs(command: Command) -> Command {
    match find(command.get_name()) {
        Some(demo) => demo.augment(command),
        None => command,
    }
}

impl Demo {
    /// Its subcommand.
    fn command(&self) -> Command {
        self.augment(Command::new(self.name))
    }

    /// Adds the demo's title and description to its command.
    fn describe(&self, command: Command) -> Command {
        command
            .about(self.title)
            .long_about(format!("{}\n\n{}", self.title, self.about))
            .after_help(self.variations())
    }

    fn augment(&self, command: Command) -> Command {
        // A knob that both have is one knob, and goes to both.
        let (client, server) = (subcommand::<Client>(self.client), subcommand::<Verb>(self.server));
        let has = |verb: &Command, arg: &Arg| {
            verb.get_arguments().any(|other| other.get_id() == arg.get_id())
        };
        let (shared, own): (Vec<_>, Vec<_>) =
            knobs(self.client, &client).partition(|arg| has(&server, arg));
        // A set of knobs overwrites the command's description, so the demo's is set last.
        let command = RunOptions::augment_args(command)
            .args(shared.into_iter().map(|arg| arg.help_heading("Server and client")))
            .args(own)
            .args(
                knobs(self.server, &server)
                    .filter(|arg| !has(&client, arg))
                    .map(|arg| arg.help_heading("Server")),
            );
        self.describe(command)
    }

    /// The knobs worth trying, as help.
    fn variations(&self) -> String {
        let lines = self.variations.iter().map(|(knobs, what)| format!("  {knobs:<26} {what}\n"));
        if self.variations.is_empty() {
            String::new()
        } else {
            format!("Try:\n{}", lines.collect::<String>())
        }
    }
}

/// Returns a port of this address that is free for both TCP and UDP: the server may take either.
fn free_port(mut address: SocketAddr) -> io::Result<u16> {
    const ATTEMPTS: usize = 10;
    let mut outcome = Err(io::ErrorKind::AddrInUse.into());
    for _ in 0..ATTEMPTS {
        address.set_port(0);
        let listener = TcpListener::bind(address)?;
        address.set_port(listener.local_addr()?.port());
        outcome = UdpSocket::bind(address).map(|_| address.port());
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// The verb of these arguments as a command.
fn subcommand<S: Subcommand>(preset: &[&str]) -> Command {
    let all = S::augment_subcommands(Command::new("all"));
    let verb = preset.first().copied().unwrap_or_default();
    all.find_subcommand(verb)
        .cloned()
        .unwrap_or_else(|| unreachable!("the registry has a verb `{verb}`"))
}

/// Returns the knobs of the verb. The demo's presets become their defaults.
fn knobs(preset: &'static [&'static str], verb: &Command) -> impl Iterator<Item = Arg> {
    verb.get_arguments().cloned().map(|arg| {
        let long = arg.get_long().unwrap_or_default().to_owned();
        match preset.iter().skip(1).find(|knob| name(knob) == long).map(|knob| knob.split_once('='))
        {
            Some(Some((_, value))) => arg.default_value(value),
            Some(None) => arg.hide(true),
            None => arg,
        }
    })
}

/// Returns the verb with the demo's presets that were not overridden, and the knobs that were
/// given.
fn arguments(preset: &[&str], verb: &Command, matches: &ArgMatches) -> Vec<OsString> {
    let is_given =
        |arg: &Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    let given: Vec<_> = verb.get_arguments().filter(|arg| is_given(arg)).collect();
    let overridden = |knob: &str| given.iter().any(|arg| arg.get_long() == Some(name(knob)));
    let (verb, knobs) = preset.split_at(1);
    let kept = knobs.iter().filter(|knob| !overridden(knob));
    let mut arguments: Vec<_> = verb.iter().chain(kept).map(OsString::from).collect();
    for arg in given {
        let knob = format!("--{}", arg.get_long().unwrap_or_default());
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            arguments.push(knob.into());
            continue;
        }
        for value in matches.get_raw(arg.get_id().as_str()).into_iter().flatten() {
            arguments.push([OsStr::new(&knob), OsStr::new("="), value].into_iter().collect());
        }
    }
    arguments
}

/// `knob` of `--knob=value`.
fn name(knob: &str) -> &str {
    let knob = knob.trim_start_matches("--");
    knob.split_once('=').map_or(knob, |(name, _)| name)
}

/// Lists the demos.
pub fn write_list(mut out: impl Write) -> io::Result<()> {
    let width = demos().map(|demo| demo.name.len()).max().unwrap_or(0);
    writeln!(out, "{:width$}  LECTURE     WHAT", "NAME")?;
    for demo in demos() {
        let lectures = demo.lectures.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        writeln!(out, "{:width$}  {lectures:10}  {}", demo.name, demo.title)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, knobs: &[&str]) -> Vec<String> {
        let choice = Choice::new(find(name).unwrap(), knobs).unwrap();
        choice.server.into_iter().map(|arg| arg.into_string().unwrap()).collect()
    }

    #[test]
    fn every_demo_has_a_server_and_a_client_that_take_its_knobs() {
        for demo in demos() {
            demo.command().debug_assert();
            let choice = Choice::new(demo, &[]).unwrap();
            assert_eq!(choice.server, demo.server);
            crate::program::Program::try_parse_from([&["demo-servers"], demo.server].concat())
                .unwrap();
            for (knobs, _) in demo.variations {
                let knobs: Vec<_> = knobs.split(' ').collect();
                let choice = Choice::new(demo, &knobs)
                    .unwrap_or_else(|error| panic!("{}: {error}", demo.name));
                let line = [vec!["demo-servers".into()], choice.server].concat();
                crate::program::Program::try_parse_from(line)
                    .unwrap_or_else(|error| panic!("{}: {error}", demo.name));
            }
        }
    }

    #[test]
    fn help_shows_the_knobs_with_what_the_demo_presets() {
        let help = find("nagle").unwrap().command().term_width(0).render_help().to_string();
        let line = |knob: &str| help.lines().find(|line| line.contains(knob)).unwrap_or_default();
        assert!(line("--requests <N>").ends_with("[default: 0]"), "{help}");
        assert!(line("--writes <").ends_with("[default: 4,200]"), "{help}");
        let help = find("prefork").unwrap().command().render_help().to_string();
        assert!(!help.contains("--processes"), "a flag that is set: {help}");
    }

    #[test]
    fn knobs_override_what_the_demo_presets() {
        assert_eq!(server("nagle", &[]), ["thread-per-connection", "--writes=4,200"]);
        let changed = server("nagle", &["--writes", "1,2", "--nodelay", "--clients", "3"]);
        let mut changed = changed.iter().map(String::as_str).collect::<Vec<_>>();
        changed[1..].sort_unstable();
        assert_eq!(changed, ["thread-per-connection", "--nodelay", "--writes=1", "--writes=2"]);
        assert_eq!(
            server("slow-reader", &["--read-delay", "1ms"])[1..],
            ["--sleep-before-read=1ms"]
        );
        let Client::Requests(client) =
            Choice::new(find("nagle").unwrap(), &["--clients", "2x"]).unwrap().client
        else {
            panic!("nagle has another client");
        };
        assert_eq!((client.clients.to_string().as_str(), client.requests), ("2x", 0));
    }

    #[test]
    fn what_both_sides_have_goes_to_both() {
        let choice = Choice::new(
            find("https-tls13").unwrap(),
            &["--tls", "1.2", "--resume", "--tickets", "3"],
        )
        .unwrap();
        let sorted = |mut args: Vec<OsString>| {
            args[1..].sort();
            args
        };
        assert_eq!(sorted(choice.server), ["https", "--resume", "--tickets=3", "--tls=1.2"]);
        assert_eq!(sorted(choice.client_args), ["https", "--resume", "--tls=1.2"]);
    }

    #[test]
    fn the_address_can_be_settled_before() {
        for knobs in [&["--listen", "127.0.0.1:0"][..], &[]] {
            let mut choice = Choice::new(find("nagle").unwrap(), knobs).unwrap();
            let address = choice.settle_address().unwrap();
            assert_ne!(address.port(), 0);
            assert!(choice.server.ends_with(&[format!("--listen={address}").into()]));
            assert_eq!(choice.server.len(), 3);
        }
    }

    #[test]
    fn wrong_knobs_are_refused() {
        let nagle = find("nagle").unwrap();
        for knobs in [
            &["--no-such-knob"][..],
            &["--clients", "0"],
            &["--server-only", "--client-only", "[::1]:1"],
        ] {
            assert!(Choice::new(nagle, knobs).is_err(), "{knobs:?}");
        }
    }

    #[test]
    fn the_list_has_all() {
        let mut list = Vec::new();
        write_list(&mut list).unwrap();
        assert_eq!(String::from_utf8(list).unwrap().lines().count(), demos().count() + 1);
    }
}
