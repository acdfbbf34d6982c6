//! Compares the agent's figures with those that server and client saw themselves.

use anyhow::{Context, bail, ensure};

use super::json::{Value, address, number, sees};
use super::{Client, World};

/// An accept as the server saw it (`accepted FD PEER-PORT ENTERED-NS RETURNED-NS`).
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    /// Descriptor.
    pub fd: i64,
    /// Port of the peer.
    pub port: u16,
    /// Before the call, ns.
    pub entered_ns: u64,
    /// After it, ns.
    pub returned_ns: u64,
}

impl Accepted {
    /// Reads the line that a demo server prints with `--trace`.
    pub fn parse(line: &str) -> anyhow::Result<Self> {
        let mut words = line.split(' ').skip(1).map(|word| word.parse::<u64>());
        let mut next =
            || words.next().and_then(Result::ok).with_context(|| format!("not a trace: {line}"));
        Ok(Self {
            fd: next()? as i64,
            port: next()? as u16,
            entered_ns: next()?,
            returned_ns: next()?,
        })
    }
}

/// A handshake as its client saw it. The kernel queued the connection between the two times.
#[derive(Clone, Copy, Debug)]
pub struct Handshake {
    /// Port of the client.
    pub port: u16,
    /// Before connect(2), ns.
    pub started_ns: u64,
    /// After it, ns.
    pub done_ns: u64,
}

impl Handshake {
    /// Reads the line that `load --trace` prints (`connected PORT STARTED-NS DONE-NS`).
    pub fn parse(line: &str) -> anyhow::Result<Self> {
        let mut words = line.split(' ').skip(1).map(|word| word.parse::<u64>());
        let mut next =
            || words.next().and_then(Result::ok).with_context(|| format!("not a trace: {line}"));
        Ok(Self { port: next()? as u16, started_ns: next()?, done_ns: next()? })
    }
}

impl From<&Client> for Handshake {
    fn from(client: &Client) -> Self {
        Self { port: client.port, started_ns: client.started_ns, done_ns: client.done_ns }
    }
}

/// Returns the error that is allowed for a true value, µs: 5 % or 200 µs, whichever is more.
pub(super) fn tolerance_us(truth_us: u64) -> u64 {
    (truth_us / 20).max(200)
}

/// Checks that a reported time lies in `low..=high` (both ns, observed from outside), within the
/// tolerance.
pub fn within(what: &str, reported_us: u64, low_ns: u64, high_ns: u64) -> anyhow::Result<()> {
    let (low, high) = (low_ns / 1_000, high_ns.div_ceil(1_000));
    let tolerance = tolerance_us(high);
    ensure!(
        (low.saturating_sub(tolerance)..=high + tolerance).contains(&reported_us),
        "{what} is {reported_us} µs, but server and client saw {low} to {high} µs \
         (± {tolerance} µs)"
    );
    Ok(())
}

/// The `accept` object of the connection from `port`.
pub fn accept_of(objects: &[Value], port: u16) -> anyhow::Result<&Value> {
    let mut found = objects.iter().filter(|o| {
        o["type"] == "accept" && address(o, "/peer").is_some_and(|peer| peer.port() == port)
    });
    let first =
        found.next().with_context(|| format!("no accept object for the client on port {port}"))?;
    ensure!(found.next().is_none(), "two accept objects for the client on port {port}");
    Ok(first)
}

/// Checks the agent's objects against every accept that the server saw. There is one for each, with
/// the right descriptor, and its `queued_us` is the time from the end of the handshake to the
/// return of accept.
///
/// Where this kernel and tier do not show the queueing it may be null, or an estimate that says so
/// and is right within the kernel's tick.
pub fn check_waits(
    world: &World,
    objects: &[Value],
    accepts: &[Accepted],
    handshakes: &[Handshake],
) -> anyhow::Result<()> {
    for accept in accepts {
        let object = accept_of(objects, accept.port)?;
        let shake = handshakes
            .iter()
            .find(|shake| shake.port == accept.port)
            .with_context(|| format!("no client on port {}", accept.port))?;
        ensure!(
            object["fd"].as_i64().is_none_or(|fd| fd == accept.fd),
            "fd {} was {}",
            object["fd"],
            accept.fd
        );
        let seen = sees(objects, "queued");
        ensure!(!seen || object["queued_us"].is_u64(), "queued_us is unknown: {object}");
        let estimated = !object["observed_by"].is_null();
        ensure!(!seen || !estimated, "an estimate of what was seen: {object}");
        check_early(world, object, accept, *shake)?;
    }
    Ok(())
}

