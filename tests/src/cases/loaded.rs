//! Real servers under plain load: every byte is accounted for, hardly any time is unknown, and
//! nothing is found.

use anyhow::ensure;

use super::native;
use crate::harness::json::{Value, is, number};
use crate::harness::ledger::{check_sums, connection_of, is_connection, unknown_share};
use crate::harness::{Case, Ended, Talk, World, talk};
use crate::servers::{PORT, Server};

pub(super) const CASES: &[Case] = &[
    native("loaded::nginx", |world| check(world, "nginx")).alone(),
    native("loaded::redis", |world| check(world, "redis")).alone(),
    native("loaded::postgresql", |world| check(world, "postgresql")).alone(),
    native("loaded::haproxy", |world| check(world, "haproxy")).alone(),
    native("loaded::apache_prefork", |world| check(world, "apache-prefork")).alone(),
    native("loaded::apache_event", |world| check(world, "apache-event")).alone(),
    native("loaded::node", |world| check(world, "node")).alone(),
    native("loaded::python_asyncio", |world| check(world, "python-asyncio")).alone(),
    native("loaded::python_threads", |world| check(world, "python-threads")).alone(),
    native("loaded::caddy", |world| check(world, "caddy")).alone(),
    native("loaded::go", |world| check(world, "go")).alone(),
    native("loaded::java", |world| check(world, "java")).alone(),
    native("loaded::gunicorn", |world| check(world, "gunicorn")).alone(),
    native("loaded::uvicorn", |world| check(world, "uvicorn")).alone(),
    native("loaded::puma", |world| check(world, "puma")).alone(),
];

const CONNECTIONS: usize = 4;
/// Requests of each connection: every server answers so many within a few seconds.
const REQUESTS: u64 = 2_500;
const REQUESTS_OF_PYTHON_AND_RUBY: u64 = 500;

/// Watches a server under load, from before its connections, and checks all objects.
fn check(world: &World, name: &str) -> anyhow::Result<()> {
    let server = Server::named(name)?;
    let running = server.start(world)?;
    let mut agent = world.watch().pid(running.process.pid()).start()?;
    let slow = ["gunicorn", "uvicorn", "puma"].contains(&name);
    let requests = if slow { REQUESTS_OF_PYTHON_AND_RUBY } else { REQUESTS };
    let talks = talk(([127, 0, 0, 1], PORT).into(), server.protocol, CONNECTIONS, |asked| {
        asked < requests
    })?;
    for talk in &talks {
        agent.await_object("end of the connection", |object| {
            is_connection(object, "server", talk.port)
        })?;
    }
    let ended = agent.stop()?;
    let protocol = if ["redis", "postgresql"].contains(&name) { name } else { "http/1.1" };
    talks.iter().try_for_each(|talk| check_connection(&ended, talk, protocol))?;
    let unknown = unknown_share(&ended.objects);
    ensure!(unknown < 0.02, "{:.1} % of the time is unknown", unknown * 100.0);
    // All connections began after the attach, and no record was lost, so nothing may be marked as
    // unobserved.
    let incomplete = |object: &&Value| {
        let gaps = object["gaps"].as_array().is_some_and(|gaps| !gaps.is_empty());
        gaps && (is(object, "exchange") || is(object, "connection"))
    };
    if let Some(object) = ended.objects.iter().find(incomplete) {
        anyhow::bail!("a gap where all was to be seen: {object}");
    }
    let grave = |object: &&_| {
        is(object, "finding") && ["warning", "critical"].iter().any(|s| object["severity"] == *s)
    };
    match ended.objects.iter().find(grave) {
        Some(finding) => anyhow::bail!("a finding on a healthy server: {finding}"),
        None => Ok(()),
    }
}

fn check_connection(ended: &Ended, talk: &Talk, protocol: &str) -> anyhow::Result<()> {
    let connection = connection_of(&ended.objects, "server", talk.port)?;
    let bytes = (number(connection, "/bytes/in"), number(connection, "/bytes/out"));
    ensure!(bytes == (Some(talk.sent), Some(talk.received)), "{talk:?}: {connection}");
    ensure!(number(connection, "/exchanges") == Some(talk.answers), "{talk:?}: {connection}");
    ensure!(connection["protocol"] == protocol, "it speaks {protocol}: {connection}");
    check_sums(&ended.objects, connection)
}
