//! Kernel modules that the tests need, of the kernels that are tested.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::debian;
use crate::kernels::{Kernel, Wanted};
use crate::step::{self, Step};

/// The TUN device of a kernel, as a file to be loaded: from the cache, or from the Debian archive.
///
/// # Errors
/// If it is neither in the cache nor to be had.
pub(crate) fn tun(wanted: &Wanted, kernel: &Kernel) -> Result<PathBuf> {
    let release = &kernel.release;
    let dir = kernel.vmlinuz.parent().context("a kernel has a directory")?;
    let module = dir.join(format!("tun-{release}.ko"));
    if module.exists() {
        return Ok(module);
    }
    let step = Step::start(format!("kernel {wanted}: fetching its TUN module"));
    let unpacked = dir.join(format!("unpack-module-{}", std::process::id()));
    let fetched = fetch(wanted, release, &unpacked, &module);
    // A failure only leaves files behind that are in nobody's way.
    let _ = fs::remove_dir_all(&unpacked);
    fetched?;
    step.done(module.display());
    Ok(module)
}

fn fetch(wanted: &Wanted, release: &str, unpacked: &Path, module: &Path) -> Result<()> {
    // Since 7.0 the modules have a package of their own.
    let names = [format!("linux-modules-{release}"), format!("linux-image-{release}")];
    let mut refused = Vec::new();
    for suite in wanted.suites() {
        let packages =
            debian::index(suite, wanted.arch, |name| names.iter().any(|known| known == name))
                .unwrap_or_default();
        for package in packages {
            match debian::unpack(&package, unpacked).and_then(|()| take(unpacked, release, module))
            {
                Ok(()) => return Ok(()),
                Err(error) => refused.push(format!("{}: {error:#}", package.name)),
            }
        }
    }
    bail!("no package has it: {}", refused.join("; "))
}

/// Moves the module from the unpacked package to its place, decompressed: not every kernel can
/// decompress modules.
fn take(unpacked: &Path, release: &str, module: &Path) -> Result<()> {
    const PLACES: [&str; 2] = ["usr/lib/modules", "lib/modules"];
    for place in PLACES {
        let plain = unpacked.join(place).join(release).join("kernel/drivers/net/tun.ko");
        let packed = plain.with_extension("ko.xz");
        if packed.exists() {
            step::run(Command::new("xz").arg("--decompress").arg(&packed))?;
        }
        if plain.exists() {
            fs::rename(&plain, module)
                .with_context(|| format!("cannot write {}", module.display()))?;
            return Ok(());
        }
    }
    bail!("no tun.ko where one is expected")
}
