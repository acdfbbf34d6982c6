//! The lessons in a browser: by keyboard, by touch, without scripts, on paper, and whether everybody
//! can use them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::{lessons, written};
use crate::cases::report::browser::asks_for_nothing;
use crate::harness::World;
use crate::harness::chromium::Chromium;
use crate::servers::{built, installed};

/// Width of a telephone, in pixels.
const PHONE: u32 = 390;
/// Presses of Tab within which everything is reached.
const TABS: usize = 80;

/// Opens a page of the course.
fn browse(world: &World, folder: &Path, name: &str) -> anyhow::Result<(Chromium, PathBuf)> {
    let chromium = installed("chromium")?;
    written(world, folder)?;
    let mut browser = Chromium::start(&chromium)?;
    browser.width(1100)?;
    // What moves would still be on its way when it is looked at.
    browser.media("", &[("prefers-reduced-motion", "reduce")])?;
    let page = folder.join(format!("{name}.html"));
    browser.open(&page)?;
    Ok((browser, page))
}

/// Presses Tab until the focus is on an element of that selector.
fn tab_to(browser: &mut Chromium, selector: &str) -> anyhow::Result<()> {
    for _ in 0..TABS {
        browser.press("Tab", "")?;
        if browser.eval(&format!("document.activeElement.matches({selector:?})"))? == true {
            return Ok(());
        }
    }
    let on = browser.eval("document.activeElement.outerHTML.slice(0, 200)")?;
    anyhow::bail!("Tab does not reach {selector}; it is on {on}")
}

