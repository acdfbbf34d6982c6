//! `report` and `--report`: what the page says of real servers, and what a browser makes of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::native;
use crate::harness::chromium::Chromium;
use crate::harness::json::{is, overflows};
use crate::harness::{
    Case, Client, Demo, Process, Protocol, World, connect, connect_nonblocking, talk,
};
use crate::servers::{built, installed};

pub(super) const CASES: &[Case] = &[
    native("report::an_overflow_is_told_first", overflow_is_told_first),
    native("report::a_healthy_server_has_nothing_to_report", healthy),
    native("report::at_the_end_of_a_watch", at_the_end_of_a_watch),
    native("report::files", files),
    native("report::a_recording_that_breaks_off", breaks_off),
    native("report::by_keyboard_and_mouse", by_keyboard_and_mouse),
    native("report::accessible", accessible),
    Case { alone: true, ..native("report::a_hundred_thousand_exchanges", large) },
];

/// Runs `backscope report FILE ARGS…`.
fn report(world: &World, file: &Path, args: &[&str]) -> anyhow::Result<Output> {
    let mut command = world.agent_command(&["report"]);
    command.arg(file).args(args).output().context("backscope report")
}

/// Runs `backscope report FILE`, and returns the page.
fn page_of(world: &World, file: &Path) -> anyhow::Result<(PathBuf, String)> {
    let page = file.with_extension("html");
    let output = report(world, file, &["--force", "-o", &page.display().to_string()])?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "report ended with {}: {stderr}", output.status);
    let text = fs::read_to_string(&page)?;
    Ok((page, text))
}

/// Two servers and their clients, which end when it is dropped.
struct Traffic {
    refusing: Demo,
    _accepting: Demo,
    _clients: Vec<Client>,
}

/// Records a server that accepts late and one whose queue overflows, until both were seen. With
/// `more` arguments of the watch.
fn overflowing(world: &World, file: &Path, more: &[&str]) -> anyhow::Result<Traffic> {
    let accepting = world.demo(&["slow-acceptor", "--accept-delay", "50ms"])?;
    let refusing = world.demo(&["never-accept", "--backlog", "2"])?;
    let watch = world.watch().pid(accepting.pid()).pid(refusing.pid()).interval("200ms");
    let mut agent = watch.args(["-o".as_ref(), file]).args(more).start()?;
    let mut clients =
        (0..8).map(|_| connect(accepting.addr)).collect::<Result<Vec<Client>, _>>()?;
    clients.extend(connect_nonblocking(refusing.addr, 10)?);
    agent.await_accepted(accepting.addr.port(), 8)?;
    agent.await_object("overflows", |object| is(object, "listener") && overflows(object) >= 7)?;
    agent.await_finding("accept-queue-overflow")?;
    agent.stop()?;
    Ok(Traffic { refusing, _accepting: accepting, _clients: clients })
}

/// The text between two marks.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> anyhow::Result<&'a str> {
    let (_, rest) = text.split_once(begin).with_context(|| format!("no {begin}"))?;
    let (inner, _) = rest.split_once(end).with_context(|| format!("no {end}"))?;
    Ok(inner)
}

fn overflow_is_told_first(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("run.bsrec");
    let traffic = overflowing(world, &file, &[])?;
    let (_, page) = page_of(world, &file)?;
    let verdict = between(&page, "class=\"verdict crit\"", "</dl>")?;
    let address = traffic.refusing.addr.to_string();
    for words in ["Critical", &address, "Clients are being refused", "Whose doing", "What to do"] {
        ensure!(verdict.contains(words), "no {words:?} in {verdict}");
    }
    let listeners = between(&page, "id=\"listeners\"", "</section>")?;
    ensure!(listeners.contains("at a limit of 2, so it was full"), "{listeners}");
    ensure!(listeners.contains("type=\"application/json\""), "an animation");
    ensure!(!page.contains("Nothing to report"), "it is not nothing");
    Ok(())
}

