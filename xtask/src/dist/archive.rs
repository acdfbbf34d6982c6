//! The archive for whoever has no package: a folder to unpack anywhere.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::contents::{Contents, gzip};
use super::release::Release;
use crate::step::{self, Step};

/// Packs the archive, and returns its path.
pub(crate) fn build(release: &Release<'_>, contents: &Contents) -> Result<PathBuf> {
    let name = format!("backscope-{}-{}", release.version, contents.arch.static_target());
    let step = Step::start("packing the archive");
    let dir = release.scratch("archive")?;
    contents.unpacked(&name).lay(&dir, release.seconds)?;
    let tar = dir.join("packed.tar");
    let mut command = Command::new("tar");
    command.args(["--create", "--format=ustar", "--sort=name", "--numeric-owner"]);
    command.args(["--owner=0", "--group=0", &format!("--mtime=@{}", release.seconds)]);
    step::output(command.arg("--file").arg(&tar).arg("--directory").arg(&dir).arg(&name))?;
    let archive = release.out.join(format!("{name}.tar.gz"));
    fs::write(&archive, gzip(&fs::read(&tar)?)?)?;
    step.done(archive.display());
    Ok(archive)
}
