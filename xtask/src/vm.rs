//! `cargo xtask vm`: runs the end-to-end tests in virtual machines, one a kernel.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cpio;
use crate::kernels::{self, Kernel};
use crate::module;
use crate::probes;
use crate::qemu::{self, Job, Machine, Run};
use crate::step::{self, Step};
use crate::test;
use crate::verdict::{Counts, Outcome};

/// The target whose C library can be linked statically.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Binaries of the virtual machine: their names for cargo, and their places.
const BINARIES: [(&str, &str); 3] = [
    ("backscope-vm-init", "init"),
    ("backscope", "bin/backscope"),
    ("demo-servers", "bin/demo-servers"),
];
const DIRECTORIES: [&str; 7] = ["bin", "dev", "proc", "root", "run", "sys", "tmp"];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kernel versions, such as 6.1 [default: 5.10 6.1 6.12 7]
    #[arg(value_name = "KERNEL")]
    kernels: Vec<String>,
    /// Run only the tests whose name contains PATTERN, or one of several separated by commas
    #[arg(long, value_name = "PATTERN")]
    filter: Option<String>,
    /// Run only what a kernel can change, as `cargo xtask test` does
    #[arg(long, conflicts_with = "filter")]
    short: bool,
    /// Machines that run at once; each keeps one processor busy
    #[arg(short, long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    jobs: u8,
    /// Seconds after which a machine is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 2_100)]
    timeout: u64,
    /// Keep the console's log of machines whose tests all passed, too
    #[arg(long)]
    keep_log: bool,
}

impl Args {
    /// Returns the options with which `cargo xtask test` runs: every kernel, with every test or
    /// with those that it can change.
    pub(crate) fn every_kernel(long: bool) -> Self {
        let (kernels, filter) = (Vec::new(), None);
        Self { kernels, filter, short: !long, jobs: 2, timeout: 2_100, keep_log: false }
    }
}

/// Boots one kernel and lets it measure what watching costs, in instructions. Returns its release
/// and its output.
///
/// # Errors
/// If there is no such kernel, or the machine did not come to its end.
pub(crate) fn measure_costs(version: &str) -> Result<(String, Run)> {
    let initramfs = pack(&build("release")?)?;
    let kernel = kernels::ensure(version)?;
    let log = step::target_dir().join("vm/logs").join(format!("{version}-costs.log"));
    let timeout = Duration::from_secs(600);
    let machine = Machine {
        version,
        vmlinuz: &kernel.vmlinuz,
        initramfs: &initramfs,
        job: Job::Costs,
        timeout,
        log: &log,
    };
    let run = qemu::run(&machine)?;
    match &run.fault {
        Some(fault) => bail!("kernel {version}: {fault}"),
        None => Ok((kernel.release, run)),
    }
}

/// The result of one kernel.
struct Report {
    version: String,
    release: String,
    result: Ran,
}

enum Ran {
    /// The machine ran; see the log for its console.
    Yes { run: Run, took: Duration, log: PathBuf },
    /// There is no such kernel to run.
    Skipped(String),
}

/// Runs the machines, prints the sum as its last line, and returns whether nothing failed.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let counts = run_all(args)?;
    println!("{counts}");
    Ok(counts.failed == 0)
}

/// Runs the machines, prints the result of each, and returns the sum of their verdicts.
///
/// # Errors
/// If no machine can be run at all.
pub(crate) fn run_all(args: &Args) -> Result<Counts> {
    if !cfg!(target_arch = "x86_64") {
        bail!(
            "the virtual machines are x86-64, and the tests are built for the machine they are \
             built on"
        );
    }
    if let Some(filter) = &args.filter
        && filter.chars().any(|c| c.is_whitespace() || c == '"')
    {
        bail!(
            "the filter `{filter}` cannot be passed to the kernel: it has a blank or a quotation \
             mark"
        );
    }
    let versions =
        if args.kernels.is_empty() { kernels::default_versions() } else { args.kernels.clone() };
    let initramfs = pack(&build("vm")?)?;
    let reports = boot_all(args, &versions, &initramfs);
    print_table(&reports);
    Ok(sum(&reports))
}

/// The agent that was built for the machines: a static program.
pub(crate) fn static_agent() -> PathBuf {
    step::target_dir().join("vm").join(TARGET).join("vm/backscope")
}

/// What goes into the machine.
struct Built {
    /// Cargo's output directory.
    dir: PathBuf,
    /// The end-to-end tests, whose file name only cargo knows.
    e2e: PathBuf,
}

/// Builds what goes into the machine, with this profile.
fn build(profile: &str) -> Result<Built> {
    let step = Step::start("building static binaries for the virtual machines");
    let target_dir = step::target_dir().join("vm");
    let mut cargo = step::cargo();
    cargo.current_dir(step::root()).args([
        "build",
        "--quiet",
        "--profile",
        profile,
        "--target",
        TARGET,
    ]);
    cargo.arg("--target-dir").arg(&target_dir);
    for (name, _) in BINARIES {
        cargo.args(["--bin", name]);
    }
    cargo.args(["--test", "e2e"]);
    cargo.args(["-p", "backscope", "-p", "backscope-tests", "-p", "backscope-demo-servers"]);
    cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", "-Ctarget-feature=+crt-static");
    let e2e = test::executable_of_e2e(&mut cargo)?;
    step.done("built");
    Ok(Built { dir: target_dir.join(TARGET).join(profile), e2e })
}

