//! Ends of connections, and connections that do not end.

use anyhow::ensure;

use super::finding::check_useful;
use super::ledger::serve;
use super::{any_exchange, native};
use crate::harness::json::Value;
use crate::harness::ledger::{check_bytes, connection_of, is_connection};
use crate::harness::net::{await_closing, monotonic_ns};
use crate::harness::trace::Conversation;
use crate::harness::{Agent, Case, Demo, Ended, World};

pub(super) const CASES: &[Case] = &[
    any_exchange("close::by_the_peer", |world| ends(world, &BY_PEER)),
    any_exchange("close::by_the_server", |world| ends(world, &BY_SERVER)),
    any_exchange("close::by_a_reset", |world| ends(world, &BY_RESET)).on_each_kernel(),
    any_exchange("close::half_closed", |world| ends(world, &HALF_CLOSED)),
    native("close::close_wait_leak_is_found", close_wait_leak),
    native("close::connection_churn_is_found", churn),
];

/// A way in which a connection of one exchange ends.
pub(super) struct Way {
    /// Knobs of the server.
    pub(super) server: &'static [&'static str],
    /// The client closes when the server has printed this.
    done: &'static str,
    by: &'static str,
    how: &'static str,
}

const BY_PEER: Way = Way { server: &[], done: "exchange ", by: "peer", how: "fin" };
const BY_SERVER: Way =
    Way { server: &["--close-after", "1"], done: "closed ", by: "local", how: "fin" };
const BY_RESET: Way = Way {
    server: &["--close-after", "1", "--linger0"],
    done: "closed ",
    by: "local",
    how: "reset",
};
const HALF_CLOSED: Way =
    Way { server: &["--half-close"], done: "exchange ", by: "local", how: "fin" };
pub(super) const WAYS: [&Way; 4] = [&BY_PEER, &BY_SERVER, &BY_RESET, &HALF_CLOSED];

impl Way {
    /// Makes a connection that ends in this way, and waits until the agent has told it.
    pub(super) fn take(
        &self,
        world: &World,
        demo: &mut Demo,
        agent: &mut Agent,
    ) -> anyhow::Result<Conversation> {
        let mut begun = Conversation::begin(world, demo, &["--keep"])?;
        demo.await_line(self.done)?;
        if self.done.starts_with("closed") {
            await_closing(demo.addr.port(), world.patience())?;
        }
        begun.0.go()?;
        let talk = begun.end(demo)?;
        agent.await_object("end of the connection", |object| {
            is_connection(object, "server", talk.port)
        })?;
        Ok(talk)
    }

    /// Who sends a RST.
    fn reset_by(&self) -> Value {
        if self.how == "reset" { self.by.into() } else { Value::Null }
    }

    /// Checks which side ended it, and how.
    pub(super) fn check(&self, ended: &Ended, talk: &Conversation) -> anyhow::Result<()> {
        check_bytes(ended, talk)?;
        let connection = connection_of(&ended.objects, "server", talk.port)?;
        let (close, Self { by, how, .. }) = (&connection["close"], self);
        ensure!(close["by"] == *by && close["how"] == *how, "by {by}, {how}: {connection}");
        let reset_by = &close["reset_by"];
        ensure!(*reset_by == self.reset_by(), "the RST was the server's, if any: {connection}");
        Ok(())
    }
}

fn ends(world: &World, way: &Way) -> anyhow::Result<()> {
    let mut demo = serve(world, way.server)?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let talk = way.take(world, &mut demo, &mut agent)?;
    way.check(&agent.stop()?, &talk)
}

fn close_wait_leak(world: &World) -> anyhow::Result<()> {
    let mut demo = serve(world, &["--leak-close-wait"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    for _ in 0..20 {
        Conversation::hold(world, &mut demo, &[])?;
    }
    // It is called a leak after half a minute, which is longer than one wait may take.
    let begin_ns = monotonic_ns();
    agent.await_time(begin_ns + 15_000_000_000)?;
    agent.await_time(begin_ns + 29_000_000_000)?;
    check_useful(&agent.await_finding("close-wait-leak")?)?;
    agent.stop().map(drop)
}

fn churn(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms", "--reply"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let target = demo.addr.to_string();
    let _load = world.demo_waiting(&["load", "--target", &target, "--rate", "300/s"])?;
    check_useful(&agent.await_finding("connection-churn")?)?;
    agent.stop().map(drop)
}
