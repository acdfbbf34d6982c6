//! What keeps watched processes off the processors: quotas of their cgroups (`cpu.max`, of version
//! 1 `cpu.cfs_quota_us`), and signals that stop them. All is read, at each refresh; of a quota that
//! is in force the statistics also in between.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Read,
    os::fd::{AsFd, OwnedFd},
};

use rustc_hash::FxHashMap;
use rustix::fs::{Mode, OFlags, openat};

use super::sys;
use crate::model::event::{CpuLimit, CpuRefresh, CpuState, ThreadSample};

/// Processes whose cgroups are looked up; further ones count as without a quota.
const MAX_PROCESSES: usize = 1_024;
/// Cgroups that are looked at, with their ancestors.
const MAX_GROUPS: usize = 256;
/// The cgroups of so many processes are looked up anew at each refresh; of more, after some time,
/// ns.
const ALWAYS_LOOKED_UP: usize = 128;
const LOOKED_UP_NS: u64 = 5_000_000_000;
/// A thread that was without a processor for so long may have come under a quota since the refresh,
/// ns: then it is looked up at once, ...
pub(super) const WAITED_NS: u64 = 5_000_000;
/// ... but not more often than this, ns.
const CHECK_NS: u64 = 100_000_000;
/// The statistics of quotas are read so often, ns.
const LOOK_NS: u64 = 15_000_000;

/// Where the processor's controller of a process is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    /// Names of the hierarchy's controllers; `None` in version 2.
    hierarchy: Option<String>,
    path: String,
}

/// A cgroup with a quota.
#[derive(Debug)]
struct Limited {
    group: Group,
    limit: CpuLimit,
}

/// Quotas of the watched processes' cgroups.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    /// Roots of hierarchies; `None` of one that cannot be had.
    roots: BTreeMap<Option<String>, Option<OwnedFd>>,
    /// By process, and when that was looked up.
    groups: FxHashMap<u32, (Option<Group>, u64)>,
    limited: Vec<Limited>,
    looked_ns: u64,
    /// When it was last looked up which quotas there are.
    found_ns: u64,
    cpus: Option<u32>,
    /// There was something to tell at the last refresh.
    told: bool,
}

impl Quotas {
    /// Everything, at a refresh; nothing if nothing keeps these threads from running.
    pub(super) fn refresh(&mut self, now_ns: u64, threads: &[ThreadSample]) -> Vec<CpuState> {
        let pids: BTreeSet<u32> =
            threads.iter().map(|thread| thread.pid).take(MAX_PROCESSES).collect();
        self.groups.retain(|pid, _| pids.contains(pid));
        let stays_ns = if pids.len() <= ALWAYS_LOOKED_UP { 0 } else { LOOKED_UP_NS };
        let before = self.find(now_ns, &pids, stays_ns);
        let stopped: Vec<u32> = pids.into_iter().filter(|pid| is_stopped(*pid)).collect();
        let (cpus, runnable) = (self.cpus(), runnable());
        let is_crowded = runnable.zip(cpus).is_some_and(|(runnable, cpus)| runnable > cpus);
        let tells = !self.limited.is_empty() || !stopped.is_empty() || is_crowded;
        let told = std::mem::replace(&mut self.told, tells);
        let now =
            (tells || told).then(|| self.state(now_ns, CpuRefresh { cpus, runnable, stopped }));
        before.into_iter().chain(now).collect()
    }