fn healthy(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("run.bsrec");
    let demo = world.demo(&["serve", "--epoll"])?;
    let mut agent = world
        .watch()
        .pid(demo.pid())
        .interval("200ms")
        .args(["-o".as_ref(), file.as_path()])
        .start()?;
    let protocol = Protocol { greeting: b"", request: b"ask\n", end: b"\n" };
    talk(demo.addr, protocol, 20, |asked| asked < 20)?;
    agent.await_accepted(demo.addr.port(), 20)?;
    let ended = agent.stop()?;
    ensure!(ended.of("finding").next().is_none(), "nothing is wrong");
    let (_, page) = page_of(world, &file)?;
    let verdict = between(&page, "class=\"verdict", "</div>")?;
    ensure!(verdict.contains("Nothing to report."), "{verdict}");
    ensure!(page.contains("id=\"gaps\"") && !page.contains("id=\"findings\""), "sections");
    Ok(())
}

/// A page without what tells how it was made: its footer, and whether a recording was read.
fn contents(page: &str) -> anyhow::Result<&str> {
    between(page, "<main>", "</main>")
}

fn at_the_end_of_a_watch(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (file, live) = (folder.path().join("run.bsrec"), folder.path().join("live.html"));
    let live_arg = live.display().to_string();
    overflowing(world, &file, &["--report", &live_arg])?;
    let live_page = fs::read_to_string(&live)?;
    let (_, page) = page_of(world, &file)?;
    ensure!(
        contents(&live_page)? == contents(&page)?,
        "the page at the end of the watch is that of its recording"
    );
    ensure!(live_page.contains("at the end of a watch"), "how it was made");
    ensure!(fs::metadata(&live)?.permissions().mode() & 0o777 == 0o600, "its owner's alone");

    // `record` makes one as well, and replaces neither file.
    let demo = world.demo(&["serve", "--epoll"])?;
    let other = folder.path().join("other.bsrec");
    let mut record = world.agent_command(&["record", "--duration", "300ms", "--pid"]);
    record.arg(demo.pid_arg()).arg("-o").arg(&other).args(["--report", &live_arg]);
    let refused = record.output()?;
    let stderr = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(2) && stderr.contains("exists already"), "{stderr}");
    ensure!(!other.exists(), "nothing was recorded");
    let same = folder.path().join("same").display().to_string();
    for (files, reason) in [
        (["-o", &same, "--report", &same], "a file each"),
        (["-o", &same, "--report", "-"], "takes a file"),
    ] {
        let mut watch = world.agent_command(&["watch", "--plain", "--pid", &demo.pid_arg()]);
        let refused = watch.args(files).output()?;
        let stderr = String::from_utf8_lossy(&refused.stderr);
        ensure!(refused.status.code() == Some(2) && stderr.contains(reason), "{stderr}");
    }
    let replaced = record.arg("--force").output()?;
    let stderr = String::from_utf8_lossy(&replaced.stderr);
    ensure!(replaced.status.success() && stderr.contains("reported into"), "{stderr}");
    ensure!(fs::read_to_string(&live)?.contains("Nothing to judge"), "nobody came");
    Ok(())
}

fn files(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("run.bsrec");
    overflowing(world, &file, &[])?;
    let (page, text) = page_of(world, &file)?;
    let page_arg = page.display().to_string();
    ensure!(fs::metadata(&page)?.permissions().mode() & 0o777 == 0o600, "its owner's alone");
    let again = report(world, &file, &["-o", &page_arg])?;
    let stderr = String::from_utf8_lossy(&again.stderr);
    ensure!(again.status.code() == Some(2) && stderr.contains("--force"), "{stderr}");
    ensure!(fs::read_to_string(&page)? == text, "it was touched");
    let printed = report(world, &file, &["-o", "-"])?;
    ensure!(printed.status.success() && printed.stdout == text.as_bytes(), "standard output");

    let (other, none) = (folder.path().join("text"), folder.path().join("none.html"));
    fs::write(&other, "no recording")?;
    let refused = report(world, &other, &["-o", &none.display().to_string()])?;
    let stderr = String::from_utf8_lossy(&refused.stderr);
    ensure!(
        refused.status.code() == Some(2) && stderr.contains("not a backscope recording"),
        "{stderr}"
    );
    let missing = report(world, &folder.path().join("gone"), &["-o", &none.display().to_string()])?;
    ensure!(missing.status.code() == Some(2), "{}", missing.status);
    // A version of tomorrow.
    let mut bytes = fs::read(&file)?;
    bytes[8] = 0x7f;
    fs::write(&other, &bytes)?;
    let newer = report(world, &other, &["-o", &none.display().to_string()])?;
    let stderr = String::from_utf8_lossy(&newer.stderr);
    ensure!(newer.status.code() == Some(2) && stderr.contains("version 127"), "{stderr}");
    ensure!(!none.exists(), "for none of them a page is made");
    if Path::new("/dev/full").exists() {
        let script = "exec \"$0\" report \"$1\" -o - > /dev/full";
        let mut full = std::process::Command::new("sh");
        let full = full.args(["-c", script]).arg(world.agent()).arg(&file).output()?;
        let stderr = String::from_utf8_lossy(&full.stderr);
        ensure!(full.status.code() == Some(1) && stderr.contains("cannot write"), "{stderr}");
    }
    Ok(())
}

