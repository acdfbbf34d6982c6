//! Quotas that keep watched processes off the processors (`cpu.max` of their cgroups, of version 1
//! `cpu.cfs_quota_us`), and signals that stop them.
//!
//! All is read at each refresh, the statistics of a quota that is in force also in between.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
    mem,
    os::fd::{AsFd, OwnedFd},
};

use rustc_hash::FxHashMap;
use rustix::fs::{Mode, OFlags, openat};

use crate::{
    model::event::{CpuLimit, CpuRefresh, CpuState},
    sensor::{attach::sys, procfs},
    text::Untrusted,
};

/// Most processes whose cgroups are looked up. Further ones count as without a quota.
const MAX_PROCESSES: usize = 1_024;
/// Most cgroups that are looked at, with their ancestors.
const MAX_GROUPS: usize = 256;
/// Most processes whose cgroups are looked up again at each refresh.
const ALWAYS_LOOKED_UP: usize = 128;
/// Time for which the cgroups of more processes are remembered, ns.
const LOOKED_UP_NS: u64 = 5_000_000_000;
/// Wait of a thread for a processor after which its quota is looked up at once, ns: it may have
/// come under one since the refresh.
pub(in crate::sensor) const WAITED_NS: u64 = 5_000_000;
/// Shortest time between two such looks, ns.
const CHECK_NS: u64 = 100_000_000;
/// Time between two reads of the statistics of quotas, ns.
const LOOK_NS: u64 = 15_000_000;

/// The cgroup that limits a process's CPU time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    /// Names of the hierarchy's controllers; `None` in version 2.
    hierarchy: Option<String>,
    /// Bytes: a folder may have any name.
    path: Vec<u8>,
}

/// A cgroup with a quota.
#[derive(Debug)]
struct Limited {
    group: Group,
    limit: CpuLimit,
}

/// Quotas of the watched processes' cgroups.
///
/// [`Quotas::refresh`] reads everything at a refresh, [`Quotas::look`] the statistics of known
/// quotas in between. [`Quotas::waited`] looks for new quotas as soon as an exchange hints at one.
#[derive(Debug, Default)]
pub(in crate::sensor) struct Quotas {
    /// Roots of hierarchies; `None` of one that cannot be had.
    roots: BTreeMap<Option<String>, Option<OwnedFd>>,
    /// By process, and when that was looked up.
    groups: FxHashMap<u32, (Option<Group>, u64)>,
    limited: Vec<Limited>,
    looked_ns: u64,
    /// Time of the last look for quotas that are new or gone.
    found_ns: u64,
    cpus: Option<u32>,
    /// There was something to announce at the last refresh.
    announced: bool,
}

impl Quotas {
    /// Opens the cgroups, which takes a right that the watch gives up later. All processes have the
    /// same hierarchies.
    pub(in crate::sensor) fn open() -> Self {
        let mut quotas = Self::default();
        if let Some(hierarchy) = hierarchy(&procfs::cgroups(std::process::id())) {
            quotas.roots.insert(hierarchy.clone(), open(hierarchy.as_deref()));
        }
        quotas
    }

    /// Reads everything, at a refresh. Returns nothing if nothing keeps these processes from
    /// running.
    pub(in crate::sensor) fn refresh(
        &mut self,
        now_ns: u64,
        processes: impl Iterator<Item = u32>,
    ) -> Vec<CpuState> {
        let pids = at_most(MAX_PROCESSES, processes);
        self.groups.retain(|pid, _| pids.contains(pid));
        let stays_ns = if pids.len() <= ALWAYS_LOOKED_UP { 0 } else { LOOKED_UP_NS };
        let mut states = Vec::new();
        states.extend(self.find(now_ns, &pids, stays_ns));
        let mut stopped: Vec<u32> = pids.into_iter().collect();
        stopped.retain(|pid| procfs::is_stopped(*pid));
        let (cpus, runnable) = (self.cpus(), procfs::runnable_threads());
        let is_crowded = match (runnable, cpus) {
            (Some(runnable), Some(cpus)) => runnable > cpus,
            _ => false,
        };
        let announces = !self.limited.is_empty() || !stopped.is_empty() || is_crowded;
        let announced = mem::replace(&mut self.announced, announces);
        // The refresh after the last one that had something says that it is over.
        if announces || announced {
            states.push(self.state(now_ns, CpuRefresh { cpus, runnable, stopped }));
        }
        states
    }

