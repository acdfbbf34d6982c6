//! Programs that are loaded and attached. What they were made of, some megabytes, is not kept for
//! that.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd},
};

use aya::programs::{ProgramFd, cgroup_sock_addr::CgroupSockAddrLink, links::FdLink};

/// What keeps a program attached, as long as it is there.
#[expect(dead_code, reason = "nothing is asked of a link")]
pub(super) enum Link {
    /// Of a function or a tracepoint.
    Descriptor(FdLink),
    /// Of a cgroup.
    Cgroup(CgroupSockAddrLink),
}

/// Programs, and what keeps them attached. Dropping it detaches them.
#[derive(Default)]
pub(super) struct Programs {
    descriptors: Vec<ProgramFd>,
    _links: Vec<Link>,
}

/// What the kernel counts of the runs of programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Runs {
    /// While statistics were on.
    pub(super) count: u64,
    /// The time in them, ns.
    pub(super) ns: u64,
    /// Runs that the kernel skipped, as it tells from 5.12 on.
    ///
    /// It never runs a program twice at a time on one processor. Where it may preempt a task within
    /// a probe (full and lazy preemption), every other task on that processor goes unseen by that
    /// probe until the first goes on.
    pub(super) skipped: u64,
}

impl Programs {
    pub(super) fn add(&mut self, program: ProgramFd, link: Option<Link>) {
        self.descriptors.push(program);
        self._links.extend(link);
    }

    /// Of all of them together, since they were loaded.
    pub(super) fn runs(&self) -> Runs {
        let mut sum = Runs::default();
        for program in &self.descriptors {
            let path = format!("/proc/self/fdinfo/{}", program.as_fd().as_raw_fd());
            fs::read_to_string(path).iter().for_each(|info| sum.add(info));
        }
        sum
    }
}

impl Runs {
    /// Adds those of one program (`bpf_prog_show_fdinfo`, 5.10 to 7.3).
    fn add(&mut self, info: &str) {
        for (name, value) in info.lines().filter_map(|line| line.split_once(':')) {
            let sum = match name {
                "run_cnt" => &mut self.count,
                "run_time_ns" => &mut self.ns,
                "recursion_misses" => &mut self.skipped,
                _ => continue,
            };
            *sum += value.trim().parse().unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Runs;

    #[test]
    fn what_the_kernel_counts_of_programs_is_summed() {
        let mut runs = Runs::default();
        runs.add("pos:\t0\nprog_type:\t26\nrun_time_ns:\t120\nrun_cnt:\t3\nrecursion_misses:\t1\nverified_insns:\t9\n");
        runs.add("run_time_ns:\t80\nrun_cnt:\t2\n");
        assert_eq!(runs, Runs { count: 5, ns: 200, skipped: 1 });
    }
}
