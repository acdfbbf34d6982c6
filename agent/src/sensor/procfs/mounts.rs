//! How much of the machine this process sees: where cgroups are mounted (`/proc/self/mountinfo`),
//! and its namespaces.

use std::{fs, path::Path};

/// Inodes of the first PID and cgroup namespaces (`PROC_PID_INIT_INO`, `PROC_CGROUP_INIT_INO`,
/// include/linux/proc_ns.h).
const FIRST_PID: &str = "pid:[4026531836]";
const FIRST_CGROUP: &str = "cgroup:[4026531835]";

/// Returns whether this process sees every process of the machine.
pub(in crate::sensor) fn sees_all_processes() -> bool {
    is_in("pid", FIRST_PID)
}

/// Returns whether the root of the cgroups that this process sees is that of the machine.
pub(in crate::sensor) fn sees_all_cgroups() -> bool {
    is_in("cgroup", FIRST_CGROUP)
}

/// Where the namespaces cannot be seen, there are none of the kind.
fn is_in(kind: &str, first: &str) -> bool {
    match fs::read_link(format!("/proc/self/ns/{kind}")) {
        Ok(own) => own == Path::new(first),
        Err(_) => true,
    }
}

/// Returns where a whole hierarchy of cgroups is mounted, as bytes. `hierarchy` has the names of
/// its controllers, or its own (`name=systemd`); `None` stands for version 2.
pub(in crate::sensor) fn cgroup_mounts(hierarchy: Option<&str>) -> Vec<Vec<u8>> {
    parse(&fs::read("/proc/self/mountinfo").unwrap_or_default(), hierarchy)
}

/// Returns where a hierarchy is mounted whole, by `/proc/self/mountinfo`:
/// `ID PARENT MAJOR:MINOR ROOT PLACE OPTIONS … - TYPE SOURCE OPTIONS`.
fn parse(mounts: &[u8], hierarchy: Option<&str>) -> Vec<Vec<u8>> {
    let mut places = Vec::new();
    for line in mounts.split(|byte| *byte == b'\n') {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let Some(end) = fields.iter().position(|field| *field == b"-") else { continue };
        let (Some(&b"/"), Some(place)) = (fields.get(3), fields.get(4)) else { continue };
        let (Some(kind), Some(options)) = (fields.get(end + 1), fields.get(end + 3)) else {
            continue;
        };
        let is_it = match hierarchy {
            None => *kind == b"cgroup2",
            Some(controllers) => {
                let options: Vec<&[u8]> = options.split(|byte| *byte == b',').collect();
                let mut names = controllers.split(',');
                *kind == b"cgroup" && names.all(|name| options.contains(&name.as_bytes()))
            }
        };
        if is_it {
            places.push(unescaped(place));
        }
    }
    places
}

/// Spaces, tabs, line breaks and backslashes are written `\040` and so on.
fn unescaped(place: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(place.len());
    let mut rest = place;
    while let Some((first, more)) = rest.split_first() {
        if *first == b'\\'
            && let Some(digits) = more.get(..3)
            && let Ok(digits) = str::from_utf8(digits)
            && let Ok(byte) = u8::from_str_radix(digits, 8)
        {
            bytes.push(byte);
            rest = &more[3..];
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"24 30 0:22 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n\
        31 23 0:26 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n\
        32 23 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
        33 23 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:1 master:2 - cgroup cgroup rw,cpu,cpuacct\n\
        34 23 0:26 /kubepods /var/part rw - cgroup2 cgroup2 rw\n\
        35 23 0:26 / /a\\040b\\134 rw - cgroup2 none rw\n\
        nonsense - \n";

    #[test]
    fn a_hierarchy_is_found_where_it_is_mounted_whole() {
        let text = |hierarchy| {
            let mounts = parse(MOUNTS, hierarchy).into_iter().map(String::from_utf8);
            mounts.collect::<Result<Vec<_>, _>>().expect("text")
        };
        assert_eq!(text(None), ["/sys/fs/cgroup/unified", "/a b\\"]);
        assert_eq!(text(Some("name=systemd")), ["/sys/fs/cgroup/systemd"]);
        assert_eq!(text(Some("cpu,cpuacct")), ["/sys/fs/cgroup/cpu,cpuacct"]);
        assert_eq!(text(Some("memory")), [""; 0]);
        assert!(parse(b"", None).is_empty());
    }
}
