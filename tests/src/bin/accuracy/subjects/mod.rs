//! The servers of the matrix, each with a small application of known faults.

mod apps;
mod proxies;
mod stores;

use std::path::Path;
use std::process::Command;

use crate::wire::{Ask, Wire};

/// A server of the matrix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) wire: Wire,
    /// One thread serves all connections.
    pub(crate) one_thread: bool,
    /// It accepts a request before it has answered the one before.
    pub(crate) pipelines: bool,
    /// It closes connections that are idle.
    pub(crate) closes_idle: bool,
    /// Returns whether it can be asked for this.
    pub(crate) can: fn(Ask) -> bool,
    /// Builds the command that starts it.
    pub(crate) prepare: fn(&Place<'_>) -> anyhow::Result<Command>,
}

/// The place and settings with which a server is started.
pub(crate) struct Place<'a> {
    /// Folder of the server.
    pub(crate) folder: &'a Path,
    /// Seconds after which idle connections are closed.
    pub(crate) idle: u64,
    /// Whether to leave Nagle's algorithm on, if that is a setting.
    pub(crate) nagle: bool,
}

pub(crate) const ALL: &[Subject] = &[
    proxies::NGINX,
    proxies::HAPROXY,
    proxies::APACHE,
    stores::POSTGRESQL,
    stores::REDIS,
    stores::MEMCACHED,
    apps::GUNICORN,
    apps::UVICORN,
    apps::ASYNCIO,
    apps::NODE,
    apps::GO,
    apps::JAVA,
    apps::PUMA,
    apps::PHP_FPM,
];
