//! What goes into every package: the program, what it says of itself, and the documents.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::notices;
use super::program::Program;
use super::release::Release;
use super::tree::Tree;
use crate::arch::Arch;
use crate::step::{self, Step};

/// The unit of systemd, where the checkout has one.
const UNIT: &str = "deploy/backscope.service";

/// Shells, and where a package installs their completions. Debian's zsh looks elsewhere.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/backscope"),
    ("zsh", "usr/share/zsh/site-functions/_backscope"),
    ("fish", "usr/share/fish/vendor_completions.d/backscope.fish"),
];
const DEBIANS_ZSH: &str = "usr/share/zsh/vendor-completions/_backscope";

/// All of it, in memory.
pub(crate) struct Contents {
    pub(crate) arch: Arch,
    program: Vec<u8>,
    /// By their file names, such as `backscope-watch.1`.
    manual: Vec<(String, Vec<u8>)>,
    /// In the order of [`SHELLS`].
    completions: Vec<Vec<u8>>,
    pub(crate) unit: Option<Vec<u8>>,
    pub(crate) changelog: Vec<u8>,
    readme: Vec<u8>,
    licences: [(&'static str, Vec<u8>); 2],
    pub(crate) notices: Vec<u8>,
}

impl Contents {
    /// Gathers everything. A program that runs on this machine, made of the same source, `tells`
    /// the manual and completions: they are the same for every architecture.
    pub(crate) fn gather(release: &Release<'_>, program: &Program, tells: &Path) -> Result<Self> {
        let step = Step::start(format_args!("gathering what is packaged for {}", program.arch));
        let document = |name: &str| {
            let path = release.root.join(name);
            fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let completions = SHELLS.iter().map(|(shell, _)| {
            let printed = step::output(Command::new(tells).args(["completions", shell]))?;
            Ok(printed.into_bytes())
        });
        let unit = release.root.join(UNIT);
        let path = &program.path;
        let contents = Self {
            arch: program.arch,
            program: fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
            manual: manual(release, tells)?,
            completions: completions.collect::<Result<_>>()?,
            unit: if unit.exists() { Some(document(UNIT)?) } else { None },
            changelog: document("CHANGELOG.md")?,
            readme: document("README.md")?,
            licences: [
                ("LICENSE-APACHE", document("LICENSE-APACHE")?),
                ("LICENSE-MIT", document("LICENSE-MIT")?),
            ],
            notices: notices::gather(release.root, program.arch)?,
        };
        let unit = if contents.unit.is_some() { "a unit of systemd" } else { "no unit of systemd" };
        step.done(format_args!(
            "{} MB of program, {} pages of manual, {unit}",
            contents.program.len() / 1_000_000,
            contents.manual.len()
        ));
        Ok(contents)
    }

    /// Returns what both distributions' packages have at the same place.
    pub(crate) fn installed(&self) -> Result<Tree> {
        let mut tree = Tree::default();
        tree.program("usr/bin/backscope", self.program.clone());
        for (name, page) in &self.manual {
            tree.file(format!("usr/share/man/man1/{name}.gz"), gzip(page)?);
        }
        if let Some(unit) = &self.unit {
            tree.file("usr/lib/systemd/system/backscope.service", unit.clone());
        }
        Ok(tree)
    }

    /// Adds the completions, for Debian or for others.
    pub(crate) fn completions_into(&self, tree: &mut Tree, debian: bool) {
        for ((shell, path), script) in SHELLS.iter().zip(&self.completions) {
            let path = if debian && *shell == "zsh" { DEBIANS_ZSH } else { path };
            tree.file(path, script.clone());
        }
    }

    /// Adds the licences as they are.
    pub(crate) fn licences_into(&self, tree: &mut Tree, dir: &str) {
        for (name, text) in &self.licences {
            tree.file(format!("{dir}/{name}"), text.clone());
        }
        tree.file(format!("{dir}/THIRD-PARTY"), self.notices.clone());
    }

    /// Returns what the archive unpacks, below a folder of this name.
    pub(crate) fn unpacked(&self, name: &str) -> Tree {
        let mut tree = Tree::default();
        tree.program(format!("{name}/backscope"), self.program.clone());
        tree.file(format!("{name}/README.md"), self.readme.clone());
        tree.file(format!("{name}/CHANGELOG.md"), self.changelog.clone());
        self.licences_into(&mut tree, name);
        for (page, text) in &self.manual {
            tree.file(format!("{name}/man/{page}"), text.clone());
        }
        for ((_, path), script) in SHELLS.iter().zip(&self.completions) {
            let file = path.rsplit('/').next().unwrap_or(path);
            let file = if file == "backscope" { "backscope.bash" } else { file };
            tree.file(format!("{name}/completions/{file}"), script.clone());
        }
        if let Some(unit) = &self.unit {
            tree.file(format!("{name}/backscope.service"), unit.clone());
        }
        tree
    }
}

/// Returns the pages of the manual by their file names, in order.
fn manual(release: &Release<'_>, program: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let dir = release.scratch("man")?;
    step::output(Command::new(program).arg("man").arg("--dir").arg(&dir))?;
    let mut pages = Vec::new();
    for entry in fs::read_dir(&dir)? {
        let entry = entry?;
        pages.push((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?));
    }
    pages.sort();
    ensure!(!pages.is_empty(), "{} wrote no manual", program.display());
    Ok(pages)
}

/// Compresses, without a name or a time in the result.
pub(crate) fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut child = Command::new("gzip")
        .args(["-9", "--no-name"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start gzip")?;
    let mut input = child.stdin.take().context("gzip has no input")?;
    let output = std::thread::scope(|scope| {
        let writer = scope.spawn(move || input.write_all(content));
        let output = child.wait_with_output();
        if writer.join().is_err() {
            bail!("cannot write to gzip");
        }
        Ok(output?)
    })?;
    ensure!(output.status.success(), "gzip failed: {}", output.status);
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::gzip;

    #[test]
    fn compressed_bytes_hold_neither_name_nor_time() {
        let once = gzip(&b"text".repeat(100_000)).expect("gzip");
        assert_eq!(once[..4], [0x1f, 0x8b, 8, 0], "no name");
        assert_eq!(once[4..8], [0; 4], "no time");
    }
}
