//! The kernels that backscope is tested on: Debian's own, found through the index of a suite.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use crate::debian::{self, Package};
use crate::step::Step;

/// Version and the suites that have it.
const KERNELS: [(&str, &[&str]); 4] = [
    ("5.10", &["bullseye", "bullseye-security"]),
    ("6.1", &["bookworm", "bookworm-security"]),
    ("6.12", &["trixie", "trixie-security", "bookworm-backports"]),
    ("7", &["trixie-backports", "forky", "sid"]),
];

/// Debian's build for virtual machines: small, with everything that is needed built in.
const FLAVOUR: &str = "-cloud-amd64";

/// Age up to which a cached kernel is used without asking the archive for a newer one.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// Versions that are tested when none is named.
pub(crate) fn default_versions() -> Vec<String> {
    KERNELS.iter().map(|(version, _)| (*version).to_owned()).collect()
}

/// A kernel ready to boot.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// Its release, such as `6.1.0-50-cloud-amd64`.
    pub(crate) release: String,
    pub(crate) vmlinuz: PathBuf,
}

/// Returns the newest kernel of a version (`6.1`, `7`), from the cache or from the Debian archive.
///
/// A kernel that was fetched or checked within a day is used as it is. After that the archive is
/// asked again; if it does not answer, the cached kernel is used all the same.
///
/// # Errors
/// If it is neither in the cache nor to be had, or was built without BTF.
pub(crate) fn ensure(version: &str) -> Result<Kernel> {
    let version = version.trim_end_matches(".x");
    if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        bail!("`{version}` is no kernel version: name one such as 6.1");
    }
    let dir = debian::cache_dir()?.join("kernels").join(version);
    let cached = cached(&dir);
    let checked = dir.join("checked");
    if let Some(kernel) = &cached
        && is_fresh(&checked)
    {
        return Ok(kernel.clone());
    }
    let found = match newest(version) {
        Ok(packages) => fetch_first(&packages, &dir, cached.as_ref()),
        Err(error) => Err(error),
    };
    match (found, cached) {
        (Ok(kernel), _) => {
            fs::write(&checked, "")?;
            Ok(kernel)
        }
        (Err(error), Some(kernel)) => {
            eprintln!("    kernel {version}: using the cached {}, since {error:#}", kernel.release);
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

/// Returns the suites that have a kernel of that version; all suites if the version is unknown.
pub(crate) fn suites(version: &str) -> Vec<&'static str> {
    match KERNELS.iter().find(|(known, _)| *known == version) {
        Some((_, suites)) => suites.to_vec(),
        None => KERNELS.iter().flat_map(|(_, suites)| suites.iter().copied()).collect(),
    }
}

/// Returns the packages of that version in all its suites, the newest first.
fn newest(version: &str) -> Result<Vec<Package>> {
    let step = Step::start(format!("kernel {version}: asking the Debian archive for the newest"));
    let prefix = format!("{version}.");
    let wanted = |name: &str| release(name).is_some_and(|release| release.starts_with(&prefix));
    let mut packages = Vec::new();
    let mut silent = Vec::new();
    for suite in suites(version) {
        match debian::index(suite, wanted) {
            Ok(found) => packages.extend(found),
            Err(error) => silent.push(format!("{error:#}")),
        }
    }
    debian::newest_first(&mut packages);
    match packages.first() {
        Some(package) => step.done(format_args!("{} {}", package.name, package.version)),
        None if silent.is_empty() => bail!("no suite has a package linux-image-{prefix}*{FLAVOUR}"),
        None => bail!("{}", silent.join("; ")),
    }
    Ok(packages)
}

/// Returns the release of the kernel in a package of that name. Since 7.0 the kernel is in
/// `linux-binary-*`, and `linux-image-*` of the same version only depends on that. In the order of
/// names, the package with the kernel comes first.
fn release(package: &str) -> Option<&str> {
    let release =
        package.strip_prefix("linux-image-").or_else(|| package.strip_prefix("linux-binary-"))?;
    release.ends_with(FLAVOUR).then_some(release)
}

/// Fetches the first package that can be had: an index may name one that has already left the pool.
fn fetch_first(packages: &[Package], dir: &Path, cached: Option<&Kernel>) -> Result<Kernel> {
    let mut refused = Vec::new();
    for package in packages.iter().take(4) {
        let Some(release) = release(&package.name) else { continue };
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
    use super::release;

    #[test]
    fn release_is_in_the_package_name() {
        assert_eq!(release("linux-image-6.1.0-50-cloud-amd64"), Some("6.1.0-50-cloud-amd64"));
        assert_eq!(
            release("linux-binary-7.3.4+deb13-cloud-amd64"),
            Some("7.3.4+deb13-cloud-amd64")
        );
        for other in ["linux-image-6.1.0-50-amd64", "linux-image-6.1.0-50-cloud-amd64-dbg", "vim"] {
            assert_eq!(release(other), None);
        }
    }
}
