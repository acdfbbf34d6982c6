//! Chooses a hook for each signal: tries all of them on this kernel, the best first.

use std::collections::{BTreeMap, BTreeSet};

use aya::{Btf, Ebpf};

use super::{
    failure::Failure,
    loader::{HookFlags, Loader, Sizes, Types},
    plan::{self, Attach, Choice, Program, Signal, SignalSpec},
    programs::{attach_one, load, load_ahead},
    sys,
};
use crate::{
    model::Tier,
    sensor::{error::SensorError, procfs},
};

/// A choice that did not work.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The signal.
    pub signal: Signal,
    /// The hooks of the choice.
    pub hooks: String,
    /// The kernel's reason, or ours.
    pub reason: String,
}

/// The choice for each signal, and why not something better.
#[derive(Debug, Default)]
pub struct Chosen {
    signals: Vec<(&'static SignalSpec, Option<&'static Choice>)>,
    /// Choices that did not work, in the order of trial.
    pub refusals: Vec<Refusal>,
    /// The verifier knows the socket that a file leads to.
    pub(in crate::sensor) typed_files: bool,
}

impl Chosen {
    /// The hooks that serve each signal; `None` for a signal that is not seen.
    pub fn hooks(&self) -> BTreeMap<String, Option<String>> {
        let mut hooks = BTreeMap::new();
        for (spec, choice) in &self.signals {
            hooks.insert(spec.signal.to_string(), choice.map(hooks_of));
        }
        hooks
    }

    /// Sentences on what cannot be shown on this kernel, each behind the name of its signal.
    pub fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        for (spec, choice) in &self.signals {
            let gap = match choice {
                Some(choice) => choice.degraded,
                None => spec.missing,
            };
            if choice.is_none() || !gap.is_empty() {
                gaps.push(format!("{}: {gap}", spec.signal));
            }
        }
        gaps
    }

    /// True if programs on the tracepoints of system calls serve.
    pub(in crate::sensor) fn uses_syscalls(&self) -> bool {
        let mut programs = self.served().flat_map(|(_, choice)| choice.programs);
        programs.any(|program| matches!(program.attach, Attach::Syscall(_)))
    }

    /// The tier: full if any function hook serves.
    pub fn tier(&self) -> Tier {
        for (_, choice) in self.served() {
            for program in choice.programs {
                if program.attach.is_function() {
                    return Tier::Full;
                }
            }
        }
        Tier::Tracepoint
    }

    /// True if this signal is seen by a choice of the given tier.
    pub fn sees(&self, signal: Signal, tier: Tier) -> bool {
        self.served().any(|(spec, choice)| spec.signal == signal && choice.tier == tier)
    }

    /// True if this signal is seen.
    pub fn has(&self, signal: Signal) -> bool {
        self.served().any(|(spec, _)| spec.signal == signal)
    }

    /// The signals that are seen, and how.
    pub(super) fn served(&self) -> impl Iterator<Item = (&'static SignalSpec, &'static Choice)> {
        self.signals.iter().filter_map(|(spec, choice)| Some((*spec, (*choice)?)))
    }
}

/// The places of its programs, or those that it shares.
pub(super) fn hooks_of(choice: &Choice) -> String {
    if choice.programs.is_empty() {
        return choice.shares.to_owned();
    }
    let places: BTreeSet<String> =
        choice.programs.iter().map(|program| program.attach.to_string()).collect();
    Vec::from_iter(places).join(" ")
}

/// An object in which programs were loaded on trial, and the flags that it has.
pub(super) struct Tried {
    pub(super) ebpf: Ebpf,
    pub(super) flags: HookFlags,
}

/// Tries every choice by loading its programs and takes the first that loads. Of function hooks some
/// are attached for a moment, too.
///
/// # Errors
/// The object itself does not load, or a required signal has no hook.
pub(super) fn choose(
    loader: &mut Loader<'_>,
    highest: Tier,
    rejected: &[Rejected],
    sizes: Sizes,
) -> Result<(Chosen, Tried), SensorError> {
    let (types, config) = (loader.types, *loader.config());
    // Where programs have two forms, the one with more code is tried: that of the tracepoint tier.
    let Tried { ebpf, flags } = with_scan(loader, true, sizes)?;
    let mut trial = Trial {
        ebpf,
        types,
        numbers: types.numbers()?,
        rejected,
        chosen: Chosen { typed_files: flags.typed_files, ..Chosen::default() },
        every_packet: config.events != 0,
        has_pauses: config.has_pauses != 0,
        forbidden: None,
        out_of_files: false,
    };
    let signals = plan::signals(config.exchanges != 0, config.events != 0);
    trial.load_ahead(&signals, highest);
    for spec in signals {
        let choice = trial.choose(spec, highest);
        if trial.out_of_files {
            return Err(sys::out_of_files());
        }
        if choice.is_none() && spec.required {
            let reason = trial.reason_against(spec.signal);
            return Err(SensorError::Required { signal: spec.signal.name(), reason });
        }
        trial.chosen.signals.push((spec, choice));
    }
    Ok((trial.chosen, Tried { ebpf: trial.ebpf, flags }))
}

