//! Loads, attaches and keeps single programs. The object that they come from has some megabytes and
//! is not kept.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd},
    sync::{Mutex, PoisonError},
    thread,
};

use aya::{
    Btf, Ebpf,
    programs::{
        BtfTracePoint, CgroupAttachMode, CgroupSockAddr, FEntry, FExit, Iter, Program as Slot,
        ProgramError, ProgramFd, TracePoint, cgroup_sock_addr::CgroupSockAddrLink, links::FdLink,
    },
};

use super::{
    plan::{self, Attach, Program},
    sys,
};

/// Threads that load programs at a time, at most: with more, the slowest program alone would take as
/// long.
const MAX_LOADING: usize = 4;

/// The link that keeps a program attached, as long as it is there.
#[expect(dead_code, reason = "nothing is asked of a link")]
pub(super) enum Link {
    /// Of a function or a tracepoint.
    Descriptor(FdLink),
    /// Of a cgroup.
    Cgroup(CgroupSockAddrLink),
}

/// Programs, and the links that keep them attached. Dropping it detaches them.
#[derive(Default)]
pub(in crate::sensor) struct Programs {
    descriptors: Vec<ProgramFd>,
    _links: Vec<Link>,
}

/// Figures that the kernel counts of the runs of programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sensor) struct Runs {
    /// While statistics were on.
    pub(in crate::sensor) count: u64,
    /// The time in them, ns.
    pub(in crate::sensor) ns: u64,
    /// Runs that the kernel skipped; 0 before 5.12, which does not count them.
    ///
    /// It never runs a program twice at a time on one processor. Where it may preempt a task within
    /// a probe (full and lazy preemption), every other task on that processor goes unseen by that
    /// probe until the first goes on.
    pub(in crate::sensor) skipped: u64,
}

impl Programs {
    pub(super) fn add(&mut self, program: ProgramFd, link: Option<Link>) {
        self.descriptors.push(program);
        self._links.extend(link);
    }

    /// Runs of all of them together, since they were loaded.
    pub(in crate::sensor) fn runs(&self) -> Runs {
        let mut sum = Runs::default();
        for program in &self.descriptors {
            let path = format!("/proc/self/fdinfo/{}", program.as_fd().as_raw_fd());
            if let Ok(info) = fs::read_to_string(path) {
                sum.add(&info);
            }
        }
        sum
    }
}

impl Runs {
    /// Adds the runs of one program (`bpf_prog_show_fdinfo`, 5.10 to 7.3).
    fn add(&mut self, info: &str) {
        for line in info.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let sum = match name {
                "run_cnt" => &mut self.count,
                "run_time_ns" => &mut self.ns,
                "recursion_misses" => &mut self.skipped,
                _ => continue,
            };
            *sum = sum.saturating_add(value.trim().parse().unwrap_or(0));
        }
    }
}

/// Loads one program; does nothing if it is loaded already.
pub(super) fn load(ebpf: &mut Ebpf, types: &Btf, program: &Program) -> Result<(), ProgramError> {
    let Some(slot) = ebpf.program_mut(program.name) else { return Err(invalid(program.name)) };
    load_slot(slot, types, program)
}

fn load_slot(slot: &mut Slot, types: &Btf, program: &Program) -> Result<(), ProgramError> {
    if slot.fd().is_ok() {
        return Ok(());
    }
    match program.attach {
        Attach::Fentry(function) => <&mut FEntry>::try_from(slot)?.load(function, types),
        Attach::Fexit(function) => <&mut FExit>::try_from(slot)?.load(function, types),
        Attach::Tracepoint(name) => <&mut BtfTracePoint>::try_from(slot)?.load(name, types),
        Attach::Syscall(_) => <&mut TracePoint>::try_from(slot)?.load(),
        Attach::Cgroup(_) => <&mut CgroupSockAddr>::try_from(slot)?.load(),
        Attach::Iterator(kind) => <&mut Iter>::try_from(slot)?.load(kind, types),
    }
}

/// Loads programs on several threads: the verifier takes most of the time of an attach. Passes over
/// those that the kernel refuses: whoever wants one of them loads it again, and learns why.
///
/// The threads have ended when this returns.
pub(super) fn load_ahead(ebpf: &mut Ebpf, types: &Btf, programs: &[&Program]) {
    let mut queue = Vec::new();
    for (name, slot) in ebpf.programs_mut() {
        if let Some(program) = programs.iter().find(|program| program.name == name)
            && slot.fd().is_err()
        {
            queue.push((*program, slot));
        }
    }
    // The slowest go first, from the end: none of them is left when all others are done.
    queue.sort_by_key(|(program, _)| plan::SLOW.contains(&program.name));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.min(MAX_LOADING).min(queue.len());
    let queue = Mutex::new(queue);
    let work = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((program, slot)) = next else { break };
            let _ = load_slot(slot, types, program);
        }
    };
    thread::scope(|scope| {
        let mut others = Vec::new();
        for _ in 1..threads {
            // Without one there are fewer.
            others.extend(thread::Builder::new().spawn_scoped(scope, work));
        }
        work();
        for other in others {
            // The scope alone waits for the work, but not for the end of the thread.
            let _ = other.join();
        }
    });
}

fn invalid(name: &str) -> ProgramError {
    ProgramError::InvalidName { name: name.to_owned() }
}

/// Attaches a program that was loaded. Returns `None` for those that aya does not attach: on system
/// calls, and iterators.
pub(super) fn attach_one(ebpf: &mut Ebpf, program: &Program) -> Result<Option<Link>, ProgramError> {
    let Some(slot) = ebpf.program_mut(program.name) else { return Err(invalid(program.name)) };
    let link = match program.attach {
        Attach::Fentry(_) => {
            let program = <&mut FEntry>::try_from(slot)?;
            let link = program.attach()?;
            Link::Descriptor(program.take_link(link)?.into())
        }
        Attach::Fexit(_) => {
            let program = <&mut FExit>::try_from(slot)?;
            let link = program.attach()?;
            Link::Descriptor(program.take_link(link)?.into())
        }
        Attach::Tracepoint(_) => {
            let program = <&mut BtfTracePoint>::try_from(slot)?;
            let link = program.attach()?;
            Link::Descriptor(program.take_link(link)?.into())
        }
        Attach::Cgroup(_) => {
            // A link always lets others attach beside it. The kernel refuses the flag that says so.
            let root = sys::all_cgroups()?;
            let program = <&mut CgroupSockAddr>::try_from(slot)?;
            let link = program.attach(root, CgroupAttachMode::Single)?;
            Link::Cgroup(program.take_link(link)?)
        }
        Attach::Syscall(_) | Attach::Iterator(_) => return Ok(None),
    };
    Ok(Some(link))
}

/// The descriptor of a program that was loaded.
pub(super) fn fd_of(ebpf: &Ebpf, program: &Program) -> Result<ProgramFd, ProgramError> {
    let Some(loaded) = ebpf.program(program.name) else { return Err(invalid(program.name)) };
    Ok(loaded.fd()?.try_clone()?)
}

#[cfg(test)]
mod tests {
    use super::Runs;

    #[test]
    fn runs_of_programs_are_summed() {
        let mut runs = Runs::default();
        runs.add(
            "pos:\t0\nprog_type:\t26\nrun_time_ns:\t120\nrun_cnt:\t3\n\
             recursion_misses:\t1\nverified_insns:\t9\n",
        );
        runs.add("run_time_ns:\t80\nrun_cnt:\t2\n");
        assert_eq!(runs, Runs { count: 5, ns: 200, skipped: 1 });
    }
}
