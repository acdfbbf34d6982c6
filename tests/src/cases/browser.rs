//! A browser, with the protocols that it speaks to real servers.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::native;
use super::protocol::{PORTS, gtlsserver, identity, nginx};
use crate::harness::json::{Value, address, is};
use crate::harness::{Agent, Case, World};
use crate::servers::installed;

pub(super) const CASES: &[Case] =
    &[native("browser::http_2", http_2), native("browser::http_3", http_3)];

/// Returns the fingerprint by which Chromium accepts a self-signed certificate: SHA-256 of its
/// public key.
fn fingerprint(certificate: &str) -> anyhow::Result<String> {
    let script = "openssl x509 -in \"$0\" -pubkey -noout | openssl pkey -pubin -outform der \
                  | openssl dgst -sha256 -binary | openssl base64 -A";
    let output = Command::new("sh").args(["-c", script, certificate]).output()?;
    ensure!(output.status.success() && !output.stdout.is_empty(), "no fingerprint: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Has Chromium fetch `https://localhost:PORT/index.html`, and checks that it got the page.
fn fetch(folder: &Path, port: u16, certificate: &str, options: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(installed("chromium")?);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--host-resolver-rules=MAP localhost 127.0.0.1",
    ]);
    command.arg(format!("--user-data-dir={}", folder.join("profile").display()));
    command.arg(format!("--ignore-certificate-errors-spki-list={}", fingerprint(certificate)?));
    command.args(options).args(["--dump-dom", &format!("https://localhost:{port}/index.html")]);
    // Chromium writes files to the home directory beside the profile.
    command.env("HOME", folder).stdin(Stdio::null());
    let output = command.output()?;
    let page = String::from_utf8_lossy(&output.stdout);
    ensure!(page.contains("ok"), "{command:?}: {output:?}");
    Ok(())
}

fn of_server(agent: &mut Agent, kind: &str, port: u16) -> anyhow::Result<Value> {
    agent.await_object("the browser's connection", |object| {
        is(object, kind)
            && object["role"] == "server"
            && !object["first_answer"].is_null()
            && address(object, "/local").is_some_and(|local| local.port() == port)
    })
}

fn http_2(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = nginx(world, folder.path())?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let [_, _, port] = PORTS;
    let certificate = folder.path().join("certificate.pem").display().to_string();
    fetch(folder.path(), port, &certificate, &[])?;
    let connection = of_server(&mut agent, "connection", port)?;
    let tls = &connection["tls"];
    ensure!(
        connection["protocol"] == "tls" && tls["version"] == "1.3" && tls["sni"] == "localhost",
        "{connection}"
    );
    ensure!(
        tls["alpn_offered"][0] == "h2" && connection["gaps"].to_string().contains("multiplexed: "),
        "{connection}"
    );
    ensure!(connection["first_answer"]["round_trips"] == 3, "{connection}");
    agent.stop().map(drop)
}

fn http_3(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let [_, certificate] = identity(folder.path())?;
    let server = gtlsserver(folder.path())?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let [port, ..] = PORTS;
    let is_server = |object: &Value| {
        is(object, "datagrams")
            && address(object, "/local").is_some_and(|local| local.port() == port)
    };
    agent.await_object("the server's socket", is_server)?;
    fs::write(folder.path().join("index.html"), "ok").context("a page")?;
    fetch(
        folder.path(),
        port,
        &certificate,
        &["--enable-quic", &format!("--origin-to-force-quic-on=localhost:{port}")],
    )?;
    let connection = of_server(&mut agent, "quic", port)?;
    ensure!(connection["version"] == 1 && connection["early_data"] == false, "{connection}");
    // Chromium uses an empty connection id, and its hello is too long for one datagram. On loopback
    // a round trip takes hardly longer than the acknowledgement of the first datagram, which may
    // therefore look like one more.
    let round_trips = connection["first_answer"]["round_trips"].as_u64();
    ensure!(connection["client_id"] == "" && matches!(round_trips, Some(2 | 3)), "{connection}");
    agent.stop().map(drop)
}