/// The object with the iterator over files loaded, in the form that this kernel takes: from 5.11 on
/// a file leads to a socket that the verifier knows, unless it trusts no pointer that was read
/// through another one (a patched 6.18 was seen to). If it takes neither, the trial tells why.
fn with_scan(
    loader: &mut Loader<'_>,
    queued_by_state: bool,
    sizes: Sizes,
) -> Result<Tried, SensorError> {
    let types = loader.types;
    let typed_files = types.btf.has_function(plan::SOCK_FROM_FILE);
    let mut flags =
        HookFlags { queued_by_state, delayed_ack_timer: false, counts_drops: true, typed_files };
    loop {
        let mut ebpf = loader.object(flags, sizes)?;
        if !flags.typed_files || load(&mut ebpf, types.numbers()?, &plan::SCAN).is_ok() {
            return Ok(Tried { ebpf, flags });
        }
        flags.typed_files = false;
    }
}

/// Hooks that load and do not attach.
pub(super) struct Rejected {
    pub(super) hooks: String,
    pub(super) failure: Failure,
}

struct Trial<'a> {
    ebpf: Ebpf,
    types: &'a Types,
    numbers: &'a Btf,
    rejected: &'a [Rejected],
    chosen: Chosen,
    /// Hooks that see every packet are allowed.
    every_packet: bool,
    /// Exchanges are not watched all the time.
    has_pauses: bool,
    /// The kernel forbids every function hook, and why: no need to ask for each.
    forbidden: Option<String>,
    /// There was no descriptor for a program.
    out_of_files: bool,
}

