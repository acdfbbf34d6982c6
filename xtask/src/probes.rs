//! `cargo xtask probes`: compiles the kernel probes, with the same bytes on every machine.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use object::build::elf::{Builder, SectionData};
use object::elf::SHT_STRTAB;

use crate::step::{self, Step};

/// The compiler that makes the committed object.
pub(crate) const RUSTC_VERSION: &str = "1.95.0";
/// The linker that makes the committed object; its LLVM has to be that of the compiler.
pub(crate) const BPF_LINKER_VERSION: &str = "0.10.3";

const TARGET: &str = "bpfel-unknown-none";
const PREBUILT: &str = "probes/prebuilt/backscope.bpf.o";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail if the committed object is not what the source gives
    #[arg(long)]
    check: bool,
    /// Compile them with their log lines, into target/backscope-log.bpf.o
    #[arg(long, conflicts_with = "check")]
    log: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    check_toolchain()?;
    let object = compile(args.log)?;
    if args.log {
        let path = log_object();
        fs::write(&path, &object).with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("    wrote {}, {} bytes", path.display(), object.len());
        return Ok(());
    }
    let prebuilt = step::root().join(PREBUILT);
    if args.check {
        return compare(&object, &prebuilt);
    }
    if let Some(dir) = prebuilt.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(&prebuilt, &object)
        .with_context(|| format!("cannot write {}", prebuilt.display()))?;
    eprintln!("    wrote {PREBUILT}, {} bytes", object.len());
    Ok(())
}

/// The object with the probes' log lines, which is not committed.
pub(crate) fn log_object() -> PathBuf {
    step::target_dir().join("backscope-log.bpf.o")
}

/// Returns the place of `core`'s source in the sysroot of the running compiler.
pub(crate) fn rust_src() -> Result<PathBuf> {
    let sysroot = step::output(step::rustc().args(["--print", "sysroot"]))?;
    Ok(Path::new(sysroot.trim()).join("lib/rustlib/src/rust"))
}

/// Version of the running compiler, such as `1.95.0`.
pub(crate) fn rustc_version() -> Result<String> {
    let verbose = step::output(step::rustc().arg("-vV"))?;
    let release = verbose.lines().find_map(|line| line.strip_prefix("release: "));
    Ok(release.context("`rustc -vV` names no release")?.to_owned())
}

/// Version of the installed linker, if there is one.
pub(crate) fn bpf_linker_version() -> Option<String> {
    let printed = step::output(std::process::Command::new("bpf-linker").arg("--version")).ok()?;
    printed.split_whitespace().nth(1).map(str::to_owned)
}

/// Checks the versions: another compiler or linker would give another object, and the comparison
/// would say nothing about the source.
fn check_toolchain() -> Result<()> {
    let rustc = rustc_version()?;
    if rustc != RUSTC_VERSION {
        bail!(
            "the probes are compiled with rustc {RUSTC_VERSION}, and this is {rustc}: the bytes \
             would differ whatever the source.\n\
             Run `cargo +{RUSTC_VERSION} xtask probes` \
             (`rustup toolchain install {RUSTC_VERSION}`)."
        );
    }
    match bpf_linker_version() {
        Some(version) if version == BPF_LINKER_VERSION => {}
        Some(version) => bail!(
            "the probes are linked with bpf-linker {BPF_LINKER_VERSION}, and this is {version}.\n\
             Run `cargo xtask setup`, or \
             `cargo install bpf-linker --locked --version {BPF_LINKER_VERSION}`."
        ),
        None => bail!("bpf-linker is not installed, or not in PATH. Run `cargo xtask setup`."),
    }
    let rust_src = rust_src()?;
    if !rust_src.join("library/core/Cargo.toml").exists() {
        bail!("the source of `core` is not in {}. Run `cargo xtask setup`.", rust_src.display());
    }
    Ok(())
}

