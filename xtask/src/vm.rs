//! `cargo xtask vm`: runs the end-to-end tests in virtual machines, one a kernel.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::cpio;
use crate::kernels::{self, Kernel, Wanted};
use crate::module;
use crate::probes;
use crate::qemu::{self, Job, Machine, Run};
use crate::servers::{self, GoApp};
use crate::step::{self, Step};
use crate::test;
use crate::verdict::{Counts, Outcome};

/// Binaries of the virtual machine: their names for cargo, and their places.
const BINARIES: [(&str, &str); 3] = [
    ("backscope-vm-init", "init"),
    ("backscope", "bin/backscope"),
    ("demo-servers", "bin/demo-servers"),
];
const DIRECTORIES: [&str; 7] = ["bin", "dev", "proc", "root", "run", "sys", "tmp"];

const EXAMPLES: &str = "\
Examples:
  cargo xtask vm                           every test on 5.10, 6.1, 6.12 and 7.x
  cargo xtask vm 6.1 --filter overflow     some tests on one kernel
  cargo xtask vm --arch arm64              every test on arm64's kernels
  cargo xtask vm --arch arm64 6.12-16k     on one with pages of 16 KB";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Kernel versions, such as 6.1 [default: 5.10 6.1 6.12 7]
    #[arg(value_name = "KERNEL")]
    kernels: Vec<String>,
    /// Processor of the machines, always emulated
    #[arg(long, value_enum, default_value_t)]
    arch: Arch,
    /// Run only the tests whose name contains PATTERN, or one of several separated by commas
    #[arg(long, value_name = "PATTERN")]
    filter: Option<String>,
    /// Run only what a kernel can change, as `cargo xtask test` does; on arm64, what the processor
    /// can change
    #[arg(long, conflicts_with = "filter")]
    short: bool,
    /// Machines that run at once; each keeps one processor busy
    #[arg(short, long, default_value_t = JOBS, value_parser = clap::value_parser!(u8).range(1..=16))]
    jobs: u8,
    /// Seconds after which a machine is given up [default: 2100, on arm64 5400]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Keep the console's log of machines whose tests all passed, too
    #[arg(long)]
    keep_log: bool,
}

/// Machines that run at once if nobody says otherwise.
const JOBS: u8 = 2;

/// What is run in machines, and how.
struct Plan<'a> {
    kernels: Vec<Wanted>,
    filter: Option<&'a str>,
    /// Every test, not only those that the kernel or the processor can change.
    long: bool,
    jobs: u8,
    timeout: Option<u64>,
    keep_log: bool,
}

/// Boots one kernel and lets it measure what watching costs, in instructions. Returns its release
/// and its output.
///
/// # Errors
/// If there is no such kernel, or the machine did not come to its end.
pub(crate) fn measure_costs(version: &str) -> Result<(String, Run)> {
    let wanted = Wanted::parse(Arch::X86_64, version)?;
    let initramfs = pack(&build(wanted.arch, "release")?, wanted.arch)?;
    let kernel = kernels::ensure(&wanted)?;
    let log = step::target_dir().join("vm/logs").join(format!("{version}-costs.log"));
    let timeout = Duration::from_secs(600);
    let machine = Machine {
        kernel: &wanted,
        vmlinuz: &kernel.vmlinuz,
        initramfs: &initramfs,
        job: Job::Costs,
        timeout,
        log: &log,
    };
    let run = qemu::run(&machine)?;
    match &run.fault {
        Some(fault) => bail!("kernel {wanted}: {fault}"),
        None => Ok((kernel.release, run)),
    }
}

/// The result of one kernel.
struct Report {
    wanted: Wanted,
    release: String,
    result: Ran,
}

enum Ran {
    /// The machine ran; see the log for its console.
    Yes { run: Run, took: Duration, log: PathBuf },
    /// There is no such kernel to run.
    Skipped(String),
    /// There is nothing to run on it.
    NotBuilt(String),
}

/// Runs the machines, prints the sum as its last line, and returns whether nothing failed.
pub(crate) fn run(args: &Args) -> Result<bool> {
    if let Some(filter) = &args.filter
        && filter.chars().any(|c| c.is_whitespace() || c == '"')
    {
        bail!(
            "the filter `{filter}` cannot be passed to the kernel: it has a blank or a quotation \
             mark"
        );
    }
    let kernels = if args.kernels.is_empty() {
        Wanted::all(args.arch)
    } else {
        args.kernels.iter().map(|name| Wanted::parse(args.arch, name)).collect::<Result<_>>()?
    };
    let counts = run_all(&Plan {
        kernels,
        filter: args.filter.as_deref(),
        long: !args.short,
        jobs: args.jobs,
        timeout: args.timeout,
        keep_log: args.keep_log,
    })?;
    println!("{counts}");
    Ok(counts.failed == 0)
}

