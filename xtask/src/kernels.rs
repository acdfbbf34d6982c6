//! The kernels that backscope is tested on: Debian's own, found through the index of a suite.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::debian::{self, Package};
use crate::step::Step;

/// The suites of Debian that have a kernel.
pub(crate) type Suites = &'static [&'static str];

/// Age up to which a cached kernel is used without asking the archive for a newer one.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// One of Debian's builds of its kernels.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flavour {
    /// What follows the version where one asks for it.
    pub(crate) suffix: &'static str,
    /// What follows the version in the kernel's release.
    pub(crate) debian: &'static str,
}

/// A kernel as one asks for it: `6.1`, `7`, or `6.12-16k` for a build with pages of 16 KB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) arch: Arch,
    number: String,
    flavour: &'static Flavour,
}

impl Wanted {
    /// Reads what one asks for.
    ///
    /// # Errors
    /// If it is no version, or Debian has no such build for this architecture.
    pub(crate) fn parse(arch: Arch, name: &str) -> Result<Self> {
        let (number, suffix) = name.split_at(name.find('-').unwrap_or(name.len()));
        let number = number.trim_end_matches(".x");
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            bail!("`{name}` is no kernel version: name one such as 6.1");
        }
        let flavours = arch.traits().flavours;
        match flavours.iter().find(|flavour| flavour.suffix == suffix) {
            Some(flavour) => Ok(Self { arch, number: number.to_owned(), flavour }),
            None => bail!("`{name}`: Debian has no build `{suffix}` of its kernels for {arch}"),
        }
    }

    /// All that are tested when none is named.
    pub(crate) fn all(arch: Arch) -> Vec<Self> {
        let kernels = arch.traits().kernels;
        kernels.iter().map(|kernel| Self::known(arch, kernel.0)).collect()
    }

    /// Those that `cargo xtask test` runs without `--long`.
    pub(crate) fn short(arch: Arch) -> Vec<Self> {
        let kernels = arch.traits().short;
        kernels.iter().map(|number| Self::known(arch, number)).collect()
    }

    fn known(arch: Arch, number: &str) -> Self {
        let flavour = &arch.traits().flavours[0];
        Self { arch, number: number.to_owned(), flavour }
    }

    /// Its version, as one asks for it.
    pub(crate) fn version(&self) -> String {
        format!("{}{}", self.number, self.flavour.suffix)
    }

    /// Returns the suites that have it; all suites if the version is unknown.
    pub(crate) fn suites(&self) -> Vec<&'static str> {
        let kernels = self.arch.traits().kernels;
        match kernels.iter().find(|(known, _)| *known == self.number) {
            Some((_, suites)) => suites.to_vec(),
            None => kernels.iter().flat_map(|(_, suites)| suites.iter().copied()).collect(),
        }
    }

    /// Returns the release of the kernel in a package of that name, if it is one of these. Since 7.0
    /// the kernel is in `linux-binary-*`, and `linux-image-*` of the same version only depends on
    /// that. In the order of names, the package with the kernel comes first.
    fn release<'a>(&self, package: &'a str) -> Option<&'a str> {
        let release = package
            .strip_prefix("linux-image-")
            .or_else(|| package.strip_prefix("linux-binary-"))?;
        let rest = release.strip_prefix(self.number.as_str())?;
        (rest.starts_with('.') && rest.ends_with(self.flavour.debian)).then_some(release)
    }
}

/// The architecture and the version.
impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.arch, self.version())
    }
}

/// A kernel ready to boot.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// Its release, such as `6.1.0-50-cloud-amd64`.
    pub(crate) release: String,
    pub(crate) vmlinuz: PathBuf,
}

/// Returns the newest kernel of a version, from the cache or from the Debian archive.
///
/// A kernel that was fetched or checked within a day is used as it is. After that the archive is
/// asked again; if it does not answer, the cached kernel is used all the same.
///
/// # Errors
/// If it is neither in the cache nor to be had, or was built without BTF.
pub(crate) fn ensure(wanted: &Wanted) -> Result<Kernel> {
    let cache = debian::cache_dir()?.join(wanted.arch.traits().cache);
    let dir = cache.join(wanted.version());
    let cached = cached(&dir);
    let checked = dir.join("checked");
    if let Some(kernel) = &cached
        && is_fresh(&checked)
    {
        return Ok(kernel.clone());
    }
    let found = match newest(wanted) {
        Ok(packages) => fetch_first(wanted, &packages, &dir, cached.as_ref()),
        Err(error) => Err(error),
    };
    match (found, cached) {
        (Ok(kernel), _) => {
            fs::write(&checked, "")?;
            Ok(kernel)
        }
        (Err(error), Some(kernel)) => {
            eprintln!("    kernel {wanted}: using the cached {}, since {error:#}", kernel.release);
            Ok(kernel)
        }
        (Err(error), None) => Err(error),
    }
}

fn is_fresh(stamp: &Path) -> bool {
    let age = fs::metadata(stamp)
        .and_then(|meta| meta.modified())
        .ok()
        .map(|at| SystemTime::now().duration_since(at));
    matches!(age, Some(Ok(age)) if age < FRESH)
}

fn cached(dir: &Path) -> Option<Kernel> {
    fs::read_dir(dir).ok()?.flatten().find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let release = name.strip_prefix("vmlinuz-")?.to_owned();
        Some(Kernel { release, vmlinuz: entry.path() })
    })
}

