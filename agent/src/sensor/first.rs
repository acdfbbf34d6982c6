//! First bytes, from their records to what they are recognised as. They go no further than here.

use std::collections::HashMap;

use backscope_abi as abi;
use backscope_abi::role;

use super::stream;
use crate::model::event::{Recognised, SockId};
use crate::protocol::{self, Reading};

/// Directions whose first bytes came in parts, and are not complete yet.
const MAX_WAITING: usize = 1_024;

/// The first bytes that say nothing yet without those that follow.
pub(super) struct FirstBytes {
    waiting: HashMap<(SockId, bool), Vec<u8>>,
    /// What requests ask for is told, too.
    paths: bool,
}

impl FirstBytes {
    pub(super) fn new(paths: bool) -> Self {
        Self { waiting: HashMap::new(), paths }
    }

    /// What these bytes are, perhaps together with those before them.
    pub(super) fn take(&mut self, record: &[u8]) -> Option<Recognised> {
        let head: abi::FirstBytes = stream::record(record)?;
        let bytes = record.get(size_of::<abi::FirstBytes>()..)?;
        let bytes = bytes.get(..usize::try_from(head.length).ok()?)?;
        let key = (head.sock, head.outbound != 0);
        let mut waiting = self.waiting.remove(&key).unwrap_or_default();
        // A part that is missing cannot be made up for.
        if usize::try_from(head.at).ok()? != waiting.len() && head.midway == 0 {
            return None;
        }
        waiting.extend_from_slice(bytes);
        let from_client = (head.role == role::CLIENT) == (head.outbound != 0);
        let Reading { sign, more } = protocol::read(from_client, &waiting);
        let sign = sign.map(|sign| protocol::detail(sign, &waiting, self.paths));
        if more && head.last == 0 && self.waiting.len() < MAX_WAITING {
            self.waiting.insert(key, waiting);
        }
        sign.map(|sign| Recognised { ts_ns: head.ts_ns, sock: head.sock, sign })
    }

    /// What a datagram is.
    pub(super) fn datagram(record: &[u8]) -> Option<Recognised> {
        let head: abi::FirstBytes = stream::record(record)?;
        let bytes = record.get(size_of::<abi::FirstBytes>()..)?;
        let bytes = bytes.get(..usize::try_from(head.length).ok()?)?;
        let sign = protocol::read_datagram(bytes, usize::try_from(head.at).ok()?)?;
        Some(Recognised { ts_ns: head.ts_ns, sock: head.sock, sign })
    }

    /// A connection ended.
    pub(super) fn forget(&mut self, sock: SockId) {
        for outbound in [false, true] {
            self.waiting.remove(&(sock, outbound));
        }
    }
}
