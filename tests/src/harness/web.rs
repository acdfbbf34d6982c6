//! Plain HTTP requests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context;

use super::json::Value;

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head, without the status.
    pub head: String,
    /// Its body.
    pub body: String,
}

/// Asks with GET. `headers` are whole lines.
pub fn get(addr: SocketAddr, path: &str, headers: &[&str]) -> anyhow::Result<Answer> {
    let mut request = format!("GET {path} HTTP/1.0\r\nHost: {addr}\r\n");
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    send(addr, request.as_bytes())
}

/// Sends these bytes, and takes what comes until the end.
pub fn send(addr: SocketAddr, request: &[u8]) -> anyhow::Result<Answer> {
    let mut socket = TcpStream::connect(addr).context("nobody answers")?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    socket.write_all(request)?;
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).context("no answer in time")?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("{text:?}"))?;
    let (first, head) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = first.split(' ').nth(1).context("no status")?.parse()?;
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// Asks with GET for JSON; `query` are names and values.
pub fn get_json(addr: SocketAddr, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Value> {
    let mut full = path.to_owned();
    for (index, (name, value)) in query.iter().enumerate() {
        full.push(if index == 0 { '?' } else { '&' });
        full.push_str(&format!("{name}={}", encoded(value)));
    }
    let answer = get(addr, &full, &[])?;
    serde_json::from_str(&answer.body).with_context(|| format!("{path}: {answer:?}"))
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(byte.into());
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
