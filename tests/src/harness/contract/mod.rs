//! The contract of the event stream: checks that every object has its fields, and that figures add
//! up.

mod fields;

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, bail, ensure};

use crate::harness::json::{Value, is, kind};
use fields::{EVENTS, FIELDS, INNER, SLICES};

/// Checks a whole stream: `attached` once and first, `summary` once and last, every object by the
/// contract, and nothing lost silently.
pub(in crate::harness) fn check_stream(objects: &[Value]) -> anyhow::Result<()> {
    for (kind, place) in [("attached", objects.first()), ("summary", objects.last())] {
        ensure!(
            place.is_some_and(|object| is(object, kind)),
            "`{kind}` is not in its place: {place:?}"
        );
        let count = objects.iter().filter(|object| is(object, kind)).count();
        ensure!(count == 1, "{count} `{kind}` objects");
    }
    for object in objects {
        check(object).with_context(|| object.to_string())?;
    }
    check_ids(objects)?;
    check_findings(objects)?;
    let events = &objects[objects.len() - 1]["events"];
    let [seen, delivered, lost] = ["seen", "delivered", "lost"].map(|name| events[name].as_u64());
    ensure!(
        seen.is_some() && seen == delivered.zip(lost).map(|(delivered, lost)| delivered + lost),
        "seen is not delivered + lost: {events}"
    );
    Ok(())
}

/// Checks that the summary lists every finding that was reported, once, in its last state. A tail may
/// have been explained by another finding, and is then not listed.
fn check_findings(objects: &[Value]) -> anyhow::Result<()> {
    let Some(summary) = objects.last() else { return Ok(()) };
    let list = summary["findings_list"].as_array().context("no findings_list")?;
    let key = |finding: &Value| (finding["kind"].to_string(), finding["sock"].to_string());
    let mut listed = BTreeMap::new();
    for finding in list {
        ensure!(listed.insert(key(finding), finding).is_none(), "listed twice: {finding}");
    }
    let mut reported = BTreeMap::new();
    for finding in objects.iter().filter(|object| is(object, "finding")) {
        reported.insert(key(finding), finding);
    }
    for (key, finding) in &listed {
        ensure!(reported.contains_key(key), "listed and not reported: {finding}");
    }
    if summary["findings_left_out"] != 0 {
        return Ok(());
    }
    for (key, last) in &reported {
        let Some(finding) = listed.get(key) else {
            ensure!(last["kind"] == "tail", "not listed: {last}");
            continue;
        };
        let ended = |finding: &Value| finding["state"] == "ended";
        ensure!(ended(finding) == ended(last), "listed as {finding}, reported last as {last}");
        if ended(last) {
            ensure!(finding["headline"] == last["headline"], "not as it last was: {finding}");
        }
    }
    Ok(())
}

/// Checks that an id belongs to one socket for the whole run.
fn check_ids(objects: &[Value]) -> anyhow::Result<()> {
    let ids = |kind: &'static str| {
        objects.iter().filter(move |object| is(object, kind)).map(|object| &object["sock"])
    };
    let listeners: HashSet<&Value> = ids("listener").collect();
    let mut accepted = HashSet::new();
    for sock in ids("accept") {
        ensure!(!listeners.contains(sock), "a connection has its listener's id {sock}");
        ensure!(accepted.insert(sock), "two connections have the id {sock}");
    }
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
    // With `--detail queues` UDP sockets are not watched.
    let is_unseen =
        |outer: &str| outer == "datagrams" && object.get(outer).is_some_and(Value::is_null);
    for (_, outer, fields) in
        INNER.iter().filter(|(name, outer, _)| *name == kind(object) && !is_unseen(outer))
    {
        for field in *fields {
            ensure!(object[outer].get(field).is_some(), "no field `{outer}.{field}`");
        }
    }
    for id in ["sock", "listener"] {
        // A connection that the process made comes from no listener.
        if let Some(value) = object.get(id).filter(|value| !(id == "listener" && value.is_null())) {
            let digits = value.as_str().is_some_and(|text| text.parse::<u64>().is_ok());
            ensure!(digits, "`{id}` is not a decimal string");
        }
    }
    match kind(object) {
        "listener" => check_listener(object),
        "exchange" => check_exchange(object),
        "event" => check_event(object),
        _ => Ok(()),
    }
}

