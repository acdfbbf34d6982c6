//! The demo servers of HTTP, proxies and messages with clients of other projects: curl, h2load and
//! Python's websockets. `cargo xtask setup` installs them; a case without its client fails.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};

use super::native;
use crate::harness::{Case, Demo, World};

pub(super) const CASES: &[Case] = &[
    native("interop::http1", http1),
    native("interop::http2", http2),
    native("interop::pipelining", pipelining),
    native("interop::jobs", jobs),
    native("interop::news", news),
    native("interop::events", events),
    native("interop::push", push),
    native("interop::publish_subscribe", publish_subscribe),
    native("interop::sessions", sessions),
    native("interop::websocket", websocket),
    native("interop::grpc_unary", grpc_unary),
    native("interop::forward_proxy", forward_proxy),
    native("interop::reverse_proxy_and_sidecar", proxies),
    native("interop::layer4", layer4),
    native("interop::layer7", layer7),
];

/// Seconds after which a client that hangs is ended.
const PATIENCE: &str = "20";

/// Runs a client to its end and returns its output. `status` are the allowed exit codes.
fn output(program: &str, args: &[&str], status: &[i32]) -> anyhow::Result<String> {
    let output = Command::new("timeout")
        .args([PATIENCE, program])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {program}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let code = output.status.code();
    ensure!(
        code.is_some_and(|code| status.contains(&code)),
        "{program} {args:?} (see `cargo xtask setup` if it is missing): {code:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}

/// Runs `curl -s` without the proxies of the environment, which are not for this machine.
fn curl(args: &[&str]) -> anyhow::Result<String> {
    output("curl", &[&["-s", "--noproxy", "*"], args].concat(), &[0])
}

fn url(server: &Demo, path: &str) -> String {
    format!("http://{}{path}", server.addr)
}

/// Values of a header in what `curl -D -` printed.
fn header<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    text.lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .map(str::trim_end)
        .collect()
}

fn http1(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["http", "--response", "70000"])?;
    let url = url(&server, "/");
    let said = curl(&[
        "-o/dev/null",
        "-o/dev/null",
        "-w",
        "%{http_version} %{num_connects} %{size_download}\n",
        &url,
        &url,
    ])?;
    ensure!(said == "1.1 1 70000\n1.1 0 70000\n", "two requests on one connection: {said}");
    let said = curl(&[
        "-H",
        "Connection: close",
        "-o/dev/null",
        "-o/dev/null",
        "-w",
        "%{num_connects} ",
        &url,
        &url,
    ])?;
    ensure!(said == "1 1 ", "a connection for each request: {said}");
    Ok(())
}

fn http2(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["http", "--h2c", "--sleep", "5ms"])?;
    let url = url(&server, "/");
    let said = curl(&[
        "--http2-prior-knowledge",
        "-o/dev/null",
        "-w",
        "%{http_version} %{http_code}",
        &url,
    ])?;
    ensure!(said == "2 200", "{said}");
    let said = output("h2load", &["-n", "200", "-c", "2", "-m", "20", &url], &[0])?;
    ensure!(said.contains("200 succeeded, 0 failed, 0 errored"), "{said}");
    Ok(())
}

fn pipelining(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["http"])?;
    let said =
        output("h2load", &["--h1", "-n", "200", "-c", "2", "-m", "10", &url(&server, "/")], &[0])?;
    ensure!(said.contains("200 succeeded, 0 failed, 0 errored"), "{said}");
    Ok(())
}

fn jobs(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["jobs", "--job-time", "300ms", "--asynchronous"])?;
    let said = curl(&["-D", "-", "-X", "POST", &url(&server, "/jobs/")])?;
    ensure!(said.starts_with("HTTP/1.1 202 "), "{said}");
    let location = *header(&said, "location").first().with_context(|| said.clone())?;
    let deadline = Instant::now() + world.patience();
    loop {
        let said = curl(&["-w", " %{http_code}", &url(&server, location)])?;
        if said.ends_with("is done\n 200") {
            return Ok(());
        }
        ensure!(said.ends_with(" 202") && Instant::now() < deadline, "{said}");
    }
}

fn news(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["news", "--every", "300ms"])?;
    let said = curl(&["-w", "%{http_code}", &url(&server, "/news?after=1000")])?;
    ensure!(said == "204", "no news without a wait: {said}");
    let latest = curl(&["-H", "Prefer: wait=5", &url(&server, "/news?after=0")])?;
    ensure!(latest.starts_with("1 "), "{latest}");
    let last: u64 = latest
        .lines()
        .filter_map(|line| line.split(' ').next()?.parse().ok())
        .max()
        .context("a number")?;
    // By now one more event may have happened, but not ten.
    let next =
        curl(&["-H", "Prefer: wait=20", &url(&server, &format!("/news?after={}", last + 10))])?;
    ensure!(
        next.starts_with(&format!("{} ", last + 11)),
        "it waits for what has not happened: {next}"
    );
    Ok(())
}

