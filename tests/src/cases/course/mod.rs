//! `learn --html`: the files that it writes, and what a browser makes of them.

mod browser;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, ensure};

use super::native;
use crate::harness::{Case, World, copy_program};

pub(super) const CASES: &[Case] = &[
    native("course::is_written_without_root", without_root),
    native("course::replaces_only_its_own", only_its_own),
    native("course::by_keyboard", browser::by_keyboard),
    native("course::by_touch", browser::by_touch),
    native("course::the_accept_queue_plays", browser::accept_queue),
    native("course::without_scripts_and_on_paper", browser::without_scripts),
    native("course::accessible", browser::accessible),
];

/// The user "nobody".
const NOBODY: u32 = 65_534;

/// Runs `backscope learn --html FOLDER ARGS…`.
fn learn(world: &World, folder: &Path, args: &[&str]) -> anyhow::Result<Output> {
    let mut command = world.agent_command(&["learn", "--html"]);
    command.arg(folder).args(args).output().context("backscope learn --html")
}

/// Writes the whole course.
fn written(world: &World, folder: &Path) -> anyhow::Result<()> {
    let output = learn(world, folder, &[])?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "it ended with {}: {stderr}", output.status);
    Ok(())
}

/// Names of the lessons.
fn lessons(world: &World) -> anyhow::Result<Vec<String>> {
    let output = world.agent_command(&["learn", "--list", "--json"]).output()?;
    let mut names = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let lesson: serde_json::Value = serde_json::from_str(line)?;
        names.push(lesson["name"].as_str().context("a name")?.to_owned());
    }
    ensure!(names.len() >= 40, "{names:?}");
    Ok(names)
}

fn names_in(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn without_root(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
    let program = folder.path().join("backscope");
    copy_program(&world.agent(), &program)?;
    // A folder within a folder that is not there, either.
    let pages = folder.path().join("course/lessons");
    let mut command = Command::new(&program);
    let output = command
        .args(["learn", "--html"])
        .arg(&pages)
        .uid(NOBODY)
        .gid(NOBODY)
        .env_remove("SUDO_UID")
        .output()?;
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success() && stderr.is_empty(), "{}: {stderr}", output.status);
    let mut expected: Vec<String> =
        lessons(world)?.iter().map(|name| format!("{name}.html")).collect();
    expected.extend(["demos.html".to_owned(), "index.html".to_owned()]);
    expected.sort();
    ensure!(names_in(&pages)? == expected, "{:?}", names_in(&pages)?);
    let told = format!("{} pages written", expected.len());
    ensure!(stdout.contains(&told) && stdout.contains("index.html"), "{stdout}");
    for name in &expected {
        let text = fs::read_to_string(pages.join(name))?;
        ensure!(text.starts_with("<!DOCTYPE html>") && text.ends_with("</html>"), "{name}");
    }
    let mode = fs::metadata(pages.join("index.html"))?.permissions().mode();
    ensure!(mode & 0o444 == 0o444, "whoever serves them may read them: {mode:o}");
    Ok(())
}

fn only_its_own(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (pages, foreign) = (folder.path(), folder.path().join("nagle.html"));
    fs::write(&foreign, "<p>mine")?;
    fs::write(pages.join("notes.txt"), "mine, too")?;
    let refused = learn(world, pages, &[])?;
    let stderr = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(2) && stderr.contains("nagle.html"), "{stderr}");
    ensure!(names_in(pages)? == ["nagle.html", "notes.txt"], "nothing is written");
    ensure!(fs::read_to_string(&foreign)? == "<p>mine", "it was touched");
    fs::remove_file(&foreign)?;
    // One lesson is one page, which leads to no other.
    let one = learn(world, pages, &["47"])?;
    ensure!(one.status.success(), "{}", String::from_utf8_lossy(&one.stderr));
    ensure!(names_in(pages)? == ["nagle.html", "notes.txt"], "{:?}", names_in(pages)?);
    let alone = fs::read_to_string(&foreign)?;
    ensure!(!alone.contains("href=\"index.html") && alone.contains("href=\"#round-1\""), "links");
    // Our own are replaced.
    written(world, pages)?;
    ensure!(fs::read_to_string(&foreign)?.contains("href=\"index.html"), "it was replaced");
    ensure!(fs::read_to_string(pages.join("notes.txt"))? == "mine, too", "it was touched");
    let before = names_in(pages)?;
    written(world, pages)?;
    ensure!(names_in(pages)? == before, "nothing is left over");

    let file = pages.join("notes.txt");
    let refused = learn(world, &file, &[])?;
    let stderr = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(2) && stderr.contains("not a folder"), "{stderr}");
    for other in ["--list", "--auto", "--plain"] {
        let refused = learn(world, pages, &[other])?;
        ensure!(refused.status.code() == Some(2), "{other}: {}", refused.status);
    }
    let unknown = learn(world, pages, &["no-such-lesson"])?;
    ensure!(unknown.status.code() == Some(2), "{}", unknown.status);
    Ok(())
}
