//! Loads the programs that were chosen, with maps of full size, and attaches them.

use aya::{
    Btf as AyaBtf, Ebpf, EbpfLoader, Pod, include_bytes_aligned,
    programs::{
        BtfTracePoint, CgroupAttachMode, CgroupSockAddr, FEntry, FExit, Iter, ProgramError,
        ProgramFd, TracePoint,
    },
};
use backscope_abi as abi;
use backscope_abi::{Config, Layout};

use super::{
    SensorError,
    choose::{Chosen, hooks_of},
    plan::{self, Attach, Program, Tier},
    programs::{Link, Programs},
    sys,
    syscalls::Syscalls,
};
use crate::kernel::{
    btf::{Btf, Wanted},
    layout,
};

/// The compiled probes. `cargo xtask probes` makes them anew.
static OBJECT: &[u8] = include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../probes/prebuilt/backscope.bpf.o"
));

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
    /// What the table of hooks asks about.
    pub btf: Btf,
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
            enumerators: plan::DROP_REASONS.into(),
        };
        let btf = Btf::of_running_kernel(&wanted)?;
        let layout = layout::resolve(&btf).map_err(SensorError::NoMember)?;
        let aya = AyaBtf::from_sys_fs().map_err(|error| SensorError::Types(error.to_string()))?;
        Ok(Self { layout, btf, aya })
    }
}

/// Loaded and attached programs. Everything is detached when it is dropped.
pub(super) struct Loaded {
    /// All programs.
    pub programs: Programs,
    /// The iterator over open files.
    pub scan: ProgramFd,
    /// The one that shows connections.
    pub scan_connections: Option<ProgramFd>,
    /// What was chosen.
    pub chosen: Chosen,
    /// Those on system calls.
    pub syscalls: Syscalls,
    /// This kernel's requests tell whether their final ACK has come.
    pub knows_acked: bool,
}

/// What the probes are told before they are loaded.
pub(super) struct Globals {
    layout: LayoutGlobal,
    /// By [`Deciding::index`].
    config: [ConfigGlobal; 8],
}

impl Globals {
    pub(super) fn new(types: &Types, mut config: Config) -> Self {
        let has = |function| u8::from(types.btf.has_function(function));
        config.socket_storage = has(plan::SOCKET_STORAGE);
        // Where each event is asked for, more is kept than lasts when a connection shrinks.
        config.compacts_idle = has(plan::SOCKET_STORAGE_DELETE) & u8::from(config.events == 0);
        config.socket_cookie = has(plan::SOCKET_COOKIE);
        config.sock_from_file = has(plan::SOCK_FROM_FILE);
        config.task_regs = has(plan::TASK_REGS);
        config.syn_data_bit = types.btf.bit("tcp_sock", "syn_data_acked").unwrap_or(0);
        config.acked_bit = types.btf.bit("inet_request_sock", "acked").unwrap_or(0);
        let reason = |name| types.btf.enumerator(name).unwrap_or(0);
        let [overflow, no_socket, not_specified] = plan::DROP_REASONS.map(reason);
        config.drop_listen_overflow = overflow;
        config.drop_no_socket = no_socket;
        config.drop_not_specified = not_specified;
        Self {
            layout: LayoutGlobal(types.layout),
            config: Deciding::ALL.map(|decided| decided.of(config)),
        }
    }
}

/// What the chosen hooks decide of the probes' configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deciding {
    /// The queued stamp comes from the child's state change, not from function hooks.
    pub queued_by_state: bool,
    /// The timer of delayed ACKs is hooked.
    pub delayed_ack_timer: bool,
    /// Dropped SYNs are not seen, so that drop counters are watched.
    pub counts_drops: bool,
}

impl Deciding {
    /// Every choice, by its index.
    const ALL: [Self; 8] = {
        let mut all =
            [Self { queued_by_state: false, delayed_ack_timer: false, counts_drops: false }; 8];
        let mut index = 0;
        while index < all.len() {
            all[index] = Self {
                queued_by_state: index & 1 != 0,
                delayed_ack_timer: index & 2 != 0,
                counts_drops: index & 4 != 0,
            };
            index += 1;
        }
        all
    };