    /// Looks whether this process has come under a quota: an exchange shows that one of its threads
    /// waited for a processor for [`WAITED_NS`]. Returns the changes since the last look.
    pub(in crate::sensor) fn waited(&mut self, now_ns: u64, pid: u32) -> Vec<CpuState> {
        let mut states = Vec::new();
        let Some((known, _)) = self.groups.get(&pid) else { return states };
        if now_ns < self.found_ns.saturating_add(CHECK_NS) {
            return states;
        }
        if *known != group_of(pid) {
            for (_, looked_ns) in self.groups.values_mut() {
                *looked_ns = 0;
            }
        }
        let pids = self.groups.keys().copied().collect();
        let in_force = self.in_force();
        let before = self.find(now_ns, &pids, LOOKED_UP_NS);
        if self.in_force() == in_force {
            return states;
        }
        self.announced = true;
        let refresh = CpuRefresh { cpus: self.cpus(), runnable: None, stopped: Vec::new() };
        states.extend(before);
        states.push(self.state(now_ns, refresh));
        states
    }

    /// Returns the quotas that are in force, and for whom.
    fn in_force(&self) -> Vec<(Group, u64, Vec<u32>)> {
        let mut quotas = Vec::new();
        for Limited { group, limit } in &self.limited {
            quotas.push((group.clone(), limit.quota_us, limit.pids.clone()));
        }
        quotas
    }

    fn state(&self, ts_ns: u64, refresh: CpuRefresh) -> CpuState {
        let limits = self.limited.iter().map(|limited| limited.limit.clone()).collect();
        CpuState { ts_ns, limits, refresh: Some(refresh) }
    }

    /// Looks for the quotas that these processes are under. Cgroups that were looked up within
    /// `stays_ns` are not looked up again.
    ///
    /// Returns the state at the look before, if there are new quotas that had throttled nobody
    /// then.
    fn find(&mut self, now_ns: u64, pids: &BTreeSet<u32>, stays_ns: u64) -> Option<CpuState> {
        let mut found = Vec::new();
        for (group, pids) in self.members(now_ns, pids, stays_ns) {
            found.extend(self.limit(group, pids));
        }
        let known = mem::replace(&mut self.limited, found);
        let before_ns = mem::replace(&mut self.found_ns, now_ns);
        self.looked_ns = now_ns;
        let mut new = Vec::new();
        for Limited { group, limit } in &self.limited {
            let is_new = known.iter().all(|other| other.group != *group);
            if is_new && before_ns > 0 && began_since(limit, before_ns, now_ns) {
                let limit = limit.clone();
                new.push(CpuLimit { periods: 0, throttled: 0, throttled_ns: 0, ..limit });
            }
        }
        if new.is_empty() {
            return None;
        }
        let mut limits: Vec<_> = known.into_iter().map(|limited| limited.limit).collect();
        limits.append(&mut new);
        let refresh = CpuRefresh { cpus: self.cpus(), runnable: None, stopped: Vec::new() };
        Some(CpuState { ts_ns: before_ns, limits, refresh: Some(refresh) })
    }

