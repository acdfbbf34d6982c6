//! Runs one case in a thread and a network namespace of its own, with a time limit.

use std::any::Any;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::ptr;
use std::sync::{PoisonError, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::{Skip, Tier, World, net};

/// One end-to-end test.
#[derive(Clone, Copy)]
pub struct Case {
    /// `topic::what`.
    pub name: &'static str,
    /// Place where it can run.
    pub place: Where,
    /// Tiers on which it runs in the virtual machine.
    pub tiers: Tiers,
    /// Extent to which the kernel can change it. This decides where it runs without `--long`.
    pub varies: Varies,
    /// Whether the processor can change it: it runs on arm64 without `--long`, too.
    pub by_processor: bool,
    /// Whether nothing else may run at the same time, because it looks at something that all
    /// processes share, or at times that load would change.
    pub alone: bool,
    /// The first kernels that can show what it checks.
    pub since: Since,
    /// The test.
    pub run: fn(&World) -> anyhow::Result<()>,
}

impl Case {
    /// Gives the case the machine for itself.
    pub const fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    /// The same case, whose hooks differ by tier.
    pub const fn by_tier(self) -> Self {
        Self { varies: Varies::ByTier, ..self }
    }

    /// Marks a case whose hooks, or the members that they read, differ from kernel to kernel.
    pub const fn on_each_kernel(self) -> Self {
        Self { varies: Varies::ByKernel, ..self }
    }

    /// Marks a case that rests on what one processor has instead of what another has: numbers and
    /// registers of system calls, the code that calls our functions, members of structures that
    /// exist there alone, what a compiler makes of the probes.
    pub const fn by_processor(self) -> Self {
        Self { by_processor: true, ..self }
    }

    /// Sets the first kernels that can show what the case asks for.
    pub const fn since(self, since: Since) -> Self {
        Self { since, ..self }
    }
}

/// The first kernel on each tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// On the full tier.
    pub full: (u32, u32),
    /// On the tracepoint tier.
    pub tracepoint: (u32, u32),
}

/// The running kernel's version.
fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse().ok());
    (numbers.next().unwrap_or(u32::MAX), numbers.next().unwrap_or(0))
}

/// The processor for which the tests were built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    /// x86-64.
    X86_64,
    /// 64-bit ARM.
    Arm64,
}

impl Processor {
    /// The one that runs this.
    pub const OWN: Self = if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::X86_64 };

    /// Returns the first kernel that attaches function hooks. arm64 can call a hook from any
    /// function from 6.4 on; before, it loads them and refuses to attach them.
    pub const fn attaches_hooks_since(self) -> (u32, u32) {
        match self {
            Self::X86_64 => (0, 0),
            Self::Arm64 => (6, 4),
        }
    }
}

/// Where a case can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// Natively and in the virtual machine.
    Everywhere,
    /// Natively alone: it needs programs that the virtual machine lacks, or is the same on every
    /// kernel.
    Native,
}

/// Tiers on which a case runs in the virtual machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tiers {
    /// Once on each.
    Each,
    /// Once, on the tier that the agent chooses: the case does not depend on it.
    Any,
}

/// Extent to which the kernel can change a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Varies {
    /// Not at all, or natively as well as anywhere: in a virtual machine it runs with `--long`
    /// alone.
    Never,
    /// Its hooks differ by tier. This kernel has the tracepoint tier, `MIDDLE` the full one.
    ByTier,
    /// They differ by version, too: it runs on the full tier of every kernel. Before 6.18 it runs
    /// on the tracepoint tier as well; this machine's kernel stands for the later ones.
    ByKernel,
}

/// Kernel whose full tier stands for that of others.
const MIDDLE: (u32, u32) = (6, 12);

/// First kernel whose tracepoint tier has every hook that we use.
const NEWEST_HOOKS: (u32, u32) = (6, 18);

/// The machine on which cases run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// The one that built them.
    Native,
    /// A virtual machine, for what its kernel can change.
    Short,
    /// A virtual machine, for everything.
    Long,
}

/// Outcome of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should.
    Pass,
    /// Otherwise.
    Fail(String),
    /// It could not run, and why.
    Skip(String),
}

/// Returns the runs of a case on this kernel: name and tier. None if its place is elsewhere.
pub fn runs(case: &Case, machine: Machine) -> Vec<(String, Option<Tier>)> {
    runs_on(case, machine, Processor::OWN, kernel())
}

