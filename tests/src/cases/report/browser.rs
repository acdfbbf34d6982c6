//! The page in a browser: keys, the mouse, paper, a phone, and whether everybody can use it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{overflowing, page_of};
use crate::harness::chromium::Chromium;
use crate::harness::{Process, Protocol, World, talk};
use crate::servers::{built, installed};

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

pub(super) fn by_keyboard_and_mouse(world: &World) -> anyhow::Result<()> {
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
pub(in crate::cases) fn asks_for_nothing(
    browser: &mut Chromium,
    page: &Path,
) -> anyhow::Result<()> {
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

pub(super) fn accessible(world: &World) -> anyhow::Result<()> {
    let axe = fs::read_to_string(built("axe.min.js")?)?;
    let folder = tempfile::tempdir()?;
    let (mut browser, _) = browse(world, folder.path())?;
    browser.eval("document.querySelectorAll('details').forEach((it) => { it.open = true; })")?;
    for (scheme, width) in [("light", 1100), ("dark", 1100), ("light", 390), ("dark", 390)] {
        browser.media("", &[("prefers-color-scheme", scheme)])?;
        browser.width(width)?;
        let violations = browser.violations(&axe)?;
        ensure!(violations == "[]", "{scheme}, {width} pixels: {violations}");
    }
    // It has rules at all, and finds what is wrong.
    browser.eval("document.documentElement.removeAttribute('lang')")?;
    let found = browser.eval("axe.run().then((found) => found.violations.length)")?;
    ensure!(found.as_u64() > Some(0), "axe finds nothing wrong with a page without a language");
    Ok(())
}

pub(super) fn large(world: &World) -> anyhow::Result<()> {
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