    /// Returns the processes in each of their cgroups and its ancestors.
    fn members(
        &mut self,
        now_ns: u64,
        pids: &BTreeSet<u32>,
        stays_ns: u64,
    ) -> BTreeMap<Group, Vec<u32>> {
        let mut members: BTreeMap<Group, Vec<u32>> = BTreeMap::new();
        for &pid in pids {
            let Some(group) = self.look_up(pid, now_ns, stays_ns) else { continue };
            for ancestor in ancestors(&group) {
                if members.len() < MAX_GROUPS || members.contains_key(&ancestor) {
                    members.entry(ancestor).or_default().push(pid);
                }
            }
        }
        members
    }

    /// Reads the statistics of quotas, if it is time. Returns them if a quota has throttled
    /// somebody since the last look.
    pub(in crate::sensor) fn look(&mut self, now_ns: u64) -> Option<CpuState> {
        if self.limited.is_empty() || now_ns < self.looked_ns.saturating_add(LOOK_NS) {
            return None;
        }
        self.looked_ns = now_ns;
        let mut is_news = false;
        for Limited { group, limit } in &mut self.limited {
            let Some(Some(root)) = self.roots.get(&group.hierarchy) else { continue };
            let before = limit.throttled_ns;
            read_statistics(root, group, limit);
            is_news |= limit.throttled_ns != before;
        }
        if !is_news {
            return None;
        }
        let mut limits = Vec::new();
        for Limited { limit, .. } in &self.limited {
            // The path and the processes are known since the refresh.
            limits.push(CpuLimit { path: Untrusted::default(), pids: Vec::new(), ..*limit });
        }
        Some(CpuState { ts_ns: now_ns, limits, refresh: None })
    }

    fn look_up(&mut self, pid: u32, now_ns: u64, stays_ns: u64) -> Option<Group> {
        if let Some((group, looked_ns)) = self.groups.get(&pid)
            && now_ns < looked_ns.saturating_add(stays_ns)
        {
            return group.clone();
        }
        let group = group_of(pid);
        self.groups.insert(pid, (group.clone(), now_ns));
        group
    }

    /// Returns the quota of a cgroup, if it has one.
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
        let path = Untrusted::from(String::from_utf8_lossy(&group.path).into_owned());
        let mut limit = CpuLimit { path, quota_us, period_us, pids, ..CpuLimit::default() };
        read_statistics(root, &group, &mut limit);
        Some(Limited { group, limit })
    }

    fn cpus(&mut self) -> Option<u32> {
        if self.cpus.is_none() {
            self.cpus = procfs::online_cpus();
        }
        self.cpus
    }
}

/// Collects the first so many processes, each once: threads of one of them take no other's place.
fn at_most(most: usize, processes: impl Iterator<Item = u32>) -> BTreeSet<u32> {
    let mut pids = BTreeSet::new();
    for pid in processes {
        if pids.len() >= most {
            break;
        }
        pids.insert(pid);
    }
    pids
}

fn open(hierarchy: Option<&str>) -> Option<OwnedFd> {
    match hierarchy {
        None => sys::own_cgroups(),
        Some(controllers) => sys::own_hierarchy(controllers),
    }
    .ok()
}

fn group_of(pid: u32) -> Option<Group> {
    group(&procfs::cgroups(pid))
}

/// Returns true if a quota may have throttled for the first time since `since_ns`: it counts no
/// more periods than have passed.
fn began_since(limit: &CpuLimit, since_ns: u64, now_ns: u64) -> bool {
    let passed_us = now_ns.saturating_sub(since_ns) / 1_000;
    let most = match passed_us.checked_div(limit.period_us) {
        Some(periods) => periods + 2,
        None => 0,
    };
    limit.throttled_ns > 0 && limit.periods <= most
}

/// The hierarchy of the processor's controller, in `/proc/PID/cgroup`.
fn hierarchy(text: &[u8]) -> Option<Option<String>> {
    entry(text).map(|(hierarchy, _)| hierarchy)
}

