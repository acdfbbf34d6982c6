//! Serves one connection of the shop.

use std::io::{self, Read, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::request::{self, Head};
use super::{Names, Options, Reports, TooLarge, Write};
use crate::fault::burn;
use crate::naming::with_name;

/// Time that the resolver takes for the name of a client.
const LOOKUP: Duration = Duration::from_millis(50);
/// Processor time that a price takes.
const PRICE: Duration = Duration::from_millis(4);
/// Time that the warehouse takes to answer.
const STOCK: Duration = Duration::from_millis(15);
/// Time that the database takes for a report.
const REPORT: Duration = Duration::from_millis(200);

/// Waits for the resolver, if it is asked by this party.
pub(super) fn look_up_name(options: &Options, by: Names) {
    if options.names == by {
        thread::sleep(LOOKUP);
    }
}

/// A connection and what has been read of its next request.
pub(super) struct Visit<'a> {
    stream: TcpStream,
    options: &'a Options,
    unread: Vec<u8>,
    body: Option<Body>,
}

/// A body that is being read.
struct Body {
    head: Head,
    /// Bytes that have not come yet.
    missing: usize,
    /// The request is too large.
    refused: bool,
}

/// The state of a connection after a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It goes on.
    GoOn,
    /// It is to be closed.
    Close,
    /// The client has left.
    Left,
}

impl<'a> Visit<'a> {
    pub(super) fn new(stream: TcpStream, options: &'a Options) -> io::Result<Self> {
        stream.set_nodelay(options.nodelay)?;
        Ok(Self { stream, options, unread: Vec::new(), body: None })
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Serves it to its end, blocking.
    pub(super) fn serve(mut self) -> io::Result<()> {
        look_up_name(self.options, Names::Worker);
        self.stream.set_read_timeout(Some(self.options.keep_alive))?;
        loop {
            match self.advance() {
                Ok(Next::GoOn) => {}
                Ok(Next::Left) => {
                    // The session is kept, and with it its connection.
                    thread::sleep(self.options.resume_for);
                    return Ok(());
                }
                Ok(Next::Close) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Idle for too long, or the client is gone.
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads once, and answers what is complete.
    pub(super) fn advance(&mut self) -> io::Result<Next> {
        let mut buffer = [0; 16_384];
        let count = self.stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(Next::Left);
        }
        self.unread.extend_from_slice(&buffer[..count]);
        loop {
            if let Some(body) = &mut self.body {
                let part = body.missing.min(self.unread.len());
                self.unread.drain(..part);
                body.missing -= part;
                if body.missing > 0 {
                    return Ok(Next::GoOn);
                }
            }
            let next = match self.body.take() {
                Some(Body { refused: true, .. }) => self.refuse()?,
                Some(Body { head, .. }) => self.respond(&head)?,
                None => match request::parse(&self.unread) {
                    Ok(None) => return Ok(Next::GoOn),
                    Ok(Some(head)) => self.begin(head)?,
                    Err(what) => {
                        self.answer("400 Bad Request", what, true)?;
                        Next::Close
                    }
                },
            };
            if next != Next::GoOn {
                return Ok(next);
            }
        }
    }

    /// Takes a head. The body is read next, unless it is too large.
    fn begin(&mut self, head: Head) -> io::Result<Next> {
        self.unread.drain(..head.length);
        let refused = head.body > self.options.max_body;
        if refused && self.options.too_large == TooLarge::Close {
            return self.refuse();
        }
        self.body = Some(Body { missing: head.body, head, refused });
        Ok(Next::GoOn)
    }

    fn refuse(&self) -> io::Result<Next> {
        self.answer("413 Content Too Large", "this is too large", true)?;
        Ok(Next::Close)
    }

    fn respond(&mut self, head: &Head) -> io::Result<Next> {
        match head.path.as_str() {
            "/price" => burn(PRICE),
            "/stock" => thread::sleep(STOCK),
            "/report" if self.options.reports == Reports::Pool => {
                let stream = self.stream.try_clone()?;
                let (options, closes) = (self.options.clone(), head.closes);
                // The client asks nothing else until it has its answer.
                thread::Builder::new().name("report".to_owned()).spawn(move || {
                    thread::sleep(REPORT);
                    let visit = Visit { stream, options: &options, unread: Vec::new(), body: None };
                    // A client that has left is no error.
                    let _ = visit.answer("200 OK", "your report", closes);
                })?;
                return Ok(Next::GoOn);
            }
            "/report" => thread::sleep(REPORT),
            _ => {}
        }
        self.answer("200 OK", "thank you for your order", head.closes)?;
        Ok(if head.closes { Next::Close } else { Next::GoOn })
    }

    fn answer(&self, status: &str, text: &str, closes: bool) -> io::Result<()> {
        let body = format!("{text:<180}\n");
        let connection = if closes { "close" } else { "keep-alive" };
        let head = with_name(|name| {
            format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\
                 Served-By: {name}\r\n\r\n",
                body.len()
            )
        });
        let mut stream = &self.stream;
        match self.options.write {
            Write::Whole => stream.write_all((head + &body).as_bytes())?,
            Write::Pieces => {
                stream.write_all(head.as_bytes())?;
                stream.write_all(body.as_bytes())?;
            }
        }
        Ok(())
    }
}
