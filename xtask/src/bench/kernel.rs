//! Reads the kernel's account of the BPF programs and maps that a process holds.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use anyhow::{Context, Result};

/// Runs of a program and the time in them, while the kernel's statistics were on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Runs {
    pub(super) runs: u64,
    pub(super) ns: u64,
}

/// Programs, by name.
pub(super) type Programs = BTreeMap<String, Runs>;

/// Maps that a process holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Maps {
    /// Memory of all maps by the kernel's count, which leaves socket storage out.
    pub(super) bytes: u64,
    /// Size of the value of each socket storage.
    pub(super) storage_values: Vec<u64>,
}

/// `BPF_MAP_TYPE_SK_STORAGE`.
const SK_STORAGE: u64 = 24;

impl Maps {
    pub(super) fn of(pid: u32) -> Result<Self> {
        let mut maps = Self::default();
        for map in by_id(pid, "map_id")?.values() {
            maps.bytes += number(map, "memlock")?;
            if number(map, "map_type")? == SK_STORAGE {
                maps.storage_values.push(number(map, "value_size")?);
            }
        }
        Ok(maps)
    }

    /// Estimates the memory that the kernel allocates for the socket storage of so many watched
    /// connections, `idle` of them idle.
    pub(super) fn storage(&self, connections: u64, idle: u64) -> u64 {
        /// `struct bpf_local_storage`, one a socket, and the head of each of its elements. Their
        /// sizes have hardly changed since the kernel has such maps.
        const SOCKET: u64 = 176;
        const HEAD: u64 = 72;
        // The listeners' storage is not in use with exchanges. The second by size is that of idle
        // connections.
        let mut values = self.storage_values.clone();
        values.sort_unstable();
        let [.., small, large] = values[..] else { return 0 };
        let idle = idle.min(connections);
        let of = |value| allocated(SOCKET) + allocated(HEAD + value);
        (connections - idle) * of(large) + idle * of(small)
    }
}

/// Returns the bytes that the slab allocator uses for an object.
fn allocated(bytes: u64) -> u64 {
    [96, 192]
        .into_iter()
        .find(|size| (size / 3 * 2 + 1..=*size).contains(&bytes))
        .unwrap_or(bytes.next_power_of_two())
}

/// Ids of the maps that a process holds.
pub(super) fn map_ids(pid: u32) -> Result<Vec<u64>> {
    Ok(by_id(pid, "map_id")?.into_keys().collect())
}

/// Counters of the programs that a process holds. Programs with the same name are added up.
pub(super) fn programs(pid: u32) -> Result<Programs> {
    let names = names()?;
    let mut programs = Programs::new();
    for program in by_id(pid, "prog_id")?.values().filter(|program| program.contains_key("run_cnt"))
    {
        let tag = program.get("prog_tag").context("a program has no tag")?;
        let runs = programs.entry(names.get(tag).unwrap_or(tag).clone()).or_default();
        runs.runs += number(program, "run_cnt")?;
        runs.ns += number(program, "run_time_ns")?;
    }
    Ok(programs)
}

/// Names of programs by their tags. Only the kernel's symbols have them: `bpf_prog_TAG_NAME`.
fn names() -> Result<HashMap<String, String>> {
    let symbols = fs::read_to_string("/proc/kallsyms").context("the kernel's symbols")?;
    let names = symbols.lines().filter_map(|line| {
        let (tag, name) = line.split(' ').nth(2)?.strip_prefix("bpf_prog_")?.split_once('_')?;
        (tag.len() == 16).then(|| (tag.to_owned(), name.trim_end_matches("\t[bpf]").to_owned()))
    });
    Ok(names.collect())
}

/// Lines of `fdinfo`: `name:\tvalue`.
type Info = HashMap<String, String>;

/// Reads the fdinfo of the objects of a process that have such an id, once for each id.
fn by_id(pid: u32, id: &str) -> Result<BTreeMap<u64, Info>> {
    let mut found: BTreeMap<u64, Info> = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).context("a process has ended")? {
        // A descriptor may have been closed meanwhile.
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let info: Info =
            lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        if info.contains_key(id) {
            let known = found.entry(number(&info, id)?).or_default();
            // A link names its program too, and has no counters.
            known.extend(info);
        }
    }
    Ok(found)
}

fn number(info: &Info, name: &str) -> Result<u64> {
    let text = info.get(name).with_context(|| format!("fdinfo has no {name}"))?;
    text.parse().with_context(|| format!("fdinfo has {name}: {text}"))
}

/// Turns the kernel's statistics on while it lives: each run of each program is timed, which takes
/// two clock reads.
pub(super) struct Statistics {
    before: String,
}

const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

impl Statistics {
    pub(super) fn on() -> Result<Self> {
        let before = fs::read_to_string(STATISTICS)
            .context("the kernel has no statistics of BPF programs")?;
        fs::write(STATISTICS, "1").context("cannot switch on statistics of BPF programs")?;
        Ok(Self { before })
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        // A failure does no harm to what was measured.
        let _ = fs::write(STATISTICS, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::{Maps, allocated};

    #[test]
    fn slabs_have_two_sizes_between_powers_of_two() {
        let sizes = [8, 64, 65, 96, 97, 128, 129, 192, 193, 513].map(allocated);
        assert_eq!(sizes, [8, 64, 96, 96, 128, 128, 192, 192, 256, 1024]);
    }

    #[test]
    fn an_idle_connection_carries_less() {
        let maps = Maps { bytes: 0, storage_values: vec![56, 8, 440] };
        assert_eq!(maps.storage(10, 0), 10 * (192 + 512));
        assert_eq!(maps.storage(10, 9), 192 + 512 + 9 * (192 + 128));
        assert_eq!(Maps::default().storage(10, 0), 0);
    }
}