    /// A thread of this process was without a processor for [`WAITED_NS`], as an exchange tells.
    /// Gives what has changed since the last look: it may be in another cgroup now, or have another
    /// quota.
    pub(super) fn waited(&mut self, now_ns: u64, pid: u32) -> Vec<CpuState> {
        let is_known = self.groups.contains_key(&pid);
        if !is_known || now_ns < self.found_ns.saturating_add(CHECK_NS) {
            return Vec::new();
        }
        let pids = self.groups.keys().copied().collect();
        if self.groups.get(&pid).is_some_and(|(group, _)| *group != group_of(pid)) {
            self.groups.values_mut().for_each(|(_, looked_ns)| *looked_ns = 0);
        }
        let known = self.names();
        let before = self.find(now_ns, &pids, LOOKED_UP_NS);
        if self.names() == known {
            return Vec::new();
        }
        self.told = true;
        let refresh = CpuRefresh { cpus: self.cpus(), runnable: None, stopped: Vec::new() };
        let now = self.state(now_ns, refresh);
        before.into_iter().chain([now]).collect()
    }

    /// The quotas that are in force, and for whom.
    fn names(&self) -> Vec<(Group, u64, Vec<u32>)> {
        let name = |limited: &Limited| {
            (limited.group.clone(), limited.limit.quota_us, limited.limit.pids.clone())
        };
        self.limited.iter().map(name).collect()
    }

    fn state(&self, ts_ns: u64, refresh: CpuRefresh) -> CpuState {
        let limits = self.limited.iter().map(|limited| limited.limit.clone()).collect();
        CpuState { ts_ns, limits, refresh: Some(refresh) }
    }

    /// Looks for the quotas that these processes are under; their cgroups stay known for so long.
    /// Gives how it was at the look before, if there are new ones that have held nobody before
    /// that.
    fn find(&mut self, now_ns: u64, pids: &BTreeSet<u32>, stays_ns: u64) -> Option<CpuState> {
        let mut members: BTreeMap<Group, Vec<u32>> = BTreeMap::new();
        for &pid in pids {
            let Some(group) = self.look_up(pid, now_ns, stays_ns) else { continue };
            for ancestor in ancestors(&group) {
                if members.len() < MAX_GROUPS || members.contains_key(&ancestor) {
                    members.entry(ancestor).or_default().push(pid);
                }
            }
        }
        let found =
            members.into_iter().filter_map(|(group, pids)| self.limit(group, pids)).collect();
        let known = std::mem::replace(&mut self.limited, found);
        let before_ns = std::mem::replace(&mut self.found_ns, now_ns);
        self.looked_ns = now_ns;
        let is_new = |limited: &&Limited| known.iter().all(|other| other.group != limited.group);
        let began = |limited: &&Limited| {
            is_new(limited) && before_ns > 0 && began_since(&limited.limit, before_ns, now_ns)
        };
        let zero = |limited: &Limited| CpuLimit {
            periods: 0,
            throttled: 0,
            throttled_ns: 0,
            ..limited.limit.clone()
        };
        let new: Vec<_> = self.limited.iter().filter(began).map(zero).collect();
        if new.is_empty() {
            return None;
        }
        let limits = known.into_iter().map(|limited| limited.limit).chain(new).collect();
        let refresh = CpuRefresh { cpus: self.cpus(), runnable: None, stopped: Vec::new() };
        Some(CpuState { ts_ns: before_ns, limits, refresh: Some(refresh) })
    }

    /// The statistics of quotas, if it is time, and one of them has held somebody since the last
    /// look.
    pub(super) fn look(&mut self, now_ns: u64) -> Option<CpuState> {
        if self.limited.is_empty() || now_ns < self.looked_ns.saturating_add(LOOK_NS) {
            return None;
        }
        self.looked_ns = now_ns;
        let mut is_news = false;
        for Limited { group, limit } in &mut self.limited {
            let Some(root) = self.roots.get(&group.hierarchy).and_then(Option::as_ref) else {
                continue;
            };
            let before = limit.throttled_ns;
            read_statistics(root, group, limit);
            is_news |= limit.throttled_ns != before;
        }
        let brief =
            |limited: &Limited| CpuLimit { path: String::new(), pids: Vec::new(), ..limited.limit };
        is_news.then(|| CpuState {
            ts_ns: now_ns,
            limits: self.limited.iter().map(brief).collect(),
            refresh: None,
        })
    }

