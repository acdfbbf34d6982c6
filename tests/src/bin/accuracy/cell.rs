//! Plays one cell of the matrix: a server, a fault, and the agent's output.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use backscope_tests::harness::json::{Value, is};
use backscope_tests::harness::{Agent, Demo, Ended, Process, Skip, World, cpu_pressure, net};
use backscope_tests::servers::PORT;

use crate::client::Outcome;
use crate::faults::{self, Fault};
use crate::judge::{self, Comparison};
use crate::limits::Quota;
use crate::stage::Stage;
use crate::subjects::{Place, Subject};
use crate::upstream;
use crate::wire::Ask;

/// Outcome of a cell.
pub(crate) enum Played {
    Judged(Judgement),
    /// The server cannot have the fault, or is not installed.
    Skipped(String),
    Failed(String),
}

/// A cell that was played.
#[derive(Clone)]
pub(crate) struct Judgement {
    pub(crate) verdict: Comparison,
    /// Findings of warning level and above, and others that name the cause.
    pub(crate) findings: Vec<Found>,
    /// Breach of the contract in the stream of objects, if there is one.
    pub(crate) contract: Option<String>,
    /// Time for which something waited for a processor meanwhile.
    pub(crate) pressure: Duration,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kind: String,
    pub(crate) severity: String,
    pub(crate) owner: String,
    pub(crate) headline: String,
}

impl Found {
    fn of(object: &Value) -> Self {
        let word = |name: &str| object[name].as_str().unwrap_or("").to_owned();
        Self {
            kind: word("kind"),
            severity: word("severity"),
            owner: word("owner"),
            headline: word("headline"),
        }
    }

    pub(crate) fn is_grave(&self) -> bool {
        self.severity != "info"
    }
}

/// Plays a cell in a network namespace of its own.
pub(crate) fn play(subject: &'static Subject, fault: &'static Fault) -> Played {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let played = net::isolate().and_then(|()| play_here(subject, fault));
        let _ = sender.send(match played {
            Ok(judgement) => Played::Judged(judgement),
            Err(error) if error.is::<Skip>() => Played::Skipped(error.root_cause().to_string()),
            Err(error) => Played::Failed(format!("{error:#}")),
        });
    });
    let limit = Duration::from_secs(90);
    receiver
        .recv_timeout(limit)
        .unwrap_or_else(|_| Played::Failed(format!("did not end within {limit:?}")))
}

fn play_here(subject: &Subject, fault: &Fault) -> anyhow::Result<Judgement> {
    let world = World::new(false, None);
    fault.sysctls.iter().try_for_each(|(name, value)| {
        net::set(name, value).map_err(|error| Skip(format!("{error:#}")))
    })?;
    let (link, to) = link(&world, fault)?;
    let _upstreams = upstream::start()?;
    let folder = tempfile::Builder::new().prefix("accuracy").tempdir_in("/tmp")?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    let place =
        Place { folder: folder.path(), idle: fault.idle, nagle: fault.needs.contains(&Ask::Split) };
    let process = Process::start((subject.prepare)(&place)?)?;
    net::await_listening(PORT, world.patience())?;
    let mut stage = Stage::new(subject, to, link, process.pid());
    warm_up(&mut stage, fault, &world)?;
    if let Some((quota_us, period_us)) = fault.quota {
        stage.quota = Some(Quota::on(process.pid(), quota_us, period_us)?);
    }
    let before = cpu_pressure();
    let mut agent = world.watch().pid(process.pid()).start()?;
    let driven = (fault.drive)(&mut stage);
    settle(&mut agent)?;
    agent.signal(libc::SIGINT);
    let ended = agent.ended()?;
    keep(subject, fault, &ended)?;
    driven.with_context(|| format!("the client; found: {:?}", findings(&ended)))?;
    ensure!(ended.status.success(), "the agent ended with {}: {}", ended.status, ended.stderr);
    Ok(Judgement {
        verdict: judge::judge(&ended.objects, &stage.truths, &stage.counted),
        findings: findings(&ended),
        contract: ended.check_clean().err().map(|error| format!("{error:#}")),
        pressure: cpu_pressure().saturating_sub(before),
    })
}

/// Waits for the refreshes that judge findings, and for the last exchanges, which are reported a
/// second after their last ACK.
fn settle(agent: &mut Agent) -> anyhow::Result<()> {
    let settled = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < settled {
        agent.arrived()?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Starts the link that the fault wants, and returns it with the address at which the server is
/// found.
fn link(world: &World, fault: &Fault) -> anyhow::Result<(Option<Demo>, SocketAddr)> {
    if fault.link.is_empty() {
        return Ok((None, ([127, 0, 0, 1], PORT).into()));
    }
    let mut link = world.demo_waiting(&[&["delay-link"], fault.link].concat())?;
    link.await_line("link ")?;
    Ok((Some(link), ([10, 77, 0, 2], PORT).into()))
}

/// Writes all objects to the folder that `ACCURACY_KEEP` names, if it is set.
fn keep(subject: &Subject, fault: &Fault, ended: &Ended) -> anyhow::Result<()> {
    if let Some(folder) = std::env::var_os("ACCURACY_KEEP") {
        let lines: Vec<_> = ended.objects.iter().map(Value::to_string).collect();
        fs::create_dir_all(&folder)?;
        fs::write(
            Path::new(&folder).join(format!("{}-{}.json", subject.name, fault.name)),
            lines.join("\n"),
        )?;
    }
    Ok(())
}

/// Sends requests until the server answers, also those that the fault needs: the slow first run of
/// a runtime is no fault.
fn warm_up(stage: &mut Stage<'_>, fault: &Fault, world: &World) -> anyhow::Result<()> {
    let deadline = Instant::now() + world.patience();
    let mut requests = vec![stage.request(Ask::Quick)];
    let prime = stage.subject.wire.prime(faults::BIG);
    if !prime.is_empty() && fault.needs.iter().any(|ask| matches!(ask, Ask::Big(_))) {
        requests.push(prime);
    }
    // `Ask::Unread` ends the connection, so there is no answer to wait for.
    let needs = fault.needs.iter().filter(|ask| **ask != Ask::Unread);
    requests.extend(needs.flat_map(|ask| [stage.request(*ask), stage.request(*ask)]));
    for request in requests {
        loop {
            let answered = stage.open().and_then(|mut line| line.ask(&request));
            match answered {
                Ok(seen) if seen.outcome == Outcome::Answered => break,
                other => {
                    ensure!(Instant::now() < deadline, "no answer before the watch: {other:?}")
                }
            }
            thread::sleep(Duration::from_millis(30));
        }
    }
    stage.truths.clear();
    net::await_closing(PORT, world.patience())
}

/// Returns the findings, each kind and owner once.
fn findings(ended: &Ended) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for object in
        ended.objects.iter().filter(|object| is(object, "finding") && object["state"] != "ended")
    {
        let one = Found::of(object);
        if !found.iter().any(|other| (&other.kind, &other.owner) == (&one.kind, &one.owner)) {
            found.push(one);
        }
    }
    found
}
