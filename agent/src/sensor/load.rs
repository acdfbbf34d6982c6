//! Loads the programs: first all of them on trial, to learn what this kernel accepts, then the chosen ones for good.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io,
    os::fd::{AsFd, OwnedFd},
};

use aya::{
    Btf as AyaBtf, Ebpf, EbpfLoader, Pod, include_bytes_aligned,
    programs::{BtfTracePoint, FEntry, FExit, Iter, ProgramError, ProgramFd, TracePoint},
};
use backscope_abi as abi;
use backscope_abi::{Config, Layout};

use super::{
    SensorError,
    plan::{self, Attach, Choice, Program, Row, Tier},
    sys,
};
use crate::kernel::{
    btf::{Btf, Wanted},
    layout,
};

/// The compiled probes. `cargo xtask probes` makes them anew.
static OBJECT: &[u8] =
    include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/../probes/prebuilt/backscope.bpf.o"));

/// Newtypes, since a foreign trait cannot be put on foreign types.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct LayoutGlobal(Layout);
#[derive(Clone, Copy)]
#[repr(transparent)]
struct ConfigGlobal(Config);
#[expect(unsafe_code, reason = "aya asks for the promise that a type is plain bytes")]
mod pod {
    use super::{ConfigGlobal, LayoutGlobal, Pod};
    // SAFETY: `repr(C)` integers with explicit padding only.
    unsafe impl Pod for LayoutGlobal {}
    // SAFETY: `repr(C)` integers with explicit padding only.
    unsafe impl Pod for ConfigGlobal {}
}

/// What this kernel's types say.
pub(super) struct Types {
    /// Offsets for the probes.
    pub layout: Layout,
    btf: Btf,
    aya: AyaBtf,
}

impl Types {
    /// Reads the running kernel's types.
    ///
    /// # Errors
    /// They are missing, malformed, or lack something without which nothing can be watched.
    pub(super) fn read() -> Result<Self, SensorError> {
        let wanted = Wanted {
            structs: layout::structs().collect(),
            functions: plan::functions().collect(),
            tracepoints: plan::tracepoints().collect(),
            enumerators: HashSet::from([plan::DROP_LISTEN_OVERFLOW]),
        };
        let btf = Btf::of_running_kernel(&wanted)?;
        let layout = layout::resolve(&btf).map_err(SensorError::NoMember)?;
        let aya = AyaBtf::from_sys_fs().map_err(|error| SensorError::Types(error.to_string()))?;
        Ok(Self { layout, btf, aya })
    }
}

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
        self.rows.iter().map(|(row, choice)| (row.signal.to_owned(), choice.map(hooks_of))).collect()
    }

    /// What cannot be shown on this kernel, in sentences that name the signal.
    pub fn gaps(&self) -> Vec<String> {
        self.rows
            .iter()
            .filter_map(|(row, choice)| match choice {
                None => Some(format!("{}: {}", row.signal, row.without)),
                Some(choice) if !choice.loses.is_empty() => Some(format!("{}: {}", row.signal, choice.loses)),
                Some(_) => None,
            })
            .collect()
    }

    /// The tier: full if any function hook serves.
    pub fn tier(&self) -> Tier {
        let full = self.programs().any(|program| matches!(program.attach, Attach::Fentry(_) | Attach::Fexit(_)));
        if full { Tier::Full } else { Tier::Tracepoint }
    }

    /// True if this signal is seen by a choice of the given tier.
    pub fn sees(&self, signal: &str, tier: Tier) -> bool {
        self.rows.iter().any(|(row, choice)| row.signal == signal && choice.is_some_and(|choice| choice.tier == tier))
    }

    /// True if this signal is seen.
    pub fn has(&self, signal: &str) -> bool {
        self.rows.iter().any(|(row, choice)| row.signal == signal && choice.is_some())
    }

    fn programs(&self) -> impl Iterator<Item = &'static Program> {
        self.rows.iter().filter_map(|(_, choice)| *choice).flat_map(|choice| choice.programs)
    }
}