/// Checks that a listener has the fields of its family, that the errors of failed accepts add up,
/// and that nothing unknown is 0.
fn check_listener(listener: &Value) -> anyhow::Result<()> {
    let unknown = |field: &str| listener["gaps"].to_string().contains(field);
    if listener["family"] == "unix" {
        let path = listener["path"].as_str().context("no path")?;
        ensure!(listener["local"] == format!("unix:{path}"), "local is not the path");
        ensure!(
            listener["refused"].is_null() == unknown("refused:"),
            "refused: null without a reason, or with a gap"
        );
        return Ok(());
    }
    ensure!(listener["family"] == "ipv4" || listener["family"] == "ipv6", "unknown family");
    for field in ["left_queue", "accept_fails"] {
        ensure!(listener.get(field).is_some(), "no field `{field}`");
        ensure!(
            listener[field].is_null() == unknown(&format!("{field}:")),
            "{field}: null without a reason"
        );
    }
    let errors = listener["accept_errors"].as_object().into_iter().flatten();
    let sum: u64 = errors.filter_map(|(_, count)| count.as_u64()).sum();
    ensure!(
        sum == listener["accept_fails"].as_u64().unwrap_or(0),
        "the errors do not add up to accept_fails"
    );
    Ok(())
}

/// Checks that an event has the members of its name. The wait of a call is null only with a reason.
fn check_event(event: &Value) -> anyhow::Result<()> {
    let fields = EVENTS.iter().find(|(name, _)| event["name"] == *name).map(|(_, fields)| *fields);
    for field in fields.context("unknown name")? {
        ensure!(event.get(field).is_some(), "no field `{field}`");
    }
    let calls = ["read", "peek", "write"].iter().any(|name| event["name"] == *name);
    ensure!(event["tid"].is_u64() == calls, "a thread where one called");
    let unknown = calls && event["blocked_us"].is_null();
    ensure!(
        unknown == event["gaps"].to_string().contains("blocked_us"),
        "null without a reason, or with a gap"
    );
    ensure!(!calls || event["bytes"].is_null() == event["error"].is_u64(), "bytes or an error");
    Ok(())
}

/// Checks that slices follow one another without gap or overlap, so that their times add up to the
/// exchange's (± 1 µs a slice). The verdict is one of them.
fn check_exchange(exchange: &Value) -> anyhow::Result<()> {
    let slices = exchange["slices"].as_array().context("`slices` is no array")?;
    let mut sum = 0;
    for slice in slices {
        let known =
            SLICES.iter().any(|(kind, owner)| slice["kind"] == *kind && slice["owner"] == *owner);
        ensure!(known, "kind or owner: {slice}");
        sum += slice["us"].as_u64().context("a slice without its time")?;
    }
    let total = exchange["total_us"].as_u64().context("no total_us")?;
    ensure!(sum.abs_diff(total) <= slices.len() as u64, "the slices add up to {sum} µs of {total}");
    let verdict = &exchange["verdict"];
    if !verdict.is_null() {
        let among = slices
            .iter()
            .any(|slice| slice["kind"] == verdict["kind"] && slice["owner"] == verdict["owner"]);
        ensure!(among, "the verdict is none of the slices: {verdict}");
        let share = verdict["share"].as_f64().context("a verdict without its share")?;
        ensure!((0.0..=1.0).contains(&share), "a share of {share}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(slices: Value, verdict: Value) -> anyhow::Result<()> {
        check_exchange(&json!({"total_us": 100, "slices": slices, "verdict": verdict}))
    }

    #[test]
    fn slices_tile() {
        let app = |us: u64| json!({"owner": "app", "kind": "app", "us": us});
        let ack = json!({"owner": "network", "kind": "ack_wait", "us": 40});
        let verdict = json!({"owner": "app", "kind": "app", "share": 0.6});
        outcome(json!([app(60), ack]), verdict.clone()).expect("exact");
        outcome(json!([app(58), ack]), verdict.clone()).expect("a microsecond a slice");
        assert!(outcome(json!([app(57), ack]), verdict.clone()).is_err());
        assert!(outcome(json!([app(63), ack]), verdict).is_err());
        assert!(
            outcome(
                json!([app(60), ack]),
                json!({"owner": "kernel", "kind": "nagle", "share": 0.6})
            )
            .is_err()
        );
        assert!(
            outcome(json!([app(60), ack]), json!({"owner": "app", "kind": "app", "share": 1.6}))
                .is_err()
        );
        outcome(json!([app(60), ack]), json!(null)).expect("a verdict may be unknown");
    }

    #[test]
    fn owners_follow_from_kinds() {
        let slice = |owner: &str, kind: &str| json!([{"owner": owner, "kind": kind, "us": 100}]);
        outcome(slice("kernel", "nagle"), json!(null)).expect("as the contract says");
        assert!(outcome(slice("app", "nagle"), json!(null)).is_err());
        assert!(outcome(slice("kernel", "sleep"), json!(null)).is_err());
    }
}
