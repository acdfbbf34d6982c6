//! How a watch begins: the hooks are chosen, loaded and attached, and chosen anew if one does not
//! attach.

use aya::Ebpf;
use backscope_abi::Config;

use super::{
    Options, SensorError, Tier,
    choose::{self, Barred},
    config,
    load::{self, Globals, Loaded, Loader},
    maps, sys,
};

/// The best that this kernel loads and attaches, attached; and the object, which has the maps.
pub(super) fn load_best(options: &Options) -> Result<(Loaded, Ebpf), SensorError> {
    let mut barred: Vec<Barred> = Vec::new();
    with_loader(config::of(options), |loader| {
        loop {
            let chosen = choose::choose(loader, options.tier.unwrap_or(Tier::Full), &barred)?;
            if options.tier == Some(Tier::Full) && chosen.tier() != Tier::Full {
                let reason = chosen
                    .refusals
                    .first()
                    .map_or_else(String::new, |refusal| refusal.reason.clone());
                return Err(SensorError::NoFullTier(reason));
            }
            let prepare = |ebpf: &mut Ebpf| maps::set_targets(ebpf, &options.targets);
            match load::attach(loader, chosen, prepare) {
                Err(SensorError::Attach { hooks, reason, .. })
                    if barred.iter().all(|known| known.hooks != hooks) =>
                {
                    barred.push(Barred { hooks, reason });
                }
                other => return other,
            }
        }
    })
}

/// Reads the kernel's types for as long as `work` takes, and no longer: they are large.
pub(super) fn with_loader<T>(
    config: Config,
    work: impl FnOnce(&mut Loader<'_>) -> Result<T, SensorError>,
) -> Result<T, SensorError> {
    let result = {
        let bare = load::bare_loader();
        let types = load::Types::read()?;
        let globals = Globals::new(&types, config);
        work(&mut Loader::new(bare, &types, &globals))
    };
    sys::trim_memory();
    sys::keep_memory_small();
    result
}

/// Before 5.11 maps count as locked memory; a refusal shows as a map that cannot be made, which
/// says so itself.
pub(super) fn raise_memlock() {
    let unlimited = rustix::process::Rlimit { current: None, maximum: None };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Memlock, unlimited);
}
