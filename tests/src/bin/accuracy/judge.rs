//! Pairs the exchanges of the clients with those that the agent reported.

use std::collections::{BTreeMap, BTreeSet};

use backscope_tests::harness::json::{Value, address, is, number};

use crate::truth::{Label, NONE, SMALL_US, Truth};

/// An exchange of the matrix: the injected fault, and the agent's verdict.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) injected: Label,
    /// Owner and kind by the agent; `None` if no exchange was reported.
    pub(crate) told: Option<(String, String)>,
    pub(crate) right: bool,
    /// Figures that explain a wrong one.
    pub(crate) figures: String,
}

/// Errors in all that was told of a cell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) exchanges: Vec<Judged>,
    /// Reported exchanges that no client had, with their times.
    pub(crate) invented: Vec<String>,
    /// Exchanges whose slices do not add up.
    pub(crate) untiled: usize,
    /// Connections whose bytes differ from the client's.
    pub(crate) bytes: Vec<String>,
}

/// A served exchange as the agent reported it.
struct Told<'a> {
    object: &'a Value,
    from_ns: u64,
    until_ns: u64,
}

/// Judges everything that was reported of the connections of these clients.
pub(crate) fn judge(
    objects: &[Value],
    truths: &[Truth],
    counted: &BTreeMap<u16, Option<(u64, u64)>>,
) -> Comparison {
    let ports = ports(objects);
    let mut told: BTreeMap<u16, Vec<Told<'_>>> = BTreeMap::new();
    let mut verdict = Comparison::default();
    for object in
        objects.iter().filter(|object| is(object, "exchange") && object["role"] == "server")
    {
        let sum: u64 = slices(object).filter_map(|slice| number(slice, "/us")).sum();
        verdict.untiled += usize::from(Some(sum) != number(object, "/total_us"));
        let Some(&port) = object["sock"].as_str().and_then(|sock| ports.get(sock)) else {
            continue;
        };
        let (from_ns, until_ns) =
            (number(object, "/start_ns").unwrap_or(0), number(object, "/ts_ns").unwrap_or(0));
        told.entry(port).or_default().push(Told { object, from_ns, until_ns });
    }
    for port in truths.iter().map(|truth| truth.port).collect::<BTreeSet<_>>() {
        let of_port: Vec<&Truth> = truths.iter().filter(|truth| truth.port == port).collect();
        let (pairs, left) = pair(&of_port, told.remove(&port).unwrap_or_default());
        verdict.exchanges.extend(pairs.iter().map(|(truth, told)| compare(truth, told.as_ref())));
        told.insert(port, left);
    }
    for (port, left) in told.iter().filter(|(port, _)| counted.contains_key(port)) {
        for one in left.iter().filter(|one| label(one.object).1 >= SMALL_US) {
            verdict.invented.push(format!("port {port}: {}", short(one.object)));
        }
    }
    verdict.bytes = bytes(objects, counted);
    verdict
}

/// Returns the client's port of each served connection.
fn ports(objects: &[Value]) -> BTreeMap<&str, u16> {
    let served = objects.iter().filter(|object| {
        is(object, "accept") || (is(object, "connection") && object["role"] == "server")
    });
    served
        .filter_map(|object| Some((object["sock"].as_str()?, address(object, "/peer")?.port())))
        .collect()
}

/// Pairs each reported exchange with the client's exchange of about the same time. Returns the
/// pairs, and the reported exchanges that are left.
fn pair<'a, 't>(
    truths: &[&'t Truth],
    told: Vec<Told<'a>>,
) -> (Vec<(&'t Truth, Option<Told<'a>>)>, Vec<Told<'a>>) {
    // The clock is the same, but a client sees its exchange begin a little earlier and end a little
    // later than the kernel.
    const AROUND_NS: u64 = 5_000_000;
    let meets = |truth: &Truth, one: &Told<'_>| {
        one.from_ns <= truth.until_ns + AROUND_NS && one.until_ns + AROUND_NS >= truth.from_ns
    };
    let apart = |truth: &Truth, one: &Told<'_>| {
        one.from_ns.abs_diff(truth.from_ns).min(one.from_ns.abs_diff(truth.begun_ns))
    };
    let mut pairs: Vec<(&Truth, Option<Told<'_>>)> =
        truths.iter().map(|truth| (*truth, None)).collect();
    let mut left = Vec::new();
    for one in told {
        let near = pairs.iter_mut().filter(|(truth, _)| meets(truth, &one));
        let Some((truth, place)) = near.min_by_key(|(truth, _)| apart(truth, &one)) else {
            left.push(one);
            continue;
        };
        match place {
            Some(other) if apart(truth, other) <= apart(truth, &one) => left.push(one),
            place => left.extend(place.replace(one)),
        }
    }
    (pairs, left)
}

fn slices(exchange: &Value) -> impl Iterator<Item = &Value> {
    exchange["slices"].as_array().into_iter().flatten()
}

/// Returns the owner and kind on which an exchange spent most of its time, and how much that was.
/// An ACK that is delayed at its end does not count: nobody waits for it.
fn label(exchange: &Value) -> ((String, String), u64) {
    let mut sums: BTreeMap<(String, String), u64> = BTreeMap::new();
    let trailing = slices(exchange).count().checked_sub(1);
    for (at, slice) in slices(exchange).enumerate() {
        if Some(at) == trailing && slice["kind"] == "delayed_ack" {
            continue;
        }
        let word = |name: &str| slice[name].as_str().unwrap_or("").to_owned();
        *sums.entry((word("owner"), word("kind"))).or_default() +=
            number(slice, "/us").unwrap_or(0);
    }
    sums.into_iter().max_by_key(|(_, us)| *us).unwrap_or_default()
}

