//! What the kernel keeps for a connection: bytes in its queues, and the memory that they take.

use std::ffi::c_int;
use std::io;
use std::os::fd::AsRawFd;

/// Places in the array of `SO_MEMINFO` (`linux/sock_diag.h`).
const RECEIVE_MEMORY: usize = 0;
const SEND_MEMORY: usize = 5;

/// The queues of one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Queues {
    /// Bytes that arrived and were not read.
    pub(crate) unread: u64,
    /// Bytes that were written and not acknowledged.
    pub(crate) unsent: u64,
    /// Memory that the receive queue takes, bytes: more than its content.
    pub(crate) memory_in: u64,
    /// Memory that the send queue takes, bytes.
    pub(crate) memory_out: u64,
}

impl Queues {
    /// Looks at a socket's queues.
    ///
    /// # Errors
    /// The kernel does not say, as before Linux 4.12.
    pub(crate) fn of(socket: &impl AsRawFd) -> io::Result<Self> {
        let memory = memory(socket.as_raw_fd())?;
        Ok(Self {
            unread: queued(socket.as_raw_fd(), libc::FIONREAD)?,
            unsent: queued(socket.as_raw_fd(), libc::TIOCOUTQ)?,
            memory_in: memory[RECEIVE_MEMORY].into(),
            memory_out: memory[SEND_MEMORY].into(),
        })
    }
}

fn queued(fd: c_int, request: libc::Ioctl) -> io::Result<u64> {
    let mut bytes: c_int = 0;
    // SAFETY: both requests write one int.
    let status = unsafe { libc::ioctl(fd, request, &raw mut bytes) };
    if status == 0 {
        Ok(u64::try_from(bytes).unwrap_or(0))
    } else {
        Err(io::Error::last_os_error())
    }
}

/// `SO_MEMINFO`, as far as it is used here. A kernel that knows more says less of it.
fn memory(fd: c_int) -> io::Result<[u32; 9]> {
    let mut memory = [0_u32; 9];
    let mut length = size_of_val(&memory) as libc::socklen_t;
    // SAFETY: the pointer and the length describe the array.
    let status = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            memory.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if status == 0 { Ok(memory) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_nobody_reads_stays_in_the_queues() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut writer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (reader, _) = listener.accept().unwrap();
        assert_eq!(Queues::of(&reader).unwrap().unread, 0);
        writer.write_all(&[0; 5000]).unwrap();
        crate::sock::wait_for(&reader, libc::POLLIN).unwrap();
        let queues = Queues::of(&reader).unwrap();
        assert!(queues.unread > 0 && queues.memory_in > queues.unread, "{queues:?}");
        assert_eq!((queues.unsent, queues.memory_out), (0, 0));
        writer.set_nonblocking(true).unwrap();
        while writer.write(&[0; 65_536]).is_ok() {}
        let queues = Queues::of(&writer).unwrap();
        assert!(queues.unsent > 0 && queues.memory_out >= queues.unsent, "{queues:?}");
    }
}
