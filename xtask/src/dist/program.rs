//! Compiles the program that is packaged: static, and with the same bytes wherever it is built.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::step::{self, Step};

/// The architecture that the agent's filter of system calls is written for, with a C library that
/// can be linked in.
pub(crate) const TARGET: &str = "x86_64-unknown-linux-musl";

/// Profile of a quick build, as cargo's variables. It takes a fraction of the time, and gives
/// another program than the one that is shipped.
const QUICK: [(&str, &str); 2] =
    [("CARGO_PROFILE_RELEASE_LTO", "off"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")];

/// A checkout, and where its build goes.
pub(crate) struct Build<'a> {
    pub(crate) root: &'a Path,
    pub(crate) target_dir: &'a Path,
    pub(crate) quick: bool,
}

impl Build<'_> {
    /// Compiles the program, and returns its path.
    ///
    /// # Errors
    /// What the build needs is not installed, it fails, or its result depends on the machine.
    pub(crate) fn run(&self) -> Result<PathBuf> {
        if !has_target(TARGET) {
            bail!("Rust's standard library for {TARGET} is not installed: run `cargo xtask setup`");
        }
        let how = if self.quick { "quick, not what is shipped" } else { "takes some minutes" };
        let step = Step::start(format_args!("compiling for {TARGET} ({how})"));
        let mut cargo = step::cargo();
        cargo.current_dir(self.root).args(["build", "--quiet", "--release", "--locked"]);
        cargo.args(["--package", "backscope", "--bin", "backscope", "--target", TARGET]);
        cargo.env("CARGO_TARGET_DIR", self.target_dir);
        cargo.env("CARGO_ENCODED_RUSTFLAGS", self.rustc_flags()?.join("\u{1f}"));
        cargo.env("CFLAGS", self.c_flags()?.join(" "));
        if self.quick {
            cargo.envs(QUICK);
        }
        step::run(&mut cargo)?;
        let program = self.target_dir.join(TARGET).join("release/backscope");
        self.check_names_no_path(&program)?;
        step.done(program.display());
        Ok(program)
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

/// Whether this compiler has a standard library for a target.
pub(crate) fn has_target(target: &str) -> bool {
    let sysroot = step::output(step::rustc().args(["--print", "sysroot"]));
    sysroot.is_ok_and(|dir| Path::new(dir.trim()).join("lib/rustlib").join(target).exists())
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
pub(crate) fn linked_crates(root: &Path) -> Result<BTreeSet<String>> {
    let mut cargo = step::cargo();
    cargo.current_dir(root).args(["tree", "--locked", "--package", "backscope"]);
    cargo.args(["--target", TARGET, "--edges", "normal,no-proc-macro"]);
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