    fn look_up(&mut self, pid: u32, now_ns: u64, stays_ns: u64) -> Option<Group> {
        let known = self.groups.get(&pid).filter(|(_, ns)| now_ns < ns.saturating_add(stays_ns));
        if let Some((group, _)) = known {
            return group.clone();
        }
        let group = group_of(pid);
        self.groups.insert(pid, (group.clone(), now_ns));
        group
    }

    /// The quota of a cgroup, if it has one.
    fn limit(&mut self, group: Group, pids: Vec<u32>) -> Option<Limited> {
        let root = self
            .roots
            .entry(group.hierarchy.clone())
            .or_insert_with(|| open(group.hierarchy.as_deref()));
        let root = root.as_ref()?;
        let (quota_us, period_us) = match group.hierarchy {
            None => quota(&read(root, &group, "cpu.max")?)?,
            Some(_) => {
                let quota_us = read(root, &group, "cpu.cfs_quota_us")?.trim().parse().ok()?;
                (quota_us, read(root, &group, "cpu.cfs_period_us")?.trim().parse().ok()?)
            }
        };
        let path = group.path.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let mut limit = CpuLimit { path, quota_us, period_us, pids, ..CpuLimit::default() };
        read_statistics(root, &group, &mut limit);
        Some(Limited { group, limit })
    }

    fn cpus(&mut self) -> Option<u32> {
        if self.cpus.is_none() {
            self.cpus = fs::read_to_string("/sys/devices/system/cpu/online")
                .ok()
                .and_then(|text| count(&text));
        }
        self.cpus
    }
}

fn open(hierarchy: Option<&str>) -> Option<OwnedFd> {
    match hierarchy {
        None => sys::own_cgroups(),
        Some(controllers) => sys::own_hierarchy(controllers),
    }
    .ok()
}

fn group_of(pid: u32) -> Option<Group> {
    group(&fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default())
}

/// Whether all that a quota has held may have been since a moment: no more periods are counted than
/// have passed.
fn began_since(limit: &CpuLimit, since_ns: u64, now_ns: u64) -> bool {
    let passed_us = now_ns.saturating_sub(since_ns) / 1_000;
    let most = passed_us.checked_div(limit.period_us).map_or(0, |periods| periods + 2);
    limit.throttled_ns > 0 && limit.periods <= most
}

/// The cgroup that the processor's controller has this process in (`/proc/PID/cgroup`).
fn group(text: &str) -> Option<Group> {
    let lines = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        rest.split_once(':')
    });
    let has_cpu = |controllers: &str| controllers.split(',').any(|controller| controller == "cpu");
    let (mut first, mut second) = (None, None);
    for (controllers, path) in lines {
        match controllers {
            "" => second = Some((None, path)),
            _ if has_cpu(controllers) => first = Some((Some(controllers.to_owned()), path)),
            _ => {}
        }
    }
    let (hierarchy, path) = first.or(second)?;
    // What is outside of our own namespace cannot be reached.
    let is_reached = path.starts_with('/') && !path.split('/').any(|part| part == "..");
    is_reached.then(|| Group { hierarchy, path: path.to_owned() })
}

/// The cgroup and those that it is in, but for the root, which has no quota.
fn ancestors(group: &Group) -> impl Iterator<Item = Group> {
    let ends = group.path.char_indices().filter(|&(at, c)| at > 0 && c == '/').map(|(at, _)| at);
    let ends = ends.chain((group.path.len() > 1).then_some(group.path.len()));
    ends.map(|end| Group { hierarchy: group.hierarchy.clone(), path: group.path[..end].to_owned() })
}

