//! The capabilities that each command takes, and which of them are missing here.

use rustix::thread::CapabilitySet;
use serde::Serialize;

use super::{names, permitted, sets};

/// The capabilities of a network namespace of one's own: it is made with the first, and its loopback
/// and its link are set up with the second.
const OWN_NETWORK: CapabilitySet = CapabilitySet::SYS_ADMIN.union(CapabilitySet::NET_ADMIN);
/// The capabilities that load the probes.
const PROBES: CapabilitySet = CapabilitySet::BPF.union(CapabilitySet::PERFMON);

/// What some commands take.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CommandNeeds {
    /// The commands.
    commands: &'static [&'static str],
    /// Capabilities that they take; CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON.
    capabilities: Vec<String>,
    /// Those of them that this process lacks. Capabilities of the program's file count for the
    /// probes alone.
    missing: Vec<String>,
}

impl CommandNeeds {
    /// Returns a row for each kind of command, as of this process now.
    pub fn of_all() -> Vec<Self> {
        let loads = missing_of_probes(permitted());
        let row = |commands, needed: CapabilitySet, missing: CapabilitySet| Self {
            commands,
            capabilities: names(needed),
            missing: names(missing),
        };
        vec![
            row(&["watch", "record", "export", "listeners", "mcp", "demo --watch"], PROBES, loads),
            #[cfg(feature = "lessons")]
            row(&["learn"], PROBES | OWN_NETWORK, loads | missing_of_network()),
            #[cfg(feature = "lessons")]
            row(&["demo --rtt"], OWN_NETWORK, missing_of_network()),
            row(
                &["replay", "report", "annotate", "diff", "learn --recorded", "demo"],
                CapabilitySet::empty(),
                CapabilitySet::empty(),
            ),
        ]
    }

    /// Returns it as a line: "learn: CAP_BPF, CAP_PERFMON; missing CAP_BPF".
    pub fn words(&self) -> String {
        let needed = match &self.capabilities[..] {
            [] => "nothing".to_owned(),
            names => names.join(", "),
        };
        let missing = match &self.missing[..] {
            [] => String::new(),
            names => format!("; missing {}", names.join(", ")),
        };
        format!("{}: {needed}{missing}", self.commands.join(", "))
    }
}

/// Returns the sentence on why this process cannot make a network of its own, which `what` takes;
/// `None` if it can.
pub fn network_blocker(what: &str) -> Option<String> {
    let missing = missing_of_network();
    if missing.is_empty() {
        return None;
    }
    let file = match permitted().contains(OWN_NETWORK) {
        true => ". Capabilities of this program's file (setcap) do not do: they are for the probes",
        false => "",
    };
    Some(format!(
        "{what} in a network of its own, and making one takes {}: run it with sudo{file}",
        names(missing).join(" and ")
    ))
}

/// Capabilities count here only while they are in force: those of the file are not.
fn missing_of_network() -> CapabilitySet {
    OWN_NETWORK - sets().effective
}

fn missing_of_probes(permitted: CapabilitySet) -> CapabilitySet {
    if permitted.contains(CapabilitySet::SYS_ADMIN) {
        return CapabilitySet::empty();
    }
    PROBES - permitted
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_widest_capability_stands_for_those_that_were_split_off() {
        assert!(missing_of_probes(CapabilitySet::SYS_ADMIN).is_empty());
        assert!(missing_of_probes(PROBES).is_empty());
        assert_eq!(missing_of_probes(CapabilitySet::BPF), CapabilitySet::PERFMON);
        assert_eq!(missing_of_probes(CapabilitySet::empty()), PROBES);
    }

    #[test]
    fn who_has_nothing_is_told_what_each_command_takes() {
        // They are a thread's.
        let told = thread::spawn(|| {
            super::super::give_up();
            let rows: Vec<String> =
                CommandNeeds::of_all().iter().map(CommandNeeds::words).collect();
            (rows.join("\n"), network_blocker("a lesson runs its servers"))
        });
        let (rows, blocker) = told.join().expect("it only gives up");
        assert!(rows.contains("watch") && rows.contains("missing CAP_PERFMON, CAP_BPF"), "{rows}");
        assert!(rows.contains("learn --recorded, demo: nothing"), "{rows}");
        let blocker = blocker.expect("it has nothing");
        assert!(blocker.contains("CAP_NET_ADMIN") && blocker.contains("sudo"), "{blocker}");
        assert!(!blocker.contains("setcap"), "the file has none either: {blocker}");
    }
}