fn breaks_off(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("run.bsrec");
    overflowing(world, &file, &[])?;
    let whole = fs::read(&file)?;
    let (cut, page) = (folder.path().join("cut.bsrec"), folder.path().join("cut.html"));
    let mut pages = 0;
    for part in 0..50 {
        fs::write(&cut, &whole[..whole.len() * part / 50])?;
        let output = report(world, &cut, &["--force", "-o", &page.display().to_string()])?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(
            matches!(output.status.code(), Some(1 | 2)) && !stderr.is_empty(),
            "{part}/50 ended with {}: {stderr}",
            output.status
        );
        ensure!(!stderr.contains("panicked"), "{part}/50: {stderr}");
        if stderr.contains("the recording is damaged") {
            let text = fs::read_to_string(&page)?;
            ensure!(
                text.ends_with("</html>") && text.contains("Damage to the recording"),
                "{part}"
            );
            pages += 1;
        }
    }
    ensure!(pages > 30, "only {pages} of 50 gave a page");
    Ok(())
}

/// Opens the page of a recording with an overflow in a browser.
fn browse(world: &World, folder: &Path) -> anyhow::Result<(Chromium, PathBuf)> {
    let chromium = installed("chromium")?;
    let file = folder.join("run.bsrec");
    overflowing(world, &file, &[])?;
    let (page, _) = page_of(world, &file)?;
    let mut browser = Chromium::start(&chromium)?;
    browser.width(1100)?;
    browser.open(&page)?;
    Ok((browser, page))
}

/// Puts the focus on the first element that a selector finds.
fn focus(browser: &mut Chromium, selector: &str) -> anyhow::Result<()> {
    let is_focused = browser.eval(&format!(
        "(() => {{ const it = document.querySelector({selector:?}); it.focus(); \
         return document.activeElement === it; }})()"
    ))?;
    ensure!(is_focused == true, "{selector} takes no focus");
    Ok(())
}

fn by_keyboard_and_mouse(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut browser, page) = browse(world, folder.path())?;
    let opened = |selector: &str| format!("document.querySelector({selector:?}).open");
    let closed = "details.quiet:not([open])";
    browser.eval(&format!("document.querySelector({closed:?}).id = 'first'"))?;
    focus(&mut browser, "#first > summary")?;
    browser.press("Enter", "\r")?;
    browser.await_true("Enter opens it", &opened("#first"))?;
    browser.press(" ", " ")?;
    browser.await_true("Space closes it", &format!("!{}", opened("#first")))?;
    browser.click("#first > summary")?;
    browser.await_true("a click opens it", &opened("#first"))?;
    // The first thing that Tab reaches leads past the head.
    browser.eval("(document.activeElement.blur(), scrollTo(0, 0))")?;
    browser.open(&page)?;
    browser.press("Tab", "")?;
    ensure!(browser.eval("document.activeElement.className")? == "skip", "the link past the head");
    animation(&mut browser)?;
    narrow(&mut browser)?;
    print(&mut browser)?;
    asks_for_nothing(&mut browser, &page)
}

