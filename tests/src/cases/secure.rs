//! The demos of TLS and QUIC with clients of other projects, and the round trips of each way to
//! HTTPS. Tests in `demo-servers` cover their own client. No agent takes part.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use super::native;
use crate::harness::net::{self, Counters};
use crate::harness::{Case, Demo, Skip, World};

pub(super) const CASES: &[Case] = &[
    native("secure::curl_verifies_the_certificate", curl),
    native("secure::curl_sends_in_the_syn", curl_fast_open),
    native("secure::openssl_resumes_and_sends_early_data", openssl),
    native("secure::gnutls_resumes_and_sends_early_data", gnutls),
    native("secure::ngtcp2_speaks_http_3_and_sends_early_data", ngtcp2),
    native("secure::each_way_takes_its_round_trips", round_trips).alone(),
];

/// One request, after which the server closes.
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// A demo's server, and a folder with what its clients need.
struct Server {
    demo: Demo,
    folder: TempDir,
}

impl Server {
    fn start(world: &World, args: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("request"), REQUEST)?;
        let certificate = folder.path().join("certificate.pem").display().to_string();
        let demo = world.demo(&[args, &["--certificate", &certificate]].concat())?;
        Ok(Self { demo, folder })
    }

    fn certificate(&self) -> PathBuf {
        self.file("certificate.pem")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn port(&self) -> String {
        self.demo.addr.port().to_string()
    }
}

/// Runs a client and returns its output, of both streams. Its input is the request, or empty.
fn output(mut client: Command, input: Option<&Path>) -> anyhow::Result<String> {
    client.stdin(File::open(input.unwrap_or(Path::new("/dev/null")))?);
    let output =
        client.output().with_context(|| format!("{client:?}: `cargo xtask setup` installs it"))?;
    let text = [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
    ensure!(output.status.success(), "{client:?}: {}: {text}", output.status);
    Ok(text)
}

/// Checks that the text has each of these words.
fn says(text: &str, words: &[&str]) -> anyhow::Result<()> {
    words.iter().try_for_each(|word| {
        ensure!(text.contains(word), "no `{word}` in: {text}");
        Ok(())
    })
}

fn run_curl(server: &Server, args: &[&str]) -> anyhow::Result<String> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--include", "--max-time", "20", "--cacert"])
        .arg(server.certificate());
    curl.args(args).arg(format!("https://localhost:{}/", server.port()));
    output(curl, None)
}

fn curl(world: &World) -> anyhow::Result<()> {
    for (version, other) in [("1.2", &["--tlsv1.3"][..]), ("1.3", &["--tls-max", "1.2"])] {
        let server = Server::start(world, &["https", "--tls", version])?;
        // curl prints version and ALPN of the handshake.
        let text = run_curl(&server, &["--verbose"])?;
        says(
            &text,
            &[
                "200 OK",
                "conn-1 ",
                "SSL certificate verify ok",
                "http/1.1",
                &format!("TLSv{version}"),
            ],
        )?;
        ensure!(
            run_curl(&server, other).is_err(),
            "the server speaks {version} alone, and answered {other:?}"
        );
        // Two requests on one connection.
        let again = format!("https://localhost:{}/", server.port());
        let twice = run_curl(&server, &[&again])?;
        ensure!(twice.matches("200 OK").count() == 2, "{twice}");
        let names: Vec<_> =
            twice.split_whitespace().filter(|word| word.starts_with("conn-")).collect();
        ensure!(names.len() == 2 && names[0] == names[1], "one connection: {twice}");
    }
    Ok(())
}

fn curl_fast_open(world: &World) -> anyhow::Result<()> {
    net::set("ipv4/tcp_fastopen", 3)?;
    let server = Server::start(world, &["https", "--fast-open"])?;
    let before = Counters::read()?;
    for _ in 0..3 {
        says(&run_curl(&server, &["--tcp-fastopen"])?, &["200 OK"])?;
    }
    let after = Counters::read()?;
    let [cookies, passive] = ["TCPFastOpenCookieReqd", "TCPFastOpenPassive"]
        .map(|name| after.get(name) - before.get(name));
    ensure!(
        (cookies, passive) == (1, 2),
        "the first asks for a cookie, the others use it: {cookies}, {passive}"
    );
    // If the kernel forbids it, the server says what to do, and serves all the same.
    net::set("ipv4/tcp_fastopen", 1)?;
    let mut server = Server::start(world, &["https", "--fast-open"])?;
    says(&server.demo.await_line("this kernel")?, &["net.ipv4.tcp_fastopen=3", "--rtt"])?;
    says(&run_curl(&server, &["--tcp-fastopen"])?, &["200 OK"])
}

fn openssl(world: &World) -> anyhow::Result<()> {
    let client = |server: &Server, args: &[&OsStr], input: Option<&Path>| {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-ign_eof", "-verify_return_error", "-alpn", "http/1.1"]);
        client
            .args(["-connect", &format!("127.0.0.1:{}", server.port()), "-CAfile"])
            .arg(server.certificate());
        client.args(args);
        output(client, input)
    };
    let option = OsStr::new;
    for (version, early_data) in [("1.2", false), ("1.3", false), ("1.3", true)] {
        let way = if early_data { "--early-data" } else { "--resume" };
        let server = Server::start(world, &["https", "--tls", version, way])?;
        let [session, request] = ["session", "request"].map(|name| server.file(name));
        let first = client(&server, &[option("-sess_out"), session.as_os_str()], Some(&request))?;
        says(
            &first,
            &[
                "200 OK",
                &format!("New, TLSv{version}"),
                "Verify return code: 0 (ok)",
                "ALPN protocol: http/1.1",
            ],
        )?;
        let again = [option("-sess_in"), session.as_os_str()];
        if early_data {
            // The request is only in the early data.
            let early = [&again[..], &[option("-early_data"), request.as_os_str()]].concat();
            says(
                &client(&server, &early, None)?,
                &["200 OK", "Reused, TLSv1.3", "Early data was accepted"],
            )?;
            // A ticket is good for one connection.
            let replayed = client(&server, &early, Some(&request))?;
            says(&replayed, &["200 OK", "New, TLSv1.3", "Early data was rejected"])?;
        } else {
            says(
                &client(&server, &again, Some(&request))?,
                &["200 OK", &format!("Reused, TLSv{version}")],
            )?;
        }
    }
    // Without tickets there is nothing to resume.
    let server = Server::start(world, &["https", "--early-data", "--tickets", "none"])?;
    let text = client(&server, &[], Some(&server.file("request")))?;
    says(&text, &["200 OK"])?;
    ensure!(!text.contains("Post-Handshake New Session Ticket"), "{text}");
    Ok(())
}

