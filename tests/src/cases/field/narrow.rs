//! Programs of 32 bits, whose system calls have numbers of their own: what the probes do not see of
//! them is said, and taken for nothing else.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::ensure;

use crate::cases::exchange;
use crate::harness::json::number;
use crate::harness::{Case, Process, Tier, World, net, skip, talk};
use crate::servers::{self, PORT, built};

pub(super) const CASES: &[Case] = &[
    exchange("narrow::a_32_bit_server_is_said_to_be_one", narrow).by_processor(),
    exchange("narrow::a_64_bit_server_has_all_its_accepts", wide),
];

/// Clients that say nothing, and leave after a while: nothing but accept shows that they were
/// served.
const SILENT: u64 = 6;
/// Longer than a client would wait in vain (`LATE_NS`).
const PAUSE: Duration = Duration::from_millis(150);
const ASKED: u64 = 5;

/// What a watch told of a server with such clients, and with one that asks.
struct Told {
    tier: Tier,
    accepted: u64,
    /// Accepts with the descriptor that the application got.
    with_descriptor: u64,
    left_unseen: u64,
    exchanges: u64,
    notices: String,
}

fn watch(world: &World, program: &str) -> anyhow::Result<Option<Told>> {
    let mut command = Command::new(built(program)?);
    command.args([PORT.to_string(), "60".to_owned()]);
    let Ok(server) = Process::start(command) else { return Ok(None) };
    net::await_listening(PORT, world.patience())?;
    let to = SocketAddr::from(([127, 0, 0, 1], PORT));
    let http = servers::Server::named("go")?.protocol;
    let mut agent = world.watch().pid(server.pid()).start()?;
    for _ in 0..SILENT {
        let client = TcpStream::connect(to)?;
        thread::sleep(PAUSE);
        drop(client);
    }
    talk(to, http, 1, |asked| asked < ASKED)?;
    agent.await_accepted(PORT, SILENT + 1)?;
    agent.await_refresh(PORT)?;
    let tier = agent.tier();
    let ended = agent.stop()?;
    ended.check_no_finding("abandoned")?;
    let listener = ended.listener(PORT)?;
    ensure!(number(listener, "/abandoned") == Some(0), "nobody left: {listener}");
    let mut check = world.agent_command(&["watch", "--json", "--duration", "1s", "--pid"]);
    let output = check.arg(server.pid().to_string()).output()?;
    Ok(Some(Told {
        tier,
        accepted: number(listener, "/accepted").unwrap_or(0),
        with_descriptor: ended.of("accept").filter(|accept| accept["fd"].is_u64()).count() as u64,
        left_unseen: ended.lost("left_unseen"),
        exchanges: ended.of("exchange").count() as u64,
        notices: String::from_utf8_lossy(&output.stderr).into_owned(),
    }))
}

fn narrow(world: &World) -> anyhow::Result<()> {
    let Some(told) = watch(world, "go-app-32")? else {
        return skip("this kernel runs no 32-bit programs");
    };
    ensure!(told.notices.contains("runs a 32-bit program"), "it is said: {}", told.notices);
    ensure!(told.accepted == SILENT + 1, "{} were accepted", told.accepted);
    // The kernel shows these calls to no tracepoint; functions are called by all.
    let unseen = if told.tier == Tier::Full { 0 } else { SILENT };
    ensure!(told.left_unseen == unseen, "{} were not seen", told.left_unseen);
    let seen = if told.tier == Tier::Full { SILENT + 1 } else { 0 };
    ensure!(told.with_descriptor == seen, "{} with a descriptor", told.with_descriptor);
    ensure!(told.exchanges == ASKED, "{} exchanges", told.exchanges);
    Ok(())
}

fn wide(world: &World) -> anyhow::Result<()> {
    let Some(told) = watch(world, "go-app")? else { return skip("it does not start") };
    ensure!(!told.notices.contains("32-bit"), "{}", told.notices);
    ensure!((told.accepted, told.left_unseen) == (SILENT + 1, 0), "{}", told.accepted);
    ensure!(told.with_descriptor == SILENT + 1, "{} with a descriptor", told.with_descriptor);
    ensure!(told.exchanges == ASKED, "{} exchanges", told.exchanges);
    Ok(())
}
