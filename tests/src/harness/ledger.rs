//! Reads the ledger of exchanges, and compares it with the traces of the programs.

use anyhow::{Context, bail, ensure};

use super::json::{Value, address, is, number};
use super::trace::{Conversation, Trace};
use super::truth::tolerance_us;
use super::{Ended, World};

/// Returns the last `connection` object of the server's or the client's end of the conversation
/// from the client's port.
pub fn connection_of<'a>(objects: &'a [Value], role: &str, port: u16) -> anyhow::Result<&'a Value> {
    objects.iter().rev().find(|object| is_connection(object, role, port)).with_context(|| {
        format!("no connection object of the {role} for the client on port {port}")
    })
}

/// Whether this is the `connection` object of that end.
pub fn is_connection(object: &Value, role: &str, port: u16) -> bool {
    let clients = if role == "server" { "/peer" } else { "/local" };
    is(object, "connection")
        && object["role"] == role
        && address(object, clients).is_some_and(|address| address.port() == port)
}

/// Returns the exchanges of a connection in their order.
pub fn exchanges_of<'a>(objects: &'a [Value], connection: &Value) -> Vec<&'a Value> {
    let mut exchanges: Vec<_> = objects
        .iter()
        .filter(|object| is(object, "exchange") && object["sock"] == connection["sock"])
        .collect();
    exchanges.sort_by_key(|exchange| number(exchange, "/seq"));
    exchanges
}

/// A tick of the kernels in the virtual machines (250 Hz), µs.
const TICK_US: u64 = 4_000;

/// The slices of an exchange.
fn slices(exchange: &Value) -> impl Iterator<Item = &Value> {
    exchange["slices"].as_array().into_iter().flatten()
}

/// Time of an exchange in slices of these kinds, µs.
pub fn spent_us(exchange: &Value, kinds: &[&str]) -> u64 {
    let of_kind = slices(exchange).filter(|slice| kinds.iter().any(|kind| slice["kind"] == *kind));
    of_kind.filter_map(|slice| number(slice, "/us")).sum()
}

/// Processor time in slices of a kind, µs; `None` if none of them has it.
pub fn cpu_us(exchange: &Value, kind: &str) -> Option<u64> {
    let known = slices(exchange)
        .filter(|slice| slice["kind"] == kind)
        .filter_map(|slice| number(slice, "/cpu_us"));
    known.reduce(|sum, us| sum + us)
}

/// Checks the verdict of an exchange: the owner and kind that took most of its time.
pub fn check_verdict(exchange: &Value, owner: &str, kind: &str) -> anyhow::Result<()> {
    let verdict = &exchange["verdict"];
    ensure!(
        verdict["kind"] == kind && verdict["owner"] == owner,
        "the verdict is not {kind}, {owner}: {exchange}"
    );
    Ok(())
}

/// Bounds of a time, traced from outside: the true time lies between the two.
#[derive(Clone, Copy, Debug)]
pub struct Truth {
    /// At least, ns.
    pub low_ns: u64,
    /// At most, ns.
    pub high_ns: u64,
}

impl Truth {
    /// Sets both bounds.
    pub fn new(low_ns: u64, high_ns: u64) -> Self {
        Self { low_ns, high_ns: high_ns.max(low_ns) }
    }

    /// Checks a reported time: right within 5 % or 200 µs.
    ///
    /// In an emulated machine it may be off by the jitter of the emulation, too. That is the part
    /// of the client's time of this exchange that is not the fault's, and a tick, for which any of
    /// the three may have been without its processor.
    pub fn check(
        self,
        world: &World,
        what: &str,
        reported_us: u64,
        client: &Trace,
    ) -> anyhow::Result<()> {
        let beyond = client.between("write_ns", "done_ns")?.saturating_sub(self.high_ns);
        let jitter_us = if world.vm { beyond / 1_000 + TICK_US } else { 0 };
        let (low, high) = (self.low_ns / 1_000, self.high_ns.div_ceil(1_000));
        let tolerance = tolerance_us(high).max(jitter_us);
        ensure!(
            (low.saturating_sub(tolerance)..=high + tolerance).contains(&reported_us),
            "{what} is {reported_us} µs, but server and client saw {low} to {high} µs \
             (± {tolerance} µs, of which the emulation's jitter explains {jitter_us} µs)"
        );
        Ok(())
    }
}

/// Returns the server's exchanges of a conversation, each with the traces of client and server.
///
/// Fails if their numbers differ.
pub fn paired<'a>(
    ended: &'a Ended,
    role: &str,
    talk: &'a Conversation,
) -> anyhow::Result<Vec<(&'a Value, &'a Trace, &'a Trace)>> {
    let connection = connection_of(&ended.objects, role, talk.port)?;
    let exchanges = exchanges_of(&ended.objects, connection);
    let (traced, asked) = (talk.served.len(), talk.asked.len());
    ensure!(
        exchanges.len() == traced && asked == traced,
        "{} exchanges are shown, {traced} were answered, {asked} asked: {connection}",
        exchanges.len()
    );
    Ok(exchanges
        .into_iter()
        .zip(&talk.served)
        .zip(&talk.asked)
        .map(|((e, s), a)| (e, s, a))
        .collect())
}

