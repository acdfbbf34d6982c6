//! The package of Debian and its relatives, packed by `dpkg-deb`.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::contents::{Contents, gzip};
use super::release::{REVISION, Release};
use super::tree::Tree;
use crate::arch::Arch;
use crate::step::{self, Step};

const DESCRIPTION: &str = "\
Description: where the time of a server's connections goes, and who held it
 backscope shows, live, the life of a backend's connections inside the kernel,
 and who held the time of each: the kernel, the application, the network or the
 peer. It follows each connection from the SYN to the last ACK, and each
 exchange of request and response on it. It says what is wrong, on what
 evidence, and what to change.
 .
 The server needs no change and no restart. backscope uses eBPF: it needs Linux
 5.10 or later with BTF, and root or the capabilities that its guide names.
";

/// What is no fault of the package, for lintian.
fn overrides(arch: Arch) -> String {
    let about_the_program = match arch {
        // Rust links it so that it can be loaded anywhere, and lintian takes it for a library.
        Arch::X86_64 => "shared-library-lacks-prerequisites",
        // Rust does not.
        Arch::Arm64 => "statically-linked-binary",
    };
    format!(
        "\
# It is a static program.
backscope: {about_the_program} [usr/bin/backscope]
# It is not uploaded to Debian.
backscope: initial-upload-closes-no-bugs [usr/share/doc/backscope/changelog.Debian.gz:1]
"
    )
}

/// The unit is neither enabled nor started by the package: who is watched is its user's choice.
const AFTER_INSTALL: &str = r#"#!/bin/sh
set -e
if [ "$1" = configure ] && [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload || true
    if [ -n "$2" ]; then
        deb-systemd-invoke try-restart backscope.service || true
    fi
fi
"#;
const BEFORE_REMOVAL: &str = r#"#!/bin/sh
set -e
if [ "$1" = remove ]; then
    if [ -d /run/systemd/system ]; then
        deb-systemd-invoke stop backscope.service
    fi
    # Whoever enabled it: a link to a unit that is gone would stay.
    if command -v systemctl > /dev/null; then
        systemctl --quiet --no-reload disable backscope.service || true
    fi
fi
"#;
const AFTER_REMOVAL: &str = r#"#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload || true
fi
"#;

/// Packs the package, and returns its path.
pub(crate) fn build(release: &Release<'_>, contents: &Contents) -> Result<PathBuf> {
    let version = format!("{}-{REVISION}", release.version);
    let deb =
        release.out.join(format!("backscope_{version}_{}.deb", contents.arch.traits().debian));
    let step = Step::start("packing for Debian");
    let files = files(release, contents, &version)?;
    let control = control(release, contents, &files, &version)?;
    let dir = release.scratch("deb")?;
    fs::create_dir_all(dir.join("DEBIAN"))?;
    control.lay(&dir.join("DEBIAN"), release.seconds)?;
    files.lay(&dir, release.seconds)?;
    let mut dpkg = Command::new("dpkg-deb");
    dpkg.env("SOURCE_DATE_EPOCH", release.seconds.to_string());
    // Several threads would compress it otherwise than one.
    dpkg.env("DPKG_DEB_THREADS_MAX", "1").arg("--root-owner-group");
    dpkg.args(if release.quick { ["-Zgzip", "-z1"] } else { ["-Zxz", "-z6"] });
    step::output(dpkg.arg("--build").arg(&dir).arg(&deb))?;
    step.done(deb.display());
    Ok(deb)
}

/// Returns what the package installs.
fn files(release: &Release<'_>, contents: &Contents, version: &str) -> Result<Tree> {
    let mut tree = contents.installed()?;
    contents.completions_into(&mut tree, true);
    let documents = "usr/share/doc/backscope";
    tree.file(format!("{documents}/copyright"), COPYRIGHT);
    tree.file(format!("{documents}/changelog.gz"), gzip(&contents.changelog)?);
    let changes = changes(release, version)?;
    tree.file(format!("{documents}/changelog.Debian.gz"), gzip(changes.as_bytes())?);
    tree.file(format!("{documents}/THIRD-PARTY.gz"), gzip(&contents.notices)?);
    tree.file("usr/share/lintian/overrides/backscope", overrides(contents.arch));
    Ok(tree)
}

/// Returns what dpkg reads of the package itself.
fn control(
    release: &Release<'_>,
    contents: &Contents,
    files: &Tree,
    version: &str,
) -> Result<Tree> {
    // In KiB, each file rounded up.
    let size: usize = files.contents().map(|(_, content)| content.len().div_ceil(1024)).sum();
    let mut fields = format!(
        "Package: backscope\nVersion: {version}\nArchitecture: {}\n\
         Maintainer: {}\nInstalled-Size: {size}\nSection: net\nPriority: optional\n",
        contents.arch.traits().debian,
        release.maintainer
    );
    fields.push_str(DESCRIPTION);
    let mut tree = Tree::default();
    tree.file("control", fields);
    tree.file("md5sums", sums(release, files)?);
    if contents.unit.is_some() {
        tree.program("postinst", AFTER_INSTALL);
        tree.program("prerm", BEFORE_REMOVAL);
        tree.program("postrm", AFTER_REMOVAL);
    }
    Ok(tree)
}

/// Returns the sums that `dpkg --verify` compares with.
fn sums(release: &Release<'_>, files: &Tree) -> Result<String> {
    let dir = release.scratch("md5")?;
    files.lay(&dir, release.seconds)?;
    let mut md5sum = Command::new("md5sum");
    md5sum.current_dir(&dir).arg("--").args(files.paths().map(|(path, _)| path));
    let printed = step::output(&mut md5sum)?;
    fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    Ok(printed)
}

/// Returns the changes of the packaging.
fn changes(release: &Release<'_>, version: &str) -> Result<String> {
    let mut text = format!("backscope ({version}) unstable; urgency=medium\n\n");
    text.push_str("  * Package the version; changelog.gz says what is new in it.\n\n");
    writeln!(text, " -- {}  {}", release.maintainer, release.date("--rfc-email")?)?;
    Ok(text)
}

/// Who may do what with the package, in Debian's format.
const COPYRIGHT: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: backscope
Comment: The program contains libraries of others, under licences of their own.
 THIRD-PARTY.gz beside this file names them, and has their licences.

Files: *
Copyright: 2026 the backscope authors
License: Expat or Apache-2.0

License: Expat
 Permission is hereby granted, free of charge, to any person obtaining a copy of
 this software and associated documentation files (the \"Software\"), to deal in
 the Software without restriction, including without limitation the rights to
 use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of
 the Software, and to permit persons to whom the Software is furnished to do so,
 subject to the following conditions:
 .
 The above copyright notice and this permission notice shall be included in all
 copies or substantial portions of the Software.
 .
 THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
 IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS
 FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
 COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER
 IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
 CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

License: Apache-2.0
 On Debian systems, the text of the license is in
 /usr/share/common-licenses/Apache-2.0.
";
