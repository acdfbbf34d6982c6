//! Reading the kernel's structures at the offsets that the agent found in this kernel's BTF.
//!
//! All reads go through `bpf_probe_read_kernel`: it works in every program type and on every
//! kernel, follows any chain of pointers, and at some 20 ns a read it does not show at a few reads
//! a connection.

use core::{arch::asm, ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{Global, helpers::generated};
use backscope_abi::{ABSENT, Config, Endpoint, Layout};

#[unsafe(no_mangle)]
static LAYOUT: Global<Layout> = Global::new(Layout::EMPTY);
#[unsafe(no_mangle)]
static CONFIG: Global<Config> = Global::new(Config::EMPTY);

/// One field of [`CONFIG`], as a constant to the verifier.
macro_rules! config {
    ($field:ident) => {{
        let config = $crate::kernel::config_ptr();
        // SAFETY: the pointer is to a live static; volatile since the agent sets it at load.
        #[allow(unused_unsafe, reason = "the macro is used inside unsafe blocks, too")]
        let value = unsafe { (&raw const (*config).$field).read_volatile() };
        value
    }};
}
pub(crate) use config;

/// The offset of one member, as a constant to the verifier.
macro_rules! offset {
    ($field:ident) => {{
        let layout = $crate::kernel::layout_ptr();
        // SAFETY: the pointer is to a live static; volatile since the agent sets it at load.
        #[allow(unused_unsafe, reason = "the macro is used inside unsafe blocks, too")]
        let value = unsafe { (&raw const (*layout).$field).read_volatile() };
        value
    }};
}
pub(crate) use offset;

/// Reads one member of a kernel structure; 0 where this kernel lacks it or the address is bad.
macro_rules! read {
    ($base:expr, $field:ident as $t:ty) => {
        $crate::kernel::read_at::<$t>(
            $base as *const core::ffi::c_void,
            $crate::kernel::offset!($field),
        )
    };
}
pub(crate) use read;

/// Loads one member of a structure that the verifier knows, without a helper call; 0 where this
/// kernel lacks it.
macro_rules! load {
    ($base:expr, $field:ident as $t:ty) => {
        $crate::kernel::load_at::<$t>($base, $crate::kernel::offset!($field))
    };
}
pub(crate) use load;

/// Loads a value at `base + offset`, where `base` is a pointer that the verifier knows. Such a load
/// cannot fault: of a bad address it reads 0.
#[inline(always)]
pub(crate) fn load_at<T: Copy + Default>(base: *const c_void, offset: u16) -> T {
    if offset == ABSENT {
        return T::default();
    }
    // SAFETY: checked by the verifier against the structure's type.
    unsafe { base.byte_add(offset as usize).cast::<T>().read_volatile() }
}

/// The socket of a `struct socket` that the verifier knows, known likewise.
#[inline(always)]
pub(crate) fn sk_of(socket: *const c_void) -> *mut c_void {
    load!(socket, socket_sk as u64) as *mut c_void
}

#[inline(always)]
pub(crate) fn config_ptr() -> *const Config {
    (&raw const CONFIG).cast()
}

#[inline(always)]
pub(crate) fn layout_ptr() -> *const Layout {
    (&raw const LAYOUT).cast()
}

/// Reads a value at `base + offset`: 0 where the address is bad, since the helper then clears its
/// target (`bpf_probe_read_kernel_common`, 5.5 on). No branch on its result: each would double what
/// the verifier has to walk.
#[inline(always)]
pub(crate) fn read_at<T: Copy + Default>(base: *const c_void, offset: u16) -> T {
    if offset == ABSENT {
        return T::default();
    }
    let mut value = MaybeUninit::<T>::uninit();
    let at = base.wrapping_byte_add(offset as usize);
    // SAFETY: the helper checks the address and always fills the whole value; every T used is plain
    // integers.
    unsafe {
        generated::bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, at);
        value.assume_init()
    }
}

/// A pointer that the verifier knows, as a number with which one may reckon: it forgets what it
/// negates.
#[inline(always)]
pub(crate) fn number_of(pointer: *const c_void) -> u64 {
    let mut number = pointer as u64;
    // SAFETY: arithmetic on one register.
    unsafe { asm!("{0} = -{0}", "{0} = -{0}", inout(reg) number, options(pure, nomem, nostack)) };
    number
}

