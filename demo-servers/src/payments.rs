//! A server that must carry out each order once. Now and then its answer comes too late for the
//! client, which sends the order again. TCP delivers both: to TCP they are two requests. Only a key
//! in them tells the server that they are one order.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use clap::Args;
use humantime::parse_duration;

use crate::execution::run_or_end;
use crate::naming::{name_thread, with_name};
use crate::sock::{self, Call, ListenOptions};

/// Knobs of the server of payments.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Be late with every N-th answer; 0: with none
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub late_every: u64,
    /// How late
    #[arg(long, default_value = "600ms", value_name = "TIME", value_parser = parse_duration)]
    pub late: Duration,
}

/// Counts of a payment server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Orders that the kernel delivered.
    pub delivered: u64,
    /// Orders that were carried out.
    pub done: u64,
}

impl Counts {
    /// Reads the answer to `counts`.
    pub fn parse(line: &str) -> Option<Self> {
        let (delivered, done) = line.trim_end().split_once(' ')?;
        Some(Self { delivered: delivered.parse().ok()?, done: done.parse().ok()? })
    }
}

/// The orders so far.
#[derive(Default)]
struct Books {
    counts: Counts,
    /// Number of the receipt that answered the order of each key.
    receipts: HashMap<String, u64>,
}

impl Books {
    /// Carries an order out, unless its key says that it has been; returns the number of the
    /// receipt.
    fn pay(&mut self, key: Option<&str>) -> u64 {
        self.counts.delivered += 1;
        if let Some(receipt) = key.and_then(|key| self.receipts.get(key)) {
            return *receipt;
        }
        self.counts.done += 1;
        if let Some(key) = key {
            self.receipts.insert(key.to_owned(), self.counts.done);
        }
        self.counts.done
    }
}

/// Serves until signalled, each connection by a thread: `pay` or `pay KEY` is answered with a
/// receipt, `counts` with two numbers.
pub fn run(options: &Options) -> anyhow::Result<()> {
    sock::raise_open_files();
    name_thread("acceptor");
    let listener = options.listen.open()?;
    let books = &Mutex::new(Books::default());
    thread::scope(|scope| {
        run_or_end("acceptor", || {
            for number in 1u64.. {
                let socket = sock::accept(&listener, Call::Accept4)?.socket;
                scope.spawn(move || {
                    name_thread(&format!("conn-{number}"));
                    // A client that has left is no error.
                    let _ = serve(socket.into(), books, options);
                });
            }
            Ok(())
        });
    });
    Ok(())
}

fn serve(socket: TcpStream, books: &Mutex<Books>, options: &Options) -> io::Result<()> {
    let mut lines = BufReader::new(socket);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        let mut words = line.split_whitespace();
        let answer = match (words.next(), words.next()) {
            (Some("pay"), key) => {
                let (receipt, late) = {
                    let mut books = books.lock().unwrap_or_else(PoisonError::into_inner);
                    let receipt = books.pay(key);
                    let late = options.late_every > 0
                        && books.counts.delivered.is_multiple_of(options.late_every);
                    (receipt, late)
                };
                // The order has been carried out; only the answer is late.
                if late {
                    thread::sleep(options.late);
                }
                with_name(|name| format!("{name} receipt {receipt}\n"))
            }
            (Some("counts"), _) => {
                let Counts { delivered, done } =
                    books.lock().unwrap_or_else(PoisonError::into_inner).counts;
                format!("{delivered} {done}\n")
            }
            _ => "say `pay [KEY]` or `counts`\n".to_owned(),
        };
        lines.get_mut().write_all(answer.as_bytes())?;
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_makes_two_deliveries_one_order() {
        let mut books = Books::default();
        assert_eq!([books.pay(Some("a")), books.pay(Some("b")), books.pay(Some("a"))], [1, 2, 1]);
        assert_eq!(books.counts, Counts { delivered: 3, done: 2 });
        assert_eq!([books.pay(None), books.pay(None)], [3, 4]);
        assert_eq!(books.counts, Counts { delivered: 5, done: 4 });
        assert_eq!(Counts::parse("5 4\n"), Some(books.counts));
        assert_eq!(Counts::parse("say"), None);
    }
}
