//! Chooses a hook for each signal: tries all of them on this kernel, the best first.

use std::collections::{BTreeMap, BTreeSet};

use aya::Ebpf;

use super::{
    SensorError,
    load::{Deciding, Loader, Types, attach_one, brief, load},
    plan::{self, Attach, Choice, Program, Row, Tier},
};

/// A choice that did not work.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The signal.
    pub signal: &'static str,
    /// The hooks of the choice.
    pub hooks: String,
    /// The kernel's reason, or ours.
    pub reason: String,
}

/// What was chosen for each signal, and why not something better.
#[derive(Debug, Default)]
pub struct Chosen {
    rows: Vec<(&'static Row, Option<&'static Choice>)>,
    /// Choices that did not work, in the order of trial.
    pub refusals: Vec<Refusal>,
}

impl Chosen {
    /// The hooks that serve each signal; `None` for a signal that is not seen.
    pub fn hooks(&self) -> BTreeMap<String, Option<String>> {
        self.rows
            .iter()
            .map(|(row, choice)| (row.signal.to_owned(), choice.map(hooks_of)))
            .collect()
    }

    /// What cannot be shown on this kernel, in sentences that name the signal.
    pub fn gaps(&self) -> Vec<String> {
        self.rows
            .iter()
            .filter_map(|(row, choice)| match choice {
                None => Some(format!("{}: {}", row.signal, row.without)),
                Some(choice) if !choice.loses.is_empty() => {
                    Some(format!("{}: {}", row.signal, choice.loses))
                }
                Some(_) => None,
            })
            .collect()
    }

    /// The tier: full if any function hook serves.
    pub fn tier(&self) -> Tier {
        let full = self
            .programs()
            .any(|program| matches!(program.attach, Attach::Fentry(_) | Attach::Fexit(_)));
        if full { Tier::Full } else { Tier::Tracepoint }
    }

    /// True if this signal is seen by a choice of the given tier.
    pub fn sees(&self, signal: &str, tier: Tier) -> bool {
        self.rows.iter().any(|(row, choice)| {
            row.signal == signal && choice.is_some_and(|choice| choice.tier == tier)
        })
    }

    /// True if this signal is seen.
    pub fn has(&self, signal: &str) -> bool {
        self.rows.iter().any(|(row, choice)| row.signal == signal && choice.is_some())
    }

    /// The signals that are seen, and how.
    pub(super) fn served(&self) -> impl Iterator<Item = (&'static Row, &'static Choice)> {
        self.rows.iter().filter_map(|(row, choice)| Some((*row, (*choice)?)))
    }

    fn programs(&self) -> impl Iterator<Item = &'static Program> {
        self.served().flat_map(|(_, choice)| choice.programs)
    }
}

/// The places of its programs, or those that it shares.
pub(super) fn hooks_of(choice: &Choice) -> String {
    if choice.programs.is_empty() {
        return choice.shares.to_owned();
    }
    let places: BTreeSet<String> =
        choice.programs.iter().map(|program| program.attach.to_string()).collect();
    places.into_iter().collect::<Vec<_>>().join(" ")
}

/// Sizes of the maps on trial.
const SMALL: &[(&str, u32)] = &[
    ("LISTENERS", 1),
    ("LISTENER_OF", 1),
    ("QUEUED", 1),
    ("CALLS", 64),
    ("FAILED", 64),
    ("TARGETS", 1),
    ("THREADS", 1),
    ("CONNECTIONS", 1),
    ("DATAGRAMS", 1),
    ("SERVED", 1),
    ("EVENTS", 4096),
];

