//! Calls of HTTP/2 on one connection: in turn, and several at a time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::cases::exchange;
use crate::harness::json::number;
use crate::harness::ledger::spent_us;
use crate::harness::{Case, World, net};

pub(super) const CASES: &[Case] = &[
    exchange("calls::answers_to_several_are_no_stream", |world| calls(world, true)),
    exchange("calls::in_turn_are_one_at_a_time", |world| calls(world, false)),
];

const COUNT: u32 = 6;
const APART: Duration = Duration::from_millis(60);

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    [&[a, b, c, kind, flags][..], &id.to_be_bytes(), payload].concat()
}

/// `GET /` by the static table of HPACK, with an authority of one letter.
fn request(id: u32) -> Vec<u8> {
    const END: u8 = 0b101;
    frame(1, END, id, &[0x82, 0x86, 0x84, 0x41, 1, b'a'])
}

/// Reads until a stream has ended.
fn await_end(stream: &mut TcpStream, of: u32) -> anyhow::Result<()> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).context("no answer")?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let length = u64::from(u32::from_be_bytes([0, a, b, c]));
        std::io::copy(&mut stream.take(length), &mut std::io::sink())?;
        if u32::from_be_bytes(id) == of && kind <= 1 && flags & 1 != 0 {
            return Ok(());
        }
    }
}

/// With `at_once`, several calls of 600 ms that begin one after the other before the first is
/// answered, so that their answers come one after the other, too. Otherwise calls of 60 ms in turn.
fn calls(world: &World, at_once: bool) -> anyhow::Result<()> {
    let sleep = if at_once { "600ms" } else { "60ms" };
    let demo = world.demo(&["http", "--h2c", "--sleep", sleep])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let mut stream = TcpStream::connect(demo.addr)?;
    stream.set_nodelay(true)?;
    stream.write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(4, 0, 0, &[])[..]].concat())?;
    let ids = || (0..COUNT).map(|nth| 2 * nth + 1);
    for id in ids() {
        stream.write_all(&request(id))?;
        if at_once {
            thread::sleep(APART);
        } else {
            await_end(&mut stream, id)?;
        }
    }
    if at_once {
        ids().try_for_each(|id| await_end(&mut stream, id))?;
    }
    agent.await_time(net::monotonic_ns() + 2_500_000_000)?;
    drop(stream);
    agent.await_object("connection", |object| {
        object["state"] == "closed" || !object["close"].is_null()
    })?;
    let ended = agent.stop()?;
    let connection = ended.of("connection").last().context("no connection")?;
    let most = number(connection, "/streams/most_at_once");
    ensure!(
        if at_once { most > Some(1) && most <= Some(COUNT.into()) } else { most == Some(1) },
        "{connection}"
    );
    let streaming = ended.of("exchange").find(|exchange| spent_us(exchange, &["streaming"]) > 0);
    ensure!(streaming.is_none(), "nothing is streamed: {streaming:?}");
    let waited: u64 = ended.of("exchange").map(|exchange| spent_us(exchange, &["app"])).sum();
    ensure!(waited >= 250_000, "the application had {waited} us");
    let loud =
        |text: &str| text.contains("to answer") || text.contains("from the first byte to the last");
    let mut found = ended.of("finding").filter(|_| at_once);
    let said = found.find(|finding| finding["headline"].as_str().is_some_and(loud));
    ensure!(said.is_none(), "which call waited cannot be told: {said:?}");
    Ok(())
}
