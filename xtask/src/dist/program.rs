//! Compiles the program that is packaged: static, and with the same bytes wherever it is built.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::arch;
use crate::arch::Arch;
use crate::step::{self, Step};

/// Profile of a quick build, as cargo's variables. It takes a fraction of the time, and gives
/// another program than the one that is shipped.
const QUICK: [(&str, &str); 2] =
    [("CARGO_PROFILE_RELEASE_LTO", "off"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")];

/// Flags for a C compiler that is glibc's, where its result is linked with musl. ring is all the C
/// that there is, and of the C library it calls `memcpy` and `memset` alone. With `_FORTIFY_SOURCE`,
/// which some distributions' compilers define by themselves, glibc's headers turn these into
/// `__memcpy_chk` and `__memset_chk`, which musl does not have.
const WITHOUT_GLIBC: [&str; 1] = ["-U_FORTIFY_SOURCE"];

/// A compiled program.
pub(crate) struct Program {
    pub(crate) arch: Arch,
    pub(crate) path: PathBuf,
}

/// A checkout, and where its build goes.
pub(crate) struct Build<'a> {
    pub(crate) root: &'a Path,
    pub(crate) target_dir: &'a Path,
    pub(crate) quick: bool,
}

impl Build<'_> {
    /// Compiles the programs.
    ///
    /// # Errors
    /// What the build needs is not installed, it fails, or its result depends on the machine.
    pub(crate) fn run(&self, architectures: &[Arch]) -> Result<Vec<Program>> {
        // What is missing for the second is said before the minutes that the first takes.
        for arch in architectures {
            look_for_compiler(*arch)?;
        }
        architectures.iter().map(|arch| self.compile(*arch)).collect()
    }

    fn compile(&self, arch: Arch) -> Result<Program> {
        let target = arch.static_target();
        let how = if self.quick { "quick, not what is shipped" } else { "takes some minutes" };
        let step = Step::start(format_args!("compiling for {target} ({how})"));
        let mut cargo = step::cargo();
        cargo.current_dir(self.root).args(["build", "--quiet", "--release", "--locked"]);
        cargo.args(["--package", "backscope", "--bin", "backscope", "--target", target]);
        cargo.env("CARGO_TARGET_DIR", self.target_dir);
        cargo.env("CARGO_ENCODED_RUSTFLAGS", self.rustc_flags()?.join("\u{1f}"));
        let mut c_flags = self.c_flags()?;
        let name = arch::in_variables(target);
        if !arch.is_here() {
            c_flags.extend(WITHOUT_GLIBC.map(str::to_owned));
            cargo.env(format!("CC_{name}"), arch.cross_compiler());
            cargo.env(format!("AR_{name}"), arch.binutil("ar"));
            // Rust brings this linker, and what begins and ends a program with musl.
            cargo.env(format!("CARGO_TARGET_{}_LINKER", name.to_uppercase()), "rust-lld");
        }
        cargo.env(format!("CFLAGS_{name}"), c_flags.join(" "));
        if self.quick {
            cargo.envs(QUICK);
        }
        step::run(&mut cargo)?;
        let path = self.target_dir.join(target).join("release/backscope");
        self.check_names_no_path(&path)?;
        step.done(path.display());
        Ok(Program { arch, path })
    }

    /// Compiles a program that runs on this machine and is not packaged: it tells what the manual
    /// and completions of the one for another architecture are. How it is optimised does not
    /// matter for that.
    pub(crate) fn only_to_tell(&self) -> Result<PathBuf> {
        let step = Step::start("compiling a program that writes the manual here");
        let mut cargo = step::cargo();
        cargo.current_dir(self.root).args(["build", "--quiet", "--locked"]);
        cargo.args(["--package", "backscope", "--bin", "backscope"]);
        cargo.env("CARGO_TARGET_DIR", self.target_dir);
        step::run(&mut cargo)?;
        let path = self.target_dir.join("debug/backscope");
        step.done(path.display());
        Ok(path)
    }

    /// Names in the program's messages stand for places of this machine.
    fn rustc_flags(&self) -> Result<Vec<String>> {
        let places = self.places()?;
        let remap =
            |(from, to): &(PathBuf, &str)| format!("--remap-path-prefix={}={to}", from.display());
        let mut flags: Vec<String> = places.iter().map(remap).collect();
        flags.extend(["-C".to_owned(), "target-feature=+crt-static".to_owned()]);
        Ok(flags)
    }

    fn c_flags(&self) -> Result<Vec<String>> {
        let remap =
            |(from, to): (PathBuf, &str)| format!("-ffile-prefix-map={}={to}", from.display());
        Ok(self.places()?.into_iter().map(remap).collect())
    }

    /// Returns the folders that a compiler would name, each with what it names in its place. The
    /// last that fits counts.
    fn places(&self) -> Result<Vec<(PathBuf, &'static str)>> {
        Ok(vec![
            (cargo_home()?, "/cargo"),
            (self.root.to_path_buf(), "/backscope"),
            (self.target_dir.to_path_buf(), "/target"),
        ])
    }

    /// Fails if the program holds a path of this machine: it would differ on another.
    fn check_names_no_path(&self, program: &Path) -> Result<()> {
        let bytes =
            fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
        for (place, _) in self.places()? {
            if let Some(text) = text_with(&bytes, &place.display().to_string()) {
                bail!("{} holds a path of this machine: {text}", program.display());
            }
        }
        Ok(())
    }
}

/// Fails where what compiles for an architecture is not installed.
fn look_for_compiler(arch: Arch) -> Result<()> {
    let target = arch.static_target();
    let mut advice = "run `cargo xtask setup`".to_owned();
    if !arch.is_here() {
        advice = format!("{advice}, or leave {arch} out: --arch {}", Arch::HERE);
    }
    ensure!(
        arch::has_target(target),
        "Rust's standard library for {target} is not installed: {advice}"
    );
    let compiler = if arch.is_here() { "musl-gcc" } else { arch.cross_compiler() };
    ensure!(step::which(compiler).is_some(), "there is no {compiler}: {advice}");
    Ok(())
}

/// Returns the printable text around a word, if the bytes hold it.
fn text_with(bytes: &[u8], word: &str) -> Option<String> {
    let at = bytes.windows(word.len()).position(|window| window == word.as_bytes())?;
    let text = bytes[at..].iter().take(200).take_while(|byte| byte.is_ascii_graphic());
    Some(text.map(|byte| char::from(*byte)).collect())
}

/// Where cargo unpacks the sources of dependencies.
fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?;
    Ok(Path::new(&home).join(".cargo"))
}

/// Returns the crates that are linked into the program, as "NAME VERSION". Those that only build
/// it, such as macros, are not among them.
pub(crate) fn linked_crates(root: &Path, arch: Arch) -> Result<BTreeSet<String>> {
    let mut cargo = step::cargo();
    cargo.current_dir(root).args(["tree", "--locked", "--package", "backscope"]);
    cargo.args(["--target", arch.static_target(), "--edges", "normal,no-proc-macro"]);
    cargo.args(["--prefix", "none", "--format", "{p}"]);
    let printed = step::output(&mut cargo)?;
    let name = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, version) = (words.next()?, words.next()?);
        Some(format!("{name} {}", version.trim_start_matches('v')))
    };
    Ok(printed.lines().filter_map(name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_among_other_bytes() {
        let bytes = b"\x7fELF\0\0/root/checkout/agent/src/main.rs\0rest";
        let text = text_with(bytes, "/root/checkout");
        assert_eq!(text.as_deref(), Some("/root/checkout/agent/src/main.rs"));
        assert_eq!(text_with(bytes, "/home"), None);
    }
}
