//! A client of HTTP/1.1 that can write the next request before the answer to the last (pipelining),
//! which those in libraries cannot.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use humantime::parse_duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::demo::client::timeout;
use crate::demo::tasks::{Tasks, in_time};
use crate::demo::{Report, Stop};
use crate::execution::Count;

/// Longest head or body that is accepted, bytes.
const LONGEST: usize = 64 << 20;

/// Knobs of the client.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct Http1Options {
    /// Concurrent connections; 2x is two for each processor
    #[arg(long, default_value = "4", value_name = "N")]
    pub clients: Count,
    /// Requests on each connection; 1: no keep-alive; 0: it stays open until the end
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub requests: u64,
    /// Total connections [default: no limit]
    #[arg(long, value_name = "N")]
    pub connections: Option<u64>,
    /// Requests to write at once, before any of them is answered
    #[arg(
        long,
        default_value_t = 1,
        value_name = "N",
        value_parser = value_parser!(u16).range(1..=1000)
    )]
    pub pipeline: u16,
    /// Pause after each answer, or after all answers to what was written at once
    #[arg(long, default_value = "10ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause: Duration,
    /// Give up on an answer after this long
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = timeout)]
    pub timeout: Duration,
}

/// The parts of an answer that are counted.
struct Answer {
    by: Option<String>,
    ok: bool,
}

impl Http1Options {
    /// Asks until it is done or stopped. Facts: `reused` (requests that were not the first on their
    /// connection), `pipelined` (requests that were written before the previous answer).
    pub(crate) fn run(&self, server: SocketAddr, stop: &Stop) -> Report {
        Tasks::run(stop, async |tasks| {
            ["reused", "pipelined"].into_iter().for_each(|fact| tasks.add(fact, 0));
            let converse = async || self.converse(server, tasks).await;
            tasks.each_connection(self.clients.get(), self.connections, converse).await;
        })
    }

    async fn converse(&self, server: SocketAddr, tasks: &Tasks<'_>) -> Result<(), String> {
        let socket = in_time("connecting", self.timeout, TcpStream::connect(server)).await?;
        tasks.count(|report| report.connections += 1);
        // Without it the client is only slower.
        let _ = socket.set_nodelay(true);
        let mut connection = BufReader::new(socket);
        let mut left = if self.requests == 0 { u64::MAX } else { self.requests };
        let mut first = true;
        while left > 0 && tasks.go_on() {
            let now = left.min(self.pipeline.into());
            left -= now;
            self.ask(&mut connection, server, now, left == 0, tasks).await?;
            tasks.add("reused", now - u64::from(first));
            first = false;
            tasks.sleep(self.pause).await;
        }
        Ok(())
    }

    /// Writes so many requests at once and reads the answers, which come in order.
    async fn ask(
        &self,
        connection: &mut BufReader<TcpStream>,
        server: SocketAddr,
        count: u64,
        last: bool,
        tasks: &Tasks<'_>,
    ) -> Result<(), String> {
        let request = |close| format!("GET / HTTP/1.1\r\nHost: {server}\r\n{close}\r\n");
        let mut requests = request("").repeat(count as usize - 1);
        requests.push_str(&request(if last { "Connection: close\r\n" } else { "" }));
        let start = Instant::now();
        in_time("sending", self.timeout, connection.get_mut().write_all(requests.as_bytes()))
            .await?;
        tasks.count(|report| report.asked += count);
        tasks.add("pipelined", count - 1);
        for _ in 0..count {
            let answer =
                in_time("waiting for an answer", self.timeout, read_answer(connection)).await?;
            if !answer.ok {
                return Err("answered with an error".to_owned());
            }
            tasks.answer(answer.by.as_deref(), start);
        }
        Ok(())
    }
}

/// Reads a head, and as many bytes as it announces.
async fn read_answer(connection: &mut BufReader<TcpStream>) -> std::io::Result<Answer> {
    let mut answer = Answer { by: None, ok: false };
    let mut length = 0;
    let mut head = connection.take(LONGEST as u64);
    loop {
        let mut line = String::new();
        if head.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        answer.ok |= line.starts_with("HTTP/1.1 200 ");
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap_or(0)
            }
            Some((name, value)) if name.eq_ignore_ascii_case("server") => {
                answer.by = Some(value.to_owned())
            }
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; usize::min(length, LONGEST)];
    connection.read_exact(&mut body).await?;
    Ok(answer)
}