fn events(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["news", "--every", "50ms", "--end-after", "4"])?;
    let accept = ["-N", "-D", "-", "-H", "Accept: text/event-stream"];
    let said = curl(&[&accept[..], &[&url(&server, "/news")]].concat())?;
    ensure!(header(&said, "content-type") == ["text/event-stream"], "{said}");
    let ids: Vec<u64> =
        header(&said, "id").iter().map(|id| id.parse()).collect::<Result<_, _>>()?;
    ensure!(ids.len() == 4 && ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "{said}");
    ensure!(header(&said, "data").len() == 4, "{said}");
    let again = format!("Last-Event-ID: {}", ids[1]);
    let said = curl(&[&accept[..], &["-H", &again, &url(&server, "/news")]].concat())?;
    ensure!(
        header(&said, "id").first() == Some(&ids[2].to_string().as_str()),
        "from where it was: {said}"
    );
    Ok(())
}

/// Uses curl as a client of lines: sends these, and reads for a second.
fn telnet(server: &Demo, lines: &str) -> anyhow::Result<String> {
    let script =
        format!("printf '{lines}' | curl -s --noproxy '*' --max-time 1 telnet://{}", server.addr);
    // 28: curl's time limit of a second.
    output("sh", &["-c", &script], &[28])
}

fn push(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["news", "--push", "--every", "100ms"])?;
    let said = telnet(&server, "")?;
    ensure!(said.lines().count() >= 3, "nothing was asked, and still there is news: {said}");
    Ok(())
}

fn publish_subscribe(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["broker"])?;
    let said = telnet(&server, r"PUB a nobody\nSUB a\nPUB a hello to all\nPUB b nobody\nwhat\n")?;
    let mut lines: Vec<_> = said.lines().collect();
    lines.sort_unstable();
    let expected = [
        "ERR say `SUB TOPIC` or `PUB TOPIC TEXT`",
        "MSG hello to all",
        "OK",
        "OK 0",
        "OK 0",
        "OK 1",
    ];
    ensure!(lines == expected, "{said}");
    Ok(())
}

fn sessions(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let jar = folder.path().join("cookies");
    let jar = jar.to_string_lossy();
    for (state, expected) in
        [("memory", "401 200 401 "), ("shared", "200 200 200 "), ("request", "200 200 200 ")]
    {
        let server = world.demo(&["sessions", "--workers", "2", "--state", state])?;
        curl(&["-c", &jar, "-X", "POST", &url(&server, "/login")])?;
        let mut codes = String::new();
        for _ in 0..3 {
            let step = [
                "-b",
                &jar,
                "-c",
                &jar,
                "-o/dev/null",
                "-w",
                "%{http_code} ",
                "-X",
                "POST",
                &url(&server, "/cart"),
            ];
            codes += &curl(&step)?;
        }
        ensure!(codes == expected, "{state}: {codes}");
    }
    Ok(())
}

/// Sends a hello, receives a push, sends two megabytes, and closes in order.
const WEBSOCKET: &str = "
import asyncio, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1], max_size=None) as ws:
        await ws.send('hello')
        while (got := await ws.recv()).startswith('push '): pass
        assert got == 'hello', got
        while not (got := await ws.recv()).startswith('push '): pass
        big = bytes(range(256)) * 8192
        await ws.send(big)
        while (got := await ws.recv()) != big: assert isinstance(got, str), 'changed'
        await (await ws.ping())
    print('closed', ws.close_code if hasattr(ws, 'close_code') else ws.protocol.close_code)
asyncio.run(main())
";

fn websocket(world: &World) -> anyhow::Result<()> {
    // Debian's package is for Debian's Python alone.
    let server = world.demo(&["websocket", "--push", "50ms"])?;
    let said =
        output("/usr/bin/python3", &["-c", WEBSOCKET, &format!("ws://{}/", server.addr)], &[0])?;
    ensure!(said == "closed 1000\n", "{said}");
    let said = curl(&["-D", "-", &url(&server, "/")])?;
    ensure!(said.starts_with("HTTP/1.1 426 "), "who does not ask for it gets none: {said}");
    Ok(())
}

