//! The packet that each remark is on.

use super::{
    TOLERANCE_NS,
    remarks::{Remark, Remarks},
};

/// Remarks by connection and time, while packets are offered to them.
pub(super) struct Places<'a> {
    all: &'a mut [Remark],
    /// First remark of each connection.
    begins: Vec<usize>,
    /// Longest time that a remark of each connection waits for a packet, ns.
    waits_ns: Vec<u64>,
}

impl<'a> Places<'a> {
    pub(super) fn new(remarks: &'a mut Remarks) -> Self {
        let all = remarks.all.as_mut_slice();
        all.sort_by_key(|remark| (remark.flow, remark.at_ns));
        let flows = all.last().map_or(0, |remark| remark.flow as usize + 1);
        let (mut begins, mut waits_ns) = (vec![all.len(); flows + 1], vec![0; flows]);
        for (place, remark) in all.iter().enumerate().rev() {
            let flow = remark.flow as usize;
            begins[flow] = place;
            let wait_ns = remark.until_ns.saturating_sub(remark.at_ns);
            waits_ns[flow] = wait_ns.max(waits_ns[flow]);
        }
        // Connections without a remark begin where the next one does.
        for flow in (0..flows).rev() {
            begins[flow] = begins[flow].min(begins[flow + 1]);
        }
        Self { all, begins, waits_ns }
    }

    /// Offers a packet to the remarks on its connection.
    pub(super) fn offer(
        &mut self,
        packet: u64,
        ts_ns: u64,
        flow: u32,
        is_forward: bool,
        has_data: bool,
    ) {
        let flow = flow as usize;
        let (Some(&begin), Some(&end)) = (self.begins.get(flow), self.begins.get(flow + 1)) else {
            return;
        };
        let Some(&wait_ns) = self.waits_ns.get(flow) else { return };
        let of_flow = &mut self.all[begin..end];
        let earliest_ns = ts_ns.saturating_sub(wait_ns.saturating_add(TOLERANCE_NS));
        let latest_ns = ts_ns.saturating_add(TOLERANCE_NS);
        let first = of_flow.partition_point(|remark| remark.at_ns < earliest_ns);
        for remark in &mut of_flow[first..] {
            if remark.at_ns > latest_ns {
                break;
            }
            let fits = remark.is_forward.is_none_or(|wanted| wanted == is_forward)
                && (has_data || !remark.wants_data);
            let distance_ns = ts_ns.abs_diff(remark.at_ns);
            let is_in_reach = distance_ns <= TOLERANCE_NS
                || (ts_ns > remark.at_ns && ts_ns <= remark.until_ns.saturating_add(TOLERANCE_NS));
            let is_better = remark.packet == 0 || distance_ns < remark.distance_ns;
            if fits && is_in_reach && is_better {
                (remark.packet, remark.distance_ns) = (packet, distance_ns);
            }
        }
    }
}
