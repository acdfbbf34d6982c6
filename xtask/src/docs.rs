//! Checks the documents: links lead to files that exist, and `cargo xtask` commands are valid.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;

use crate::{Cli, step};

/// Every Markdown file at the top and in `docs/`.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for dir in ["", "docs", "docs/events", "docs/internals"] {
        let entries = fs::read_dir(step::root().join(dir)).expect("a folder of documents");
        found.extend(
            entries
                .map(|entry| entry.expect("an entry").path())
                .filter(|path| path.extension() == Some("md".as_ref())),
        );
    }
    found
}

/// Returns each text between `open` and one of `close`.
fn between<'a>(text: &'a str, open: &'a str, close: &'a [char]) -> impl Iterator<Item = &'a str> {
    text.split(open).skip(1).filter_map(move |rest| rest.split(close).next())
}

#[test]
fn links_lead_somewhere() {
    let mut checked = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a document");
        for link in between(&text, "](", &[')', '#'])
            .filter(|link| !link.is_empty() && !link.contains("://"))
        {
            let target = document.parent().unwrap_or(Path::new("")).join(link);
            assert!(target.exists(), "{}: {link}", document.display());
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} links found");
}

#[test]
fn xtask_commands_are_commands() {
    let mut checked = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a document");
        for words in between(&text, "cargo xtask ", &['`', '\n', '#', ')']) {
            let parsed =
                Cli::try_parse_from(std::iter::once("xtask").chain(words.split_whitespace()));
            assert!(parsed.is_ok(), "{}: cargo xtask {words}", document.display());
            checked += 1;
        }
    }
    assert!(checked > 5, "only {checked} commands found");
}

/// Every file and folder of the repository, by its path.
pub(crate) fn tree(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default();
        if name == "target" || name == ".git" {
            continue;
        }
        if path.is_dir() {
            found.push(format!("{}/", path.display()));
            tree(&path, found);
        } else {
            found.push(path.display().to_string());
        }
    }
}

#[test]
fn files_that_are_named_exist() {
    let mut there = Vec::new();
    tree(&step::root(), &mut there);
    let mut checked = 0;
    for document in documents() {
        let name = document.file_name().unwrap_or_default();
        let inside = document.parent().is_some_and(|dir| dir.ends_with("internals"));
        if !inside && name != "ARCHITECTURE.md" && name != "CONTRIBUTING.md" {
            continue;
        }
        let text = fs::read_to_string(&document).expect("a document");
        // What stands between every second pair of backticks is code.
        for word in text.split('`').skip(1).step_by(2) {
            let is_path = word.ends_with(".rs") || word.ends_with('/') && word.len() > 1;
            if !is_path || word.contains(['*', ' ', '<', '{', '$']) || word.contains("NAME") {
                continue;
            }
            let is_there = there.iter().any(|path| path.ends_with(&format!("/{word}")));
            assert!(is_there, "{}: `{word}`", document.display());
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} names found");
}