/// Packs the binaries into a root file system and returns where that is.
fn pack(built: &Built) -> Result<PathBuf> {
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
    // The one case that wants it is skipped where nobody has made it.
    if let Ok(object) = fs::read(probes::log_object()) {
        archive.executable("bin/backscope-log.bpf.o", &object);
    }
    let path = built.dir.join("initramfs.cpio");
    fs::write(&path, archive.finish())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Boots the kernels, as many at once as asked for, and reports in the order of the versions. The
/// newest begin first: they have most to do, and the longest run should not be left alone at the
/// end.
fn boot_all(args: &Args, versions: &[String], initramfs: &Path) -> Vec<Report> {
    let waiting: Mutex<VecDeque<(usize, &String)>> =
        Mutex::new(versions.iter().enumerate().collect());
    let next = || waiting.lock().ok()?.pop_back();
    let worker = || {
        let mut reports = Vec::new();
        while let Some((place, version)) = next() {
            reports.push((place, boot(args, version, initramfs)));
        }
        reports
    };
    let mut reports: Vec<(usize, Report)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..args.jobs).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    });
    reports.sort_by_key(|(place, _)| *place);
    reports.into_iter().map(|(_, report)| report).collect()
}

fn boot(args: &Args, version: &str, initramfs: &Path) -> Report {
    let report = |release: &str, result| Report {
        version: version.to_owned(),
        release: release.to_owned(),
        result,
    };
    let kernel = match kernels::ensure(version) {
        Ok(kernel) => kernel,
        Err(error) => return report("", Ran::Skipped(format!("{error:#}"))),
    };
    let log = step::target_dir().join("vm/logs").join(format!("{version}.log"));
    let initramfs = match with_modules(version, &kernel, initramfs) {
        Ok(initramfs) => initramfs,
        Err(error) => {
            eprintln!(
                "    kernel {version}: without a TUN device, whose tests will be skipped: {error:#}"
            );
            initramfs.to_owned()
        }
    };
    let step = Step::start(format!("kernel {version}: booting {}", kernel.release));
    let machine = Machine {
        version,
        vmlinuz: &kernel.vmlinuz,
        initramfs: &initramfs,
        job: Job::Tests { filter: args.filter.as_deref(), long: !args.short },
        timeout: Duration::from_secs(args.timeout),
        log: &log,
    };
    let not_run =
        |error| Run { verdicts: Vec::new(), fault: Some(format!("{error:#}")), booted: false };
    let begin = Instant::now();
    let run = qemu::run(&machine).unwrap_or_else(not_run);
    let took = begin.elapsed();
    let good = run.fault.is_none() && run.counts().failed == 0;
    step.done(format_args!("kernel {version}: {}", run.counts()));
    if good && !args.keep_log {
        // A failure leaves only a log behind.
        let _ = fs::remove_file(&log);
    }
    report(&kernel.release, Ran::Yes { run, took, log })
}

/// Appends the kernel's own modules to the root file system: the kernel unpacks concatenated
/// archives one after another.
fn with_modules(version: &str, kernel: &Kernel, initramfs: &Path) -> Result<PathBuf> {
    let mut modules = cpio::Archive::default();
    modules.directory("modules");
    modules.executable("modules/tun.ko", &fs::read(module::tun(version, kernel)?)?);
    let mut archive = fs::read(initramfs)?;
    archive.extend(modules.finish());
    let path = initramfs.with_file_name(format!("initramfs-{version}.cpio"));
    fs::write(&path, archive).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn print_table(reports: &[Report]) {
    println!(
        "\n{:<8} {:<34} {:>6} {:>6} {:>7} {:>7}",
        "KERNEL", "RELEASE", "PASSED", "FAILED", "SKIPPED", "TIME"
    );
    for Report { version, release, result } in reports {
        match result {
            Ran::Yes { run, took, .. } => {
                let Counts { passed, failed, skipped } = run.counts();
                let took = took.as_secs();
                println!(
                    "{version:<8} {release:<34} {passed:>6} {failed:>6} {skipped:>7} {took:>5} s"
                );
            }
            Ran::Skipped(_) => println!("{version:<8} SKIPPED: this kernel was not tested"),
        }
    }
    for Report { version, result, .. } in reports {
        match result {
            Ran::Skipped(reason) => println!("\nkernel {version}: SKIPPED, NOT TESTED: {reason}"),
            Ran::Yes { run, log, .. } => print_faults(version, run, log),
        }
    }
    println!();
}

/// Prints why tests failed or were skipped, and where the console's log is.
fn print_faults(version: &str, run: &Run, log: &Path) {
    for verdict in &run.verdicts {
        let word = match verdict.outcome {
            Outcome::Pass if verdict.reason.is_empty() => continue,
            Outcome::Pass => "passed alone",
            Outcome::Fail => "FAILED",
            Outcome::Skip => "skipped",
        };
        println!("kernel {version}: {word}: {}: {}", verdict.test, verdict.reason);
    }
    if let Some(fault) = &run.fault {
        println!("kernel {version}: FAILED: {fault}");
    }
    if run.fault.is_some() || run.counts().failed > 0 {
        println!("kernel {version}: the console's log is {}", log.display());
    }
}

fn sum(reports: &[Report]) -> Counts {
    let mut sum = Counts::default();
    for report in reports {
        match &report.result {
            Ran::Yes { run, .. } => sum += run.counts(),
            Ran::Skipped(_) => sum.skipped += 1,
        }
    }
    sum
}