fn compare(truth: &Truth, told: Option<&Told<'_>>) -> Judged {
    let (injected, us) = &truth.injected;
    let so = format!(
        "port {}: {} {} for {} to {} µs",
        truth.port,
        injected.0,
        injected.1,
        us.start(),
        us.end()
    );
    let Some(told) = told else {
        return Judged {
            injected: *injected,
            told: None,
            right: false,
            figures: format!("{so}, no exchange is told"),
        };
    };
    let (label, us) = label(told.object);
    let (label, us) =
        if us < SMALL_US { ((NONE.0.to_owned(), NONE.1.to_owned()), us) } else { (label, us) };
    let right = truth.agrees((&label.0, &label.1), us);
    let figures = format!("{so}, told {}", short(told.object));
    Judged { injected: *injected, told: Some(label), right, figures }
}

/// Describes an exchange in a line.
fn short(exchange: &Value) -> String {
    let slices: Vec<_> = slices(exchange)
        .filter(|slice| number(slice, "/us") > Some(100))
        .map(|slice| {
            let word = |name: &str| slice[name].as_str().unwrap_or("?").to_owned();
            format!("{}/{} {}", word("owner"), word("kind"), slice["us"])
        })
        .collect();
    format!("seq {} of {} µs: {}", exchange["seq"], exchange["total_us"], slices.join(", "))
}

/// Connections whose bytes are not those of the client.
fn bytes(objects: &[Value], counted: &BTreeMap<u16, Option<(u64, u64)>>) -> Vec<String> {
    let mut told: BTreeMap<u16, (u64, u64)> = BTreeMap::new();
    for object in
        objects.iter().filter(|object| is(object, "connection") && object["role"] == "server")
    {
        if let (Some(peer), Some(came), Some(went)) =
            (address(object, "/peer"), number(object, "/bytes/in"), number(object, "/bytes/out"))
        {
            told.insert(peer.port(), (came, went));
        }
    }
    counted
        .iter()
        .filter_map(|(port, counted)| Some((port, counted.as_ref()?)))
        .filter_map(|(port, counted)| match told.get(port) {
            Some(told) if told == counted => None,
            Some(told) => Some(format!("port {port}: told {told:?}, counted {counted:?}")),
            None => Some(format!("port {port}: no connection is told")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn objects(slices: &Value, total: u64) -> Vec<Value> {
        vec![
            json!({"type": "accept", "sock": "9", "peer": "127.0.0.1:5000"}),
            json!({"type": "exchange", "role": "server", "sock": "9", "seq": 1,
                "start_ns": 1_000, "ts_ns": 60_001_000, "total_us": total, "slices": slices}),
            json!({"type": "connection", "role": "server", "sock": "9", "peer": "127.0.0.1:5000",
                "bytes": {"in": 5, "out": 6}}),
        ]
    }

    fn truth(label: Label) -> Truth {
        let injected = (label, 50_000..=55_000);
        Truth {
            port: 5000,
            from_ns: 0,
            until_ns: 60_000_000,
            begun_ns: 0,
            injected,
            also: Vec::new(),
        }
    }

    #[test]
    fn the_largest_is_told_but_for_a_trailing_delayed_ack() {
        let slices = json!([{"owner": "app", "kind": "app", "us": 52_000},
            {"owner": "peer", "kind": "delayed_ack", "us": 90_000}]);
        let counted = BTreeMap::from([(5000, Some((5, 6)))]);
        let verdict = judge(&objects(&slices, 142_000), &[truth(("app", "app"))], &counted);
        assert!(
            verdict.exchanges[0].right && verdict.bytes.is_empty() && verdict.untiled == 0,
            "{verdict:?}"
        );
        let wrong =
            judge(&objects(&slices, 141_000), &[truth(("kernel", "nagle"))], &BTreeMap::new());
        assert!(!wrong.exchanges[0].right && wrong.untiled == 1, "{wrong:?}");
    }

    #[test]
    fn exchanges_that_follow_at_once_are_kept_apart() {
        let object = json!({});
        let told = |from_ns, until_ns| Told { object: &object, from_ns, until_ns };
        let at = |from_ns, until_ns| Truth { from_ns, until_ns, begun_ns: from_ns, ..truth(NONE) };
        let (first, second) = (at(0, 5_000_000), at(5_010_000, 300_000_000));
        let all = vec![
            told(100_000, 5_400_000),
            told(5_100_000, 299_000_000),
            told(6_000_000, 7_000_000),
        ];
        let (pairs, left) = pair(&[&first, &second], all);
        let starts: Vec<_> =
            pairs.iter().map(|(_, told)| told.as_ref().map(|told| told.from_ns)).collect();
        assert_eq!(starts, [Some(100_000), Some(5_100_000)]);
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn what_is_missing_or_invented_is_seen() {
        let slices = json!([{"owner": "app", "kind": "app", "us": 52_000}]);
        let counted = BTreeMap::from([(5000, Some((5, 7))), (5001, Some((1, 1))), (5002, None)]);
        let verdict = judge(&objects(&slices, 52_000), &[], &counted);
        assert_eq!((verdict.invented.len(), verdict.bytes.len()), (1, 2));
        let missing = judge(&[], &[truth(("app", "app"))], &BTreeMap::new());
        assert!(missing.exchanges[0].told.is_none() && !missing.exchanges[0].right);
    }
}