/// Compiles and links the probes and returns the object without its debug information.
fn compile(log: bool) -> Result<Vec<u8>> {
    let step = Step::start(format!("compiling the probes for {TARGET}"));
    let dir = step::root().join("probes");
    // Names in the registry's directories can only be remapped if the directories exist.
    step::run(step::cargo().args(["fetch", "--quiet", "--locked"]).current_dir(&dir))?;
    let mut cargo = step::cargo();
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PROFILE_", "CARGO_BUILD_", "CARGO_TARGET_"]
            .iter()
            .any(|p| name.to_string_lossy().starts_with(p))
        {
            cargo.env_remove(name);
        }
    }
    let target_dir = step::target_dir().join("probes");
    cargo
        .current_dir(&dir)
        .args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--target",
            TARGET,
            "-Z",
            "build-std=core",
        ])
        .args(if log { &["--features", "log"][..] } else { &[] })
        .arg("--target-dir")
        .arg(&target_dir)
        // `build-std` is unstable; this lets the pinned stable compiler do it.
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags()?);
    step::run(&mut cargo)?;
    let linked = target_dir.join(TARGET).join("release/backscope-probes");
    let linked = fs::read(&linked).with_context(|| format!("cannot read {}", linked.display()))?;
    let object = strip(&linked)?;
    step.done(format_args!("{} bytes", object.len()));
    Ok(object)
}

/// Returns the flags for every crate of the probes, separated as `CARGO_ENCODED_RUSTFLAGS` wants
/// it.
///
/// The object's BTF holds source paths, for the verifier's log. They are mapped to relative names,
/// the same on every machine. No file has such a name: LLVM would embed the text of one that
/// exists.
fn rustflags() -> Result<OsString> {
    let mut flags: Vec<OsString> = vec![
        "--cfg=bpf_target_arch=\"x86_64\"".into(),
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
    ];
    let mut remap = |from: &Path, to: &str| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push(format!("={to}"));
        flags.push(flag);
    };
    remap(&step::root(), "backscope");
    remap(&rust_src()?, "rust");
    let registry = cargo_home()?.join("registry/src");
    let entries =
        fs::read_dir(&registry).with_context(|| format!("cannot list {}", registry.display()))?;
    for entry in entries {
        remap(&entry?.path(), "registry");
    }
    Ok(flags.join("\u{1f}".as_ref()))
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    Ok(std::env::home_dir().context("neither CARGO_HOME nor HOME is set")?.join(".cargo"))
}

/// Removes the DWARF sections. The linker needed them to make the BTF, which stays.
fn strip(linked: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(linked).context("the linker's output is no ELF object")?;
    for section in &mut builder.sections {
        // LLVM puts functions that never return there: those that panic.
        if section.name.starts_with(b".text.unlikely") {
            bail!(
                "the probes have code that may panic, such as a division or an index, and the \
                 verifier refuses programs that lead there. Use `checked_div` or `get`."
            );
        }
        section.delete =
            section.name.starts_with(b".debug_") || section.name.starts_with(b".rel.debug_");
    }
    builder.delete_orphans();
    // LLVM puts the names of sections and symbols in one table; the writer needs two.
    let names = builder.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = SHT_STRTAB;
    names.data = SectionData::SectionString;
    let mut object = Vec::new();
    builder.write(&mut object).context("cannot write the stripped object")?;
    Ok(object)
}

/// # Errors
/// If the committed object differs from the one just compiled.
fn compare(object: &[u8], prebuilt: &Path) -> Result<()> {
    let committed =
        fs::read(prebuilt).with_context(|| format!("cannot read {}", prebuilt.display()))?;
    if committed == object {
        eprintln!("    {PREBUILT} is what the source gives");
        return Ok(());
    }
    let differs = committed
        .iter()
        .zip(object)
        .position(|(a, b)| a != b)
        .unwrap_or(committed.len().min(object.len()));
    bail!(
        "{PREBUILT} ({} bytes) is not what the source gives ({} bytes): first difference at byte \
         {differs}.\n\
         Run `cargo xtask probes` and commit the object together with the source.",
        committed.len(),
        object.len()
    )
}