/// Runs what `cargo xtask test` runs: what a kernel or a processor can change, or with `long` every
/// test on every kernel of both. Prints the result of each machine, and returns the sum of their
/// verdicts.
///
/// # Errors
/// If no machine can be run at all.
pub(crate) fn run_for_tests(long: bool) -> Result<Counts> {
    let kernels_of = if long { Wanted::all } else { Wanted::short };
    let kernels = Arch::ALL.into_iter().flat_map(kernels_of).collect();
    run_all(&Plan { kernels, filter: None, long, jobs: JOBS, timeout: None, keep_log: false })
}

fn run_all(plan: &Plan) -> Result<Counts> {
    if !cfg!(target_arch = "x86_64") {
        bail!("what runs in the virtual machines is built on x86-64 alone");
    }
    let mut built = Vec::new();
    for arch in Arch::ALL {
        if plan.kernels.iter().any(|wanted| wanted.arch == arch) {
            let initramfs = build(arch, "vm").and_then(|built| pack(&built, arch));
            // What is built for the other one is tested all the same.
            built.push((arch, initramfs.map_err(|error| format!("{error:#}"))));
        }
    }
    let reports = boot_all(plan, &built);
    print_table(&reports);
    Ok(sum(&reports))
}

/// The agent that was built for the machines of this architecture: a static program.
pub(crate) fn static_agent() -> PathBuf {
    step::target_dir().join("vm").join(Arch::X86_64.traits().target).join("vm/backscope")
}

/// The root file system of each architecture, or why there is none.
type Built = [(Arch, Result<PathBuf, String>)];

/// What goes into the machine.
struct Binaries {
    /// Cargo's output directory.
    dir: PathBuf,
    /// The end-to-end tests, whose file name only cargo knows.
    e2e: PathBuf,
}

/// Builds what goes into the machine, with this profile. The two architectures share what is built
/// for this machine: macros and build scripts.
fn build(arch: Arch, profile: &str) -> Result<Binaries> {
    let step = Step::start(format!("building static binaries for the virtual machines: {arch}"));
    let target_dir = step::target_dir().join("vm");
    let mut cargo = step::cargo();
    cargo.current_dir(step::root()).args(["build", "--quiet", "--profile", profile]);
    cargo.arg("--target-dir").arg(&target_dir);
    for (name, _) in BINARIES {
        cargo.args(["--bin", name]);
    }
    cargo.args(["--test", "e2e"]);
    cargo.args(["-p", "backscope", "-p", "backscope-tests", "-p", "backscope-demo-servers"]);
    arch.build_static(&mut cargo);
    let e2e = test::executable_of_e2e(&mut cargo)?;
    step.done("built");
    Ok(Binaries { dir: target_dir.join(arch.traits().target).join(profile), e2e })
}

/// Packs the binaries into a root file system and returns where that is.
fn pack(built: &Binaries, arch: Arch) -> Result<PathBuf> {
    let mut archive = cpio::Archive::default();
    for name in DIRECTORIES {
        archive.directory(name);
    }
    archive.device("dev/console", 5, 1);
    let mut binaries = vec![(built.e2e.clone(), "bin/e2e")];
    binaries.extend(BINARIES.map(|(binary, name)| (built.dir.join(binary), name)));
    for (path, name) in &binaries {
        let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        archive.executable(name, &content);
    }
    // Cases that want one of these are skipped where nobody has made it.
    archive.directory("servers");
    for GoApp { name, program, .. } in servers::go_apps(arch) {
        if let Ok(program) = fs::read(program) {
            archive.executable(&format!("servers/{name}"), &program);
        }
    }
    if let Ok(object) = fs::read(probes::log_object()) {
        archive.executable("bin/backscope-log.bpf.o", &object);
    }
    let path = built.dir.join("initramfs.cpio");
    fs::write(&path, archive.finish())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Boots the kernels, as many at once as asked for, and reports in their order. The last begin
/// first: newer ones have most to do, the slower architecture comes last, and the longest run should
/// not be left alone at the end.
fn boot_all(plan: &Plan, built: &Built) -> Vec<Report> {
    let waiting: Mutex<VecDeque<(usize, &Wanted)>> =
        Mutex::new(plan.kernels.iter().enumerate().collect());
    let next = || waiting.lock().ok()?.pop_back();
    let worker = || {
        let mut reports = Vec::new();
        while let Some((place, wanted)) = next() {
            reports.push((place, boot(plan, wanted, built)));
        }
        reports
    };
    let mut reports: Vec<(usize, Report)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..plan.jobs).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    });
    reports.sort_by_key(|(place, _)| *place);
    reports.into_iter().map(|(_, report)| report).collect()
}