/// Checks the wait of a connection that may have been queued before its listener was watched: null,
/// right, or an estimate that says so and is right within the kernel's tick.
pub fn check_early(
    world: &World,
    object: &Value,
    accept: &Accepted,
    shake: Handshake,
) -> anyhow::Result<()> {
    let Some(queued_us) = number(object, "/queued_us") else { return Ok(()) };
    let low = accept.entered_ns.saturating_sub(shake.done_ns);
    let estimated = !object["observed_by"].is_null();
    let (blur, lost) = if estimated { (TICK_NS, world.lost_ticks(low)) } else { (0, 0) };
    let low = low.saturating_sub(blur + lost);
    within("queued_us", queued_us, low, accept.returned_ns - shake.started_ns + blur)
        .with_context(|| object.to_string())
}

/// The longest tick of a kernel (`CONFIG_HZ=100`), which limits the agent's estimates.
pub const TICK_NS: u64 = 10_000_000;

/// Checks `blocked_us` of one accept: the time inside the call if the connection came during it,
/// else 0. Where this kernel and tier do not show the queueing it may be null, and a time below a
/// tick may be 0.
pub fn check_blocked(
    world: &World,
    objects: &[Value],
    accept: &Accepted,
    shake: Handshake,
) -> anyhow::Result<()> {
    let object = accept_of(objects, accept.port)?;
    let seen = sees(objects, "queued");
    let blocked = match number(object, "/blocked_us") {
        Some(known) if seen || known > 0 => known,
        None if seen => bail!("blocked_us is unknown: {object}"),
        _ => return Ok(()),
    };
    if shake.done_ns < accept.entered_ns {
        ensure!(blocked == 0, "the connection was there before the call, yet: {object}");
        return Ok(());
    }
    let inside = accept.returned_ns - accept.entered_ns;
    // Under emulation the server's thread may lose its CPU between its own clock and the call.
    let low = if world.vm { inside / 2 } else { inside };
    within("blocked_us", blocked, low, inside).with_context(|| object.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Queued between 1.000 and 1.001 s, accepted at 1.300 s.
    fn outcome(queued_us: Value, hook: Value) -> anyhow::Result<()> {
        let objects = [
            json!({"type": "attached", "hooks": {"queued": hook}}),
            json!({"type": "accept", "peer": "127.0.0.1:5000", "fd": 4, "queued_us": queued_us,
                "observed_by": if hook.is_null() { json!("lsndtime") } else { json!(null) }}),
        ];
        let accept = Accepted::parse("accepted 4 5000 1299900000 1300000000").expect("a trace");
        let shake = Handshake::parse("connected 5000 1000000000 1001000000").expect("a trace");
        check_waits(&World::new(false, None), &objects, &[accept], &[shake])
    }

    #[test]
    fn waits_are_right_within_five_percent() {
        for right in [299_500, 284_500, 314_500] {
            outcome(json!(right), json!("a hook")).expect("within the tolerance");
        }
        for wrong in [json!(283_000), json!(316_000), json!(0), json!(null)] {
            assert!(outcome(wrong.clone(), json!("a hook")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_nobody_sees_is_null_or_right_within_a_tick() {
        outcome(json!(null), json!(null)).expect("unknown, and said so");
        outcome(json!(292_000), json!(null)).expect("an estimate");
        outcome(json!(320_000), json!(null)).expect("an estimate");
        assert!(outcome(json!(340_000), json!(null)).is_err());
    }

    #[test]
    fn short_waits_are_right_within_200_us() {
        within("a wait", 150, 10_000, 20_000).expect("within 200 µs");
        assert!(within("a wait", 300, 10_000, 20_000).is_err());
    }

    #[test]
    fn traces() {
        for broken in ["accepted", "accepted 4 x 1 2", "accepted 4 5000 1"] {
            assert!(Accepted::parse(broken).is_err(), "{broken}");
        }
    }
}