/// Two members, read at once where they lie side by side.
#[inline(always)]
fn read_two<T: Copy + Default>(base: *const c_void, first: u16, second: u16) -> [T; 2]
where
    [T; 2]: Default,
{
    if second == first + size_of::<T>() as u16 {
        return read_at(base, first);
    }
    [read_at(base, first), read_at(base, second)]
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: no arguments, no preconditions.
    unsafe { generated::bpf_ktime_get_ns() }
}

/// Jiffies, in all bits that the kernel counts them in.
#[inline(always)]
pub(crate) fn jiffies64() -> u64 {
    // SAFETY: no arguments, no preconditions.
    unsafe { generated::bpf_jiffies64() }
}

/// Jiffies, as the kernel's stamps of 32 bits count them.
#[inline(always)]
pub(crate) fn jiffies() -> u32 {
    jiffies64() as u32
}

/// `tgid << 32 | tid` of the current thread.
#[inline(always)]
pub(crate) fn current() -> u64 {
    // SAFETY: no arguments, no preconditions.
    unsafe { generated::bpf_get_current_pid_tgid() }
}

/// Command name of the current thread.
#[inline(always)]
pub(crate) fn comm() -> [u8; 16] {
    aya_ebpf::helpers::bpf_get_current_comm().unwrap_or_default()
}

pub(crate) const AF_INET: u16 = 2;
pub(crate) const AF_INET6: u16 = 10;
pub(crate) const IPPROTO_TCP: u16 = 6;
pub(crate) const IPPROTO_MPTCP: u16 = 262;
const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;

