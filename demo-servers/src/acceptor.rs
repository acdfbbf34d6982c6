//! One thread accepts, and starts a thread for each connection.

use std::io;
use std::net::TcpStream;
use std::thread;

use socket2::Socket;

use crate::execution::run_or_end;
use crate::naming::name_thread;
use crate::slow_acceptor::is_transient;
use crate::sock::{self, Call};

/// Accepts until signalled in the calling thread, which becomes `acceptor`, and serves each
/// connection in a thread of its own, `conn-N`.
pub(crate) fn thread_per_connection(
    listener: &Socket,
    serve: impl Fn(TcpStream) -> io::Result<()> + Sync,
) {
    name_thread("acceptor");
    let serve = &serve;
    thread::scope(|scope| {
        run_or_end("acceptor", || {
            for number in 1u64.. {
                let socket = match sock::accept(listener, Call::Accept4) {
                    Ok(accepted) => accepted.socket,
                    Err(error) if is_transient(&error) => continue,
                    Err(error) => return Err(error),
                };
                scope.spawn(move || {
                    name_thread(&format!("conn-{number}"));
                    // A client that has left is no error.
                    let _ = serve(socket.into());
                });
            }
            Ok(())
        });
    });
}
