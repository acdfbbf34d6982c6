//! `cargo xtask dist`: static programs and packages, in `target/dist`.

mod arch;
mod archive;
mod check;
mod contents;
mod crates;
mod deb;
mod notices;
mod program;
mod release;
mod rpm;
mod tree;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

pub(crate) use arch::{has_target, in_variables};
use contents::Contents;
use program::{Build, Program};
use release::Release;

use crate::arch::Arch;
use crate::step;
use crate::verdict::Counts;

/// The programs that pack, and Debian's packages of them.
const PACKERS: [(&str, &str); 5] = [
    ("tar", "tar"),
    ("gzip", "gzip"),
    ("dpkg-deb", "dpkg"),
    ("rpmbuild", "rpm"),
    ("sha256sum", "coreutils"),
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only for this architecture [default: for both]
    #[arg(long, conflicts_with_all = ["program", "crates"])]
    arch: Option<Arch>,
    /// Build without link-time optimisation: much faster, and not what is shipped
    #[arg(long)]
    quick: bool,
    /// Build the last commit twice, in two other folders, and compare what comes out
    #[arg(long, conflicts_with = "program")]
    check: bool,
    /// Install, run and remove the packages in a scratch copy of this system (needs root)
    #[arg(long)]
    trial: bool,
    /// Package the crates as they would be published instead, and install the program from them
    #[arg(long, conflicts_with_all = ["check", "trial", "program", "maintainer"])]
    crates: bool,
    /// Package this program, which must be static, rather than compile one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Who answers for the packages: "NAME <ADDRESS>" [default: the author of the last commit]
    #[arg(long, value_name = "WHO")]
    maintainer: Option<String>,
}

/// Makes the packages; returns whether what was asked for held.
pub(crate) fn run(args: &Args) -> Result<bool> {
    if args.crates {
        return crates::run(args.quick).map(|()| true);
    }
    look_for_packers()?;
    if args.check {
        return check::run(args.architectures(), args.quick, args.maintainer.clone());
    }
    let out = step::target_dir().join("dist");
    let made = make(&Plan {
        root: &step::root(),
        target_dir: &step::target_dir(),
        out: &out,
        quick: args.quick,
        source: match &args.program {
            Some(program) => Source::There(program),
            None => Source::Compiled(args.architectures()),
        },
        maintainer: args.maintainer.clone(),
    })?;
    println!("{}", made.sums.trim_end());
    if args.quick || args.program.is_some() {
        println!("This is for tests: it is not what is shipped.");
    }
    if !args.trial {
        return Ok(true);
    }
    let counts = trial::run(&made.packages)?;
    println!("{counts}");
    Ok(counts.failed == 0)
}

impl Args {
    fn architectures(&self) -> &[Arch] {
        self.arch.as_ref().map_or(&Arch::ALL, std::slice::from_ref)
    }
}

/// Packages a static program that is there, without its symbols, and tries the packages out.
///
/// # Errors
/// The packages cannot be made, or not be tried here.
pub(crate) fn try_packages_of(program: &Path) -> Result<Counts> {
    look_for_packers()?;
    let out = step::target_dir().join("dist-trial");
    let stripped = step::target_dir().join("dist-trial-program");
    let mut strip = Command::new(Arch::of(program)?.binutil("strip"));
    step::output(strip.arg("--strip-all").arg("-o").arg(&stripped).arg(program))?;
    let made = make(&Plan {
        root: &step::root(),
        target_dir: &step::target_dir(),
        out: &out,
        quick: true,
        source: Source::There(&stripped),
        maintainer: None,
    })?;
    trial::run(&made.packages)
}

fn look_for_packers() -> Result<()> {
    for (program, package) in PACKERS {
        ensure!(
            step::which(program).is_some(),
            "there is no {program} (Debian's package {package}): run `cargo xtask setup`"
        );
    }
    Ok(())
}

/// What is packaged, and where that goes.
struct Plan<'a> {
    root: &'a Path,
    target_dir: &'a Path,
    out: &'a Path,
    quick: bool,
    source: Source<'a>,
    maintainer: Option<String>,
}

/// Where the packaged programs come from.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// Each is compiled.
    Compiled(&'a [Arch]),
    /// There is one already.
    There(&'a Path),
}

/// What came out.
struct Made {
    packages: Vec<Packages>,
    /// The lines of `SHA256SUMS`.
    sums: String,
}

/// The packages for one architecture.
struct Packages {
    arch: Arch,
    alone: PathBuf,
    archive: PathBuf,
    deb: PathBuf,
    rpm: PathBuf,
}

/// Compiles the programs, unless there is one, and makes every package.
fn make(plan: &Plan<'_>) -> Result<Made> {
    let Plan { root, target_dir, out, quick, .. } = *plan;
    let build = Build { root, target_dir, quick };
    let programs = match plan.source {
        Source::Compiled(architectures) => build.run(architectures)?,
        Source::There(path) => vec![Program { arch: Arch::of(path)?, path: path.to_path_buf() }],
    };
    let native = programs.iter().find(|program| program.arch.is_here());
    let tells = match native {
        Some(program) => program.path.clone(),
        None => build.only_to_tell()?,
    };
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("cannot empty {}", out.display()))?;
    }
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let release = Release::of(root, out, quick, plan.maintainer.clone())?;
    let mut packages = Vec::new();
    for program in &programs {
        packages.push(pack(&release, program, &tells)?);
    }
    let files = packages.iter().flat_map(|made| [&made.alone, &made.archive, &made.deb, &made.rpm]);
    let sums = sums(out, files)?;
    fs::remove_dir_all(out.join("work")).context("cannot remove what was on its way")?;
    Ok(Made { packages, sums })
}

/// Makes every package of one program. Another tells what its manual and completions are.
fn pack(release: &Release<'_>, program: &Program, tells: &Path) -> Result<Packages> {
    let contents = Contents::gather(release, program, tells)?;
    let Program { arch, path } = program;
    let alone = release.out.join(format!("backscope-{}-{}", release.version, arch.static_target()));
    fs::copy(path, &alone)
        .with_context(|| format!("cannot copy {} to {}", path.display(), alone.display()))?;
    Ok(Packages {
        arch: *arch,
        alone,
        archive: archive::build(release, &contents)?,
        deb: deb::build(release, &contents)?,
        rpm: rpm::build(release, &contents)?,
    })
}

/// Writes the sums of files into a file beside them, and returns its lines.
fn sums<'a>(out: &Path, files: impl Iterator<Item = &'a PathBuf>) -> Result<String> {
    let mut sha256sum = Command::new("sha256sum");
    sha256sum.current_dir(out).args(files.filter_map(|file| file.file_name()));
    let lines = step::output(&mut sha256sum)?;
    fs::write(out.join("SHA256SUMS"), &lines)?;
    Ok(lines)
}
