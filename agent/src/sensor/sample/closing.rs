//! Connections that this host has closed and whose socket is still there: no file leads to them any
//! more, so that no iterator over files shows them. The kernel lists them (`sock_diag(7)`), by
//! network namespace. It gives each socket that it lists a cookie, too.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read, Write},
    os::fd::AsFd,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::{
    model::event::ClosingSocket,
    sensor::{decode::tcp_state, procfs},
};

/// Network namespaces that are asked.
const MAX_NETWORKS: usize = 64;
/// Sockets taken from one answer to the question; further ones keep the state that they had.
const MAX_SOCKETS: usize = 100_000;
/// Time between two questions, in times of what the last one cost.
const SHARE: u32 = 200;

/// `SOCK_DIAG_BY_FAMILY` (include/uapi/linux/sock_diag.h).
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP` (include/uapi/linux/netlink.h).
const DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// FIN_WAIT1, FIN_WAIT2, LAST_ACK, CLOSING (include/net/tcp_states.h).
const STATES: u32 = 1 << 4 | 1 << 5 | 1 << 9 | 1 << 11;
/// All but TIME_WAIT and NEW_SYN_RECV, which have no socket of their own.
pub(in crate::sensor) const ALL_STATES: u32 = !(1 << 6 | 1 << 12);
/// LISTEN.
pub(in crate::sensor) const LISTENING: u32 = 1 << 10;
const FAMILIES: [u8; 2] = [libc::AF_INET as u8, libc::AF_INET6 as u8];
/// `INET_DIAG_INFO`: a `struct tcp_info` behind the socket (include/uapi/linux/inet_diag.h).
const INFO: u16 = 2;
/// Places in `struct inet_diag_msg`: the state, the cookie; and its size.
const STATE: usize = 1;
const COOKIE: usize = 44;
const MESSAGE: usize = 72;
/// Size of `struct nlmsghdr`.
const HEAD: usize = 16;
/// Place of `tcpi_total_retrans` in `struct tcp_info` (include/uapi/linux/tcp.h).
const TOTAL_RETRANS: usize = 100;

/// Asks for sockets that are closing.
///
/// The sockets of netlink are made at the attach, one in each network namespace that a target is in
/// then. A namespace that comes later is not asked.
#[derive(Debug, Default)]
pub(in crate::sensor) struct Closing {
    networks: Vec<File>,
    next: Option<Instant>,
}

impl Closing {
    /// Prepares to ask in our own namespace, and in those of these processes.
    pub(in crate::sensor) fn open(processes: &[u32]) -> Self {
        let mut networks = Vec::new();
        let mut known = HashSet::from([procfs::netns_of(std::process::id())]);
        networks.extend(socket());
        for pid in processes {
            let netns = procfs::netns_of(*pid);
            if netns.is_some() && networks.len() < MAX_NETWORKS && known.insert(netns) {
                networks.extend(socket_in(*pid));
            }
        }
        Self { networks, next: None }
    }

    /// Returns the sockets that are closing, of all processes; none while the last question cost so
    /// much that it is not time for another.
    pub(in crate::sensor) fn ask(&mut self) -> Vec<ClosingSocket> {
        let begin = Instant::now();
        if self.next.is_some_and(|next| begin < next) {
            return Vec::new();
        }
        let mut sockets = Vec::new();
        self.networks.retain_mut(|network| {
            let question = Question { protocol: libc::IPPROTO_TCP, states: STATES, info: true };
            question.ask(network, |message| {
                if sockets.len() < MAX_SOCKETS {
                    sockets.extend(closing(message));
                }
            })
        });
        let cost = begin.elapsed();
        let is_costly = cost > Duration::from_millis(5);
        self.next = if is_costly { Some(begin + cost * SHARE) } else { None };
        sockets
    }

    /// Has the kernel give a cookie to every socket of this protocol that is in one of these states,
    /// as it does for each that it lists (`sock_diag_save_cookie`). Where a program may not ask for
    /// that of a file's socket, it can still read it.
    pub(in crate::sensor) fn give_cookies(&mut self, protocol: i32, states: u32) {
        for network in &mut self.networks {
            // Without the module that lists them they have none, and ids of our own.
            Question { protocol, states, info: false }.ask(network, |_| {});
        }
    }
}

/// Makes a socket of netlink in the namespace of the calling thread.
fn socket() -> Option<File> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let protocol = Some(netlink::SOCK_DIAG);
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol);
    Some(File::from(socket.ok()?))
}

/// Makes one in a process's namespace, on a thread of its own that ends there.
fn socket_in(pid: u32) -> Option<File> {
    let namespace = File::open(format!("/proc/{pid}/ns/net")).ok()?;
    let make = move || {
        let network = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(namespace.as_fd(), network).ok()?;
        socket()
    };
    thread::spawn(make).join().ok()?
}

/// Which sockets are asked for.
struct Question {
    protocol: i32,
    states: u32,
    /// With `INET_DIAG_INFO`.
    info: bool,
}

impl Question {
    /// Asks for the sockets of both families, and hands over a message for each. False if the kernel
    /// cannot be asked.
    fn ask(&self, network: &mut File, mut take: impl FnMut(&[u8])) -> bool {
        FAMILIES.into_iter().all(|family| self.dump(network, family, &mut take).is_ok())
    }

    fn dump(&self, network: &mut File, family: u8, take: &mut impl FnMut(&[u8])) -> io::Result<()> {
        const REQUEST: usize = HEAD + 56;
        let mut request = [0; REQUEST];
        request[..4].copy_from_slice(&(REQUEST as u32).to_ne_bytes());
        request[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        request[6..8].copy_from_slice(&DUMP.to_ne_bytes());
        request[HEAD] = family;
        request[HEAD + 1] = self.protocol as u8;
        request[HEAD + 2] = u8::from(self.info) << (INFO - 1);
        request[HEAD + 4..HEAD + 8].copy_from_slice(&self.states.to_ne_bytes());
        network.write_all(&request)?;
        let mut part = vec![0; 32 * 1_024];
        loop {
            let size = network.read(&mut part)?;
            if size == 0 || each(&part[..size], take) {
                return Ok(());
            }
        }
    }
}

/// Hands over the sockets of a part of the answer. True at its end.
fn each(mut part: &[u8], take: &mut impl FnMut(&[u8])) -> bool {
    while let (Some(size), Some(kind)) = (u32_at(part, 0), u16_at(part, 4)) {
        let size = size as usize;
        let Some(message) = part.get(..size).filter(|_| size >= HEAD) else { return true };
        match kind {
            NLMSG_DONE | NLMSG_ERROR => return true,
            BY_FAMILY => take(&message[HEAD..]),
            _ => {}
        }
        part = part.get(size.next_multiple_of(4)..).unwrap_or_default();
    }
    false
}

/// Reads one socket.
fn closing(message: &[u8]) -> Option<ClosingSocket> {
    let sock = u64::from(u32_at(message, COOKIE)?) | u64::from(u32_at(message, COOKIE + 4)?) << 32;
    let state = tcp_state(*message.get(STATE)?);
    let mut rest = message.get(MESSAGE..)?;
    let mut retransmits = None;
    while let (Some(size), Some(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let size = usize::from(size);
        let Some(attribute) = rest.get(4..size) else { break };
        if kind == INFO {
            retransmits = u32_at(attribute, TOTAL_RETRANS);
        }
        rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(ClosingSocket { sock, state, retransmits })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::*;
    use crate::model::event::TcpState;

    #[test]
    fn the_kernel_lists_a_socket_that_was_shut_down() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let sock = rustix::net::sockopt::socket_cookie(&server).unwrap();
        let mut closing = Closing::open(&[]);
        assert!(closing.ask().iter().all(|one| one.sock != sock), "it is open");
        server.shutdown(Shutdown::Write).unwrap();
        let begin = Instant::now();
        let listed = loop {
            // The FIN is acknowledged at once on this host, but not in no time.
            let found = closing.ask().into_iter().find(|one| one.sock == sock);
            match found {
                Some(found) if found.state == TcpState::FinWait2 => break found,
                _ => assert!(begin.elapsed() < Duration::from_secs(10), "{found:?}"),
            }
        };
        assert_eq!(listed.retransmits, Some(0));
        drop(client);
    }

    #[test]
    fn an_answer_that_is_cut_off_says_what_it_has() {
        let mut message = vec![0; HEAD + MESSAGE + 4 + TOTAL_RETRANS + 4];
        let size = message.len() as u32;
        message[..4].copy_from_slice(&size.to_ne_bytes());
        message[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        message[HEAD + STATE] = 4;
        message[HEAD + COOKIE] = 7;
        message[HEAD + COOKIE + 4] = 1;
        let info = HEAD + MESSAGE;
        message[info..info + 2].copy_from_slice(&(4 + TOTAL_RETRANS as u16 + 4).to_ne_bytes());
        message[info + 2..info + 4].copy_from_slice(&INFO.to_ne_bytes());
        message[info + 4 + TOTAL_RETRANS] = 3;
        let read = |part: &[u8]| {
            let mut out = Vec::new();
            let over = each(part, &mut |message: &[u8]| out.extend(closing(message)));
            (out, over)
        };
        let state = TcpState::FinWait1;
        let whole = ClosingSocket { sock: 1 << 32 | 7, state, retransmits: Some(3) };
        assert_eq!(read(&message), (vec![whole], false), "there is more to come");
        for size in 0..message.len() {
            let (out, _) = read(&message[..size]);
            assert_eq!(out, [], "{size} bytes are no whole message");
        }
    }
}
