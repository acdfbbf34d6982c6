//! Makes the object of the probes ready to load: its constants, by the kernel's types and the
//! options, and the sizes of its maps.

use std::{
    sync::OnceLock,
    thread::{self, ScopedJoinHandle},
};

use aya::{Btf as AyaBtf, Ebpf, EbpfLoader, Endianness, Pod, include_bytes_aligned};
use backscope_abi as abi;
use backscope_abi::{Config, Layout};

use super::{
    failure::{causes, is_out_of_files, with_filter},
    plan, sys,
};
use crate::{
    kernel::{
        btf::{Btf, Wanted},
        layout,
    },
    sensor::error::SensorError,
};

/// The compiled probes, through a link that `cargo package` follows. `cargo xtask probes` makes them
/// anew.
pub(super) static OBJECT: &[u8] =
    include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/prebuilt/backscope.bpf.o"));

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

/// The types of this kernel.
pub(super) struct Types {
    /// Offsets for the probes.
    pub layout: Layout,
    /// Functions, tracepoints and enumerators that the table of hooks asks about.
    pub btf: Btf,
    numbers: OnceLock<Result<AyaBtf, String>>,
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
        let layout = match layout::resolve(&btf) {
            Ok(layout) => layout,
            Err(member) => return Err(SensorError::NoMember(member)),
        };
        Ok(Self { layout, btf, numbers: OnceLock::new() })
    }

    /// The numbers of the functions and tracepoints to which hooks attach, for aya, which asks for
    /// nothing else: the probes have no relocations by type.
    ///
    /// # Errors
    /// Aya cannot read them.
    pub(super) fn numbers(&self) -> Result<&AyaBtf, SensorError> {
        let parse = || AyaBtf::parse(&self.btf.numbers(), Endianness::default());
        let parsed = self.numbers.get_or_init(|| parse().map_err(|error| error.to_string()));
        parsed.as_ref().map_err(|error| SensorError::Types(error.clone()))
    }
}

/// Constants of the probes, set before they are loaded.
pub(super) struct Globals {
    layout: LayoutGlobal,
    /// By [`HookFlags::index`].
    config: [ConfigGlobal; 16],
}

impl Globals {
    pub(super) fn new(types: &Types, mut config: Config) -> Self {
        let has = |function| u8::from(types.btf.has_function(function));
        config.socket_storage = has(plan::SOCKET_STORAGE);
        // With every single event more is kept of a connection than its small form has room for.
        config.compacts_idle = has(plan::SOCKET_STORAGE_DELETE) & u8::from(config.events == 0);
        config.socket_cookie = has(plan::SOCKET_COOKIE);
        config.sock_from_file = has(plan::SOCK_FROM_FILE);
        let tcp_sock = types.btf.size("tcp_sock").and_then(|size| u16::try_from(size).ok());
        config.tcp_sock_bytes = tcp_sock.unwrap_or(0);
        config.task_regs = has(plan::TASK_REGS);
        config.arm64 = cfg!(target_arch = "aarch64").into();
        config.stack_regs = stack_regs(&types.btf);
        config.syn_data_bit = types.btf.bit("tcp_sock", "syn_data_acked").unwrap_or(0);
        config.acked_bit = types.btf.bit("inet_request_sock", "acked").unwrap_or(0);
        let reason = |name| types.btf.enumerator(name).unwrap_or(0);
        let [overflow, no_socket, not_specified] = plan::DROP_REASONS.map(reason);
        config.drop_listen_overflow = overflow;
        config.drop_no_socket = no_socket;
        config.drop_not_specified = not_specified;
        Self {
            layout: LayoutGlobal(types.layout),
            config: HookFlags::ALL.map(|flags| flags.of(config)),
        }
    }
}

/// Where on a thread's stack the registers lie with which it entered the kernel: at its end
/// (`task_pt_regs`), which is where the probes look for them before 5.15. 0 if that is not known.
fn stack_regs(btf: &Btf) -> u16 {
    // `THREAD_SIZE`, without KASAN: 16 KB on both architectures, and a page on arm64 where that is
    // larger (arch/arm64/include/asm/memory.h, 5.10 to 7.3).
    let stack = rustix::param::page_size().max(16_384);
    let registers = btf.size("pt_regs").and_then(|size| stack.checked_sub(size as usize));
    registers.and_then(|at| u16::try_from(at).ok()).unwrap_or(0)
}

/// Flags of the probes' configuration that the choice of hooks decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HookFlags {
    /// The queued stamp comes from the child's state change, not from function hooks.
    pub queued_by_state: bool,
    /// The timer of delayed ACKs is hooked.
    pub delayed_ack_timer: bool,
    /// Dropped SYNs are not seen, so that drop counters are watched.
    pub counts_drops: bool,
    /// The verifier knows the socket that a file leads to.
    pub typed_files: bool,
}

impl HookFlags {
    /// Every choice, by its index.
    const ALL: [Self; 16] = {
        let none = Self {
            queued_by_state: false,
            delayed_ack_timer: false,
            counts_drops: false,
            typed_files: false,
        };
        let mut all = [none; 16];
        let mut index = 0;
        while index < all.len() {
            all[index] = Self {
                queued_by_state: index & 1 != 0,
                delayed_ack_timer: index & 2 != 0,
                counts_drops: index & 4 != 0,
                typed_files: index & 8 != 0,
            };
            index += 1;
        }
        all
    };

