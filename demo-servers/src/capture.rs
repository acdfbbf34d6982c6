//! Captures the packets that leave an interface of this network namespace, and tells the headers of
//! each in a line: what a lesson on packets counts.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::thread;

use anyhow::Context;
use clap::Args;
use socket2::Socket;

use crate::packet::Packet;
use crate::sock::announce;

/// Knobs of the capture.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Tell no more than this many packets; further ones are counted
    #[arg(long, default_value_t = 2000, value_name = "N")]
    pub most: u64,
    /// Tell only packets of TCP or UDP from or to this port, and ICMP
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
}

/// Room for packets that were not read yet, bytes.
const BUFFER: libc::c_int = 8 << 20;

/// Captures until the end of standard input. Prints `capturing`, for each packet `packet at_us=N`
/// and its headers, and at the end `captured N missed N`.
///
/// Each packet is seen once, where it is sent. On a loopback a packet may be as long as 64 KiB.
///
/// # Errors
/// Without CAP_NET_RAW.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let socket = open().context("capturing packets needs CAP_NET_RAW")?;
    let end = end_of_input()?;
    announce(format_args!("capturing"));
    let (mut buffer, mut told, mut seen) = (vec![0; 65_536], 0, 0);
    loop {
        let ended = wait(&socket, &end)?;
        while let Some((length, at_us)) = receive(&socket, &mut buffer)? {
            let Some(packet) = Packet::parse(&buffer[..length]) else { continue };
            if options.port.is_some_and(|port| !packet.concerns(port)) {
                continue;
            }
            seen += 1;
            if told < options.most {
                told += 1;
                announce(format_args!("packet at_us={at_us} {packet}"));
            }
        }
        if ended {
            announce(format_args!("captured {seen} missed {}", missed(&socket)?));
            return Ok(());
        }
    }
}

/// Opens a socket that gets the packets of IPv4 of all interfaces.
fn open() -> io::Result<Socket> {
    let protocol = i32::from((libc::ETH_P_ALL as u16).to_be());
    let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: a plain system call.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: socket returned this descriptor just now and nobody else owns it.
    let socket = unsafe { Socket::from_raw_fd(fd) };
    // Beyond what users may have; and stamps, as this process may be late.
    for (name, value) in [(libc::SO_RCVBUFFORCE, BUFFER), (libc::SO_TIMESTAMPNS, 1)] {
        // SAFETY: the pointer and the length describe the number, which outlives the call.
        let status = unsafe {
            libc::setsockopt(
                fd,
                libc::SOL_SOCKET,
                name,
                (&raw const value).cast(),
                size_of_val(&value) as libc::socklen_t,
            )
        };
        if status != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(socket)
}

/// A descriptor that becomes readable once standard input has ended.
fn end_of_input() -> io::Result<io::PipeReader> {
    let (reader, writer) = io::pipe()?;
    thread::spawn(move || {
        // An error is an end, too.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(writer);
    });
    Ok(reader)
}

/// Waits for packets, or the end; returns whether it is the end.
fn wait(socket: &Socket, end: &impl AsRawFd) -> io::Result<bool> {
    let waiting = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut both = [waiting(socket.as_raw_fd()), waiting(end.as_raw_fd())];
    loop {
        // SAFETY: the pointer is to two pollfds of ours, as the count says.
        if unsafe { libc::poll(both.as_mut_ptr(), 2, -1) } >= 0 {
            return Ok(both[1].revents != 0);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Reads the next packet that was sent, and returns its length and when that was, µs; `None` if
/// there is none now.
fn receive(socket: &Socket, buffer: &mut [u8]) -> io::Result<Option<(usize, u64)>> {
    loop {
        // SAFETY: sockaddr_ll is plain data for which all zeroes is valid.
        let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // Aligned as control messages are.
        let mut control = [0u64; 8];
        // SAFETY: msghdr is plain data for which all zeroes is valid.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_name = (&raw mut from).cast();
        message.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        // SAFETY: the header describes the address, the buffer and the control messages, all ours.
        let got = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) };
        if got >= 0 && from.sll_pkttype == libc::PACKET_OUTGOING {
            return Ok(Some((got as usize, sent_us(&message))));
        }
        if got < 0 {
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(None),
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            }
        }
    }
}

/// The kernel's stamp of a packet, µs. Only differences mean anything.
fn sent_us(message: &libc::msghdr) -> u64 {
    // SAFETY: recvmsg has filled the message, and its control buffer is still there.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET
                && (*header).cmsg_type == libc::SCM_TIMESTAMPNS
            {
                let stamp: libc::timespec =
                    libc::CMSG_DATA(header).cast::<libc::timespec>().read_unaligned();
                return stamp.tv_sec as u64 * 1_000_000 + stamp.tv_nsec as u64 / 1_000;
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    0
}

/// Packets for which there was no room.
fn missed(socket: &Socket) -> io::Result<u32> {
    let mut counts = [0u32; 2];
    let mut length = size_of_val(&counts) as libc::socklen_t;
    // SAFETY: the pointer and the length describe the counts: packets and drops.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            counts.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if status == 0 { Ok(counts[1]) } else { Err(io::Error::last_os_error()) }
}