fn read(root: &OwnedFd, group: &Group, name: &str) -> Option<String> {
    let path = format!("{}/{name}", group.path.trim_start_matches('/'));
    let file = openat(root.as_fd(), path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut text = String::new();
    File::from(file).read_to_string(&mut text).ok()?;
    Some(text)
}

/// `cpu.max`: quota and period, µs; `None` without a quota.
fn quota(text: &str) -> Option<(u64, u64)> {
    let (quota, period) = text.trim().split_once(' ')?;
    Some((quota.parse().ok()?, period.parse().ok()?))
}

fn read_statistics(root: &OwnedFd, group: &Group, limit: &mut CpuLimit) {
    let text = read(root, group, "cpu.stat").unwrap_or_default();
    for (name, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        let Ok(value) = value.trim().parse::<u64>() else { continue };
        match name {
            "nr_periods" => limit.periods = value,
            "nr_throttled" => limit.throttled = value,
            "throttled_usec" => limit.throttled_ns = value.saturating_mul(1_000),
            "throttled_time" => limit.throttled_ns = value,
            _ => {}
        }
    }
}

/// How many a list such as `0-3,8` names.
fn count(text: &str) -> Option<u32> {
    let parts = text.trim().split(',').map(|part| match part.split_once('-') {
        Some((from, to)) => Some(to.parse::<u32>().ok()?.checked_sub(from.parse().ok()?)? + 1),
        None => part.parse::<u32>().ok().map(|_| 1),
    });
    parts.sum()
}

/// Threads that run or want to (`/proc/loadavg`), without our own.
fn runnable() -> Option<u32> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    let (runnable, _) = text.split_whitespace().nth(3)?.split_once('/')?;
    Some(runnable.parse::<u32>().ok()?.saturating_sub(1))
}

/// The state of a process is the third field of its `stat`, behind the command name.
fn is_stopped(pid: u32) -> bool {
    let text = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = text.iter().rposition(|byte| *byte == b')').and_then(|at| text.get(at + 2));
    matches!(state, Some(b'T' | b't'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controller_is_where_the_kernel_says() {
        let of = |text| group(text).map(|group| (group.hierarchy, group.path));
        let path = |path: &str| path.to_owned();
        assert_eq!(of("0::/a/b\n"), Some((None, path("/a/b"))));
        let hybrid = "3:cpuset:/x\n2:cpu,cpuacct:/a b/c:d\n0::/y\n";
        assert_eq!(of(hybrid), Some((Some(path("cpu,cpuacct")), path("/a b/c:d"))));
        assert_eq!(of("3:cpuset:/x\n0::/y\n"), Some((None, path("/y"))));
        assert_eq!(of("0::/../a\n"), None, "outside of the namespace");
        assert_eq!(of(""), None);
        let all = |path: &str| {
            let group = Group { hierarchy: None, path: path.to_owned() };
            ancestors(&group).map(|group| group.path).collect::<Vec<_>>()
        };
        assert_eq!(all("/a/b/c"), ["/a", "/a/b", "/a/b/c"]);
        assert_eq!(all("/"), [""; 0]);
    }

    #[test]
    fn a_quota_has_held_nobody_before_it_came_unless_it_counts_more_periods_than_passed() {
        let limit = |periods, throttled_ns| CpuLimit {
            period_us: 100_000,
            periods,
            throttled_ns,
            ..CpuLimit::default()
        };
        let began = |limit| began_since(&limit, 1_000_000_000, 1_500_000_000);
        assert!(began(limit(5, 80_000_000)) && began(limit(7, 80_000_000)));
        assert!(!began(limit(8, 80_000_000)), "it was there before");
        assert!(!began(limit(5, 0)), "nothing is to be told");
        assert!(!began(CpuLimit { period_us: 0, ..limit(5, 1) }));
    }

    #[test]
    fn quotas_and_lists_are_read_as_they_are_written() {
        assert_eq!(quota("13000 100000\n"), Some((13_000, 100_000)));
        assert_eq!(quota("max 100000\n"), None);
        assert_eq!((count("0-3,8\n"), count("0"), count("")), (Some(5), Some(1), None));
        assert!(runnable().is_some() && !is_stopped(std::process::id()));
    }
}
