//! Names of network namespaces.

use std::{collections::HashMap, fs, os::unix::fs::MetadataExt};

use crate::text::Untrusted;

/// The folder in which `ip netns` keeps names: a file each, on which the namespace is mounted.
const NAMED: &str = "/run/netns";

/// Network namespaces that have a name here.
#[derive(Debug, Default)]
pub struct NetNamespaces {
    own: Option<u32>,
    names: HashMap<u32, Untrusted>,
}

impl NetNamespaces {
    /// Reads which namespace this process is in, and the names of others. What cannot be read has
    /// none.
    pub fn read() -> Self {
        let Ok(own) = fs::metadata("/proc/self/ns/net") else { return Self::default() };
        let mut names = HashMap::new();
        for entry in fs::read_dir(NAMED).into_iter().flatten().flatten() {
            // A file on which nothing is mounted is on another file system.
            if let Ok(file) = fs::metadata(entry.path())
                && file.dev() == own.dev()
                && let Ok(inode) = u32::try_from(file.ino())
            {
                names.insert(inode, Untrusted::from(entry.file_name().as_os_str()));
            }
        }
        Self { own: u32::try_from(own.ino()).ok(), names }
    }

    /// Returns whether this process is in that namespace; `None` where that cannot be read.
    pub fn is_own(&self, netns: u32) -> Option<bool> {
        Some(self.own? == netns)
    }

    /// Returns the name that `ip netns` gave it.
    pub fn name(&self, netns: u32) -> Option<&Untrusted> {
        self.names.get(&netns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_namespace_is_known() {
        let namespaces = NetNamespaces::read();
        let own = fs::metadata("/proc/self/ns/net").expect("there is one").ino();
        assert_eq!(namespaces.is_own(own.try_into().expect("32 bits")), Some(true));
        assert_eq!(namespaces.is_own(7), Some(false));
        assert_eq!(NetNamespaces::default().is_own(7), None);
    }
}