fn runs_on(
    case: &Case,
    machine: Machine,
    processor: Processor,
    kernel: (u32, u32),
) -> Vec<(String, Option<Tier>)> {
    if machine == Machine::Native {
        let is_there = kernel >= case.since.full;
        return if is_there { vec![(case.name.to_owned(), None)] } else { Vec::new() };
    }
    if case.place == Where::Native {
        return Vec::new();
    }
    let own = if kernel < processor.attaches_hooks_since() { Tier::Tracepoint } else { Tier::Full };
    let mut tiers = match machine {
        Machine::Long => vec![Tier::Full, Tier::Tracepoint],
        _ => short_tiers(case, processor, kernel),
    };
    if own == Tier::Tracepoint {
        tiers.retain(|tier| *tier == own);
    }
    let is_there = |tier: &Tier| match tier {
        Tier::Full => kernel >= case.since.full,
        Tier::Tracepoint => kernel >= case.since.tracepoint,
    };
    if case.tiers == Tiers::Any {
        let runs = !tiers.is_empty() && is_there(&own);
        return if runs { vec![(case.name.to_owned(), None)] } else { Vec::new() };
    }
    tiers.retain(is_there);
    let run = |tier: Tier| (format!("{}@{}", case.name, tier.name()), Some(tier));
    tiers.into_iter().map(run).collect()
}

/// The tiers on which a case shows what a kernel or a processor can change. What differs from kernel
/// to kernel is tried on x86-64.
fn short_tiers(case: &Case, processor: Processor, kernel: (u32, u32)) -> Vec<Tier> {
    match (processor, case.varies) {
        (Processor::Arm64, _) if case.by_processor => vec![Tier::Full, Tier::Tracepoint],
        (Processor::Arm64, _) => Vec::new(),
        (_, Varies::ByKernel) if kernel < NEWEST_HOOKS => vec![Tier::Full, Tier::Tracepoint],
        (_, Varies::ByKernel) => vec![Tier::Full],
        (_, Varies::ByTier) if kernel == MIDDLE => vec![Tier::Full],
        _ => Vec::new(),
    }
}

/// Held shared by cases that may run at once, and exclusively by one that runs alone.
static MACHINE: RwLock<()> = RwLock::new(());

/// Runs the case once no case is running that it must not meet, and calls `begins` then. With
/// `alone` it has the machine for itself, though it may not ask for that.
///
/// A case that runs alone in a virtual machine meets no process that another one left behind.
pub fn run(case: &Case, world: &World, alone: bool, begins: &dyn Fn()) -> Verdict {
    let alone = alone || case.alone;
    // A poisoned lock only means that a case panicked, which leaves no shared state behind.
    let (_shared, _alone);
    if alone {
        _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    } else {
        _shared = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    }
    if alone && world.vm {
        end_leftovers();
    }
    begins();
    let mut disturbed = 0;
    for _ in 1..RUNS {
        let world = World::new(world.vm, world.tier);
        let (begin, before) = (Instant::now(), cpu_pressure());
        let verdict = run_once(case, &world);
        let Verdict::Fail(reason) = &verdict else { return verdict };
        let pressure = cpu_pressure() - before;
        if world.skipped() > 0 {
            let skipped = world.skipped();
            again(case, &format!("the kernel skipped {skipped} runs of probes: {reason}"));
        } else if alone && disturbed < DISTURBED_RUNS && pressure > begin.elapsed() / 50 {
            disturbed += 1;
            again(case, &format!("there was no processor free for {pressure:?}: {reason}"));
        } else {
            return verdict;
        }
    }
    run_once(case, world)
}