    fn index(self) -> usize {
        usize::from(self.queued_by_state)
            + 2 * usize::from(self.delayed_ack_timer)
            + 4 * usize::from(self.counts_drops)
    }

    fn of(self, config: Config) -> ConfigGlobal {
        ConfigGlobal(Config {
            queued_by_state: self.queued_by_state.into(),
            delayed_ack_timer: self.delayed_ack_timer.into(),
            counts_drops: self.counts_drops.into(),
            ..config
        })
    }
}

/// Loads the object as often as it takes.
pub(super) struct Loader<'a> {
    inner: EbpfLoader<'a>,
    /// What this kernel's types say.
    pub types: &'a Types,
    globals: &'a Globals,
}

impl<'a> Loader<'a> {
    /// `inner` comes from [`bare_loader`].
    pub(super) fn new(mut inner: EbpfLoader<'a>, types: &'a Types, globals: &'a Globals) -> Self {
        inner.btf(Some(&types.aya)).override_global("LAYOUT", &globals.layout, true);
        Self { inner, types, globals }
    }

    /// What the probes are told, but for what the choice of hooks decides.
    pub(super) fn config(&self) -> &Config {
        &self.globals.config[0].0
    }

    /// The object with maps of these sizes, its programs not loaded yet.
    ///
    /// # Errors
    /// The kernel refuses the maps.
    pub(super) fn object(
        &mut self,
        decided: Deciding,
        sizes: &[(&'static str, u32)],
    ) -> Result<Ebpf, SensorError> {
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

/// Sizes of the maps for good.
fn full_sizes(config: &Config) -> [(&'static str, u32); 11] {
    let exchanges = config.exchanges != 0;
    let by_address = exchanges && config.socket_storage == 0;
    [
        ("THREADS", if exchanges { abi::THREAD_SETS } else { 1 }),
        ("CONNECTIONS", if by_address { abi::MAX_CONNECTIONS } else { 1 }),
        ("SERVED", abi::MAX_LISTENERS),
        ("FAILED", abi::MAX_FAILS),
        ("DATAGRAMS", if exchanges { abi::MAX_DATAGRAMS } else { 1 }),
        ("LISTENERS", abi::MAX_LISTENERS),
        ("LISTENER_OF", abi::MAX_LISTENERS),
        ("QUEUED", abi::MAX_QUEUED),
        ("CALLS", abi::MAX_CALLS),
        ("TARGETS", abi::MAX_TARGETS),
        ("EVENTS", config.ring_bytes),
    ]
}

/// Loads one program.
pub(super) fn load(ebpf: &mut Ebpf, types: &Types, program: &Program) -> Result<(), ProgramError> {
    fn of<'a, T>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut T, ProgramError>
    where
        &'a mut T: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
    {
        ebpf.program_mut(name)
            .ok_or(ProgramError::InvalidName { name: name.to_owned() })?
            .try_into()
    }
    match program.attach {
        Attach::Fentry(function) => of::<FEntry>(ebpf, program.name)?.load(function, &types.aya),
        Attach::Fexit(function) => of::<FExit>(ebpf, program.name)?.load(function, &types.aya),
        Attach::Tracepoint(name) => of::<BtfTracePoint>(ebpf, program.name)?.load(name, &types.aya),
        Attach::Syscall(_) => of::<TracePoint>(ebpf, program.name)?.load(),
        Attach::Cgroup(_) => of::<CgroupSockAddr>(ebpf, program.name)?.load(),
        Attach::Iterator(kind) => of::<Iter>(ebpf, program.name)?.load(kind, &types.aya),
    }
}

/// Loads the chosen programs with maps of full size, and attaches them. Gives the object, too,
/// which has the maps.
///
/// # Errors
/// The hooks of the choice that the kernel loads but does not attach, with the reason.
pub(super) fn attach(
    loader: &mut Loader<'_>,
    chosen: Chosen,
    prepare: impl FnOnce(&mut Ebpf) -> Result<(), SensorError>,
) -> Result<(Loaded, Ebpf), SensorError> {
    let types = loader.types;
    let sizes = full_sizes(loader.config());
    let decided = Deciding {
        queued_by_state: chosen.sees("queued", Tier::Tracepoint),
        delayed_ack_timer: chosen.sees("delayed_ack", Tier::Full),
        counts_drops: !chosen.sees("syn", Tier::Full),
    };
    let mut ebpf = loader.object(decided, &sizes)?;
    prepare(&mut ebpf)?;
    let (mut programs, mut syscalls) = (Programs::default(), Syscalls::default());
    let (mut scan, mut scan_connections) = (None, None);
    for (row, choice) in chosen.served() {
        for program in choice.programs {
            let failed = |reason: String| SensorError::Attach {
                signal: row.signal,
                hooks: hooks_of(choice),
                reason,
            };
            load(&mut ebpf, types, program).map_err(|error| failed(brief(&error)))?;
            let link = attach_one(&mut ebpf, program).map_err(|error| failed(brief(&error)))?;
            let descriptor = || fd_of(&ebpf, program).map_err(|error| failed(brief(&error)));
            match program.attach {
                Attach::Iterator(_) => {
                    *(if program.name == plan::SCAN_CONNECTIONS {
                        &mut scan_connections
                    } else {
                        &mut scan
                    }) = Some(descriptor()?);
                }
                Attach::Syscall(name) => {
                    syscalls.add(name, descriptor()?).map_err(|error| failed(error.to_string()))?;
                }
                _ => {}
            }
            programs.add(descriptor()?, link);
        }
    }
    let scan =
        scan.ok_or(SensorError::Vital { signal: "open_listeners", reason: String::new() })?;
    let knows_acked = types.btf.bit("inet_request_sock", "acked").is_some();
    Ok((Loaded { programs, scan, scan_connections, chosen, syscalls, knows_acked }, ebpf))
}

fn fd_of(ebpf: &Ebpf, program: &Program) -> Result<ProgramFd, ProgramError> {
    ebpf.program(program.name)
        .ok_or(ProgramError::InvalidName { name: program.name.to_owned() })?
        .fd()?
        .try_clone()
        .map_err(ProgramError::IOError)
}

/// Attaches one that was loaded, if that is aya's to do.
pub(super) fn attach_one(ebpf: &mut Ebpf, program: &Program) -> Result<Option<Link>, ProgramError> {
    let invalid = || ProgramError::InvalidName { name: program.name.to_owned() };
    let slot = ebpf.program_mut(program.name).ok_or_else(invalid)?;
    let link = match program.attach {
        Attach::Fentry(_) => {
            let program = <&mut FEntry>::try_from(slot)?;
            let link = program.attach()?;
            Link::Descriptor(program.take_link(link)?.into())
        }
        Attach::Fexit(_) => {
            let program = <&mut FExit>::try_from(slot)?;
            let link = program.attach()?;
            Link::Descriptor(program.take_link(link)?.into())
        }
        Attach::Tracepoint(_) => {
            let program = <&mut BtfTracePoint>::try_from(slot)?;
            let link = program.attach()?;
            Link::Descriptor(program.take_link(link)?.into())
        }
        Attach::Cgroup(_) => {
            // A link lets others attach beside it, and refuses to be told so.
            let root = sys::own_cgroups().map_err(ProgramError::IOError)?;
            let program = <&mut CgroupSockAddr>::try_from(slot)?;
            let link = program.attach(root, CgroupAttachMode::Single)?;
            Link::Cgroup(program.take_link(link)?)
        }
        Attach::Syscall(_) | Attach::Iterator(_) => return Ok(None),
    };
    Ok(Some(link))
}

/// The end of an error's chain of causes: the kernel's own word, without the verifier's log.
pub(super) fn brief(error: &dyn std::error::Error) -> String {
    let text = chain(error);
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    // The loader repeats the system call's error behind a verifier log that is empty.
    let first = first
        .split(". Verifier output")
        .next()
        .unwrap_or_default()
        .trim_end_matches([':', ' '])
        .to_owned();
    let noise = |line: &str| {
        line.contains("processed ")
            || ["verification", "stack depth", ": "].iter().any(|head| line.starts_with(head))
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