/// A gRPC call in the way that curl can make it: the message is written by hand, the status is in
/// the trailers.
fn grpc_unary(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["grpc"])?;
    let folder = tempfile::tempdir()?;
    let message = folder.path().join("message");
    // Not compressed, 6 bytes long: text (1) "hi", number (2) 7.
    std::fs::write(&message, b"\0\0\0\0\x06\x0a\x02hi\x10\x07")?;
    let answer = folder.path().join("answer");
    let data = format!("@{}", message.display());
    let script = "curl -sv --noproxy '*' --http2-prior-knowledge \
                  -H 'Content-Type: application/grpc' -H 'TE: trailers' \
                  --data-binary \"$1\" -o \"$2\" \"$3\" 2>&1";
    let words =
        ["-c", script, "sh", &data, &answer.to_string_lossy(), &url(&server, "/demo.Echo/Unary")];
    let said = output("sh", &words, &[0])?;
    ensure!(said.contains("< grpc-status: 0"), "{said}");
    ensure!(std::fs::read(&answer)? == std::fs::read(&message)?, "the same message comes back");
    Ok(())
}

fn forward_proxy(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["forward-proxy"])?;
    let proxy = format!("http://{}", server.addr);
    // Through a tunnel, the first head is the proxy's.
    let through =
        |more: &[&str]| output("curl", &[&["-s", "-D", "-", "-x", &proxy], more].concat(), &[0]);
    let tunnelled = through(&["-p", "http://origin.example/"])?;
    ensure!(header(&tunnelled, "server") == ["proxy", "origin"], "{tunnelled}");
    ensure!(
        header(&tunnelled, "via").is_empty(),
        "the proxy cannot see into a tunnel: {tunnelled}"
    );
    let asked = through(&["http://origin.example/"])?;
    ensure!(
        header(&asked, "server") == ["origin"] && header(&asked, "via") == ["1.1 proxy"],
        "{asked}"
    );
    // An address reserved for documentation (RFC 5737).
    let refused = through(&["-o/dev/null", "http://192.0.2.1/"])?;
    ensure!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    Ok(())
}

fn proxies(world: &World) -> anyhow::Result<()> {
    for (verb, via) in [
        (&["layer7", "--backends", "1"][..], &["1.1 proxy"][..]),
        (&["layer7", "--sidecar", "--name", "sidecar-1"], &["1.1 sidecar-2", "1.1 sidecar-1"]),
    ] {
        let server = world.demo(verb)?;
        let said =
            curl(&["-D", "-", "-d", "a body that is passed on", &url(&server, "/any/path?query")])?;
        ensure!(
            said.starts_with("HTTP/1.1 200 ") && header(&said, "server") == ["backend-1"],
            "{said}"
        );
        ensure!(header(&said, "via") == via, "{said}");
    }
    Ok(())
}

/// Returns the names of the servers that answered six requests on one connection, and one request
/// on each of three.
fn spread(server: &Demo) -> anyhow::Result<[Vec<String>; 2]> {
    let url = url(server, "/");
    let who =
        |said: String| header(&said, "server").into_iter().map(str::to_owned).collect::<Vec<_>>();
    let together = who(curl(&[&["-D", "-"], &[url.as_str(); 6][..]].concat())?);
    let apart = (0..3).map(|_| curl(&["-D", "-", &url])).collect::<anyhow::Result<String>>()?;
    Ok([together, who(apart)])
}

fn layer4(world: &World) -> anyhow::Result<()> {
    let mut server = world.demo(&["layer4", "--trace"])?;
    let [together, apart] = spread(&server)?;
    ensure!(together == ["backend-1"; 6], "a connection stays where it is: {together:?}");
    ensure!(apart == ["backend-2", "backend-3", "backend-1"], "connections are spread: {apart:?}");
    let copied = server.await_lines("copied ", 4)?;
    let bytes = |line: &String| {
        line.split(' ').skip(1).map(str::parse::<u64>).collect::<Result<Vec<_>, _>>()
    };
    let copied = copied.iter().map(bytes).collect::<Result<Vec<_>, _>>()?;
    ensure!(copied[0].iter().zip(&copied[1]).all(|(six, one)| *six > 5 * one), "{copied:?}");
    Ok(())
}

fn layer7(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["layer7"])?;
    let [together, apart] = spread(&server)?;
    let each = ["backend-1", "backend-2", "backend-3"];
    ensure!(
        together == [each, each].concat() && apart == each,
        "requests are spread: {together:?} {apart:?}"
    );
    let said = output("h2load", &["--h1", "-n", "300", "-c", "8", &url(&server, "/")], &[0])?;
    ensure!(said.contains("300 succeeded, 0 failed, 0 errored"), "{said}");
    Ok(())
}
