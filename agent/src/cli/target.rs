//! Whom to watch, and as whom a command runs.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};

use super::complete::{cgroups, containers, names, ports, processes, units};
use super::values::{Named, bytes, name, pid, port};

/// Whom to watch; together a union.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Target")]
pub struct TargetArgs {
    /// Watch this process, its existing and future sockets, and its children; repeatable
    #[arg(long, value_name = "PID", value_parser = pid, allow_negative_numbers = true)]
    #[arg(add = ArgValueCompleter::new(processes))]
    pub pid: Vec<u32>,
    /// Watch whoever listens on this port, and the connections on it; repeatable
    #[arg(long, value_name = "PORT", value_parser = port, allow_negative_numbers = true)]
    #[arg(add = ArgValueCandidates::new(ports))]
    pub port: Vec<u16>,
    /// Watch every process with this name (as `ps -o comm` shows it)
    #[arg(long, value_name = "NAME", value_parser = bytes::<OsString>(Named::Process))]
    #[arg(add = ArgValueCandidates::new(names))]
    pub comm: Option<OsString>,
    /// Watch every process in this cgroup and below it, now and later: a path as
    /// `/proc/PID/cgroup` has it, or below /sys/fs/cgroup; repeatable
    #[arg(long, value_name = "PATH", value_parser = bytes::<PathBuf>(Named::Cgroup))]
    #[arg(add = ArgValueCandidates::new(cgroups))]
    pub cgroup: Vec<PathBuf>,
    /// Watch this container: its id, the first 12 characters of it or more, or its name;
    /// repeatable
    #[arg(long, value_name = "ID|NAME", value_parser = name(Named::Container))]
    #[arg(add = ArgValueCandidates::new(containers))]
    pub container: Vec<String>,
    /// Watch every container of this pod of Kubernetes; repeatable
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = name(Named::Pod))]
    #[arg(value_hint = clap::ValueHint::Other)]
    pub pod: Vec<String>,
    /// Watch this unit of systemd (`nginx` is nginx.service; also a slice, a scope, or web@.service
    /// for all its instances); repeatable
    #[arg(long, value_name = "NAME", value_parser = name(Named::Unit))]
    #[arg(add = ArgValueCandidates::new(units))]
    pub unit: Vec<String>,
    /// Watch every process on the machine
    #[arg(long)]
    pub all: bool,
    /// Do not watch the children of watched processes
    #[arg(long)]
    pub no_follow: bool,
}

impl TargetArgs {
    /// True if nobody is named.
    pub fn is_empty(&self) -> bool {
        let Self { pid, port, comm, cgroup, container, pod, unit, all, no_follow: _ } = self;
        pid.is_empty()
            && port.is_empty()
            && comm.is_none()
            && cgroup.is_empty()
            && container.is_empty()
            && pod.is_empty()
            && unit.is_empty()
            && !all
    }
}

/// As whom CMD runs.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Target")]
pub struct RunAsArgs {
    /// Run CMD as root, whoever called sudo
    #[arg(long, requires = "command", conflicts_with = "user")]
    pub as_root: bool,
    /// Run CMD as this user [default: who called sudo, otherwise who called backscope]
    #[arg(long, value_name = "NAME", requires = "command", value_hint = clap::ValueHint::Username)]
    pub user: Option<String>,
}