fn boot(plan: &Plan, wanted: &Wanted, built: &Built) -> Report {
    let report = |release: String, result| Report { wanted: wanted.clone(), release, result };
    let initramfs = match built.iter().find(|(arch, _)| *arch == wanted.arch) {
        Some((_, Ok(initramfs))) => initramfs,
        Some((_, Err(error))) => return report(String::new(), Ran::NotBuilt(error.clone())),
        None => return report(String::new(), Ran::NotBuilt("nothing was built".to_owned())),
    };
    let kernel = match kernels::ensure(wanted) {
        Ok(kernel) => kernel,
        Err(error) => return report(String::new(), Ran::Skipped(format!("{error:#}"))),
    };
    let initramfs = match with_modules(wanted, &kernel, initramfs) {
        Ok(initramfs) => initramfs,
        Err(error) => {
            eprintln!(
                "    kernel {wanted}: without a TUN device, whose tests will be skipped: {error:#}"
            );
            initramfs.to_owned()
        }
    };
    let result = boot_kernel(plan, wanted, &kernel, &initramfs);
    report(kernel.release, result)
}

fn boot_kernel(plan: &Plan, wanted: &Wanted, kernel: &Kernel, initramfs: &Path) -> Ran {
    let step = Step::start(format!("kernel {wanted}: booting {}", kernel.release));
    let log = format!("{}-{}.log", wanted.arch, wanted.version());
    let log = step::target_dir().join("vm/logs").join(log);
    let machine = Machine {
        kernel: wanted,
        vmlinuz: &kernel.vmlinuz,
        initramfs,
        job: Job::Tests { filter: plan.filter, long: plan.long },
        timeout: Duration::from_secs(plan.timeout.unwrap_or(wanted.arch.traits().limit)),
        log: &log,
    };
    let not_run =
        |error| Run { verdicts: Vec::new(), fault: Some(format!("{error:#}")), booted: false };
    let begin = Instant::now();
    let run = qemu::run(&machine).unwrap_or_else(not_run);
    let took = begin.elapsed();
    let good = run.fault.is_none() && run.counts().failed == 0;
    step.done(format_args!("kernel {wanted}: {}", run.counts()));
    if good && !plan.keep_log {
        // A failure leaves only a log behind.
        let _ = fs::remove_file(&log);
    }
    Ran::Yes { run, took, log }
}

/// Appends the kernel's own modules to the root file system: the kernel unpacks concatenated
/// archives one after another.
fn with_modules(wanted: &Wanted, kernel: &Kernel, initramfs: &Path) -> Result<PathBuf> {
    let mut modules = cpio::Archive::default();
    modules.directory("modules");
    modules.executable("modules/tun.ko", &fs::read(module::tun(wanted, kernel)?)?);
    let mut archive = fs::read(initramfs)?;
    archive.extend(modules.finish());
    let path = initramfs.with_file_name(format!("initramfs-{}.cpio", wanted.version()));
    fs::write(&path, archive).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn print_table(reports: &[Report]) {
    println!(
        "\n{:<7} {:<9} {:<34} {:>6} {:>6} {:>7} {:>7}",
        "ARCH", "KERNEL", "RELEASE", "PASSED", "FAILED", "SKIPPED", "TIME"
    );
    for Report { wanted, release, result } in reports {
        let (arch, version) = (wanted.arch, wanted.version());
        print!("{:<7} {version:<9} ", arch.to_string());
        match result {
            Ran::Yes { run, took, .. } => {
                let Counts { passed, failed, skipped } = run.counts();
                let took = took.as_secs();
                println!("{release:<34} {passed:>6} {failed:>6} {skipped:>7} {took:>5} s");
            }
            Ran::Skipped(_) => println!("SKIPPED: this kernel was not tested"),
            Ran::NotBuilt(_) => println!("FAILED: there was nothing to run on it"),
        }
    }
    for Report { wanted, result, .. } in reports {
        match result {
            Ran::Skipped(reason) => println!("\nkernel {wanted}: SKIPPED, NOT TESTED: {reason}"),
            Ran::NotBuilt(reason) => println!("\nkernel {wanted}: FAILED, NOT TESTED: {reason}"),
            Ran::Yes { run, log, .. } => print_faults(wanted, run, log),
        }
    }
    println!();
}

/// Prints why tests failed or were skipped, and where the console's log is.
fn print_faults(wanted: &Wanted, run: &Run, log: &Path) {
    for verdict in &run.verdicts {
        let word = match verdict.outcome {
            Outcome::Pass if verdict.reason.is_empty() => continue,
            Outcome::Pass => "passed alone",
            Outcome::Fail => "FAILED",
            Outcome::Skip => "skipped",
        };
        println!("kernel {wanted}: {word}: {}: {}", verdict.test, verdict.reason);
    }
    if let Some(fault) = &run.fault {
        println!("kernel {wanted}: FAILED: {fault}");
    }
    if run.fault.is_some() || run.counts().failed > 0 {
        println!("kernel {wanted}: the console's log is {}", log.display());
    }
}

fn sum(reports: &[Report]) -> Counts {
    let mut sum = Counts::default();
    for report in reports {
        match &report.result {
            Ran::Yes { run, .. } => sum += run.counts(),
            Ran::Skipped(_) => sum.skipped += 1,
            Ran::NotBuilt(_) => sum.failed += 1,
        }
    }
    sum
}