/// Tries every choice by loading its programs (small maps, nothing attached) and takes the first
/// that loads.
///
/// # Errors
/// The object itself does not load, or a vital signal has no hook.
pub(super) fn choose(
    loader: &mut Loader<'_>,
    highest: Tier,
    barred: &[Barred],
) -> Result<Chosen, SensorError> {
    let (types, config) = (loader.types, *loader.config());
    let marks_children = types.btf.has_function(plan::SOCKET_STORAGE);
    let mut trial = Trial {
        // What more code makes of it is tried.
        ebpf: loader.object(
            Deciding {
                queued_by_state: marks_children,
                delayed_ack_timer: false,
                counts_drops: true,
            },
            SMALL,
        )?,
        types,
        barred,
        chosen: Chosen::default(),
        every_packet: config.events != 0,
        forbidden: None,
    };
    for row in plan::rows(config.exchanges != 0, config.events != 0) {
        let found = row
            .choices
            .iter()
            .filter(|choice| choice.tier <= highest)
            .find(|choice| trial.works(row, choice));
        if found.is_none() && row.vital {
            let refusal =
                trial.chosen.refusals.iter().rev().find(|refusal| refusal.signal == row.signal);
            let reason = refusal.map_or_else(String::new, |refusal| {
                format!("{}: {}", refusal.hooks, refusal.reason)
            });
            return Err(SensorError::Vital { signal: row.signal, reason });
        }
        trial.chosen.rows.push((row, found));
    }
    Ok(trial.chosen)
}

/// Hooks that load and do not attach.
pub(super) struct Barred {
    pub(super) hooks: String,
    pub(super) reason: String,
}

struct Trial<'a> {
    ebpf: Ebpf,
    types: &'a Types,
    barred: &'a [Barred],
    chosen: Chosen,
    /// Hooks that see every packet are allowed.
    every_packet: bool,
    /// Why the kernel forbids function hooks as such: no need to ask for each.
    forbidden: Option<String>,
}

impl Trial<'_> {
    fn works(&mut self, row: &Row, choice: &Choice) -> bool {
        let Err(reason) = self.load(choice) else { return true };
        // How the standard library writes EPERM.
        if choice.tier == Tier::Full && reason.contains("Operation not permitted") {
            self.forbidden.get_or_insert_with(|| reason.clone());
        }
        self.chosen.refusals.push(Refusal { signal: row.signal, hooks: hooks_of(choice), reason });
        false
    }

    fn load(&mut self, choice: &Choice) -> Result<(), String> {
        let hooks = hooks_of(choice);
        if let Some(barred) = self.barred.iter().find(|barred| barred.hooks == hooks) {
            return Err(format!("it loads and does not attach: {}", barred.reason));
        }
        if choice.tier == Tier::Full {
            if let Some(reason) = &self.forbidden {
                return Err(reason.clone());
            }
            if choice.programs.is_empty() && !self.chosen.sees("accept", Tier::Full) {
                return Err("it needs the full tier's hooks of another signal".to_owned());
            }
        }
        if choice.shares == plan::ACCEPT_RETURNS && !self.chosen.sees("accept", Tier::Tracepoint) {
            return Err("it needs the system call tracepoints of accept".to_owned());
        }
        if choice.shares == plan::URING_COMPLETE
            && !self.chosen.sees("accept_io_uring", Tier::Tracepoint)
        {
            return Err("it needs the tracepoint of io_uring's completions".to_owned());
        }
        if !self.every_packet && choice.programs.iter().any(|program| program.name == plan::SYNACK)
        {
            return Err(
                "it would see every packet of the machine; only with --detail events".to_owned()
            );
        }
        (choice.fits)(&self.types.btf)?;
        let (ebpf, types) = (&mut self.ebpf, self.types);
        choice.programs.iter().try_for_each(|program| {
            load(ebpf, types, program).map_err(|error| brief(&error))?;
            // Only attaching shows whether a trampoline can pass more arguments than fit into
            // registers (6.6 on).
            if has_stack_arguments(types, program) {
                attach_one(ebpf, program).map_err(|error| brief(&error))?;
            }
            Ok(())
        })
    }
}

/// The iterator alone, for one look.
pub(super) fn scan_only() -> Chosen {
    let rows = plan::rows(false, false)
        .filter(|row| row.signal == "open_listeners")
        .map(|row| (row, row.choices.first()))
        .collect();
    Chosen { rows, refusals: Vec::new() }
}

fn has_stack_arguments(types: &Types, program: &Program) -> bool {
    match program.attach {
        Attach::Fentry(function) | Attach::Fexit(function) => {
            types.btf.arity(function).is_some_and(|arity| arity > 6)
        }
        _ => false,
    }
}
