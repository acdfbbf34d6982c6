//! Adds up an agent's output of a minute line by line: all of it would not fit into memory.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, ensure};
use backscope_tests::harness::json::{Value, address, is, number};

/// Sums of the agent's objects.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Exchanges whose slices do not add up to their time.
    pub(crate) untiled: u64,
    /// Findings of warning level or above.
    pub(crate) warnings: u64,
    /// Headlines of these findings, and the reasons why something of an exchange or connection was
    /// not observed: each sentence once.
    pub(crate) said: BTreeSet<String>,
    /// Bytes in and out by the client's port.
    bytes: HashMap<u16, (u64, u64)>,
    summary: Value,
}

impl Tally {
    /// Adds an object, and returns the client's port if it is the end of a served connection.
    fn add(&mut self, object: Value) -> Option<u16> {
        if is(&object, "exchange") || is(&object, "connection") {
            let gaps = object["gaps"].as_array().into_iter().flatten();
            self.said.extend(gaps.map(|gap| format!("gap of a {}: {gap}", object["type"])));
        }
        if is(&object, "exchange") {
            let slices = object["slices"].as_array().into_iter().flatten();
            let sum: u64 = slices.filter_map(|slice| number(slice, "/us")).sum();
            self.untiled += u64::from(Some(sum) != number(&object, "/total_us"));
        } else if is(&object, "connection") && object["role"] == "server" {
            let port = address(&object, "/peer")?.port();
            self.bytes
                .insert(port, (number(&object, "/bytes/in")?, number(&object, "/bytes/out")?));
            return Some(port);
        } else if is(&object, "finding") {
            let is_grave = object["severity"] != "info" && object["state"] != "ended";
            self.warnings += u64::from(is_grave);
            if is_grave {
                self.said.insert(format!(
                    "{} {}: {}",
                    object["severity"], object["kind"], object["headline"]
                ));
            }
        } else if is(&object, "summary") {
            self.summary = object;
        }
        None
    }

    /// Bytes in and out of the connection with the client on that port.
    pub(crate) fn bytes(&self, port: u16) -> Option<(u64, u64)> {
        self.bytes.get(&port).copied()
    }

    /// A number of the summary.
    pub(crate) fn summary(&self, pointer: &str) -> anyhow::Result<u64> {
        number(&self.summary, pointer)
            .with_context(|| format!("the summary has no {pointer}: {}", self.summary))
    }

    /// Returns the shares of the time: application, kernel, network, peer, unknown.
    pub(crate) fn shares(&self) -> anyhow::Result<[f64; 5]> {
        let of = |owner: &str| self.summary(&format!("/times_us/{owner}"));
        let times = [of("app")?, of("kernel")?, of("network")?, of("peer")?, of("unknown")?];
        let total: u64 = times.iter().sum();
        ensure!(total > 0, "no time was told: {}", self.summary);
        Ok(times.map(|us| us as f64 / total as f64))
    }
}

/// Reads the agent's output on a thread of its own.
pub(crate) struct Reader {
    /// 0 for the first object, then the client's port of each connection that ended.
    ended: Receiver<u16>,
    tally: JoinHandle<anyhow::Result<Tally>>,
}

impl Reader {
    pub(crate) fn start(output: impl Read + Send + 'static) -> Self {
        let (sender, ended) = mpsc::channel();
        let read = move || {
            let mut tally = Tally::default();
            for (at, line) in BufReader::with_capacity(1 << 20, output).lines().enumerate() {
                let object = serde_json::from_str(&line?).context("the agent's output")?;
                let port = tally.add(object);
                if let Some(port) = port.or((at == 0).then_some(0)) {
                    // Nobody may be waiting any more.
                    let _ = sender.send(port);
                }
            }
            Ok(tally)
        };
        Self { ended, tally: thread::spawn(read) }
    }

    /// Waits until the agent has attached.
    pub(crate) fn await_first(&self, patience: Duration) -> anyhow::Result<()> {
        self.ended.recv_timeout(patience).context("the agent says nothing").map(drop)
    }

    /// Waits for the ends of so many connections.
    pub(crate) fn await_connections(&self, count: usize, patience: Duration) -> anyhow::Result<()> {
        for _ in 0..count {
            self.ended.recv_timeout(patience).context("a connection that ended is not shown")?;
        }
        Ok(())
    }

    /// Returns the sums of all its output.
    pub(crate) fn finish(self) -> anyhow::Result<Tally> {
        self.tally.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Tally;

    #[test]
    fn objects_are_added_up() {
        let mut tally = Tally::default();
        assert!(tally.shares().is_err(), "no summary yet");
        let exchange =
            |us| json!({"type": "exchange", "total_us": 5, "slices": [{"us": 2}, {"us": us}]});
        for object in [
            exchange(3),
            exchange(4),
            json!({"type": "finding", "severity": "info"}),
            json!({"type": "finding", "severity": "warning", "kind": "slow-app",
                "headline": "It is slow."}),
            json!({"type": "finding", "severity": "warning", "kind": "slow-app", "state": "ended"}),
            json!({"type": "connection", "role": "client", "peer": "127.0.0.1:5",
                "bytes": {"in": 1, "out": 2}}),
            json!({"type": "summary",
                "times_us": {"app": 30, "kernel": 10, "network": 9, "peer": 50, "unknown": 1}}),
        ] {
            assert_eq!(tally.add(object), None);
        }
        let served = json!({"type": "connection", "role": "server", "peer": "127.0.0.1:7",
            "bytes": {"in": 3, "out": 4}});
        assert_eq!(tally.add(served), Some(7));
        assert_eq!((tally.untiled, tally.warnings), (1, 1));
        assert_eq!(Vec::from_iter(&tally.said), [r#""warning" "slow-app": "It is slow.""#]);
        assert_eq!((tally.bytes(5), tally.bytes(7)), (None, Some((3, 4))));
        assert_eq!(tally.shares().expect("a summary"), [0.3, 0.1, 0.09, 0.5, 0.01]);
    }
}
