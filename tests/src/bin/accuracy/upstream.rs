//! Upstreams that the servers of the matrix call, each on a port of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// Port that answers as late as it is asked to.
const LATE: u16 = 7200;
// Nobody listens on 7201.
/// Port that never accepts: the kernel completes the handshakes, and nobody answers.
const SILENT: u16 = 7202;
/// Port with a full accept queue.
const FULL: u16 = 7203;

/// The sockets of upstreams that do nothing.
pub(crate) struct Upstreams {
    _silent: Socket,
    _full: Socket,
    _queued: Vec<Socket>,
}

/// Starts them in the calling thread's network namespace. The late one answers as long as the
/// program runs.
pub(crate) fn start() -> anyhow::Result<Upstreams> {
    let listener = TcpListener::bind(("127.0.0.1", LATE))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    let (silent, full) = (listen(SILENT, 64)?, listen(FULL, 0)?);
    // A queue takes one more than its limit. Later SYNs get no answer.
    let to: SocketAddr = ([127, 0, 0, 1], FULL).into();
    let queued = (0..3).map(|_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        // The error is EINPROGRESS.
        let _ = socket.connect(&to.into());
        Ok(socket)
    });
    let queued = queued.collect::<std::io::Result<_>>()?;
    Ok(Upstreams { _silent: silent, _full: full, _queued: queued })
}

fn listen(port: u16, backlog: i32) -> anyhow::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    socket.listen(backlog)?;
    Ok(socket)
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while let Some(line) = lines.next() {
        let line = line?;
        let target = line.split(' ').nth(1).unwrap_or("/").to_owned();
        let mut closes = line.ends_with("HTTP/1.0");
        for header in lines.by_ref() {
            let header = header?.to_ascii_lowercase();
            closes |= header == "connection: close";
            if header.is_empty() {
                break;
            }
        }
        answer(&mut stream, &target)?;
        if closes {
            break;
        }
    }
    Ok(())
}

fn answer(stream: &mut TcpStream, target: &str) -> std::io::Result<()> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|pair| pair.0 == name).and_then(|pair| pair.1.parse().ok()).unwrap_or(0)
    };
    let pause = || thread::sleep(Duration::from_millis(value("ms")));
    match path {
        "/stream" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n.\r\n")?;
            for _ in 0..value("n") {
                pause();
                stream.write_all(b"1\r\n.\r\n")?;
            }
            stream.write_all(b"0\r\n\r\n")
        }
        "/big" => {
            let bytes = value("bytes");
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n")?;
            stream.write_all(&vec![b'x'; bytes as usize])
        }
        // Written in two pieces, so that a proxy passes it on in two pieces.
        "/split" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")?;
            thread::sleep(Duration::from_millis(2));
            stream.write_all(b"ok")
        }
        _ => {
            pause();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        }
    }
}
