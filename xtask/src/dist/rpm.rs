//! The package of Fedora, RHEL, openSUSE and their relatives, packed by `rpmbuild`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::contents::Contents;
use super::release::{REVISION, Release};
use super::tree::Tree;
use crate::step::{self, Step};

const LICENCES: &str = "usr/share/licenses/backscope";
const DOCUMENTS: &str = "usr/share/doc/backscope";

/// What rpmbuild would add by itself, and what would differ each time.
const SETTINGS: [(&str, &str); 7] = [
    ("_buildhost", "localhost"),
    ("_build_id_links", "none"),
    ("__os_install_post", "%{nil}"),
    ("debug_package", "%{nil}"),
    ("use_source_date_epoch_as_buildtime", "1"),
    ("clamp_mtime_to_source_date_epoch", "1"),
    ("_rpmfilename", "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm"),
];

/// The unit is neither enabled nor started by the package: who is watched is its user's choice.
const SCRIPTS: &str = r#"
%post
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
fi

%preun
if [ "$1" -eq 0 ] && command -v systemctl > /dev/null; then
    if [ -d /run/systemd/system ]; then
        systemctl --no-reload stop backscope.service || :
    fi
    systemctl --quiet --no-reload disable backscope.service || :
fi

%postun
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    if [ "$1" -ge 1 ]; then
        systemctl try-restart backscope.service || :
    fi
fi
"#;

/// Packs the package, and returns its path.
pub(crate) fn build(release: &Release<'_>, contents: &Contents) -> Result<PathBuf> {
    let step = Step::start("packing for Fedora and RHEL");
    let mut files = contents.installed()?;
    contents.completions_into(&mut files, false);
    contents.licences_into(&mut files, LICENCES);
    files.file(format!("{DOCUMENTS}/CHANGELOG.md"), contents.changelog.clone());
    let architecture = contents.arch.rpm();
    let dir = release.scratch("rpm")?;
    let laid = dir.join("files");
    fs::create_dir_all(&laid)?;
    files.lay(&laid, release.seconds)?;
    let spec = dir.join("backscope.spec");
    fs::write(&spec, spec_of(release, contents, &files)?)?;
    let mut rpmbuild = Command::new("rpmbuild");
    rpmbuild.env("SOURCE_DATE_EPOCH", release.seconds.to_string()).env("LC_ALL", "C");
    rpmbuild.args(["-bb", "--quiet", "--target", &format!("{architecture}-linux")]);
    let payload = if release.quick { "w1.gzdio" } else { "w6.xzdio" };
    for (name, value) in SETTINGS.into_iter().chain([("_binary_payload", payload)]) {
        rpmbuild.arg("--define").arg(format!("{name} {value}"));
    }
    rpmbuild.arg("--define").arg(format!("_topdir {}", dir.join("build").display()));
    rpmbuild.arg("--define").arg(format!("_rpmdir {}", release.out.display()));
    rpmbuild.arg("--define").arg(format!("laid {}", laid.display()));
    step::output(rpmbuild.arg(&spec)).context("the package `rpm` of Debian has rpmbuild")?;
    let name = format!("backscope-{}-{REVISION}.{architecture}.rpm", release.version);
    let rpm = release.out.join(name);
    step.done(rpm.display());
    Ok(rpm)
}

/// Returns the description of the package.
fn spec_of(release: &Release<'_>, contents: &Contents, files: &Tree) -> Result<String> {
    let scripts = if contents.unit.is_some() { SCRIPTS } else { "" };
    let listed: Vec<String> = files.paths().map(|(path, mode)| listed(path, mode)).collect();
    Ok(format!(
        "\
Name: backscope
Version: {version}
Release: {REVISION}
Summary: Where the time of a server's connections goes, and who held it
License: MIT OR Apache-2.0
Packager: {maintainer}
Group: System/Monitoring
AutoReqProv: no

%description
backscope shows, live, the life of a backend's connections inside the kernel,
and who held the time of each: the kernel, the application, the network or the
peer. It follows each connection from the SYN to the last ACK, and each
exchange of request and response on it. It says what is wrong, on what
evidence, and what to change.

The server needs no change and no restart. backscope uses eBPF: it needs Linux
5.10 or later with BTF, and root or the capabilities that its guide names.

%install
mkdir -p %{{buildroot}}
cp -a %{{laid}}/. %{{buildroot}}/
{scripts}
%files
%defattr(-,root,root,-)
%dir %attr(0755,root,root) /{LICENCES}
%dir %attr(0755,root,root) /{DOCUMENTS}
{files}

%changelog
* {date} {maintainer} - {version}-{REVISION}
- Package the version; CHANGELOG.md says what is new in it.
",
        version = release.version,
        files = listed.join("\n"),
        date = release.date("+%a %b %d %Y")?,
        maintainer = release.maintainer,
    ))
}

/// Returns the line of a file.
fn listed(path: &str, mode: u32) -> String {
    let kind = if path.starts_with(LICENCES) {
        "%license "
    } else if path.starts_with(DOCUMENTS) || path.starts_with("usr/share/man") {
        "%doc "
    } else {
        ""
    };
    format!("{kind}%attr({mode:04o},root,root) /{path}")
}