fn text(browser: &mut Chromium, selector: &str) -> anyhow::Result<String> {
    let text = browser.eval(&format!("document.querySelector({selector:?}).textContent"))?;
    Ok(text.as_str().context("text")?.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Tells which elements of that selector are seen.
fn seen(browser: &mut Chromium, selector: &str) -> anyhow::Result<u64> {
    let seen = browser.eval(&format!(
        "[...document.querySelectorAll({selector:?})].filter((it) => it.checkVisibility()).length"
    ))?;
    seen.as_u64().context("a number")
}

fn no_complaints(browser: &mut Chromium) -> anyhow::Result<()> {
    let (_, complaints) = browser.requests_and_complaints()?;
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

pub(super) fn by_keyboard(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut browser, page) = browse(world, folder.path(), "accept-queue")?;
    // The first thing that Tab reaches leads past the head.
    browser.press("Tab", "")?;
    ensure!(browser.eval("document.activeElement.className")? == "skip", "the link past the head");
    ensure!(seen(&mut browser, ".measured-value")? == 0, "nothing is told before the prediction");
    ensure!(seen(&mut browser, "section.part")? == 1, "one question at a time");

    // "2" is what one would think.
    tab_to(&mut browser, "#round-1 input")?;
    browser.press("ArrowRight", "")?;
    ensure!(text(&mut browser, "#round-1 .choice:has(:checked)")? == "2", "an arrow chooses");
    browser.press("Enter", "\r")?;
    let told = text(&mut browser, "#round-1 .word:not([hidden])")?;
    ensure!(told.starts_with("✗ 2"), "a word on this guess: {told}");
    ensure!(text(&mut browser, "#round-1 .big b")? == "3", "what was measured");
    ensure!(
        browser.eval("document.activeElement.className")? == "measured-value",
        "the focus is on what was measured"
    );
    ensure!(text(&mut browser, "#round-1 .choice.right")?.contains('3'), "the right answer");
    let owned = whose_doing(&mut browser, "#round-1")?;
    ensure!(seen(&mut browser, "#round-1 .picture")? == 1, "the picture comes after that");

    // The focus is on what leads on.
    browser.press("Enter", "\r")?;
    ensure!(browser.eval("document.activeElement.id")? == "round-2-h", "the next question");
    tab_to(&mut browser, "#round-2 input")?;
    // As in the terminal: the fourth answer.
    browser.press("d", "d")?;
    browser.press("Enter", "\r")?;
    let told = text(&mut browser, "#round-2 .word:not([hidden])")?;
    ensure!(told.starts_with("✓ 6"), "{told}");
    tab_to(&mut browser, "#round-2 [data-do=show-all]")?;
    browser.press("Enter", "\r")?;
    ensure!(seen(&mut browser, "#round-2 .pick")? == 0, "all steps are told");
    browser.press("Enter", "\r")?;
    ensure!(browser.eval("document.activeElement.id")? == "jobs-h", "whose job it is");
    tab_to(&mut browser, "#jobs .go")?;
    browser.press("Enter", "\r")?;
    ensure!(browser.eval("document.activeElement.id")? == "summary-h", "the summary");
    let score = text(&mut browser, ".score")?;
    let (right, steps) = owned;
    ensure!(
        score == format!("Predictions: 1 of 2 right. Whose doing: {right} of {steps} right."),
        "{score}, and {owned:?}"
    );
    let first = text(&mut browser, "[data-summary=\"1\"]")?;
    ensure!(first.starts_with("3 ") && first.ends_with("✗ you predicted 2"), "{first}");
    no_complaints(&mut browser)?;
    let (requests, _) = browser.requests_and_complaints()?;
    ensure!(requests.len() == 1, "{requests:?}");

    // The list knows of it, and leads back.
    browser.open(&folder.path().join("index.html"))?;
    ensure!(
        text(&mut browser, ".score")? == format!("You have done 1 of {}.", lessons(world)?.len()),
        "the list"
    );
    let done = text(&mut browser, "[data-lesson=accept-queue] .done")?;
    ensure!(done == "✓ 1 of 2 predicted", "{done}");
    tab_to(&mut browser, "[data-lesson=accept-queue] a")?;
    browser.press("Enter", "\r")?;
    let there =
        "location.pathname.endsWith('/accept-queue.html') && document.readyState === 'complete'";
    browser.await_true("Enter opens the lesson", there)?;
    ensure!(seen(&mut browser, ".measured-value")? == 0, "it begins anew");
    browser.open(&page)?;
    asks_for_nothing(&mut browser, &page)
}

/// Says of each step whose doing it is, by its letter: all right but the second. Returns how many
/// were right, and how many there were.
fn whose_doing(browser: &mut Chromium, round: &str) -> anyhow::Result<(u64, u64)> {
    let (mut right, mut steps) = (0, 0);
    tab_to(browser, ".pick button")?;
    loop {
        let step = "document.activeElement.closest('.reveal-step')";
        let owner = browser.eval(&format!("{step}?.dataset.owner ?? ''"))?;
        let owner = owner.as_str().context("an owner")?.to_owned();
        if owner.is_empty() {
            break;
        }
        ensure!(seen(browser, &format!("{round} .asking .who"))? == 0, "it is not told before");
        steps += 1;
        let letter = owner.trim_start_matches("own-");
        let said = if steps == 2 && letter == "n" {
            "p"
        } else if steps == 2 {
            "n"
        } else {
            right += 1;
            letter
        };
        browser.eval(&format!("{step}.id = 'step-{steps}'"))?;
        browser.press(said, said)?;
        let told = text(browser, &format!("#step-{steps} .who"))?;
        let sign = if said == letter { "✓ as you said" } else { "✗ you said" };
        ensure!(told.contains(sign), "step {steps}: {told}");
        ensure!(seen(browser, &format!("#step-{steps} .who"))? == 1, "it is told now");
    }
    ensure!(steps >= 3, "{steps} steps");
    Ok((right, steps))
}

pub(super) fn by_touch(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut browser, page) = browse(world, folder.path(), "nagle")?;
    browser.call(
        "Emulation.setTouchEmulationEnabled",
        json!({ "enabled": true, "maxTouchPoints": 1 }),
    )?;
    browser.width(PHONE)?;
    browser.open(&page)?;
    large_enough(&mut browser)?;
    browser.tap("#round-1 .choice")?;
    browser.await_true("a tap chooses", "document.querySelector('#round-1 input').checked")?;
    browser.tap("#round-1 .go")?;
    browser.await_true("a tap tells", "document.querySelector('#round-1 .reveal').open")?;
    let told = text(&mut browser, "#round-1 .word:not([hidden])")?;
    ensure!(told.starts_with("✗ 0.1 ms"), "{told}");
    large_enough(&mut browser)?;
    while seen(&mut browser, "#round-1 .pick")? > 0 {
        let before = browser.eval("document.querySelectorAll('.asking').length")?;
        browser.tap("#round-1 .asking:not(.later) .pick [data-owner=own-k]")?;
        let fewer = format!("document.querySelectorAll('.asking').length < {before}");
        browser.await_true("a tap says whose doing it is", &fewer)?;
    }
    browser.tap("#round-1 .seen details summary")?;
    browser
        .await_true("the evidence opens", "document.querySelector('#round-1 .evidence').open")?;
    large_enough(&mut browser)?;
    browser.tap("#round-1 [data-do=onward]")?;
    browser.await_true("the next one", "document.querySelector('#round-2').checkVisibility()")?;
    browser.tap("[data-do=show-everything]")?;
    browser.await_true("all of it", "document.querySelector('#summary').checkVisibility()")?;
    ensure!(text(&mut browser, ".score")?.starts_with("Predictions: 0 of 1 right."), "the score");
    large_enough(&mut browser)?;
    no_complaints(&mut browser)?;
    // Who had everything shown has not done it.
    ensure!(browser.eval("localStorage.length")? == 0, "it is not noted as done");
    browser.tap("#summary .copy")?;
    browser.await_true(
        "it says so",
        "document.querySelector('#summary .copy').textContent !== 'Copy'",
    )?;
    narrow(world, folder.path(), &mut browser)
}

/// What a finger has to hit is large enough: 44 pixels high.
fn large_enough(browser: &mut Chromium) -> anyhow::Result<()> {
    let small = browser.eval(
        "JSON.stringify([...document.querySelectorAll('button, summary, .choice, nav a, .lessons a')] \
         .filter((it) => it.checkVisibility() && it.getBoundingClientRect().height < 44) \
         .map((it) => it.outerHTML.slice(0, 120)))",
    )?;
    ensure!(small == "[]", "too small: {small}");
    Ok(())
}

/// No page is wider than the telephone.
fn narrow(world: &World, folder: &Path, browser: &mut Chromium) -> anyhow::Result<()> {
    let mut names = lessons(world)?;
    names.extend(["index".to_owned(), "demos".to_owned()]);
    for name in names {
        browser.open(&folder.join(format!("{name}.html")))?;
        browser.eval("document.querySelector('[data-do=show-everything]')?.click()")?;
        browser
            .eval("document.querySelectorAll('details').forEach((it) => { it.open = true; })")?;
        let width = browser.eval("document.documentElement.scrollWidth")?;
        ensure!(width.as_u64() <= Some(PHONE.into()), "{name} is {width} pixels wide");
        no_complaints(browser).with_context(|| name.clone())?;
    }
    Ok(())
}

/// The animation is that of the recording: as many come and are refused as the text says.
pub(super) fn accept_queue(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut browser, _) = browse(world, folder.path(), "accept-queue")?;
    browser.eval("document.querySelector('[data-do=show-everything]').click()")?;
    browser.eval("document.querySelector('#round-1 .player').scrollIntoView()")?;
    let controls = "!document.querySelector('#round-1 .controls').hidden";
    browser.await_true("the controls are there", controls)?;
    let status = "#round-1 .player .status";
    let still = text(&mut browser, status)?;
    ensure!(
        still.contains("3 waiting (limit 2, full)"),
        "it begins at the deepest moment: {still}"
    );
    browser.click("#round-1 [data-do=step]")?;
    let later = text(&mut browser, status)?;
    ensure!(later != still, "a step changes it: {later}");
    browser.eval("document.querySelector('#round-1 [data-do=speed]').value = '1'")?;
    browser.press("Home", "")?;
    browser.click("#round-1 [data-do=play]")?;
    let label = "document.querySelector('#round-1 [data-do=play]').textContent";
    browser.await_true("it plays", &format!("{label} === 'Pause'"))?;
    browser.await_true("it ends", &format!("{label} === 'Play'"))?;
    let end = text(&mut browser, status)?;
    // The text tells of as many packets that were dropped.
    let facts = browser.eval(
        "[...document.querySelectorAll('#round-1 .evidence tr')].find((row) => \
         row.firstElementChild.textContent === 'drops').children[1].textContent.trim()",
    )?;
    let drops = facts.as_str().context("a fact")?;
    ensure!(end.contains(&format!(" {drops} refused so far")), "{end}, and {drops} drops");
    no_complaints(&mut browser)
}