/// Keys and the mouse move the animation; by itself it stands still.
fn animation(browser: &mut Chromium) -> anyhow::Result<()> {
    let status = "document.querySelector('.player .status').textContent";
    browser.eval("document.querySelector('.player').scrollIntoView()")?;
    browser.await_true("the controls are there", "!document.querySelector('.controls').hidden")?;
    let still = browser.eval(status)?;
    std::thread::sleep(Duration::from_millis(300));
    ensure!(browser.eval(status)? == still, "it does not play by itself");
    let text = still.as_str().context("a status")?;
    ensure!(text.contains("3 waiting (limit 2, full)"), "it begins at the deepest moment: {text}");

    let play = ".player [data-do=play]";
    focus(browser, play)?;
    browser.press("Home", "")?;
    let begin = browser.eval(status)?;
    browser.press("ArrowRight", "")?;
    browser.press("ArrowRight", "")?;
    let later = browser.eval(status)?;
    ensure!(begin != later, "steps change it: {begin} {later}");
    browser.press("ArrowLeft", "")?;
    ensure!(browser.eval(status)? != later, "back");
    // As fast as it goes, so that it ends.
    browser.eval("document.querySelector('.player [data-do=speed]').value = '1'")?;
    browser.press("Home", "")?;
    browser.press(" ", " ")?;
    browser.await_true("Space plays", &format!("{status} !== {begin}"))?;
    browser.press("ArrowRight", "")?;
    let label = format!("document.querySelector({play:?}).textContent");
    ensure!(browser.eval(&label)? == "Play", "a step stops it");
    browser.press("Home", "")?;
    browser.click(play)?;
    browser.await_true("a click plays", &format!("{status} !== {begin}"))?;
    browser.await_true("it ends", &format!("{label} === 'Play'"))?;
    let end = browser.eval(status)?;
    let refused = end.as_str().context("a status")?;
    ensure!(!refused.contains(" 0 refused"), "refusals are told: {refused}");
    // Painted: not all of the canvas has one colour.
    let painted = browser.eval(
        "(() => { const c = document.querySelector('.player canvas'); \
         const d = new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer); \
         return new Set(d).size; })()",
    )?;
    ensure!(painted.as_u64() > Some(5), "{painted} colours are painted");
    Ok(())
}

fn narrow(browser: &mut Chromium) -> anyhow::Result<()> {
    browser.width(390)?;
    browser.await_true("a phone is wide enough", "document.documentElement.scrollWidth <= 390")?;
    browser.width(1100)
}

/// On paper everything is open.
fn print(browser: &mut Chromium) -> anyhow::Result<()> {
    let hidden = "[...document.querySelectorAll('details > :not(summary)')]\
                  .filter((it) => !it.checkVisibility({ contentVisibilityAuto: true })).length";
    ensure!(browser.eval(hidden)?.as_u64() > Some(0), "on the screen some are closed");
    browser.media("print", &[])?;
    let left = browser.eval(hidden)?;
    ensure!(left == 0, "{left} are closed on paper");
    browser.media("", &[])?;
    let paper = browser.call("Page.printToPDF", serde_json::json!({ "printBackground": true }))?;
    ensure!(paper["data"].as_str().is_some_and(|data| data.len() > 10_000), "no paper");
    Ok(())
}

/// Nothing but the file itself is asked for, and nothing else could be.
fn asks_for_nothing(browser: &mut Chromium, page: &Path) -> anyhow::Result<()> {
    let (requests, complaints) = browser.requests_and_complaints()?;
    let own = format!("file://{}", page.display());
    ensure!(!requests.is_empty() && requests.iter().all(|url| *url == own), "{requests:?}");
    ensure!(complaints.is_empty(), "{complaints:?}");
    let attempts = [
        "fetch('http://127.0.0.1:9/').then(() => 'gone', () => 'kept')",
        "new Promise((done) => { const it = new Image(); it.onload = () => done('gone'); \
         it.onerror = () => done('kept'); it.src = 'http://127.0.0.1:9/'; })",
        "new Promise((done) => { addEventListener('securitypolicyviolation', () => done('kept')); \
         const it = document.createElement('script'); it.textContent = 'window.ran = 1'; \
         document.body.append(it); setTimeout(() => done(window.ran ? 'gone' : 'kept'), 500); })",
    ];
    for attempt in attempts {
        ensure!(browser.eval(attempt)? == "kept", "{attempt}");
    }
    let (requests, complaints) = browser.requests_and_complaints()?;
    // A request that the policy stops is told of, and never sent.
    ensure!(
        complaints.iter().any(|told| told.contains("Content Security Policy")),
        "{complaints:?}"
    );
    ensure!(requests.iter().filter(|url| url.starts_with("http")).count() <= 2, "{requests:?}");
    Ok(())
}

