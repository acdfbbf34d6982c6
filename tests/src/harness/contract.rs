//! The contract of the event stream: which fields every object of a type has.

use anyhow::{Context, bail, ensure};

use super::json::{Value, is, kind};

/// Fields that must be present; those that are null where unknown are present all the same.
const FIELDS: &[(&str, &[&str])] = &[
    ("attached", &["kernel", "tier", "hooks", "targets", "attach_us"]),
    (
        "listener",
        &[
            "sock",
            "local",
            "pid",
            "comm",
            "backlog",
            "limit",
            "accept_depth",
            "accept_peak",
            "syn_depth",
            "overflows",
            "cookies_sent",
            "accepted",
            "accept_wait_us",
        ],
    ),
    ("syn", &["listener", "peer", "accept_depth", "syn_depth", "tfo_bytes"]),
    ("overflow", &["listener", "peer", "stage", "accept_depth", "limit"]),
    (
        "accept",
        &["sock", "listener", "local", "peer", "pid", "tid", "comm", "fd", "handshake_us", "queued_us", "blocked_us"],
    ),
    ("process", &["pid", "comm", "change"]),
    ("event", &["sock", "name", "tid"]),
    ("finding", &["kind", "severity", "subject", "text", "evidence", "fix"]),
    ("lost", &["probe", "count", "total"]),
    ("summary", &["duration_us", "events", "overhead"]),
];

/// Fields inside fields.
const INNER: &[(&str, &str, &[&str])] = &[
    ("listener", "overflows", &["syn", "ack"]),
    ("listener", "accept_wait_us", &["p50", "p90", "p99", "max", "count"]),
    ("summary", "events", &["seen", "delivered", "lost"]),
    ("summary", "overhead", &["probe_ns_avg", "probe_runs", "agent_cpu_us", "agent_rss_bytes"]),
];

/// Checks a whole stream: `attached` once and first, `summary` once and last, every object as promised, nothing lost
/// silently.
pub(super) fn check_stream(objects: &[Value]) -> anyhow::Result<()> {
    for (kind, place) in [("attached", objects.first()), ("summary", objects.last())] {
        ensure!(place.is_some_and(|object| is(object, kind)), "`{kind}` is not in its place: {place:?}");
        let count = objects.iter().filter(|object| is(object, kind)).count();
        ensure!(count == 1, "{count} `{kind}` objects");
    }
    for object in objects {
        check(object).with_context(|| object.to_string())?;
    }
    let events = &objects[objects.len() - 1]["events"];
    let [seen, delivered, lost] = ["seen", "delivered", "lost"].map(|name| events[name].as_u64());
    ensure!(
        seen.is_some() && seen == delivered.zip(lost).map(|(delivered, lost)| delivered + lost),
        "seen is not delivered + lost: {events}"
    );
    Ok(())
}

fn check(object: &Value) -> anyhow::Result<()> {
    ensure!(object["ts_ns"].is_u64(), "no ts_ns");
    let time = object["time"].as_str().context("no time")?;
    ensure!(time.len() >= 20 && time.as_bytes()[10] == b'T', "not RFC 3339: {time}");
    let Some((_, fields)) = FIELDS.iter().find(|(name, _)| *name == kind(object)) else {
        bail!("unknown type");
    };
    for field in *fields {
        ensure!(object.get(field).is_some(), "no field `{field}`");
    }
    for (_, outer, fields) in INNER.iter().filter(|(name, ..)| *name == kind(object)) {
        for field in *fields {
            ensure!(object[outer].get(field).is_some(), "no field `{outer}.{field}`");
        }
    }
    for id in ["sock", "listener"] {
        if let Some(value) = object.get(id) {
            let digits = value.as_str().is_some_and(|text| text.parse::<u64>().is_ok());
            ensure!(digits, "`{id}` is not a decimal string");
        }
    }
    Ok(())
}
