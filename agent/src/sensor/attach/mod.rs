//! Attaches the probes: the hooks are chosen, loaded and attached, and chosen anew if one does not
//! attach.
//!
//! `plan/` is the table of hooks. `loader.rs` makes the object ready, `choose.rs` tries the hooks
//! on it, `load.rs` loads and attaches those chosen. `programs.rs` and `syscalls.rs` keep them.
//! `suspend.rs`, `states.rs` and `pause.rs` take some off for a while.

mod choose;
mod failure;
mod load;
mod loader;
mod pause;
mod plan;
mod programs;
mod states;
mod suspend;
pub(super) mod sys;
mod syscalls;

use aya::Ebpf;
use backscope_abi::Config;

pub use self::suspend::Suspensions;
pub use self::{
    choose::{Chosen, Refusal},
    plan::Signal,
};
use self::{
    choose::{Rejected, choose, scan_only},
    failure::Failure,
    load::attach,
    loader::{Globals, Loader, OBJECT, Sizes, Types, bare_loader},
};
pub(super) use self::{
    load::Loaded,
    programs::{Programs, Runs},
    suspend::AcceptHooks,
};
use super::{error::SensorError, maps, options::Options, places, probe_log};
use crate::model::Tier;

/// Attaches the best hooks that this kernel loads and attaches. Returns the object, too, which has
/// the maps.
pub(super) fn attach_best(options: &Options) -> Result<(Loaded, Ebpf), SensorError> {
    let mut rejected: Vec<Rejected> = Vec::new();
    let with_log = match &options.probe_log {
        Some(path) => Some(probe_log::object(path)?),
        None => None,
    };
    with_loader(options.config(), with_log.as_deref().unwrap_or(OBJECT), |loader| {
        loop {
            let highest = options.tier.unwrap_or(Tier::Full);
            let (chosen, tried) = choose(loader, highest, &rejected, Sizes::Full)?;
            if options.tier == Some(Tier::Full) && chosen.tier() != Tier::Full {
                let reason = match chosen.refusals.first() {
                    Some(refusal) => refusal.reason.clone(),
                    None => String::new(),
                };
                return Err(SensorError::NoFullTier(reason));
            }
            let prepare = |ebpf: &mut Ebpf| {
                places::free_all(ebpf)?;
                maps::set_targets(ebpf, &options.targets)
            };
            match attach(loader, chosen, Some(tried), prepare) {
                Err(SensorError::Attach { hooks, reason, errno, .. })
                    if rejected.iter().all(|known| known.hooks != hooks) =>
                {
                    rejected.push(Rejected { hooks, failure: Failure { reason, errno } });
                }
                other => return other,
            }
        }
    })
}

/// Attaches the iterator over open files alone.
pub(super) fn attach_scan(options: &Options) -> Result<(Loaded, Ebpf), SensorError> {
    with_loader(options.config(), OBJECT, |loader| {
        let (chosen, tried) = scan_only(loader)?;
        attach(loader, chosen, Some(tried), |ebpf| maps::set_targets(ebpf, &options.targets))
    })
}

/// Chooses hooks without attaching them. `config` says which signals are wanted.
pub(super) fn choose_only(config: Config, highest: Tier) -> Result<Chosen, SensorError> {
    with_loader(config, OBJECT, |loader| {
        choose(loader, highest, &[], Sizes::Trial).map(|(chosen, _)| chosen)
    })
}

/// Keeps the kernel's types in memory while `work` runs, and no longer: they are large.
fn with_loader<T>(
    config: Config,
    object: &[u8],
    work: impl FnOnce(&mut Loader<'_>) -> Result<T, SensorError>,
) -> Result<T, SensorError> {
    sys::raise_files();
    let result = {
        let bare = bare_loader();
        let types = Types::read()?;
        let globals = Globals::new(&types, config);
        work(&mut Loader::new(bare, &types, &globals, object))
    };
    sys::trim_memory();
    sys::keep_memory_small();
    result
}

/// Raises the limit of locked memory: before 5.11 maps count as locked. A refusal shows later, as a
/// map that cannot be made.
pub(super) fn raise_memlock() {
    let unlimited = rustix::process::Rlimit { current: None, maximum: None };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Memlock, unlimited);
}