pub(super) fn without_scripts(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut browser, page) = browse(world, folder.path(), "accept-queue")?;
    browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }))?;
    browser.open(&page)?;
    ensure!(seen(&mut browser, "section.part")? == 4, "all of it is there");
    ensure!(seen(&mut browser, ".needs-script")? == 0, "nothing that does nothing");
    ensure!(seen(&mut browser, ".measured-value")? == 0, "what was measured waits for a click");
    browser.click("#round-1 .reveal > summary")?;
    let open = "document.querySelector('#round-1 .reveal').open";
    browser.await_true("a click tells", open)?;
    let steps = seen(&mut browser, "#round-1 .reveal-step")?;
    ensure!(
        steps >= 3 && seen(&mut browser, "#round-1 .who")? == steps,
        "whose doing each step is"
    );
    ensure!(seen(&mut browser, "#round-1 svg.still")? == 1, "the queue stands still");
    paper(&mut browser)?;

    // With scripts the same is on paper, wherever one is in the lesson.
    browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": false }))?;
    browser.open(&page)?;
    ensure!(seen(&mut browser, "section.part")? == 1, "one question at a time");
    paper(&mut browser)
}

/// On paper everything is there and open.
fn paper(browser: &mut Chromium) -> anyhow::Result<()> {
    browser.media("print", &[])?;
    for (selector, least) in [
        ("section.part", 4),
        (".measured-value", 2),
        (".reveal-step .who", 5),
        (".evidence table", 4),
    ] {
        let seen = seen(browser, selector)?;
        ensure!(seen >= least, "{selector}: {seen} on paper");
    }
    ensure!(seen(browser, "button")? == 0, "there is nothing to press on paper");
    let paper = browser.call("Page.printToPDF", json!({ "printBackground": true }))?;
    ensure!(paper["data"].as_str().is_some_and(|data| data.len() > 10_000), "no paper");
    browser.media("", &[("prefers-reduced-motion", "reduce")])
}