fn accessible(world: &World) -> anyhow::Result<()> {
    let axe = fs::read_to_string(built("axe.min.js")?)?;
    let folder = tempfile::tempdir()?;
    let (mut browser, _) = browse(world, folder.path())?;
    browser.eval("document.querySelectorAll('details').forEach((it) => { it.open = true; })")?;
    // The browser's own evaluation is outside the page's policy.
    browser.eval(&format!("{axe}; 0"))?;
    for (scheme, width) in [("light", 1100), ("dark", 1100), ("light", 390), ("dark", 390)] {
        browser.media("", &[("prefers-color-scheme", scheme)])?;
        browser.width(width)?;
        let violations = browser.eval(
            "axe.run({ resultTypes: ['violations'] }).then((found) => JSON.stringify( \
             found.violations.map((it) => [it.id, it.help, it.nodes.slice(0, 3).map((node) => \
             [node.html.slice(0, 200), node.failureSummary])])))",
        )?;
        ensure!(violations == "[]", "{scheme}, {width} pixels: {violations}");
    }
    // It has rules at all, and finds what is wrong.
    browser.eval("document.documentElement.removeAttribute('lang')")?;
    let found = browser.eval("axe.run().then((found) => found.violations.length)")?;
    ensure!(found.as_u64() > Some(0), "axe finds nothing wrong with a page without a language");
    Ok(())
}

fn large(world: &World) -> anyhow::Result<()> {
    const EXCHANGES: u64 = 100_000;
    const CONNECTIONS: u64 = 4;
    let chromium = installed("chromium")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("run.bsrec");
    let demo = world.demo(&["serve", "--epoll"])?;
    let mut record = world.agent_command(&["record", "--pid", &demo.pid_arg(), "-o"]);
    // Where the processors are busy with other things, it has the time to catch up.
    record.arg(&file).env("BACKSCOPE_RING_BYTES", "134217728");
    let mut record = Process::start(record)?;
    let deadline = Instant::now() + world.patience();
    // The file is made once the hooks are attached.
    while fs::metadata(&file).map_or(0, |about| about.len()) == 0 {
        ensure!(Instant::now() < deadline, "no recording is begun");
        std::thread::sleep(Duration::from_millis(20));
    }
    let protocol = Protocol { greeting: b"", request: b"ask\n", end: b"\n" };
    // A few more: the end may come before the last ones are over.
    let each = EXCHANGES / CONNECTIONS + 100;
    talk(demo.addr, protocol, CONNECTIONS as usize, |asked| asked < each)?;
    record.signal(libc::SIGINT);
    let status = record.wait(Duration::from_secs(60))?;
    ensure!(status.success(), "record ended with {status}");
    let (page, text) = page_of(world, &file)?;
    let (before, _) = text.split_once(" exchanges on ").context("no number of exchanges")?;
    let told = before.rsplit('>').next().unwrap_or_default();
    let exchanges: u64 = told.replace(',', "").parse().with_context(|| told.to_owned())?;
    ensure!(exchanges >= EXCHANGES, "{exchanges} exchanges were recorded");
    ensure!(text.len() < 3_000_000, "{} bytes", text.len());
    let mut browser = Chromium::start(&chromium)?;
    browser.open(&page)?;
    let paint = "performance.getEntriesByName('first-contentful-paint').length > 0";
    browser.await_true("it is painted", paint)?;
    let ms = browser
        .eval("performance.getEntriesByName('first-contentful-paint')[0].startTime")?
        .as_f64()
        .context("a time")?;
    println!("{exchanges} exchanges: {} bytes, painted after {ms:.0} ms", text.len());
    ensure!(ms < 1_000.0, "the first paint took {ms} ms");
    Ok(())
}