/// The cgroup that the processor's controller has this process in (`/proc/PID/cgroup`).
fn group(text: &[u8]) -> Option<Group> {
    let (hierarchy, path) = entry(text)?;
    // A path outside of our own namespace cannot be reached.
    let mut parts = path.split(|byte| *byte == b'/');
    let is_reached = path.starts_with(b"/") && parts.all(|part| part != b"..");
    if is_reached { Some(Group { hierarchy, path: path.to_owned() }) } else { None }
}

/// The processor's controller in `/proc/PID/cgroup`: its hierarchy, and the path there.
fn entry(text: &[u8]) -> Option<(Option<String>, &[u8])> {
    let (mut first, mut second) = (None, None);
    for (controllers, path) in procfs::cgroup_lines(text) {
        if controllers.is_empty() {
            second = Some((None, path));
        } else if controllers.split(',').any(|controller| controller == "cpu") {
            first = Some((Some(controllers.to_owned()), path));
        }
    }
    first.or(second)
}

/// The cgroup and those that it is in, but for the root, which has no quota.
fn ancestors(group: &Group) -> Vec<Group> {
    let mut ancestors = Vec::new();
    let mut add = |end: usize| {
        let path = group.path[..end].to_owned();
        ancestors.push(Group { hierarchy: group.hierarchy.clone(), path });
    };
    for (at, byte) in group.path.iter().enumerate() {
        if *byte == b'/' && at > 0 {
            add(at);
        }
    }
    if group.path.len() > 1 {
        add(group.path.len());
    }
    ancestors
}

fn read(root: &OwnedFd, group: &Group, name: &str) -> Option<String> {
    let folder = group.path.strip_prefix(b"/").unwrap_or(&group.path);
    let path = [folder, b"/", name.as_bytes()].concat();
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
    for line in text.lines() {
        let Some((name, value)) = line.split_once(' ') else { continue };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controller_is_where_the_kernel_says() {
        let of = |text: &str| {
            let group = group(text.as_bytes())?;
            Some((group.hierarchy, String::from_utf8(group.path).unwrap()))
        };
        let path = |path: &str| path.to_owned();
        assert_eq!(of("0::/a/b\n"), Some((None, path("/a/b"))));
        let hybrid = "3:cpuset:/x\n2:cpu,cpuacct:/a b/c:d\n0::/y\n";
        assert_eq!(of(hybrid), Some((Some(path("cpu,cpuacct")), path("/a b/c:d"))));
        assert_eq!(of("3:cpuset:/x\n0::/y\n"), Some((None, path("/y"))));
        assert_eq!(of("0::/../a\n"), None, "outside of the namespace");
        assert_eq!(of(""), None);
        let all = |path: &str| {
            let group = Group { hierarchy: None, path: path.into() };
            let texts = ancestors(&group).into_iter().map(|group| String::from_utf8(group.path));
            texts.collect::<Result<Vec<_>, _>>().unwrap()
        };
        assert_eq!(all("/a/b/c"), ["/a", "/a/b", "/a/b/c"]);
        assert_eq!(all("/"), [""; 0]);
    }

    #[test]
    fn a_group_with_a_name_that_is_no_text_is_found_beside_others() {
        let found = group(b"1:cpuset:/\xff\n0::/a\xfe/b:c\n").expect("it is there");
        assert_eq!(found, Group { hierarchy: None, path: b"/a\xfe/b:c".to_vec() });
        let paths: Vec<_> = ancestors(&found).into_iter().map(|group| group.path).collect();
        assert_eq!(paths, [b"/a\xfe".to_vec(), b"/a\xfe/b:c".to_vec()]);
    }

    #[test]
    fn threads_of_one_process_take_no_other_ones_place() {
        let of_threads = [7; 5_000].into_iter().chain([8, 8, 9]);
        assert_eq!(at_most(2, of_threads), [7, 8].into());
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
    fn quotas_are_read_as_they_are_written() {
        assert_eq!(quota("13000 100000\n"), Some((13_000, 100_000)));
        assert_eq!(quota("max 100000\n"), None);
    }
}
