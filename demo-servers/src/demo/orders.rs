//! The client of the idempotency demo: it retries, as every client does sooner or later.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use clap::Args;
use humantime::parse_duration;

use super::client::{connect, explain, timeout};
use super::{Report, Stop};
use crate::payments::Counts;

/// Longest wait for requests that are still on their way when the client has finished.
const SETTLE: Duration = Duration::from_secs(5);

/// Knobs of the client that retries.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct OrderOptions {
    /// Orders to send
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub orders: u64,
    /// Send no key with an order, so that the server cannot recognise one that it has carried out
    #[arg(long)]
    pub no_key: bool,
    /// Send an order again after this long without an answer
    #[arg(long, default_value = "200ms", value_name = "TIME", value_parser = timeout)]
    pub timeout: Duration,
    /// The most times to send an order
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub attempts: u32,
    /// Pause after each order
    #[arg(long, default_value = "10ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause: Duration,
}

/// Sends the orders one after another. Facts: `orders`, `retries` (orders sent once more),
/// `delivered` (orders that the kernel gave to the server) and `done` (orders that the server
/// carried out).
pub(super) fn run(options: &OrderOptions, server: SocketAddr, stop: &Stop) -> Report {
    let mut shop = Shop { options, server, report: Report::default(), connection: None };
    let mut orders = 0;
    while orders < options.orders && !stop.is_stopped() {
        orders += 1;
        shop.order(orders, stop);
        stop.sleep(options.pause);
    }
    let retries = shop.report.asked - orders.min(shop.report.asked);
    let counts = shop.counts();
    let mut report = shop.report;
    report.facts.extend([("orders", orders), ("retries", retries)]);
    match counts {
        Ok(counts) => report.facts.extend([("delivered", counts.delivered), ("done", counts.done)]),
        Err(what) => report.error(what),
    }
    report
}

struct Shop<'a> {
    options: &'a OrderOptions,
    server: SocketAddr,
    report: Report,
    connection: Option<BufReader<TcpStream>>,
}

impl Shop<'_> {
    /// Sends one order until it is answered.
    fn order(&mut self, number: u64, stop: &Stop) {
        let order =
            if self.options.no_key { "pay\n".to_owned() } else { format!("pay {number}\n") };
        for _ in 0..self.options.attempts {
            match self.ask(&order) {
                Ok(_) => return,
                Err(what) => {
                    self.report.error(what);
                    // A late answer on the old connection would be taken for the answer to the next
                    // order.
                    self.connection = None;
                }
            }
            if stop.is_stopped() {
                return;
            }
        }
    }

    fn ask(&mut self, order: &str) -> Result<String, String> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let socket = connect(self.server, None, self.options.timeout)?;
                self.report.connections += 1;
                none.insert(BufReader::new(socket))
            }
        };
        let start = Instant::now();
        connection
            .get_mut()
            .write_all(order.as_bytes())
            .map_err(|error| explain("sending", &error))?;
        self.report.asked += 1;
        let answer = read_line(connection)?;
        self.report.answer(answer.split_once(' ').map(|(name, _)| name), start.elapsed());
        Ok(answer)
    }

    /// Returns the server's counts, once it has seen all that was sent.
    fn counts(&self) -> Result<Counts, String> {
        let mut connection = BufReader::new(connect(self.server, None, SETTLE)?);
        let deadline = Instant::now() + SETTLE;
        loop {
            connection
                .get_mut()
                .write_all(b"counts\n")
                .map_err(|error| explain("sending", &error))?;
            let counts =
                Counts::parse(&read_line(&mut connection)?).ok_or("the server has no counts")?;
            if counts.delivered >= self.report.asked || Instant::now() > deadline {
                return Ok(counts);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn read_line(connection: &mut BufReader<TcpStream>) -> Result<String, String> {
    let mut line = String::new();
    match connection.read_line(&mut line) {
        Ok(0) => Err("waiting for an answer: the server closed".to_owned()),
        Ok(_) => Ok(line),
        Err(error) => Err(explain("waiting for an answer", &error)),
    }
}
