//! The architectures that backscope is built for, and in what their virtual machines differ.
//! `dist/arch.rs` has in what their packages do.

use std::process::Command;

use crate::kernels::{Flavour, Suites};
use crate::setup::Need;

/// An architecture that backscope is built for, and of which there are virtual machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Arch {
    #[default]
    #[value(name = "x86-64")]
    X86_64,
    Arm64,
}

/// What one has instead of what another has.
#[derive(Debug)]
pub(crate) struct Traits {
    /// Its name, as `--arch` takes it.
    pub(crate) name: &'static str,
    /// The target whose C library can be linked statically.
    pub(crate) target: &'static str,
    /// The compiler that links for it and compiles C for it, if that is not this machine's own, and
    /// its archiver.
    pub(crate) cross: Option<Cross>,
    /// What building for it and emulating it need.
    pub(crate) needs: &'static [Need],
    /// Debian's name of it.
    pub(crate) debian: &'static str,
    /// Its kernels.
    pub(crate) kernels: &'static [(&'static str, Suites)],
    /// Those of them that `cargo xtask test` runs without `--long`.
    pub(crate) short: &'static [&'static str],
    /// Debian's builds of a kernel, of which the first is meant where none is named.
    pub(crate) flavours: &'static [Flavour],
    /// The folder of its kernels below the cache.
    pub(crate) cache: &'static str,
    /// The emulator, and how it is to emulate a machine.
    pub(crate) qemu: (&'static str, &'static [&'static str]),
    /// The device of the first serial line.
    pub(crate) console: &'static str,
    /// Seconds after which a machine with every test is given up.
    pub(crate) limit: u64,
}

/// The tools that build for another processor.
#[derive(Debug)]
pub(crate) struct Cross {
    compiler: &'static str,
    archiver: &'static str,
}

/// One processor. Two that are emulated by a thread each run into instructions that the other one
/// is patching, as attaching a probe does, and the kernel dies. Two that one thread emulates in turn
/// stop for a tenth of a second each.
const ONE_PROCESSOR: [&str; 4] = ["-accel", "tcg,thread=single", "-smp", "1"];

const X86_64: Traits = Traits {
    name: "x86-64",
    target: "x86_64-unknown-linux-gnu",
    cross: None,
    needs: &[
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("/usr/lib/x86_64-linux-gnu/libc.a", "libc6-dev"),
    ],
    debian: "amd64",
    kernels: &[
        ("5.10", &["bullseye", "bullseye-security"]),
        ("6.1", &["bookworm", "bookworm-security"]),
        ("6.12", &["trixie", "trixie-security", "bookworm-backports"]),
        ("7", &["trixie-backports", "forky", "sid"]),
    ],
    short: &["5.10", "6.1", "6.12", "7"],
    // Debian's build for virtual machines: small, with everything that is needed built in.
    flavours: &[Flavour { suffix: "", debian: "-cloud-amd64" }],
    cache: "kernels",
    // Without `erms` the kernel does not clear pages by `rep stosb`, which is emulated byte by
    // byte.
    qemu: ("qemu-system-x86_64", &["-cpu", "max,-erms"]),
    console: "ttyS0",
    limit: 2_100,
};

const ARM64: Traits = Traits {
    name: "arm64",
    target: "aarch64-unknown-linux-gnu",
    cross: Some(Cross { compiler: "aarch64-linux-gnu-gcc", archiver: "aarch64-linux-gnu-ar" }),
    needs: &[
        ("qemu-system-aarch64", "qemu-system-arm"),
        ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
        ("/usr/aarch64-linux-gnu/lib/libc.a", "libc6-dev-arm64-cross"),
    ],
    debian: "arm64",
    kernels: X86_64.kernels,
    // What differs from kernel to kernel is tried on x86-64.
    short: &["6.12"],
    // With pages of 16 KB there is only the build for any machine.
    flavours: &[
        Flavour { suffix: "", debian: "-cloud-arm64" },
        Flavour { suffix: "-16k", debian: "-arm64-16k" },
    ],
    cache: "kernels-arm64",
    // Pointers that are signed would take half of the time: their cipher is emulated.
    qemu: ("qemu-system-aarch64", &["-machine", "virt", "-cpu", "max,pauth=off"]),
    console: "ttyAMA0",
    limit: 5_400,
};

impl Arch {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::X86_64, Self::Arm64];

    /// What it has instead of what another has.
    pub(crate) fn traits(self) -> &'static Traits {
        match self {
            Self::X86_64 => &X86_64,
            Self::Arm64 => &ARM64,
        }
    }

    /// The emulator, which is still to be told what it boots.
    pub(crate) fn emulator(self) -> Command {
        let (program, machine) = self.traits().qemu;
        let mut qemu = Command::new(program);
        qemu.args(ONE_PROCESSOR).args(machine);
        qemu
    }

    /// Lets cargo build static programs for it.
    pub(crate) fn build_static(self, cargo: &mut Command) {
        let Traits { target, cross, .. } = self.traits();
        cargo.args(["--target", target]);
        cargo
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("RUSTFLAGS", "-Ctarget-feature=+crt-static");
        let Some(Cross { compiler, archiver }) = cross else { return };
        let name = target.replace('-', "_");
        cargo.env(format!("CARGO_TARGET_{}_LINKER", name.to_uppercase()), compiler);
        cargo.env(format!("CC_{name}"), compiler).env(format!("AR_{name}"), archiver);
    }
}

impl std::fmt::Display for Arch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.traits().name)
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::Arch;

    #[test]
    fn an_architecture_is_called_as_the_option_calls_it() {
        for arch in Arch::ALL {
            let value = arch.to_possible_value().expect("a value that can be given");
            assert_eq!(value.get_name(), arch.to_string());
        }
    }

    #[test]
    fn a_short_run_has_kernels_of_the_matrix() {
        for arch in Arch::ALL {
            let traits = arch.traits();
            for short in traits.short {
                assert!(traits.kernels.iter().any(|(version, _)| version == short), "{short}");
            }
        }
    }
}
