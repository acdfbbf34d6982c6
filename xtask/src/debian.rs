//! Packages of the Debian archive: finding the newest in a suite's index, fetching it, checking it.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::step;

/// Tried in order: suites past their end of life move to the second.
const MIRRORS: [&str; 2] = ["https://deb.debian.org", "https://archive.debian.org"];

/// A package as an index describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) sha256: String,
    /// Path below the archive.
    pub(crate) filename: String,
    /// The archive it is in, such as `https://deb.debian.org/debian`.
    pub(crate) archive: String,
}

/// Returns the packages of a suite (`trixie`, `bookworm-security`) for an architecture, or for any,
/// whose name is wanted.
///
/// # Errors
/// If no mirror has the suite's index.
pub(crate) fn index(
    suite: &str,
    arch: Arch,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Package>> {
    let arch = arch.traits().debian;
    let directory = if suite.ends_with("-security") { "debian-security" } else { "debian" };
    let mut refused = Vec::new();
    for mirror in MIRRORS {
        let archive = format!("{mirror}/{directory}");
        let folder = format!("{archive}/dists/{suite}/main/binary-{arch}");
        match fetch_index(&format!("{folder}/Packages.xz")) {
            Ok(text) => return Ok(parse(&text, &archive, wanted)),
            Err(error) => refused.push(format!("{error:#}")),
        }
    }
    bail!("no index of suite {suite}: {}", refused.join("; "))
}

fn curl(url: &str) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--silent", "--show-error", "--location", "--retry", "2"]);
    curl.args(["--connect-timeout", "20", "--speed-time", "30", "--speed-limit", "1000", url]);
    curl
}

fn fetch_index(url: &str) -> Result<String> {
    let mut download = curl(url).stdout(Stdio::piped()).spawn().context("cannot start curl")?;
    let compressed = download.stdout.take().context("curl has no output")?;
    let text =
        step::output(Command::new("xz").args(["--decompress", "--stdout"]).stdin(compressed));
    if !download.wait()?.success() {
        bail!("cannot fetch {url}");
    }
    text
}

/// Reads an index: paragraphs of `Field: value` lines, a blank line between two.
fn parse(text: &str, archive: &str, wanted: impl Fn(&str) -> bool) -> Vec<Package> {
    let read = |paragraph: &str| {
        let field = |name: &str| {
            let mut lines = paragraph.lines();
            lines
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .map(|value| value.trim().to_owned())
        };
        let name = field("Package").filter(|name| wanted(name))?;
        Some(Package {
            name,
            version: field("Version")?,
            sha256: field("SHA256")?,
            filename: field("Filename")?,
            archive: archive.to_owned(),
        })
    };
    text.split("\n\n").filter_map(read).collect()
}

/// Sorts the newest package first. Packages of one version are in the order of their names.
pub(crate) fn newest_first(packages: &mut [Package]) {
    packages
        .sort_by(|a, b| compare_versions(&b.version, &a.version).then_with(|| a.name.cmp(&b.name)));
}

/// Debian's order of versions: runs of non-digits and of digits in turn, `~` before everything,
/// letters before others.
fn compare_versions(a: &str, b: &str) -> Ordering {
    let split = |version: &str| -> (u64, String) {
        match version.split_once(':') {
            Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest.to_owned()),
            None => (0, version.to_owned()),
        }
    };
    let ((epoch_a, a), (epoch_b, b)) = (split(a), split(b));
    // The last hyphen separates the upstream version from the Debian revision. An absent revision
    // counts as "0".
    let halves = |version: &str| match version.rsplit_once('-') {
        Some((upstream, revision)) => (upstream.to_owned(), revision.to_owned()),
        None => (version.to_owned(), "0".to_owned()),
    };
    let ((upstream_a, revision_a), (upstream_b, revision_b)) = (halves(&a), halves(&b));
    epoch_a
        .cmp(&epoch_b)
        .then_with(|| compare_parts(upstream_a.as_bytes(), upstream_b.as_bytes()))
        .then_with(|| compare_parts(revision_a.as_bytes(), revision_b.as_bytes()))
}

