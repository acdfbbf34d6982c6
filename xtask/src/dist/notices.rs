//! Licences and notices of everything that is linked into the program: most ask to be passed on
//! with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::program::linked_crates;
use crate::arch::Arch;
use crate::step;

/// Beginnings of the names of files that a crate has its licences in.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

/// What is linked in and is no crate.
const OTHERS: &str = include_str!("notices-of-libraries.txt");

/// Returns one text with every licence once, below the names of those that it holds for.
pub(crate) fn gather(root: &Path, arch: Arch) -> Result<Vec<u8>> {
    let linked = linked_crates(root, arch)?;
    let mut stated = String::new();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut found = 0;
    for package in packages(root, arch)? {
        let name = format!("{} {}", text(&package, "name"), text(&package, "version"));
        // The workspace's own are no third party's.
        if !linked.contains(&name) || package["source"].is_null() {
            continue;
        }
        found += 1;
        writeln!(stated, "    {name}: {}", text(&package, "license"))?;
        let manifest = PathBuf::from(text(&package, "manifest_path"));
        for licence in licences(manifest.parent().context("a manifest has a folder")?)? {
            texts.entry(licence).or_default().push(name.clone());
        }
    }
    ensure!(found > 0, "cargo names no crate that is linked in");
    let mut all = format!(
        "Programs and libraries of others in backscope\n\n\
         It contains these crates, under the licences that they state:\n\n{stated}\n{OTHERS}"
    );
    for (licence, crates) in &texts {
        writeln!(all, "\n{}\n{}\n\n{licence}", "-".repeat(80), crates.join(", "))?;
    }
    Ok(all.into_bytes())
}

fn packages(root: &Path, arch: Arch) -> Result<Vec<Value>> {
    let mut cargo = step::cargo();
    cargo.current_dir(root).args(["metadata", "--format-version", "1", "--locked"]);
    cargo.args(["--filter-platform", arch.static_target()]);
    let mut metadata: Value = serde_json::from_str(&step::output(&mut cargo)?)?;
    match metadata["packages"].take() {
        Value::Array(packages) => Ok(packages),
        other => anyhow::bail!("cargo metadata names no packages: {other}"),
    }
}

fn text<'a>(package: &'a Value, field: &str) -> &'a str {
    package[field].as_str().unwrap_or("not stated")
}

/// Returns the licences in a crate's folder, in the order of their files.
fn licences(dir: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        if path.is_file() && NAMES.iter().any(|begin| name.starts_with(begin)) {
            files.push(path);
        }
    }
    files.sort();
    let read = |path: &PathBuf| {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        // The same text comes with other line ends, and blanks at their ends.
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
        Ok(lines.join("\n"))
    };
    files.iter().map(read).collect()
}