pub(super) fn accessible(world: &World) -> anyhow::Result<()> {
    let axe = fs::read_to_string(built("axe.min.js")?)?;
    let folder = tempfile::tempdir()?;
    let (mut browser, _) = browse(world, folder.path(), "index")?;
    for name in ["index", "demos", "accept-queue", "three-roles", "layers"] {
        browser.open(&folder.path().join(format!("{name}.html")))?;
        // First as it begins, then with everything open.
        for step in
            ["0", "document.querySelector('.go')?.form?.querySelector('input').click()", ALL]
        {
            browser.eval(&format!("({step}, 0)"))?;
            for (scheme, width) in [("light", 1100), ("dark", PHONE)] {
                let motion = ("prefers-reduced-motion", "reduce");
                browser.media("", &[("prefers-color-scheme", scheme), motion])?;
                browser.width(width)?;
                let violations = browser.violations(&axe)?;
                ensure!(
                    violations == "[]",
                    "{name}, {step}, {scheme}, {width} pixels: {violations}"
                );
            }
        }
    }
    let asking = "document.querySelector('.choice').click(), document.querySelector('.go').click()";
    browser.open(&folder.path().join("nagle.html"))?;
    browser.eval(&format!("({asking}, 0)"))?;
    let violations: Value = browser.violations(&axe)?.into();
    ensure!(violations == "[]", "while it asks whose doing a step is: {violations}");
    Ok(())
}

/// Shows everything, and opens what opens.
const ALL: &str = "document.querySelector('[data-do=show-everything]')?.click(), \
                   document.querySelectorAll('details').forEach((it) => { it.open = true; })";
