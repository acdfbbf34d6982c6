//! `cargo xtask setup`: installs what building and testing need. Announces each step, and leaves
//! alone what is there already.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::debian;
use crate::deny;
use crate::dist;
use crate::kernels::{self, Wanted};
use crate::probes::{self, BPF_LINKER_VERSION, RUSTC_VERSION};
use crate::servers;
use crate::step::{self, Step};

/// A file that shows that a package is installed, and the package. A program is given by its name
/// alone; `*` at the end stands for a version.
pub(crate) type Need = (&'static str, &'static str);

const BUILD: [Need; 4] =
    [("cc", "gcc"), ("curl", "curl"), ("xz", "xz-utils"), ("dpkg-deb", "dpkg")];
const SERVERS: [Need; 32] = [
    ("python3", "python3"),
    ("nginx", "nginx"),
    ("redis-server", "redis-server"),
    ("memcached", "memcached"),
    ("gunicorn", "gunicorn"),
    ("/usr/lib/postgresql", "postgresql"),
    ("haproxy", "haproxy"),
    // The program alone: `apache2` would bring a service.
    ("apache2", "apache2-bin"),
    ("node", "nodejs"),
    // The one server in Go that Debian has on its own.
    ("caddy", "caddy"),
    ("uvicorn", "uvicorn"),
    ("javac", "default-jdk-headless"),
    ("puma", "puma"),
    ("/usr/sbin/php-fpm*", "php-fpm"),
    ("jq", "jq"),
    ("zsh", "zsh"),
    ("fish", "fish"),
    ("mandoc", "mandoc"),
    ("tcpdump", "tcpdump"),
    ("tshark", "tshark"),
    // Fetches Go's compiler.
    ("/usr/lib/python3/dist-packages/pip", "python3-pip"),
    ("wrk", "wrk"),
    ("h2load", "nghttp2-client"),
    ("/usr/lib/python3/dist-packages/websockets", "python3-websockets"),
    ("openssl", "openssl"),
    ("gnutls-cli", "gnutls-bin"),
    ("gtlsserver", "ngtcp2-server"),
    ("gtlsclient", "ngtcp2-client"),
    ("chromium", "chromium"),
    // With promtool, for the exporter.
    ("prometheus", "prometheus"),
    ("ip", "iproute2"),
    ("setcap", "libcap2-bin"),
];
/// What packages are made and tried with. The static program holds C, which musl's compiler builds.
const PACKAGES: [Need; 5] = [
    ("musl-gcc", "musl-tools"),
    ("rpmbuild", "rpm"),
    ("lintian", "lintian"),
    ("rpmlint", "rpmlint"),
    ("man", "man-db"),
];

/// What compiles for the other architecture than this machine's, and runs the result.
const CROSS: [Need; 3] = match Arch::OTHER {
    Arch::Arm64 => [
        ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
        ("/usr/aarch64-linux-gnu/lib/libc.a", "libc6-dev-arm64-cross"),
        ("qemu-aarch64-static", "qemu-user-static"),
    ],
    Arch::X86_64 => [
        ("x86_64-linux-gnu-gcc", "gcc-x86-64-linux-gnu"),
        ("/usr/x86_64-linux-gnu/lib/libc.a", "libc6-dev-amd64-cross"),
        ("qemu-x86_64-static", "qemu-user-static"),
    ],
};

/// libFuzzer is in C++.
const FUZZ: [Need; 1] = [("g++", "g++")];

/// Suites that may have the source of the pinned compiler.
const RUST_SRC_SUITES: [&str; 4] = ["trixie-backports", "trixie", "forky", "sid"];

/// Installs packages without letting Debian start their services: package scripts ask the policy
/// file. The file is removed again whatever happens.
const INSTALL: &str = r#"
set -e
if [ ! -e /usr/sbin/policy-rc.d ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet ||
    echo 'apt-get update failed for some sources; going on with the others' >&2
apt-get install --quiet --yes --no-install-recommends "$@"
if [ -d /run/systemd/system ]; then
    for package; do
        case "$package" in
            nginx | redis-server | postgresql | haproxy | caddy | memcached)
                systemctl disable --quiet "$package" ;;
            php-fpm)
                systemctl disable --quiet $(cd /lib/systemd/system && echo php*-fpm.service) ;;
        esac
    done
fi
"#;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out QEMU and the test kernels
    #[arg(long)]
    no_vm: bool,
    /// Leave out the servers and clients that tests run against
    #[arg(long)]
    no_servers: bool,
    /// Leave out the BPF toolchain, which only changes to the probes need
    #[arg(long)]
    no_probes: bool,
    /// Leave out what only fuzzing needs
    #[arg(long)]
    no_fuzz: bool,
    /// Leave out what only `cargo xtask dist` needs
    #[arg(long)]
    no_packages: bool,
    /// Leave out what compiles for the other architecture, which only `cargo xtask dist` and
    /// `cargo xtask lint` need
    #[arg(long)]
    no_cross: bool,
    /// Leave out cargo-deny, which only `cargo xtask lint` needs
    #[arg(long)]
    no_deny: bool,
}