/// Returns the packages of that version in all its suites, the newest first.
fn newest(wanted: &Wanted) -> Result<Vec<Package>> {
    let step = Step::start(format!("kernel {wanted}: asking the Debian archive for the newest"));
    let is_wanted = |name: &str| wanted.release(name).is_some();
    let mut packages = Vec::new();
    let mut silent = Vec::new();
    for suite in wanted.suites() {
        match debian::index(suite, wanted.arch, is_wanted) {
            Ok(found) => packages.extend(found),
            Err(error) => silent.push(format!("{error:#}")),
        }
    }
    debian::newest_first(&mut packages);
    match packages.first() {
        Some(package) => step.done(format_args!("{} {}", package.name, package.version)),
        None if silent.is_empty() => {
            bail!("no suite has a package linux-image-{}.*{}", wanted.number, wanted.flavour.debian)
        }
        None => bail!("{}", silent.join("; ")),
    }
    Ok(packages)
}

/// Fetches the first package that can be had: an index may name one that has already left the pool.
fn fetch_first(
    wanted: &Wanted,
    packages: &[Package],
    dir: &Path,
    cached: Option<&Kernel>,
) -> Result<Kernel> {
    let mut refused = Vec::new();
    for package in packages.iter().take(4) {
        let Some(release) = wanted.release(&package.name) else { continue };
        if let Some(kernel) = cached.filter(|kernel| kernel.release == release) {
            return Ok(kernel.clone());
        }
        match fetch(package, release, dir) {
            Ok(kernel) => {
                if let Some(old) = cached {
                    // A failure only leaves an old kernel on the disk.
                    let _ = fs::remove_file(&old.vmlinuz);
                }
                return Ok(kernel);
            }
            Err(error) => refused.push(format!("{release}: {error:#}")),
        }
    }
    bail!("none of the packages could be had: {}", refused.join("; "))
}

fn fetch(package: &Package, release: &str, dir: &Path) -> Result<Kernel> {
    let step = Step::start(format!("fetching {} {}", package.name, package.version));
    let unpacked = dir.join(format!("unpack-{}", std::process::id()));
    let fetched =
        debian::unpack(package, &unpacked).and_then(|()| take_kernel(&unpacked, release, dir));
    let removed = fs::remove_dir_all(&unpacked);
    let kernel = fetched?;
    removed.with_context(|| format!("cannot remove {}", unpacked.display()))?;
    step.done(kernel.vmlinuz.display());
    Ok(kernel)
}

/// Moves the kernel itself from the unpacked package to the cache.
fn take_kernel(unpacked: &Path, release: &str, dir: &Path) -> Result<Kernel> {
    let places = [
        (format!("boot/vmlinuz-{release}"), format!("boot/config-{release}")),
        (format!("usr/lib/modules/{release}/vmlinuz"), format!("usr/lib/modules/{release}/config")),
    ];
    let found = places.iter().find(|(vmlinuz, _)| unpacked.join(vmlinuz).exists());
    let (vmlinuz, config) = found.context("the package has no vmlinuz where one is expected")?;
    let configs = [unpacked.join(config), unpacked.join(format!("boot/config-{release}"))];
    if let Some(config) = configs.iter().find(|path| path.exists())
        && !fs::read_to_string(config)?.lines().any(|line| line == "CONFIG_DEBUG_INFO_BTF=y")
    {
        bail!("it was built without CONFIG_DEBUG_INFO_BTF");
    }
    let target = dir.join(format!("vmlinuz-{release}"));
    fs::rename(unpacked.join(vmlinuz), &target)?;
    Ok(Kernel { release: release.to_owned(), vmlinuz: target })
}

#[cfg(test)]
mod tests {
    use super::{Arch, Wanted};

    fn wanted(arch: Arch, name: &str) -> Wanted {
        Wanted::parse(arch, name).expect("there is such a build")
    }

    #[test]
    fn release_is_in_the_package_name() {
        for (number, release) in [("6.1", "6.1.0-50-cloud-amd64"), ("7", "7.3.4+deb13-cloud-amd64")]
        {
            let wanted = wanted(Arch::X86_64, number);
            for package in ["linux-image", "linux-binary"] {
                assert_eq!(wanted.release(&format!("{package}-{release}")), Some(release));
            }
        }
        for other in [
            "linux-image-6.1.0-50-amd64",
            "linux-image-6.1.0-50-cloud-amd64-dbg",
            "linux-image-6.12.117+deb13-cloud-amd64",
            "vim",
        ] {
            assert_eq!(wanted(Arch::X86_64, "6.1").release(other), None, "{other}");
        }
    }

    #[test]
    fn a_name_asks_for_one_build() {
        let asked = wanted(Arch::Arm64, "7.x");
        assert_eq!((asked.version().as_str(), asked.flavour.debian), ("7", "-cloud-arm64"));
        let asked = wanted(Arch::Arm64, "6.12-16k");
        assert_eq!((asked.version().as_str(), asked.flavour.debian), ("6.12-16k", "-arm64-16k"));
        assert_eq!(asked.suites(), wanted(Arch::Arm64, "6.12").suites());
        for (arch, name) in [
            (Arch::X86_64, "6.12-16k"),
            (Arch::Arm64, "6.12-64k"),
            (Arch::Arm64, "new"),
            (Arch::Arm64, "-16k"),
        ] {
            assert!(Wanted::parse(arch, name).is_err(), "{name}");
        }
    }
}
