//! What differs by the architecture that packages are for, beside what differs for machines that
//! emulate it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::step;

impl Arch {
    /// That of this machine.
    pub(crate) const HERE: Self =
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::X86_64 };
    /// The one that this machine compiles for and does not run.
    pub(crate) const OTHER: Self =
        if cfg!(target_arch = "aarch64") { Self::X86_64 } else { Self::Arm64 };

    pub(crate) fn is_here(self) -> bool {
        self == Self::HERE
    }

    /// Rust's target of the packaged program: with a C library that can be linked in.
    pub(crate) const fn static_target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-musl",
            Self::Arm64 => "aarch64-unknown-linux-musl",
        }
    }

    /// rpm's name of it.
    pub(crate) const fn rpm(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// C compiler for it, on a machine of another architecture: for glibc, since Debian has none
    /// for musl.
    pub(crate) const fn cross_compiler(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu-gcc",
            Self::Arm64 => "aarch64-linux-gnu-gcc",
        }
    }

    /// What runs its programs on a machine of another architecture.
    pub(crate) const fn runner(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-x86_64-static",
            Self::Arm64 => "qemu-aarch64-static",
        }
    }

    /// Returns the program of binutils that reads and writes its files.
    pub(crate) fn binutil(self, name: &str) -> String {
        if self.is_here() {
            return name.to_owned();
        }
        self.cross_compiler().replace("gcc", name)
    }

    /// Returns the architecture of a program, by its header.
    ///
    /// # Errors
    /// It cannot be read, or is no program of an architecture that there are packages for.
    pub(crate) fn of(program: &Path) -> Result<Self> {
        let bytes =
            fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
        let Some(arch) = Self::of_header(&bytes) else {
            bail!("{} is no program for x86-64 or arm64", program.display());
        };
        Ok(arch)
    }

    fn of_header(bytes: &[u8]) -> Option<Self> {
        // ELF, 64 bits, little endian; e_machine (include/uapi/linux/elf-em.h).
        let machine = bytes.starts_with(b"\x7fELF\x02\x01").then(|| bytes.get(18..20))??;
        match u16::from_le_bytes([machine[0], machine[1]]) {
            62 => Some(Self::X86_64),
            183 => Some(Self::Arm64),
            _ => None,
        }
    }
}

/// Whether this compiler has a standard library for a target.
pub(crate) fn has_target(target: &str) -> bool {
    let sysroot = step::output(step::rustc().args(["--print", "sysroot"]));
    sysroot.is_ok_and(|dir| Path::new(dir.trim()).join("lib/rustlib").join(target).exists())
}

/// Returns a target as it stands in the names of environment variables.
pub(crate) fn in_variables(target: &str) -> String {
    target.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use crate::arch::Arch;

    #[test]
    fn the_header_of_a_program_names_its_architecture() {
        let mut header = b"\x7fELF\x02\x01\x01".to_vec();
        header.resize(18, 0);
        assert_eq!(Arch::of_header(&header), None, "it ends too early");
        for (machine, arch) in [(62, Some(Arch::X86_64)), (183, Some(Arch::Arm64)), (243, None)] {
            header.truncate(18);
            header.extend([machine, 0]);
            assert_eq!(Arch::of_header(&header), arch);
        }
        assert_eq!(Arch::of_header(b"#!/bin/sh\necho no program"), None);
        let here = std::env::current_exe().expect("this test is a program");
        assert_eq!(Arch::of(&here).expect("which can be read"), Arch::HERE);
    }

    #[test]
    fn tools_for_the_other_architecture_have_its_prefix() {
        assert_eq!(Arch::HERE.binutil("strip"), "strip");
        let strip = Arch::OTHER.binutil("strip");
        assert!(strip.ends_with("-linux-gnu-strip"), "{strip}");
    }
}