impl Args {
    /// Returns the options for what the tests need.
    pub(crate) fn for_tests(no_vm: bool, long: bool) -> Self {
        Self {
            no_vm,
            no_servers: false,
            no_probes: true,
            no_fuzz: !long,
            // They are tried with the program of the virtual machines.
            no_packages: no_vm,
            no_cross: true,
            no_deny: true,
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let step = Step::start("setup: what building and testing need");
    let mut needs = BUILD.to_vec();
    if !args.no_servers {
        needs.extend(SERVERS);
    }
    if !args.no_vm {
        needs.extend(Arch::ALL.iter().flat_map(|which| which.traits().needs));
    }
    if !args.no_fuzz {
        needs.extend(FUZZ);
    }
    if !args.no_packages {
        needs.extend(PACKAGES);
    }
    if !args.no_cross {
        needs.extend(CROSS);
    }
    // The virtual machines and the packages need some of the same.
    needs.sort_unstable();
    needs.dedup();
    packages(&needs)?;
    if !args.no_packages {
        rust_std(Arch::HERE.static_target(), "no packages can be built");
    }
    if !args.no_cross {
        let other = Arch::OTHER;
        rust_std(other.static_target(), &format!("no packages for {other} can be built"));
        let unchecked = format!("what is compiled for {other} will not be checked");
        rust_std(other.traits().target, &unchecked);
    }
    if !args.no_servers {
        servers::build(if args.no_vm { &[Arch::HERE] } else { &Arch::ALL });
    }
    if !args.no_probes {
        bpf_toolchain()?;
    }
    if !args.no_deny {
        deny::install()?;
    }
    if !args.no_vm {
        for arch in Arch::ALL {
            let target = arch.traits().target;
            rust_std(target, "its virtual machines cannot be tested");
        }
        test_kernels();
    }
    step.done("setup is complete");
    Ok(())
}

fn is_there((file, _): &Need) -> bool {
    if let Some((directory, begin)) =
        file.strip_suffix('*').and_then(|begin| begin.rsplit_once('/'))
    {
        let mut names =
            fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name());
        return names.any(|name| name.to_string_lossy().starts_with(begin));
    }
    if file.starts_with('/') { Path::new(file).exists() } else { step::which(file).is_some() }
}

fn packages(needs: &[Need]) -> Result<()> {
    let (there, missing): (Vec<&Need>, Vec<&Need>) = needs.iter().partition(|need| is_there(need));
    let names = |needs: &[&Need]| needs.iter().map(|(_, package)| *package).collect::<Vec<_>>();
    if !there.is_empty() {
        eprintln!("    already there: {}", names(&there).join(" "));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let packages = names(&missing);
    if step::which("apt-get").is_none() {
        bail!(
            "this is no Debian or Ubuntu, so install by hand what gives these files: {}\n\
             (Debian's packages: {})",
            missing.iter().map(|(file, _)| *file).collect::<Vec<_>>().join(" "),
            packages.join(" ")
        );
    }
    if !step::is_root() && step::which("sudo").is_none() {
        bail!("there is no sudo: install as root: apt-get install {}", packages.join(" "));
    }
    let step = Step::start(format!(
        "installing with apt-get, without starting services: {}",
        packages.join(" ")
    ));
    step::run(
        step::privileged("sh", "install packages").args(["-c", INSTALL, "sh"]).args(&packages),
    )?;
    if let Some((file, package)) = missing.iter().copied().find(|need| !is_there(need)) {
        bail!("apt-get installed {package}, and still there is no {file}");
    }
    step.done("installed");
    Ok(())
}

/// Adds the standard library of a target, if rustup can. What needs it says so where it is missing.
fn rust_std(target: &str, without: &str) {
    if dist::has_target(target) {
        eprintln!("    already there: rust-std for {target}");
        return;
    }
    let step = Step::start(format_args!("adding rust-std for {target} with rustup"));
    let mut rustup = Command::new("timeout");
    match step::run(rustup.args(["300", "rustup", "target", "add", target])) {
        Ok(()) => step.done("added"),
        Err(error) => step.done(format_args!("NOT TO BE HAD, {without}: {error:#}")),
    }
}

fn bpf_toolchain() -> Result<()> {
    let rustc = probes::rustc_version()?;
    if rustc != RUSTC_VERSION {
        eprintln!(
            "    BPF toolchain: left out, since the probes are compiled with rustc {RUSTC_VERSION} \
             and this is {rustc}.\n\
             \x20   To change probes: `rustup toolchain install {RUSTC_VERSION}`, \
             `cargo +{RUSTC_VERSION} xtask setup`"
        );
        return Ok(());
    }
    rust_src()?;
    bpf_linker()
}

/// The source of `core`, from rustup where its server can be reached, else from Debian.
fn rust_src() -> Result<()> {
    let place = probes::rust_src()?;
    let is_there = || place.join("library/core/Cargo.toml").exists();
    if is_there() {
        eprintln!("    already there: rust-src {RUSTC_VERSION}");
        return Ok(());
    }
    if step::which("rustup").is_some() {
        let step = Step::start("adding rust-src with rustup");
        let mut rustup = Command::new("timeout");
        match step::run(rustup.args(["300", "rustup", "component", "add", "rust-src"])) {
            Ok(()) if is_there() => {
                step.done("added");
                return Ok(());
            }
            Ok(()) => {
                step.done("rustup says it is there, and it is not where this compiler looks for it")
            }
            Err(error) => step.done(format_args!("rustup did not: {error:#}")),
        }
    }
    let step = Step::start(format!("fetching Debian's rust-src {RUSTC_VERSION}"));
    let source = rust_src_from_debian()?;
    link(&source, &place)?;
    step.done(format_args!("{} → {}", place.display(), source.display()));
    Ok(())
}

/// Unpacks Debian's package below the cache and returns the directory of the source.
fn rust_src_from_debian() -> Result<std::path::PathBuf> {
    let cache = debian::cache_dir()?.join("rust-src").join(RUSTC_VERSION);
    let source = cache.join(format!("usr/src/rustc-{RUSTC_VERSION}"));
    if source.join("library/core/Cargo.toml").exists() {
        return Ok(source);
    }
    let mut silent = Vec::new();
    for suite in RUST_SRC_SUITES {
        match debian::index(suite, Arch::default(), |name| name == "rust-src") {
            Ok(packages) => {
                let version = format!("{RUSTC_VERSION}+");
                if let Some(package) =
                    packages.iter().find(|package| package.version.starts_with(&version))
                {
                    debian::unpack(package, &cache)?;
                    return Ok(source);
                }
            }
            Err(error) => silent.push(format!("{error:#}")),
        }
    }
    bail!(
        "Debian has no rust-src {RUSTC_VERSION} in {} {}",
        RUST_SRC_SUITES.join(", "),
        silent.join("; ")
    )
}

/// Links the source into the sysroot, where cargo looks for it.
fn link(source: &Path, place: &Path) -> Result<()> {
    let linked = || -> std::io::Result<()> {
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        if place.is_symlink() {
            fs::remove_file(place)?;
        }
        symlink(source, place)
    };
    if let Err(error) = linked() {
        eprintln!("    cannot link {} as this user: {error}", place.display());
        step::run(
            step::privileged("mkdir", "make a directory in the sysroot")
                .arg("-p")
                .args(place.parent()),
        )?;
        step::run(
            step::privileged("ln", "link rust-src into the sysroot")
                .arg("-sfn")
                .arg(source)
                .arg(place),
        )?;
    }
    Ok(())
}

fn bpf_linker() -> Result<()> {
    match probes::bpf_linker_version() {
        Some(version) if version == BPF_LINKER_VERSION => {
            eprintln!("    already there: bpf-linker {BPF_LINKER_VERSION}");
            return Ok(());
        }
        Some(version) => eprintln!(
            "    bpf-linker is {version}, and the probes are linked with {BPF_LINKER_VERSION}"
        ),
        None => {}
    }
    let step =
        Step::start(format!("building bpf-linker {BPF_LINKER_VERSION}, which takes some minutes"));
    let mut cargo = step::cargo();
    step::run(cargo.args([
        "install",
        "--quiet",
        "--locked",
        "bpf-linker",
        "--version",
        BPF_LINKER_VERSION,
    ]))?;
    probes::bpf_linker_version()
        .context("bpf-linker is installed, but cargo's bin directory is not in PATH")?;
    step.done("installed");
    Ok(())
}

/// Fetches the test kernels, those that `cargo xtask test` boots. One that cannot be had is reported
/// here, and skipped when the tests run; the others are tested all the same.
fn test_kernels() {
    for wanted in Arch::ALL.into_iter().flat_map(Wanted::short) {
        match kernels::ensure(&wanted) {
            Ok(kernel) => eprintln!("    kernel {wanted}: {}", kernel.release),
            Err(error) => {
                eprintln!(
                    "    kernel {wanted}: NOT TO BE HAD, its tests will be skipped: {error:#}"
                )
            }
        }
    }
}
