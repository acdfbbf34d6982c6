//! The files of `/proc` that the sensor reads: each is parsed by one function here.

mod machine;
mod mounts;
mod network;
mod process;

pub use self::process::{comm, exists, is_32_bit};
pub(in crate::sensor) use self::{
    machine::{
        busy_ticks, is_ftrace_off, online_cpus, open_files, own_memory_bytes, runnable_threads,
    },
    mounts::{cgroup_mounts, sees_all_cgroups, sees_all_processes},
    network::{
        ListenCounters, Routes, listen_counters, listening_sockets, netns_of, own_netns,
        passive_opens, routes, socket_of, time_wait_sockets,
    },
    process::{
        EpollTargets, cgroup_lines, cgroups, comm_bytes, descriptor_flags, descriptors,
        descriptors_used, epoll_targets, is_stopped, parent, processes, schedstat, started,
        status_field, thread_comm, thread_group, thread_origin, threads, voluntary_switches,
        waiting_syscall,
    },
};
