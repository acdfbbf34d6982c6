//! The crates as they would be published: packaged, unpacked again, and installed from that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::step::{self, Step};

/// In the order in which they need each other.
const CRATES: [&str; 3] = ["backscope-abi", "backscope-demo-servers", "backscope"];

/// Files that are links in the checkout: where in the unpacked program's crate, and where here.
const LINKED: [(&str, &str); 4] = [
    ("prebuilt/backscope.bpf.o", "probes/prebuilt/backscope.bpf.o"),
    ("schema.json", "docs/schema.json"),
    ("LICENSE-MIT", "LICENSE-MIT"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
];

/// Packages the crates, and installs the program from what was packaged.
///
/// # Errors
/// Cargo has a warning, something is missing, or the program does not come out of it.
pub(super) fn run(quick: bool) -> Result<()> {
    let packages = package()?;
    let unpacked = unpack(&packages)?;
    for (inside, here) in LINKED {
        let (inside, here) =
            (unpacked.join(name_of("backscope")).join(inside), step::root().join(here));
        let read =
            |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        ensure!(
            read(&inside)? == read(&here)?,
            "{} is not what {} is",
            inside.display(),
            here.display()
        );
    }
    let program = install(&unpacked, quick)?;
    let step = Step::start("running the installed program");
    let version = step::output(Command::new(&program).arg("--version"))?;
    ensure!(version.trim() == format!("backscope {VERSION}"), "it says that it is {version}");
    let schema = step::output(Command::new(&program).arg("schema"))?;
    let expected = fs::read_to_string(step::root().join("docs/schema.json"))?;
    ensure!(schema == expected, "its schema is not docs/schema.json");
    step.done(version.trim());
    println!("crates ok: {} package without a warning, and install", CRATES.join(", "));
    Ok(())
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn name_of(name: &str) -> String {
    format!("{name}-{VERSION}")
}

/// Packages every crate, and returns where cargo put them.
fn package() -> Result<PathBuf> {
    let step = Step::start(format_args!("packaging {}", CRATES.join(", ")));
    let mut cargo = step::cargo();
    cargo.current_dir(step::root()).args(["package", "--no-verify", "--allow-dirty"]);
    for name in CRATES {
        cargo.args(["--package", name]);
    }
    let output = cargo.output().context("cannot start cargo")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo package failed: {}\n{told}", output.status);
    if told.lines().any(|line| line.starts_with("warning")) {
        bail!("cargo package warns:\n{told}");
    }
    step.done("packaged without a warning");
    Ok(step::target_dir().join("package"))
}

/// Unpacks every crate into one folder.
fn unpack(packages: &Path) -> Result<PathBuf> {
    let dir = step::target_dir().join("dist-crates");
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    fs::create_dir_all(&dir)?;
    for name in CRATES {
        let mut tar = Command::new("tar");
        tar.arg("--extract").arg("--directory").arg(&dir);
        tar.arg("--file").arg(packages.join(format!("{}.crate", name_of(name))));
        step::output(&mut tar)?;
    }
    Ok(dir)
}

/// Installs the program. The crates that it needs are the unpacked ones, in the place of the
/// registry's.
fn install(unpacked: &Path, quick: bool) -> Result<PathBuf> {
    let step = Step::start("installing from the packaged crate, which takes some minutes");
    let to = unpacked.join("installed");
    let mut cargo = step::cargo();
    cargo.current_dir(unpacked).args(["install", "--quiet", "--no-track", "--path"]);
    cargo.arg(unpacked.join(name_of("backscope"))).arg("--root").arg(&to);
    cargo.env("CARGO_TARGET_DIR", unpacked.join("build"));
    if quick {
        cargo.arg("--debug");
    }
    for name in CRATES.iter().filter(|name| **name != "backscope") {
        let path = unpacked.join(name_of(name));
        cargo.arg("--config");
        cargo.arg(format!("patch.crates-io.{name}.path={:?}", path.display().to_string()));
    }
    step::run(&mut cargo)?;
    step.done(to.display());
    Ok(to.join("bin/backscope"))
}