fn compare_parts(mut a: &[u8], mut b: &[u8]) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(digit) if digit.is_ascii_digit() => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(*letter),
        Some(other) => i32::from(*other) + 256,
    };
    while !a.is_empty() || !b.is_empty() {
        let order = weight(a.first()).cmp(&weight(b.first()));
        if order.is_ne() {
            return order;
        }
        if weight(a.first()) != 0 {
            (a, b) = (&a[1..], &b[1..]);
            continue;
        }
        let (number_a, number_b);
        (number_a, a) = leading_number(a);
        (number_b, b) = leading_number(b);
        let order = number_a.cmp(&number_b);
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

fn leading_number(text: &[u8]) -> (u64, &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = text[..digits]
        .iter()
        .fold(0u64, |n, byte| n.saturating_mul(10).saturating_add(u64::from(byte - b'0')));
    (number, &text[digits..])
}

/// Fetches a package, checks it against the index, and unpacks it below `to`.
///
/// # Errors
/// If the package cannot be fetched or unpacked, or differs from the index.
pub(crate) fn unpack(package: &Package, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let file = to.join("package.deb");
    let url = format!("{}/{}", package.archive, package.filename);
    step::run(curl(&url).arg("--output").arg(&file))?;
    let printed = step::output(Command::new("sha256sum").arg(&file))?;
    let sum = printed.split_whitespace().next().unwrap_or_default();
    if sum != package.sha256 {
        bail!("{url} has SHA-256 {sum}, and the index says {}", package.sha256);
    }
    step::run(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(to))?;
    fs::remove_file(&file)?;
    Ok(())
}

/// Returns the folder of downloads, outside the checkout: `$XDG_CACHE_HOME/backscope`, or
/// `~/.cache/backscope`.
///
/// # Errors
/// If there is no home directory.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let base =
        match std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute())
        {
            Some(dir) => dir,
            None => std::env::home_dir()
                .context("neither XDG_CACHE_HOME nor HOME is set")?
                .join(".cache"),
        };
    Ok(base.join("backscope"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "\
Package: linux-image-6.1.0-9-cloud-amd64
Source: linux
Version: 6.1.99-1
Description: Linux
 with a continued line: Version: 7
Filename: pool/main/l/linux/nine.deb
SHA256: aa

Package: vim
Version: 9
Filename: pool/vim.deb
SHA256: bb

Package: linux-image-6.1.0-10-cloud-amd64
Version: 6.1.115-1~deb11u1
Filename: pool/main/l/linux/ten.deb
SHA256: cc
";

    #[test]
    fn index_gives_wanted_packages() {
        let mut packages =
            parse(INDEX, "https://example.org/debian", |name| name.starts_with("linux-image-"));
        newest_first(&mut packages);
        let names: Vec<&str> = packages.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["linux-image-6.1.0-10-cloud-amd64", "linux-image-6.1.0-9-cloud-amd64"]);
        assert_eq!(packages[0].filename, "pool/main/l/linux/ten.deb");
        assert_eq!(packages[1].version, "6.1.99-1");
        assert_eq!(packages[1].sha256, "aa");
    }

    #[test]
    fn versions_are_ordered_as_dpkg_orders_them() {
        let ascending = [
            "1.0~rc1-1",
            "1.0-1~bpo12+1",
            "1.0-1",
            "1.0-1+b1",
            "1.0.1-1",
            "1.9-1",
            "1.10-1",
            "1:0.1-1",
        ];
        for pair in ascending.windows(2) {
            assert_eq!(compare_versions(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare_versions(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
        assert_eq!(compare_versions("6.1.4-1", "6.1.4-1"), Ordering::Equal);
    }
}