impl Trial<'_> {
    /// Loads what will be chosen unless the verifier refuses it. The trial itself then finds most
    /// programs loaded; what was loaded in vain goes with the object.
    fn load_ahead(&mut self, signals: &[&'static SignalSpec], mut highest: Tier) {
        if highest == Tier::Full && !self.may_hook_functions(signals) {
            highest = Tier::Tracepoint;
        }
        let mut programs = Vec::new();
        for spec in signals {
            let mut choices = spec.choices.iter().filter(|choice| choice.tier <= highest);
            if let Some(choice) = choices.find(|choice| self.is_likely(choice)) {
                programs.extend(choice.programs);
            }
        }
        load_ahead(&mut self.ebpf, self.numbers, &programs);
    }

    /// Whether the kernel takes function hooks, by trial of some. If it refuses them all, that is
    /// noted against every other.
    ///
    /// Each is attached for a moment. A kernel whose ftrace cannot call programs directly
    /// (`register_ftrace_direct`) loads every one, and attaches none.
    fn may_hook_functions(&mut self, signals: &[&'static SignalSpec]) -> bool {
        /// Some other user may have one of the functions for itself, but hardly all of these.
        const TRIALS: usize = 3;
        if procfs::is_ftrace_off() {
            let off = "ftrace is switched off (kernel.ftrace_enabled is 0), so that nothing would \
                       call function hooks";
            self.forbidden = Some(off.to_owned());
            return false;
        }
        let choices = signals.iter().flat_map(|spec| spec.choices);
        let mut refused = BTreeSet::new();
        for program in choices.flat_map(|choice| choice.programs) {
            // One with arguments on the stack may fail alone.
            if !program.attach.is_function() || has_stack_arguments(self.types, program) {
                continue;
            }
            match load(&mut self.ebpf, self.numbers, program).map_err(Failure::from) {
                Ok(()) => {}
                Err(Failure { reason, errno: Some(libc::EPERM) }) => {
                    self.forbidden = Some(reason);
                    return false;
                }
                // This kernel has no such function, or its verifier does not like the program.
                Err(_) => continue,
            }
            let Err(error) = attach_one(&mut self.ebpf, program) else { return true };
            let failure = Failure::from(error);
            if failure.is_out_of_files() {
                // That says nothing of the hooks.
                return true;
            }
            refused.insert(program.attach.to_string());
            if refused.len() == TRIALS {
                self.forbidden = Some(attaches_none(&failure.reason));
                return false;
            }
        }
        true
    }

    /// Whether nothing is against a choice that is known before its trial.
    fn is_likely(&self, choice: &Choice) -> bool {
        let hooks = hooks_of(choice);
        self.rejected.iter().all(|rejected| rejected.hooks != hooks)
            && (self.every_packet || !sees_packets(choice))
            && (choice.check_btf)(&self.types.btf).is_ok()
    }

    fn choose(&mut self, spec: &SignalSpec, highest: Tier) -> Option<&'static Choice> {
        if self.has_pauses && spec.signal.is_of_datagrams() {
            let reason = "with --budget, UDP sockets are not watched".to_owned();
            self.chosen.refusals.push(Refusal {
                signal: spec.signal,
                hooks: String::new(),
                reason,
            });
            return None;
        }
        let choices = spec.choices.iter().filter(|choice| choice.tier <= highest);
        for choice in choices {
            let Err(failure) = self.load(choice) else { return Some(choice) };
            if failure.is_out_of_files() || !sys::has_room_for_files(1) {
                self.out_of_files = true;
                return None;
            }
            let Failure { reason, errno } = failure;
            if choice.tier == Tier::Full && errno == Some(libc::EPERM) {
                self.forbidden.get_or_insert_with(|| reason.clone());
            }
            let (signal, hooks) = (spec.signal, hooks_of(choice));
            self.chosen.refusals.push(Refusal { signal, hooks, reason });
        }
        None
    }

    /// The newest refusal of a signal's choices.
    fn reason_against(&self, signal: Signal) -> String {
        let newest = self.chosen.refusals.iter().rfind(|refusal| refusal.signal == signal);
        match newest {
            Some(refusal) => format!("{}: {}", refusal.hooks, refusal.reason),
            None => String::new(),
        }
    }

    fn load(&mut self, choice: &Choice) -> Result<(), Failure> {
        let hooks = hooks_of(choice);
        if let Some(rejected) = self.rejected.iter().find(|rejected| rejected.hooks == hooks) {
            let Failure { reason, errno } = &rejected.failure;
            let reason = format!("it loads but does not attach: {reason}");
            return Err(Failure { reason, errno: *errno });
        }
        self.check_others(choice)?;
        (choice.check_btf)(&self.types.btf)?;
        for program in choice.programs {
            load(&mut self.ebpf, self.numbers, program)?;
            // Only attaching shows whether a trampoline can pass more arguments than fit into
            // registers (6.6 on).
            if has_stack_arguments(self.types, program) {
                attach_one(&mut self.ebpf, program)?;
            }
        }
        Ok(())
    }

    /// Tells whether a program that was chosen before is at this place.
    fn is_used(&self, hook: &str) -> bool {
        let mut programs = self.chosen.served().flat_map(|(_, choice)| choice.programs);
        programs.any(|program| program.attach.to_string() == hook)
    }

    /// Checks a choice against what was chosen and found before.
    fn check_others(&self, choice: &Choice) -> Result<(), String> {
        if choice.tier == Tier::Full
            && let Some(reason) = &self.forbidden
        {
            return Err(reason.clone());
        }
        if let Some(hook) = choice.shares.split_whitespace().find(|hook| !self.is_used(hook)) {
            return Err(format!("it shares {hook}, which does not serve here"));
        }
        if sees_packets(choice) && !self.every_packet {
            let reason = "it would see every packet on the machine; only used with --detail events";
            return Err(reason.to_owned());
        }
        Ok(())
    }
}

/// In words, that every function hook loads and none attaches, for this reason.
fn attaches_none(reason: &str) -> String {
    // `HAVE_DYNAMIC_FTRACE_WITH_DIRECT_CALLS` of arm64 is of 6.4, and hangs on a layout of functions
    // that kCFI does not leave room for.
    let since = if cfg!(target_arch = "aarch64") {
        " (those of arm64 do since 6.4, unless they are built with kCFI)"
    } else {
        ""
    };
    format!("this kernel loads function hooks and attaches none{since}: {reason}")
}

/// The iterator over files alone, to look at listeners.
///
/// # Errors
/// The object itself does not load.
pub(super) fn scan_only(loader: &mut Loader<'_>) -> Result<(Chosen, Tried), SensorError> {
    let tried = with_scan(loader, false, Sizes::Full)?;
    let mut chosen = Chosen { typed_files: tried.flags.typed_files, ..Chosen::default() };
    for spec in plan::signals(false, false) {
        if spec.signal == Signal::OpenListeners {
            chosen.signals.push((spec, spec.choices.first()));
        }
    }
    Ok((chosen, tried))
}

fn sees_packets(choice: &Choice) -> bool {
    choice.programs.iter().any(|program| program.name == plan::SYNACK)
}

fn has_stack_arguments(types: &Types, program: &Program) -> bool {
    match program.attach {
        Attach::Fentry(function) | Attach::Fexit(function) => types.btf.arity(function) > Some(6),
        _ => false,
    }
}
