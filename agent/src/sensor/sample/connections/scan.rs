//! A scan that goes on: one iterator after the other.

use std::{collections::VecDeque, fs::File, io::Read, os::fd::AsFd, time::Duration};

use aya::programs::ProgramFd;
use backscope_abi as abi;
use rustc_hash::FxHashSet;

use super::census::Counting;
use crate::{model::event::SockId, sensor::attach::sys};

/// Bytes read of an iterator at a time: as many as the kernel gives.
const READ: usize = 32 * 1_024;

/// UDP sockets that a scan met.
#[derive(Debug, Default)]
pub(in crate::sensor) struct UdpSockets {
    /// One entry a descriptor.
    pub(in crate::sensor::sample) held: Vec<abi::ScanDatagram>,
    /// Beginning of the scan, if it has shown everything that was held then.
    pub(in crate::sensor::sample) complete_since_ns: Option<u64>,
}

/// A scan that goes on.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Processes that are yet to be scanned; `None` for all.
    pub(super) left: VecDeque<Option<u32>>,
    pub(super) iterator: Option<File>,
    /// Bytes that were read and not decoded yet.
    pub(super) output: Vec<u8>,
    /// Connections that were met: one that several processes hold is met several times.
    pub(super) seen: FxHashSet<SockId>,
    pub(super) udp_sockets: UdpSockets,
    pub(super) census: Option<Counting>,
    pub(super) filter_failed: bool,
    pub(super) cost: Duration,
}

impl Scan {
    /// Connections of a census that are not told yet.
    pub(super) fn counted(&self) -> usize {
        self.census.as_ref().map_or(0, |census| census.part.len())
    }

    /// Reads some more of the iterators' output. Returns false at its end.
    pub(super) fn read(&mut self, program: &ProgramFd) -> bool {
        loop {
            if let Some(iterator) = &mut self.iterator {
                let from = self.output.len();
                self.output.resize(from + READ, 0);
                let result = iterator.read(&mut self.output[from..]);
                if result.is_err() {
                    self.udp_sockets.complete_since_ns = None;
                }
                let length = result.unwrap_or(0);
                self.output.truncate(from + length);
                if length > 0 {
                    return true;
                }
                self.iterator = None;
                self.output.clear();
            }
            let Some(pid) = self.left.pop_front() else { return false };
            match sys::task_iterator(program.as_fd(), pid) {
                Ok(iterator) => self.iterator = Some(iterator),
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                Err(_) if pid.is_some() => {
                    self.filter_failed = true;
                    self.left = VecDeque::from([None]);
                }
                Err(_) => self.udp_sockets.complete_since_ns = None,
            }
        }
    }
}