/// An IPv4 address in IPv4-mapped form. `addr` is as the packet has it.
#[inline(always)]
pub(crate) fn mapped(addr: u32) -> [u8; 16] {
    let [a, b, c, d] = addr.to_ne_bytes();
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// The beginning of a socket, `struct sock_common`.
pub(crate) type Head = [u64; 12];

/// One member of a socket whose beginning was read to `head`.
#[inline(always)]
fn pick<T: Copy + Default>(head: *const Head, sk: *const c_void, offset: u16) -> T {
    if offset as usize + size_of::<T>() > size_of::<Head>() {
        return read_at(sk, offset);
    }
    // SAFETY: within the head; every T used is plain integers, aligned in the kernel's structure as
    // here.
    unsafe { head.byte_add(offset as usize).cast::<T>().read_volatile() }
}

/// Writes an end word by word: an [`Endpoint`] on the way would take stack that some programs do
/// not have.
///
/// # Safety
/// `end` must point to memory for one.
#[inline(always)]
unsafe fn write_end(end: *mut Endpoint, addr: [u64; 2], port: u16) {
    let words = end.cast::<u64>();
    // SAFETY: promised by the caller; an address of two words, a port and padding of one.
    unsafe {
        words.write(addr[0]);
        words.add(1).write(addr[1]);
        words.add(2).write(port as u64);
    }
}

/// Writes both ends of a connection as [`local_of`] and [`peer_of`] read them, but read at once, to
/// `head`; that may be where they are written, too.
///
/// # Safety
/// `head`, `local` and `peer` must point to memory for what they say.
#[inline(always)]
pub(crate) unsafe fn write_ends(
    sk: *const c_void,
    head: *mut Head,
    local: *mut Endpoint,
    peer: *mut Endpoint,
) {
    // SAFETY: the helper checks the address and always fills the whole head.
    unsafe { generated::bpf_probe_read_kernel(head.cast(), size_of::<Head>() as u32, sk) };
    let is_v6 = pick::<u16>(head, sk, offset!(skc_family)) == AF_INET6;
    let local_port = pick(head, sk, offset!(skc_num));
    let peer_port = u16::from_be(pick(head, sk, offset!(skc_dport)));
    let (here, there) = if is_v6 && offset!(skc_v6_daddr) != ABSENT {
        let word = |at: u16| pick::<u32>(head, sk, at) as u64;
        let addr = |at: u16| [word(at) | word(at + 4) << 32, word(at + 8) | word(at + 12) << 32];
        (addr(offset!(skc_v6_rcv_saddr)), addr(offset!(skc_v6_daddr)))
    } else {
        // As `mapped`.
        let addr = |at: u16| [0, 0xffff_0000 | (pick::<u32>(head, sk, at) as u64) << 32];
        (addr(offset!(skc_rcv_saddr)), addr(offset!(skc_daddr)))
    };
    // SAFETY: promised by the caller.
    unsafe {
        write_end(local, here, local_port);
        write_end(peer, there, peer_port);
    }
}

/// Local end of a socket (also of a request socket: `struct sock_common` begins both).
#[inline(always)]
pub(crate) fn local_of(sk: *const c_void) -> Endpoint {
    let addr = if read!(sk, skc_family as u16) == AF_INET6 {
        read!(sk, skc_v6_rcv_saddr as [u8; 16])
    } else {
        mapped(read!(sk, skc_rcv_saddr as u32))
    };
    Endpoint { addr, port: read!(sk, skc_num as u16), _pad: [0; 3] }
}

/// Local port of a socket. One that is closed has given its port back (`tcp_set_state`, 5.10 to
/// 7.3), but keeps what its packets named. `sk` must be a pointer that the verifier knows as a
/// socket.
#[inline(always)]
pub(crate) fn port_of(sk: *const c_void) -> u16 {
    match load!(sk, skc_num as u16) {
        0 => u16::from_be(read!(sk, inet_sport as u16)),
        port => port,
    }
}

/// Remote end of a socket or request socket.
#[inline(always)]
pub(crate) fn peer_of(sk: *const c_void) -> Endpoint {
    let addr = if read!(sk, skc_family as u16) == AF_INET6 {
        read!(sk, skc_v6_daddr as [u8; 16])
    } else {
        mapped(read!(sk, skc_daddr as u32))
    };
    Endpoint { addr, port: u16::from_be(read!(sk, skc_dport as u16)), _pad: [0; 3] }
}

/// Sender of an incoming TCP segment.
#[inline(always)]
pub(crate) fn sender_of(skb: *const c_void) -> Endpoint {
    let head = read!(skb, skb_head as u64) as *const c_void;
    let network = read!(skb, skb_network_header as u16);
    let transport = read!(skb, skb_transport_header as u16);
    let addr = if u16::from_be(read!(skb, skb_protocol as u16)) == 0x86dd {
        read_at::<[u8; 16]>(head.wrapping_byte_add(network as usize), 8)
    } else {
        mapped(read_at::<u32>(head.wrapping_byte_add(network as usize), 12))
    };
    let port = u16::from_be(read_at::<u16>(head.wrapping_byte_add(transport as usize), 0));
    Endpoint { addr, port, _pad: [0; 3] }
}

/// Where an incoming TCP segment goes.
#[inline(always)]
pub(crate) fn receiver_of(skb: *const c_void) -> Endpoint {
    let head = read!(skb, skb_head as u64) as *const c_void;
    let network = read!(skb, skb_network_header as u16);
    let transport = read!(skb, skb_transport_header as u16);
    let addr = if u16::from_be(read!(skb, skb_protocol as u16)) == 0x86dd {
        read_at::<[u8; 16]>(head.wrapping_byte_add(network as usize), 24)
    } else {
        mapped(read_at::<u32>(head.wrapping_byte_add(network as usize), 16))
    };
    let port = u16::from_be(read_at::<u16>(head.wrapping_byte_add(transport as usize), 2));
    Endpoint { addr, port, _pad: [0; 3] }
}

/// Bytes of data behind the TCP header of a segment whose network header has been pulled.
#[inline(always)]
pub(crate) fn payload_of(skb: *const c_void) -> u32 {
    let head = read!(skb, skb_head as u64) as *const c_void;
    let transport = read!(skb, skb_transport_header as u16);
    let header = (read_at::<u8>(head.wrapping_byte_add(transport as usize), 12) >> 4) as u32 * 4;
    read!(skb, skb_len as u32).saturating_sub(header)
}

/// Segments that a packet was merged from.
#[inline(always)]
pub(crate) fn segments_of(skb: *const c_void) -> u16 {
    let head = read!(skb, skb_head as u64) as *const c_void;
    // On 64 bits `end` is an offset.
    let shared = head.wrapping_byte_add(read!(skb, skb_end as u32) as usize);
    match read!(shared, shinfo_gso_segs as u16) {
        0 => 1,
        segments => segments,
    }
}

/// Connections in the accept queue of a listener.
#[inline(always)]
pub(crate) fn accept_depth(sk: *const c_void) -> u32 {
    read!(sk, sk_ack_backlog as u32)
}

/// [`accept_depth`] and [`accept_limit`].
#[inline(always)]
pub(crate) fn accept_queue(sk: *const c_void) -> [u32; 2] {
    read_two(sk, offset!(sk_ack_backlog), offset!(sk_max_ack_backlog))
}

/// Limit of the accept queue. The queue is full when the depth is *above* it
/// (`sk_acceptq_is_full`).
#[inline(always)]
pub(crate) fn accept_limit(sk: *const c_void) -> u32 {
    read!(sk, sk_max_ack_backlog as u32)
}

/// Requests in the SYN queue of a listener.
#[inline(always)]
pub(crate) fn syn_depth(sk: *const c_void) -> u32 {
    read!(sk, syn_qlen as u32)
}

/// The TCP socket behind a file, null if it is none. Of a Multipath TCP socket it is the first
/// subflow.
#[inline(always)]
pub(crate) fn sock_of_file(file: *const c_void) -> *const c_void {
    let inode = read!(file, file_inode as u64) as *const c_void;
    if read!(inode, inode_mode as u16) & S_IFMT != S_IFSOCK {
        return core::ptr::null();
    }
    let socket = read!(file, file_private_data as u64) as *const c_void;
    tcp_behind(read!(socket, socket_sk as u64) as *const c_void)
}

/// The protocol of the socket behind a file; 0 if it is none.
#[inline(always)]
pub(crate) fn protocol_of_file(file: *const c_void) -> u16 {
    let inode = read!(file, file_inode as u64) as *const c_void;
    if read!(inode, inode_mode as u16) & S_IFMT != S_IFSOCK {
        return 0;
    }
    let socket = read!(file, file_private_data as u64) as *const c_void;
    let sk = read!(socket, socket_sk as u64) as *const c_void;
    match read!(sk, skc_family as u16) {
        AF_INET | AF_INET6 => read!(sk, sk_protocol as u16),
        _ => 0,
    }
}

/// The TCP socket that `sk` is or stands for, else null.
#[inline(always)]
pub(crate) fn tcp_behind(sk: *const c_void) -> *const c_void {
    // `sk_protocol` was a byte up to 5.5; since then it is the u16 that Multipath TCP needs.
    match read!(sk, sk_protocol as u16) {
        IPPROTO_TCP => sk,
        IPPROTO_MPTCP => read!(sk, mptcp_first as u64) as *const c_void,
        _ => core::ptr::null(),
    }
}

/// True of a subflow that joined a Multipath TCP connection which had one.
#[inline(always)]
pub(crate) fn joined(sk: *const c_void) -> bool {
    let context = read!(sk, icsk_ulp_data as u64);
    if context == 0 || read!(context, subflow_tcp_sock as u64) != sk as u64 {
        return false;
    }
    let first = read!(read!(context, subflow_conn as u64), mptcp_first as u64);
    first != 0 && first != sk as u64
}

/// The `struct sock` behind a file that the caller has reason to take for a socket. Of any other
/// file it is null, since nothing there names the file as a socket does, in fewer reads than the
/// file's type would take.
#[inline(always)]
pub(crate) fn sock_of_socket(file: *const c_void) -> *const c_void {
    let socket = read!(file, file_private_data as u64) as *const c_void;
    let [owner, sk] = read_two::<u64>(socket, offset!(socket_file), offset!(socket_sk));
    if owner == file as u64 { sk as *const c_void } else { core::ptr::null() }
}

/// The open file behind a descriptor of the current process. Of a descriptor that is none it is
/// garbage, or null.
#[inline(always)]
pub(crate) fn file_of_fd(fd: u32) -> *const c_void {
    let array = if config!(sock_from_file) != 0 {
        // SAFETY: no arguments, no preconditions. The verifier knows this pointer, so that loads
        // need no helper.
        let task = unsafe { generated::bpf_get_current_task_btf() } as *const c_void;
        let files = load!(task, task_files as u64) as *const c_void;
        let table = load!(files, files_fdt as u64) as *const c_void;
        // The verifier wants to see this of what is under RCU.
        if table.is_null() {
            return table;
        }
        load!(table, fdt_fd as u64)
    } else {
        // SAFETY: no arguments, no preconditions.
        let task = unsafe { generated::bpf_get_current_task() } as *const c_void;
        let files = read!(task, task_files as u64) as *const c_void;
        let table = read!(files, files_fdt as u64) as *const c_void;
        read!(table, fdt_fd as u64)
    } as *const c_void;
    read_at::<u64>(array.wrapping_byte_add(fd as usize * 8), 0) as *const c_void
}
