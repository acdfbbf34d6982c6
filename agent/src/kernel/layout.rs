//! The offsets that the probes need, from this kernel's types.

use backscope_abi::{ABSENT, Layout};

use super::btf::Btf;

/// Members without which nothing can be watched; all others only lower the coverage.
const NEEDED: &[&str] = &[
    "skc_daddr",
    "skc_rcv_saddr",
    "skc_dport",
    "skc_num",
    "skc_family",
    "skc_state",
    "sk_ack_backlog",
    "sk_max_ack_backlog",
    "sk_protocol",
    "syn_qlen",
    "socket_sk",
    "socket_file",
    "file_private_data",
    "file_inode",
    "inode_mode",
    "task_pid",
    "task_tgid",
    "task_comm",
];

/// The structures that [`resolve`] asks for.
pub fn structs() -> impl Iterator<Item = &'static str> {
    Layout::MEMBERS.iter().map(|(_, structure, _)| *structure)
}

/// Resolves every member; one that this kernel lacks stays [`ABSENT`].
///
/// # Errors
/// The name of a member without which nothing can be watched.
pub fn resolve(btf: &Btf) -> Result<Layout, &'static str> {
    let mut layout = Layout::EMPTY;
    for (slot, (field, structure, paths)) in layout.offsets_mut().into_iter().zip(Layout::MEMBERS) {
        match paths.iter().find_map(|path| offset_of(btf, structure, path)) {
            Some(offset) => *slot = offset,
            None if NEEDED.contains(field) => return Err(field),
            None => {}
        }
    }
    Ok(layout)
}

/// Offset of a member, if this kernel has it where the layout can say so.
fn offset_of(btf: &Btf, structure: &str, member: &str) -> Option<u16> {
    let offset = u16::try_from(btf.offset(structure, member)?).ok()?;
    if offset == ABSENT { None } else { Some(offset) }
}