/// Prints why the case runs again. The text leaves in one piece, so that it tears no other line.
fn again(case: &Case, why: &str) {
    let text = format!("{}: again, as {why}\n", case.name);
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Makes this process the parent of every process that loses its own, so that [`end_leftovers`] can
/// wait for it.
pub fn adopt_orphans() -> io::Result<()> {
    // SAFETY: a plain system call that concerns the calling process alone.
    let status = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1 as libc::c_ulong) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Kills every process of a test machine but its init and this one, and waits for their end.
///
/// Only for a virtual machine that runs nothing but the tests, and only while no case runs.
pub fn end_leftovers() {
    // SAFETY: a plain system call. -1 spares the caller and PID 1; nothing else lives here.
    unsafe { libc::kill(-1, libc::SIGKILL) };
    // SAFETY: a null pointer asks for no status. No case runs that could await one of them.
    while unsafe { libc::waitpid(-1, ptr::null_mut(), 0) } > 0 {}
}

/// Further runs of a case that wants the machine for itself, if it fails while something else
/// wanted the machine, too.
const DISTURBED_RUNS: u32 = 3;

/// Returns the time for which some runnable process had no processor, since the machine was
/// started. 0 if the kernel does not count it.
pub fn cpu_pressure() -> Duration {
    let text = std::fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let total = text
        .lines()
        .next()
        .and_then(|some| some.rsplit_once("total="))
        .map(|(_, total)| total.parse());
    Duration::from_micros(total.and_then(Result::ok).unwrap_or(0))
}

/// Most runs of a case that fails while the kernel skips probes.
///
/// A kernel with full or lazy preemption may preempt a task within a probe. Until the task goes on,
/// its processor skips that probe for every other task, and counts the skips. The agent is not to
/// be judged by events that it was not shown.
///
/// Under emulation, a probe's first runs take most of a millisecond, so that a tick hits one in
/// several. Hence so many runs.
const RUNS: u32 = 8;

fn run_once(case: &Case, world: &World) -> Verdict {
    let (sender, verdict) = mpsc::channel();
    let (run, inner) = (case.run, world.clone());
    let body = move || {
        let attempt = || net::isolate().and_then(|()| run(&inner));
        let _ = sender.send(match panic::catch_unwind(AssertUnwindSafe(attempt)) {
            Ok(Ok(())) => Verdict::Pass,
            Ok(Err(error)) => match error.downcast_ref::<Skip>() {
                Some(skip) => Verdict::Skip(skip.to_string()),
                None => Verdict::Fail(format!("{error:#}")),
            },
            Err(payload) => Verdict::Fail(format!("panicked: {}", panic_text(payload.as_ref()))),
        });
    };
    if let Err(error) = thread::Builder::new().name(case.name.into()).spawn(body) {
        return Verdict::Fail(format!("no thread: {error}"));
    }
    verdict
        .recv_timeout(world.case_limit())
        .unwrap_or_else(|_| Verdict::Fail(format!("did not end within {:?}", world.case_limit())))
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::{Case, Machine, Processor, Since, Tiers, Varies, Where, runs_on};

    const CASE: Case = Case {
        name: "a::case",
        place: Where::Everywhere,
        tiers: Tiers::Each,
        varies: Varies::Never,
        by_processor: false,
        alone: false,
        since: Since { full: (0, 0), tracepoint: (6, 3) },
        run: |_| Ok(()),
    };

    fn names(
        case: &Case,
        machine: Machine,
        processor: Processor,
        kernel: (u32, u32),
    ) -> Vec<String> {
        runs_on(case, machine, processor, kernel).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_kernel_that_attaches_no_hooks_has_no_full_tier() {
        let long = |processor, kernel| names(&CASE, Machine::Long, processor, kernel);
        let both = ["a::case@full", "a::case@tracepoint"];
        assert_eq!(long(Processor::X86_64, (6, 1)), both[..1]);
        assert_eq!(long(Processor::X86_64, (6, 12)), both);
        assert_eq!(long(Processor::Arm64, (6, 12)), both);
        assert_eq!(long(Processor::Arm64, (6, 3)), both[1..]);
        assert!(long(Processor::Arm64, (6, 1)).is_empty(), "its tracepoints do not show this");
    }

    #[test]
    fn the_tier_that_the_agent_chooses_decides_where_a_case_can_run() {
        let once = Case { tiers: Tiers::Any, ..CASE };
        let long = |processor, kernel| names(&once, Machine::Long, processor, kernel);
        assert_eq!(long(Processor::X86_64, (5, 10)), ["a::case"]);
        assert!(long(Processor::Arm64, (5, 10)).is_empty());
        assert_eq!(long(Processor::Arm64, (6, 12)), ["a::case"]);
    }

    #[test]
    fn a_short_run_has_what_its_machine_can_change() {
        let short = |case: &Case, processor| names(case, Machine::Short, processor, (6, 12));
        assert!(short(&CASE, Processor::X86_64).is_empty());
        assert!(short(&CASE, Processor::Arm64).is_empty());
        let by_kernel = CASE.on_each_kernel();
        assert_eq!(short(&by_kernel, Processor::X86_64).len(), 2);
        assert!(short(&by_kernel, Processor::Arm64).is_empty());
        let by_processor = CASE.by_processor();
        assert!(short(&by_processor, Processor::X86_64).is_empty());
        assert_eq!(short(&by_processor, Processor::Arm64).len(), 2);
    }
}