fn gnutls(world: &World) -> anyhow::Result<()> {
    const TRUSTED: &str = "Status: The certificate is trusted";
    const RESUMED: &str = "This is a resumed session";
    let client = |server: &Server, args: &[&str], input: Option<&Path>| {
        let mut client = Command::new("gnutls-cli");
        client
            .args(["--alpn=http/1.1", "--port", &server.port(), "--x509cafile"])
            .arg(server.certificate());
        client.args(args).arg("localhost");
        output(client, input)
    };
    for version in ["1.2", "1.3"] {
        let server = Server::start(world, &["https", "--tls", version, "--resume"])?;
        let text =
            client(&server, &["--resume", "--waitresumption"], Some(&server.file("request")))?;
        says(&text, &["200 OK", TRUSTED, RESUMED, &format!("(TLS{version}")])?;
    }
    let server = Server::start(world, &["https", "--early-data"])?;
    // The request is only in the early data.
    let early = format!("--earlydata={}", server.file("request").display());
    let text = client(&server, &["--resume", "--waitresumption", &early], None)?;
    says(&text, &["200 OK", TRUSTED, RESUMED])
}

fn ngtcp2(world: &World) -> anyhow::Result<()> {
    let server = Server::start(world, &["quic", "--early-data"])?;
    let run = |args: &[&str]| {
        let mut client = Command::new("gtlsclient");
        client
            .args(["--exit-on-all-streams-close", "--timeout", "10s", "--no-quic-dump"])
            .args(args);
        client.args(["127.0.0.1", &server.port(), "https://localhost/"]);
        output(client, None)
    };
    let [session, parameters] =
        ["session", "parameters"].map(|name| server.file(name).display().to_string());
    for early_data in [false, true] {
        let text = run(&["--session-file", &session, "--tp-file", &parameters])?;
        says(&text, &["[:status: 200]", "event-loop "])?;
        let sent = text.contains("0RTT STREAM");
        ensure!(
            sent == early_data && !text.contains("rejected"),
            "early data, if there is a session: {text}"
        );
    }
    // Requests with a body, several at a time.
    let streams = run(&[
        "--http-method",
        "POST",
        "--data",
        &server.certificate().display().to_string(),
        "-n",
        "20",
    ])?;
    ensure!(streams.matches("[:status: 200]").count() == 20, "{streams}");
    Ok(())
}

/// A round-trip time so long that no other delay comes near, ms.
const RTT_MS: f64 = 100.0;

/// Demos, with their round trips to the first byte, and their counts on each connection after the
/// first.
const WAYS: &[(&str, u64, &[&str])] = &[
    ("https-tls12", 4, &[]),
    ("https-tls12-resumed", 3, &["resumed"]),
    ("https-tls13", 3, &[]),
    ("https-tls13-0rtt", 2, &["resumed", "early_data"]),
    ("https-tfo-tls13", 2, &["syn_data"]),
    ("https-tfo-0rtt", 1, &["resumed", "early_data", "syn_data"]),
    ("https-quic", 2, &[]),
    ("https-quic-0rtt", 1, &["resumed", "early_data"]),
];

fn round_trips(world: &World) -> anyhow::Result<()> {
    for (name, round_trips, each) in WAYS {
        let mut command = Command::new(world.demo_servers());
        command.args([
            "demo",
            name,
            "--rtt",
            &format!("{RTT_MS}ms"),
            "--connections",
            "4",
            "--pause",
            "0ms",
        ]);
        let output = command.output()?;
        let [text, errors] = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if output.status.code() == Some(77) {
            return Err(Skip(errors).into());
        }
        ensure!(
            output.status.success() && text.contains("errors       none"),
            "{command:?}: {text}{errors}"
        );
        let fact = |name: &str| -> anyhow::Result<Option<u64>> {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("  ")?.strip_prefix(name)?.strip_prefix(' '));
            line.map(|number| number.trim().parse().with_context(|| format!("{name}: {text}")))
                .transpose()
        };
        let measured = fact("measured")?.context("measured")?;
        ensure!((3..=4).contains(&measured), "{text}");
        for counted in ["resumed", "early_data", "syn_data"] {
            let expected = if each.contains(&counted) { measured } else { 0 };
            ensure!(fact(counted)? == Some(expected), "{name}: {counted}: {text}");
        }
        let counted = fact("round_trips")?;
        ensure!(counted.is_none_or(|counted| counted == *round_trips), "{name}: {text}");
        let first_byte = fact("first_byte_us")?.context("first_byte_us")? as f64 / 1e3 / RTT_MS;
        let least = *round_trips as f64;
        ensure!(
            (least - 0.01..least + 0.8).contains(&first_byte),
            "{name}: {first_byte} round trips: {text}"
        );
    }
    Ok(())
}