fn hooks_of(choice: &Choice) -> String {
    if choice.programs.is_empty() {
        return choice.shares.to_owned();
    }
    let places: BTreeSet<String> = choice.programs.iter().map(|program| program.attach.to_string()).collect();
    places.into_iter().collect::<Vec<_>>().join(" ")
}

/// Loaded and attached programs. Everything is detached when it is dropped.
pub(super) struct Loaded {
    /// The object with its maps.
    pub ebpf: Ebpf,
    /// The iterator over open files.
    pub scan: ProgramFd,
    /// The one that shows connections.
    pub scan_connections: Option<ProgramFd>,
    /// What was chosen.
    pub chosen: Chosen,
    _events: Vec<OwnedFd>,
}

/// What the probes are told before they are loaded.
pub(super) struct Globals {
    layout: LayoutGlobal,
    /// By [`Deciding::index`].
    config: [ConfigGlobal; 4],
}

impl Globals {
    pub(super) fn new(types: &Types, mut config: Config) -> Self {
        let has = |function| u8::from(types.btf.has_function(function));
        config.socket_storage = has(plan::SOCKET_STORAGE);
        config.socket_cookie = has(plan::SOCKET_COOKIE);
        config.sock_from_file = has(plan::SOCK_FROM_FILE);
        config.drop_listen_overflow = types.btf.enumerator(plan::DROP_LISTEN_OVERFLOW).unwrap_or(0);
        let of =
            |queued_by_state, delayed_ack_timer| ConfigGlobal(Config { queued_by_state, delayed_ack_timer, ..config });
        Self { layout: LayoutGlobal(types.layout), config: [of(0, 0), of(1, 0), of(0, 1), of(1, 1)] }
    }
}

/// What the chosen hooks decide of the probes' configuration.
#[derive(Clone, Copy, Debug)]
struct Deciding {
    /// The queued stamp comes from the child's state change, not from function hooks.
    queued_by_state: bool,
    /// The timer of delayed ACKs is hooked.
    delayed_ack_timer: bool,
}

impl Deciding {
    fn index(self) -> usize {
        usize::from(self.queued_by_state) + 2 * usize::from(self.delayed_ack_timer)
    }
}

/// Loads the object as often as it takes.
pub(super) struct Loader<'a> {
    inner: EbpfLoader<'a>,
    types: &'a Types,
    globals: &'a Globals,
}

impl<'a> Loader<'a> {
    /// `inner` comes from [`bare_loader`].
    pub(super) fn new(mut inner: EbpfLoader<'a>, types: &'a Types, globals: &'a Globals) -> Self {
        inner.btf(Some(&types.aya)).override_global("LAYOUT", &globals.layout, true);
        Self { inner, types, globals }
    }

