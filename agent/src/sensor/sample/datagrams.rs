//! UDP sockets, from the probes' map, with the processes that the iterator saw hold them.

use std::collections::{BTreeMap, HashMap};

use backscope_abi as abi;

use super::connections::UdpSockets;
use crate::{
    model::event::{DatagramSample, SockId},
    sensor::{
        attach::Chosen,
        decode::{self, DatagramSignals},
        maps::Maps,
        procfs,
    },
};

/// Turns the map's totals into samples.
#[derive(Default)]
pub(in crate::sensor) struct Datagrams {
    signals: DatagramSignals,
    /// Waits that were announced already, by socket. Has no more entries than the map.
    announced: HashMap<SockId, Box<[u32; abi::LATENCY_BUCKETS]>>,
}

impl Datagrams {
    pub(in crate::sensor) fn new(chosen: &Chosen) -> Self {
        Self { signals: DatagramSignals::new(chosen), announced: HashMap::new() }
    }

    /// Returns the state of every socket, after the refresh period `ended`. One that nobody holds
    /// any more is sampled for the last time, and its place in the map is freed.
    pub(in crate::sensor) fn sample(
        &mut self,
        maps: &mut Maps,
        udp_sockets: &UdpSockets,
        ended: u32,
    ) -> Vec<DatagramSample> {
        let mut holders: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        for entry in &udp_sockets.held {
            holders.entry(entry.key).or_default().push(entry.tgid);
        }
        let mut samples = Vec::new();
        for (key, raw) in maps.datagrams() {
            let mut sample = decode::datagram(&raw, self.signals, ended);
            // The key of one that has closed may be another than before.
            sample.waits = self.new_waits(raw.sock, &raw.latencies);
            match holders.get(&key) {
                // The process that used it first may have handed it on.
                Some(held_by) if !held_by.contains(&raw.tgid) => {
                    sample.pid = held_by[0];
                    sample.comm = procfs::comm(sample.pid).unwrap_or_default();
                }
                Some(_) => {}
                None => {
                    let complete_since_ns = udp_sockets.complete_since_ns.unwrap_or(0);
                    sample.closed = raw.since_ns < complete_since_ns;
                }
            }
            if sample.closed {
                maps.forget_datagram(key);
                self.announced.remove(&raw.sock);
            }
            samples.push(sample);
        }
        samples.sort_by_key(|socket| (socket.since_ns, socket.sock));
        samples
    }

    /// Returns the waits that were counted since the last time, as (µs, count).
    fn new_waits(&mut self, sock: SockId, waits: &[u32; abi::LATENCY_BUCKETS]) -> Vec<(u64, u32)> {
        let announced =
            self.announced.entry(sock).or_insert_with(|| Box::new([0; abi::LATENCY_BUCKETS]));
        let mut new = Vec::new();
        for (at, now) in waits.iter().enumerate() {
            let count = now.wrapping_sub(announced[at]);
            if count > 0 {
                new.push((abi::bucket_middle_us(at), count));
            }
        }
        **announced = *waits;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_waits_are_announced() {
        let mut datagrams = Datagrams::default();
        let mut waits = [0; abi::LATENCY_BUCKETS];
        waits[3] = 2;
        assert_eq!(datagrams.new_waits(1, &waits), [(3, 2)]);
        assert_eq!(datagrams.new_waits(1, &waits), []);
        waits[abi::latency_bucket(50_000)] = 1;
        assert_eq!(
            datagrams.new_waits(1, &waits),
            [(abi::bucket_middle_us(abi::latency_bucket(50_000)), 1)]
        );
        assert_eq!(datagrams.new_waits(2, &waits).len(), 2, "another socket");
    }
}