    fn index(self) -> usize {
        usize::from(self.queued_by_state)
            + 2 * usize::from(self.delayed_ack_timer)
            + 4 * usize::from(self.counts_drops)
            + 8 * usize::from(self.typed_files)
    }

    fn of(self, config: Config) -> ConfigGlobal {
        // A scan finds connections in a hash then: it cannot ask for a socket's storage.
        let with_storage = u8::from(self.typed_files);
        ConfigGlobal(Config {
            queued_by_state: self.queued_by_state.into(),
            delayed_ack_timer: self.delayed_ack_timer.into(),
            counts_drops: self.counts_drops.into(),
            typed_files: self.typed_files.into(),
            socket_storage: config.socket_storage & with_storage,
            compacts_idle: config.compacts_idle & with_storage,
            ..config
        })
    }
}

/// Loads the object: once on trial, once for good.
pub(super) struct Loader<'a> {
    inner: EbpfLoader<'a>,
    /// The types of this kernel.
    pub types: &'a Types,
    globals: &'a Globals,
    object: &'a [u8],
}

impl<'a> Loader<'a> {
    /// `inner` comes from [`bare_loader`].
    pub(super) fn new(
        mut inner: EbpfLoader<'a>,
        types: &'a Types,
        globals: &'a Globals,
        object: &'a [u8],
    ) -> Self {
        inner.override_global("LAYOUT", &globals.layout, true);
        Self { inner, types, globals, object }
    }

    /// The probes' configuration, but for the flags that the choice of hooks decides.
    pub(super) fn config(&self) -> &Config {
        &self.globals.config[0].0
    }

    /// The object with maps of these sizes, its programs not loaded yet.
    ///
    /// # Errors
    /// The kernel refuses the maps.
    pub(super) fn object(&mut self, flags: HookFlags, sizes: Sizes) -> Result<Ebpf, SensorError> {
        let config = &self.globals.config[flags.index()];
        self.inner.override_global("CONFIG", config, true);
        for (name, entries) in sizes.of(&config.0) {
            self.inner.map_max_entries(name, entries);
        }
        let loaded = thread::scope(|scope| {
            let types = self.types;
            // It takes as long as the object. If there can be no thread, it is done later.
            let parsing = thread::Builder::new().spawn_scoped(scope, || types.numbers().is_ok());
            let loaded = self.inner.load(self.object);
            let _ = parsing.map(ScopedJoinHandle::join);
            loaded
        });
        match loaded {
            Ok(ebpf) => Ok(ebpf),
            Err(error) if is_out_of_files(&error) => Err(sys::out_of_files()),
            Err(error) => Err(SensorError::Object(with_filter(causes(&error)))),
        }
    }
}

/// A loader without the copy of the kernel's types that it reads of its own accord, some 10 MB and
/// 20 ms.
pub(super) fn bare_loader<'a>() -> EbpfLoader<'a> {
    let mut loader = sys::without_files(EbpfLoader::new);
    loader.btf(None);
    loader
}

/// Sizes of the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sizes {
    /// For good.
    Full,
    /// Where programs are loaded on trial alone.
    Trial,
}

impl Sizes {
    fn of(self, config: &Config) -> [(&'static str, u32); 13] {
        match self {
            Self::Full => full_sizes(config),
            Self::Trial => TRIAL_SIZES,
        }
    }
}

fn full_sizes(config: &Config) -> [(&'static str, u32); 13] {
    let exchanges = config.exchanges != 0;
    let by_address = exchanges && config.socket_storage == 0;
    let places = if exchanges && config.payload_prefix != 0 { abi::PLACES } else { 1 };
    [
        ("THREADS", if exchanges { abi::THREAD_SETS } else { 1 }),
        ("ACCEPTED", if exchanges { abi::MAX_ACCEPTED } else { 1 }),
        ("OTHERS", if by_address { abi::MAX_CONNECTIONS } else { 1 }),
        ("FAILED", abi::MAX_FAILS),
        ("DATAGRAMS", if exchanges && config.has_pauses == 0 { abi::MAX_DATAGRAMS } else { 1 }),
        ("LISTENERS", abi::MAX_LISTENERS),
        ("LISTENER_OF", abi::MAX_LISTENERS),
        ("QUEUED", abi::MAX_QUEUED),
        ("CALLS", abi::MAX_CALLS),
        ("TARGETS", abi::MAX_TARGETS),
        ("EVENTS", config.ring_bytes),
        ("FIRST_BYTES", places),
        ("FREE_PLACES", places),
    ]
}

const TRIAL_SIZES: [(&str, u32); 13] = [
    ("LISTENERS", 1),
    ("LISTENER_OF", 1),
    ("QUEUED", 1),
    ("CALLS", 64),
    ("FAILED", 64),
    ("TARGETS", 1),
    ("THREADS", 1),
    ("ACCEPTED", 1),
    ("OTHERS", 1),
    ("DATAGRAMS", 1),
    ("EVENTS", 4096),
    ("FIRST_BYTES", 1),
    ("FREE_PLACES", 1),
];