    fn object(&mut self, decided: Deciding, sizes: &[(&'static str, u32)]) -> Result<Ebpf, SensorError> {
        self.inner.override_global("CONFIG", &self.globals.config[decided.index()], true);
        for (name, entries) in sizes {
            self.inner.map_max_entries(name, *entries);
        }
        self.inner.load(OBJECT).map_err(|error| SensorError::Object(chain(&error)))
    }
}

/// A loader without the copy of the kernel's types that it reads of its own accord, some 10 MB.
pub(super) fn bare_loader<'a>() -> EbpfLoader<'a> {
    let mut loader = EbpfLoader::new();
    loader.btf(None);
    loader
}

/// Sizes of the maps on trial.
const SMALL: &[(&str, u32)] = &[
    ("LISTENERS", 1),
    ("LISTENER_OF", 1),
    ("QUEUED", 1),
    ("CALLS", 64),
    ("TARGETS", 1),
    ("THREADS", 64),
    ("CONNECTIONS", 1),
    ("DATAGRAMS", 1),
    ("SERVED", 1),
    ("EVENTS", 4096),
];

/// Their sizes for good.
fn full_sizes(config: &Config) -> [(&'static str, u32); 10] {
    let exchanges = config.exchanges != 0;
    let by_address = exchanges && config.socket_storage == 0;
    [
        ("THREADS", if exchanges { abi::MAX_THREADS } else { 64 }),
        ("CONNECTIONS", if by_address { abi::MAX_CONNECTIONS } else { 1 }),
        ("SERVED", if exchanges { abi::MAX_LISTENERS } else { 1 }),
        ("DATAGRAMS", if exchanges { abi::MAX_DATAGRAMS } else { 1 }),
        ("LISTENERS", abi::MAX_LISTENERS),
        ("LISTENER_OF", abi::MAX_LISTENERS),
        ("QUEUED", abi::MAX_QUEUED),
        ("CALLS", abi::MAX_CALLS),
        ("TARGETS", abi::MAX_TARGETS),
        ("EVENTS", config.ring_bytes),
    ]
}

/// Tries every choice by loading its programs (small maps, nothing attached) and takes the first that loads.
///
/// # Errors
/// The object itself does not load, or a vital signal has no hook.
pub(super) fn choose(loader: &mut Loader<'_>, highest: Tier, barred: &[Barred]) -> Result<Chosen, SensorError> {
    let types = loader.types;
    let marks_children = types.btf.has_function(plan::SOCKET_STORAGE);
    let mut trial = Trial {
        // What more code makes of it is tried.
        ebpf: loader.object(Deciding { queued_by_state: marks_children, delayed_ack_timer: false }, SMALL)?,
        types,
        barred,
        chosen: Chosen::default(),
        every_packet: loader.globals.config[0].0.events != 0,
        forbidden: None,
    };
    let config = loader.globals.config[0].0;
    for row in plan::rows(config.exchanges != 0, config.events != 0) {
        let found = row.choices.iter().filter(|choice| choice.tier <= highest).find(|choice| trial.works(row, choice));
        if found.is_none() && row.vital {
            let refusal = trial.chosen.refusals.iter().rev().find(|refusal| refusal.signal == row.signal);
            let reason = refusal.map_or_else(String::new, |refusal| format!("{}: {}", refusal.hooks, refusal.reason));
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
        if !self.every_packet && choice.programs.iter().any(|program| program.name == plan::SYNACK) {
            return Err("it would see every packet of the machine; only with --detail events".to_owned());
        }
        (choice.fits)(&self.types.btf)?;
        let (ebpf, types) = (&mut self.ebpf, self.types);
        choice.programs.iter().try_for_each(|program| {
            load(ebpf, types, program).map_err(|error| brief(&error))?;
            // Only attaching shows whether a trampoline can pass more arguments than fit into registers (6.6 on).
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
        Attach::Fentry(function) | Attach::Fexit(function) => types.btf.arity(function).is_some_and(|arity| arity > 6),
        _ => false,
    }
}

fn load(ebpf: &mut Ebpf, types: &Types, program: &Program) -> Result<(), ProgramError> {
    fn of<'a, T>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut T, ProgramError>
    where
        &'a mut T: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
    {
        ebpf.program_mut(name).ok_or(ProgramError::InvalidName { name: name.to_owned() })?.try_into()
    }
    match program.attach {
        Attach::Fentry(function) => of::<FEntry>(ebpf, program.name)?.load(function, &types.aya),
        Attach::Fexit(function) => of::<FExit>(ebpf, program.name)?.load(function, &types.aya),
        Attach::Tracepoint(name) => of::<BtfTracePoint>(ebpf, program.name)?.load(name, &types.aya),
        Attach::Syscall(_) => of::<TracePoint>(ebpf, program.name)?.load(),
        Attach::Iterator(kind) => of::<Iter>(ebpf, program.name)?.load(kind, &types.aya),
    }
}

/// Loads the chosen programs with maps of full size, and attaches them.
///
/// # Errors
/// The hooks of the choice that the kernel loads but does not attach, with the reason.
pub(super) fn attach(
    loader: &mut Loader<'_>,
    chosen: Chosen,
    prepare: impl FnOnce(&mut Ebpf) -> Result<(), SensorError>,
) -> Result<Loaded, SensorError> {
    let types = loader.types;
    let sizes = full_sizes(&loader.globals.config[0].0);
    let decided = Deciding {
        queued_by_state: chosen.sees("queued", Tier::Tracepoint),
        delayed_ack_timer: chosen.sees("delayed_ack", Tier::Full),
    };
    let mut ebpf = loader.object(decided, &sizes)?;
    prepare(&mut ebpf)?;
    let (mut events, mut tracefs, mut scan, mut scan_connections) = (Vec::new(), None, None, None);
    for (row, choice) in &chosen.rows {
        let Some(choice) = choice else { continue };
        for program in choice.programs {
            let failed = |reason: String| SensorError::Attach { signal: row.signal, hooks: hooks_of(choice), reason };
            load(&mut ebpf, types, program).map_err(|error| failed(brief(&error)))?;
            match program.attach {
                Attach::Iterator(_) => {
                    let fd = fd_of(&ebpf, program).map_err(|error| failed(brief(&error)))?;
                    *(if program.name == plan::SCAN_CONNECTIONS { &mut scan_connections } else { &mut scan }) =
                        Some(fd);
                }
                Attach::Syscall(name) => {
                    let fd = fd_of(&ebpf, program).map_err(|error| failed(brief(&error)))?;
                    let event = attach_syscall(&mut tracefs, name, &fd).map_err(|error| failed(error.to_string()))?;
                    events.push(event);
                }
                _ => attach_one(&mut ebpf, program).map_err(|error| failed(brief(&error)))?,
            }
        }
    }
    let scan = scan.ok_or(SensorError::Vital { signal: "open_listeners", reason: String::new() })?;
    Ok(Loaded { ebpf, scan, scan_connections, chosen, _events: events })
}

fn fd_of(ebpf: &Ebpf, program: &Program) -> Result<ProgramFd, ProgramError> {
    ebpf.program(program.name)
        .ok_or(ProgramError::InvalidName { name: program.name.to_owned() })?
        .fd()?
        .try_clone()
        .map_err(ProgramError::IOError)
}

fn attach_syscall(tracefs: &mut Option<OwnedFd>, name: &str, program: &ProgramFd) -> io::Result<OwnedFd> {
    let root = match tracefs {
        Some(root) => root,
        None => tracefs.insert(sys::own_tracefs()?),
    };
    sys::attach_syscall(root.as_fd(), name, program.as_fd())
}

fn attach_one(ebpf: &mut Ebpf, program: &Program) -> Result<(), ProgramError> {
    let invalid = || ProgramError::InvalidName { name: program.name.to_owned() };
    let slot = ebpf.program_mut(program.name).ok_or_else(invalid)?;
    match program.attach {
        Attach::Fentry(_) => <&mut FEntry>::try_from(slot)?.attach().map(drop),
        Attach::Fexit(_) => <&mut FExit>::try_from(slot)?.attach().map(drop),
        Attach::Tracepoint(_) => <&mut BtfTracePoint>::try_from(slot)?.attach().map(drop),
        Attach::Syscall(_) | Attach::Iterator(_) => Ok(()),
    }
}

/// The end of an error's chain of causes: the kernel's own word, without the verifier's log.
fn brief(error: &dyn std::error::Error) -> String {
    let text = chain(error);
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    // The loader repeats the system call's error behind a verifier log that is empty.
    let first = first.split(". Verifier output").next().unwrap_or_default().trim_end_matches([':', ' ']).to_owned();
    let noise = |line: &str| {
        line.contains("processed ") || ["verification", "stack depth", ": "].iter().any(|head| line.starts_with(head))
    };
    let last = lines.rfind(|line| !noise(line));
    match last {
        Some(last) => format!("{first}: {}", last.trim()),
        None => first,
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
