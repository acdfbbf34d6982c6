//! One process listens, another accepts: by fork, by a descriptor passed over a unix socket to a
//! process that already runs (SCM_RIGHTS), or by exec with the descriptor kept open (socket
//! activation).

use std::env;
use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use humantime::parse_duration;
use socket2::Socket;

use crate::sock::{self, Call, ListenOptions, announce};

/// The first descriptor of the socket-activation protocol.
const LISTEN_FD: c_int = 3;

/// The way by which the listener reaches the process that accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Via {
    /// The listener's process forks the acceptor
    Fork,
    /// It passes the socket to a process that already runs
    ScmRights,
    /// It becomes another program, which finds the socket as descriptor 3 (LISTEN_FDS=1)
    Exec,
}

/// Knobs of the inheriting server.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// How the listener reaches the process that accepts
    #[arg(long, value_enum, default_value_t = Via::Fork)]
    pub via: Via,
    /// Sleep this long before each accept
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub accept_delay: Duration,
    /// Wait for a line on standard input before handing over
    #[arg(long)]
    pub wait: bool,
    /// Print `accepted FD PEER-PORT ENTERED-NS RETURNED-NS` for each accept (CLOCK_MONOTONIC)
    #[arg(long)]
    pub trace: bool,
}

/// Hands over and serves until signalled. Prints `holder PID` (who will accept) and `listening on
/// ADDR`.
pub fn run(options: &Options) -> anyhow::Result<()> {
    match options.via {
        Via::Fork => via_fork(options),
        Via::ScmRights => via_scm_rights(options),
        Via::Exec => via_exec(options),
    }
}

fn via_fork(options: &Options) -> anyhow::Result<()> {
    let listener = options.listen.open()?;
    wait_for_go(options)?;
    match fork()? {
        None => serve(&listener, options),
        Some(child) => {
            announce(format_args!("holder {child}"));
            drop(listener);
            Ok(wait_for_children()?)
        }
    }
}

fn via_scm_rights(options: &Options) -> anyhow::Result<()> {
    let (ours, theirs) = UnixStream::pair()?;
    if let Some(child) = fork()? {
        drop(theirs);
        announce(format_args!("holder {child}"));
        wait_for_go(options)?;
        let listener = options.listen.open()?;
        send_fd(&ours, &listener).context("SCM_RIGHTS")?;
        drop(listener);
        return Ok(wait_for_children()?);
    }
    drop(ours);
    serve(&Socket::from(receive_fd(&theirs).context("SCM_RIGHTS")?), options)
}

fn via_exec(options: &Options) -> anyhow::Result<()> {
    let pid = std::process::id();
    if env::var("LISTEN_PID").is_ok_and(|wanted| wanted == pid.to_string()) {
        // SAFETY: the protocol of LISTEN_FDS gives descriptor 3 to this process, and nothing else
        // here took it.
        return serve(&unsafe { Socket::from_raw_fd(LISTEN_FD) }, options);
    }
    announce(format_args!("holder {pid}"));
    let listener = options.listen.open()?;
    wait_for_go(options)?;
    // SAFETY: dup2 onto a descriptor that nothing of ours uses beyond this point; without CLOEXEC,
    // so exec keeps it.
    if unsafe { libc::dup2(listener.into_raw_fd(), LISTEN_FD) } < 0 {
        return Err(io::Error::last_os_error()).context("dup2");
    }
    // SAFETY: clears CLOEXEC, which stays set when the listener was descriptor 3 already.
    unsafe { libc::fcntl(LISTEN_FD, libc::F_SETFD, 0) };
    let error = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env("LISTEN_FDS", "1")
        .env("LISTEN_PID", pid.to_string())
        .exec();
    Err(error).context("exec")
}

fn wait_for_go(options: &Options) -> io::Result<()> {
    if options.wait {
        io::stdin().read_line(&mut String::new())?;
    }
    Ok(())
}

fn serve(listener: &Socket, options: &Options) -> anyhow::Result<()> {
    loop {
        std::thread::sleep(options.accept_delay);
        let accepted = sock::accept(listener, Call::Accept4)?;
        if options.trace {
            accepted.trace();
        }
        let _ = sock::reply(&accepted.socket);
    }
}

/// Forks; the child gets `None`, and ends with its parent. Only to be called while the process has
/// one thread.
pub(crate) fn fork() -> io::Result<Option<libc::pid_t>> {
    // SAFETY: a plain system call without arguments.
    let parent = unsafe { libc::getpid() };
    // SAFETY: the process has one thread, so the child may run any code.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => die_with(parent).map(|()| None),
        child => Ok(Some(child)),
    }
}

/// Ends this process with the parent that forked it, even if the parent has already ended.
fn die_with(parent: libc::pid_t) -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number and no pointer.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a plain system call without arguments.
    let now = unsafe { libc::getppid() };
    // A parent outside of this PID namespace has no id in it.
    if now != parent && now != 0 {
        std::process::exit(0);
    }
    Ok(())
}

/// Waits until every child has ended.
pub(crate) fn wait_for_children() -> io::Result<()> {
    loop {
        // SAFETY: a null status pointer is allowed.
        if unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } < 0 {
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::ECHILD) => return Ok(()),
                Some(libc::EINTR) => {}
                _ => return Err(error),
            }
        }
    }
}

/// A control-message buffer for one descriptor, aligned as `cmsghdr` asks.
#[repr(C, align(8))]
struct Control([u8; 32]);

fn with_message<T>(call: impl FnOnce(&mut libc::msghdr) -> T) -> T {
    let mut byte = [0u8];
    let mut iov = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = Control([0; 32]);
    // SAFETY: msghdr is plain data for which all zeroes is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: CMSG_SPACE only computes.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<c_int>() as u32) } as _;
    call(&mut message)
}

fn send_fd(over: &UnixStream, fd: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: the control buffer holds CMSG_SPACE(one int), so that the first header and its data
    // lie inside it.
    let sent = with_message(|message| unsafe {
        let header = libc::CMSG_FIRSTHDR(message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<c_int>() as u32) as _;
        libc::CMSG_DATA(header).cast::<c_int>().write_unaligned(fd.as_raw_fd());
        libc::sendmsg(over.as_raw_fd(), message, 0)
    });
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn receive_fd(over: &UnixStream) -> io::Result<OwnedFd> {
    // SAFETY: the kernel fills the control buffer; the header is checked before its data is read,
    // and the descriptor in it is new and ours.
    with_message(|message| unsafe {
        if libc::recvmsg(over.as_raw_fd(), message, libc::MSG_CMSG_CLOEXEC) <= 0 {
            return Err(io::Error::last_os_error());
        }
        let header = libc::CMSG_FIRSTHDR(message);
        if header.is_null() || (*header).cmsg_type != libc::SCM_RIGHTS {
            return Err(io::Error::other("no descriptor arrived"));
        }
        Ok(OwnedFd::from_raw_fd(libc::CMSG_DATA(header).cast::<c_int>().read_unaligned()))
    })
}
