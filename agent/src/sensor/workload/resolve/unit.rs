//! `--unit`.

use std::collections::BTreeSet;

use super::{GroupError, Seen, list};
use crate::sensor::workload::path::{CgroupPath, is_instance, unit_name};

/// Finds the cgroups of a unit: that of the system's manager if it has it, else one user's, or one
/// inside a container. Returns the unit's name in full.
pub(in super::super) fn unit(
    seen: &Seen,
    word: &str,
) -> Result<(String, Vec<CgroupPath>), GroupError> {
    let unit = unit_name(word);
    let is_template = unit.contains("@.");
    let found = seen.find(|cgroup| {
        cgroup.of_unit(|name| if is_template { is_instance(&unit, name) } else { name == unit })
    });
    let mut systems = Vec::new();
    let mut others = Vec::new();
    for (cgroup, is_systems) in found {
        if is_systems {
            systems.push(cgroup);
        } else {
            others.push(cgroup);
        }
    }
    let mut cgroups = if systems.is_empty() { others } else { systems };
    if is_template && !cgroups.is_empty() || cgroups.len() == 1 {
        // A slice is found with those that are in it.
        cgroups.dedup();
        return Ok((unit, cgroups));
    }
    let (kind, name) = ("unit", unit);
    if cgroups.is_empty() {
        let units: BTreeSet<String> = seen.cgroups.iter().filter_map(CgroupPath::unit).collect();
        let units: Vec<String> = units.into_iter().collect();
        let similar = similar(word, &units);
        let found = match (&units[..], &similar[..]) {
            ([], _) => "No process is in a unit of systemd".to_owned(),
            (units, []) => format!("Processes are in {}", list(units)),
            (_, similar) => format!("Processes are in {}", list(similar)),
        };
        let advice = "A unit whose processes have ended has no cgroup: `systemctl status` shows it";
        let found = format!("{found}. {}", seen.hint(&Vec::new(), advice));
        return Err(GroupError::None { kind, name, found });
    }
    let all: Vec<String> = cgroups.iter().map(CgroupPath::text).collect();
    let hint = "Name the cgroup of one by --cgroup";
    Err(GroupError::Ambiguous { kind, name, count: all.len(), found: list(&all), hint })
}

/// Returns the units whose names hold the one that was meant, in any case: of a file's path its
/// last part.
fn similar(word: &str, units: &[String]) -> Vec<String> {
    let file = word.rsplit('/').find(|part| !part.is_empty()).unwrap_or(word);
    let stem = file.split(['.', '@']).next().unwrap_or(file).to_lowercase();
    if stem.is_empty() {
        return Vec::new();
    }
    units.iter().filter(|unit| unit.to_lowercase().contains(&stem)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_found_whatever_its_case_or_folder() {
        let units = ["nginx.service".to_owned(), "cron.service".to_owned()];
        for word in ["nginx", "Nginx", "/lib/systemd/system/nginx.service", "NGINX@a"] {
            assert_eq!(similar(word, &units), ["nginx.service"], "{word}");
        }
        for word in ["", "/", "apache", ".service"] {
            assert!(similar(word, &units).is_empty(), "{word}");
        }
    }
}