/// Checks that the bytes of a conversation are the same everywhere: in its exchanges, its
/// connection, both programs and `tcp_info`.
pub fn check_bytes(ended: &Ended, talk: &Conversation) -> anyhow::Result<()> {
    let (bytes_in, bytes_out) = talk.check_kernel()?;
    let connection = connection_of(&ended.objects, "server", talk.port)?;
    let told = (number(connection, "/bytes/in"), number(connection, "/bytes/out"));
    ensure!(
        told == (Some(bytes_in), Some(bytes_out)),
        "{bytes_in} bytes came, {bytes_out} went: {connection}"
    );
    check_sums(&ended.objects, connection)
}

/// Checks that the bytes of a connection are those of its exchanges.
pub fn check_sums(objects: &[Value], connection: &Value) -> anyhow::Result<()> {
    let exchanges = exchanges_of(objects, connection);
    let sum =
        |field: &str| exchanges.iter().filter_map(|exchange| number(exchange, field)).sum::<u64>();
    let (requests, responses) = (sum("/request_bytes"), sum("/response_bytes"));
    let of = |field: &str| {
        number(connection, field).with_context(|| format!("no {field}: {connection}"))
    };
    let (bytes_in, bytes_out) = (of("/bytes/in")?, of("/bytes/out")?);
    let expected = match connection["role"].as_str() {
        Some("server") => (bytes_in, bytes_out),
        Some("client") => (bytes_out, bytes_in),
        role => bail!("role {role:?}"),
    };
    // Exchanges dropped under pressure are counted, and are in the connection's own sums.
    let left_away = |object: &Value| {
        is(object, "lost")
            && object["probe"].as_str().is_some_and(|probe| probe.starts_with("exchanges"))
    };
    if objects.iter().any(left_away) {
        ensure!(
            requests <= expected.0 && responses <= expected.1,
            "more than all of it: {connection}"
        );
        return Ok(());
    }
    ensure!(
        (requests, responses) == expected,
        "its {} exchanges have {requests} bytes of requests and {responses} of responses: \
         {connection}",
        exchanges.len()
    );
    Ok(())
}

/// Returns the share of `unknown` in the time of all exchanges, except those that had begun before
/// the attach.
pub fn unknown_share(objects: &[Value]) -> f64 {
    let known = |object: &&Value| is(object, "exchange") && object["midway"] != true;
    let (mut unknown, mut total) = (0, 0);
    for exchange in objects.iter().filter(known) {
        unknown += spent_us(exchange, &["unknown"]);
        total += number(exchange, "/total_us").unwrap_or(0);
    }
    if total == 0 { 0.0 } else { unknown as f64 / total as f64 }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn exchange(unknown: u64, preexisting: bool) -> Value {
        json!({"type": "exchange", "sock": "1", "seq": 1, "total_us": 100, "midway": preexisting,
            "request_bytes": 4, "response_bytes": 6, "slices": [
                {"owner": "app", "kind": "app", "us": 60 - unknown, "cpu_us": 7},
                {"owner": "unknown", "kind": "unknown", "us": unknown},
                {"owner": "app", "kind": "app", "us": 40, "cpu_us": null}]})
    }

    #[test]
    fn times_by_kind() {
        assert_eq!(spent_us(&exchange(10, false), &["app"]), 90);
        assert_eq!(spent_us(&exchange(10, false), &["app", "unknown"]), 100);
        assert_eq!(cpu_us(&exchange(10, false), "app"), Some(7));
        assert_eq!(cpu_us(&exchange(10, false), "nagle"), None);
    }

    #[test]
    fn share_of_the_unknown_leaves_out_what_began_before() {
        let share = unknown_share(&[exchange(10, false), exchange(60, true)]);
        assert!((share - 0.1).abs() < 1e-9, "{share}");
    }

    #[test]
    fn bytes_follow_the_role() {
        let connection = |role, bytes_in, bytes_out| {
            json!({"type": "connection", "sock": "1", "role": role,
                "bytes": {"in": bytes_in, "out": bytes_out}})
        };
        let objects = [exchange(0, false)];
        check_sums(&objects, &connection("server", 4, 6)).expect("equal");
        check_sums(&objects, &connection("client", 6, 4)).expect("equal");
        assert!(check_sums(&objects, &connection("server", 6, 4)).is_err());
    }

    #[test]
    fn truth_is_wider_in_an_emulated_machine() {
        let client = Trace::parse("asked write_ns=0 done_ns=33000000");
        let truth = Truth::new(30_000_000, 30_000_000);
        let check = |vm, us| truth.check(&World::new(vm, None), "a time", us, &client).is_ok();
        assert!(check(false, 31_400) && !check(false, 31_600) && !check(false, 28_400));
        assert!(check(true, 36_900) && !check(true, 37_100));
    }
}
