//! Loads the programs that were chosen, with maps of full size, and attaches them.

use aya::{Btf, Ebpf, programs::ProgramFd};
use backscope_abi::Config;

use super::{
    choose::{Chosen, Tried, hooks_of},
    failure::Failure,
    loader::{HookFlags, Loader, Sizes},
    pause::{Pausable, is_off_in_pauses},
    plan::{self, Attach, Program, Signal},
    programs::{Programs, attach_one, fd_of, load, load_ahead},
    states::States,
    sys,
    syscalls::Syscalls,
};
use crate::{model::Tier, sensor::error::SensorError};

/// Descriptors that a run takes beside those of programs and maps: the event loop, files of `/proc`,
/// iterators, the recording.
const SPARE_FILES: usize = 32;

/// Loaded and attached programs. Everything is detached when it is dropped.
pub(in crate::sensor) struct Loaded {
    /// All programs.
    pub(in crate::sensor) programs: Programs,
    /// The iterator over open files.
    pub(in crate::sensor) scan: ProgramFd,
    /// The one that shows connections.
    pub(in crate::sensor) scan_connections: Option<ProgramFd>,
    /// The hooks that serve each signal.
    pub(in crate::sensor) chosen: Chosen,
    /// Programs on system calls.
    pub(in crate::sensor) syscalls: Syscalls,
    /// Programs that pauses take off.
    pub(in crate::sensor) pausable: Pausable,
    /// The hook of state changes, if a rush may take it off.
    pub(in crate::sensor) states: States,
    /// This kernel's requests tell whether their final ACK has come.
    pub(in crate::sensor) knows_acked: bool,
}

/// Loads the chosen programs with maps of full size, and attaches them. Gives the object, too,
/// which has the maps. It is that of the trial, if its programs have the flags that the choice asks
/// for: loading takes most of the time of an attach.
///
/// # Errors
/// The hooks of the choice that the kernel loads but does not attach, with the reason.
pub(super) fn attach(
    loader: &mut Loader<'_>,
    chosen: Chosen,
    tried: Option<Tried>,
    prepare: impl FnOnce(&mut Ebpf) -> Result<(), SensorError>,
) -> Result<(Loaded, Ebpf), SensorError> {
    let types = loader.types;
    let flags = HookFlags {
        queued_by_state: chosen.sees(Signal::Queued, Tier::Tracepoint),
        delayed_ack_timer: chosen.sees(Signal::DelayedAck, Tier::Full),
        counts_drops: !chosen.sees(Signal::Syn, Tier::Full),
        typed_files: chosen.typed_files,
    };
    let mut ebpf = match tried {
        Some(tried) if tried.flags == flags => tried.ebpf,
        other => {
            drop(other);
            loader.object(flags, Sizes::Full)?
        }
    };
    let numbers = types.numbers()?;
    let programs: Vec<_> = chosen.served().flat_map(|(_, choice)| choice.programs).collect();
    load_ahead(&mut ebpf, numbers, &programs);
    prepare(&mut ebpf)?;
    // What a kernel does not attach again stays on: the probes ask whether it is a pause.
    let goes_on_again = types.btf.has_function(plan::TASK_REGS);
    let config = loader.config();
    let has_pauses = config.has_pauses != 0;
    let states_rest = may_rest_states(config, &chosen);
    let mut attached = Attached::default();
    for (spec, choice) in chosen.served() {
        let rests = match spec.signal {
            _ if !goes_on_again && choice.tier != Tier::Tracepoint => Rests::Never,
            Signal::Listen if states_rest => Rests::InRushes,
            signal if has_pauses && is_off_in_pauses(signal) => Rests::InPauses,
            _ => Rests::Never,
        };
        for program in choice.programs {
            if let Err(failure) = attached.add(&mut ebpf, numbers, program, rests) {
                if failure.is_out_of_files() || !sys::has_room_for_files(1) {
                    return Err(sys::out_of_files());
                }
                let Failure { reason, errno } = failure;
                let (signal, hooks) = (spec.signal.name(), hooks_of(choice));
                return Err(SensorError::Attach { signal, hooks, reason, errno });
            }
        }
    }
    if !sys::has_room_for_files(SPARE_FILES) {
        return Err(sys::out_of_files());
    }
    let Attached { programs, mut syscalls, pausable, states, scan, scan_connections } = attached;
    syscalls.have_all();
    let Some(scan) = scan else {
        let signal = Signal::OpenListeners.name();
        return Err(SensorError::Required { signal, reason: String::new() });
    };
    let knows_acked = types.btf.bit("inet_request_sock", "acked").is_some();
    let loaded = Loaded {
        programs,
        scan,
        scan_connections,
        chosen,
        syscalls,
        pausable,
        states,
        knows_acked,
    };
    Ok((loaded, ebpf))
}

/// True if other hooks tell what that of state changes does: of exchanges those of data, RSTs,
/// errors and connects.
fn may_rest_states(config: &Config, chosen: &Chosen) -> bool {
    let others = [Signal::DataIn, Signal::LateData, Signal::EndsAtRest, Signal::ConnectUnsent];
    config.events == 0
        && (config.exchanges == 0 || others.into_iter().all(|signal| chosen.has(signal)))
}

/// When a program is taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rests {
    Never,
    InPauses,
    InRushes,
}

/// Programs that are attached so far.
#[derive(Default)]
struct Attached {
    programs: Programs,
    syscalls: Syscalls,
    pausable: Pausable,
    states: States,
    scan: Option<ProgramFd>,
    scan_connections: Option<ProgramFd>,
}

impl Attached {
    /// Loads a program and attaches it.
    fn add(
        &mut self,
        ebpf: &mut Ebpf,
        types: &Btf,
        program: &Program,
        rests: Rests,
    ) -> Result<(), Failure> {
        load(ebpf, types, program)?;
        let mut link = attach_one(ebpf, program)?;
        match program.attach {
            Attach::Iterator(_) if program.name == plan::SCAN_CONNECTIONS => {
                self.scan_connections = Some(fd_of(ebpf, program)?);
            }
            Attach::Iterator(_) => self.scan = Some(fd_of(ebpf, program)?),
            Attach::Syscall(name) => self.syscalls.add(name, fd_of(ebpf, program)?)?,
            _ => {}
        }
        match rests {
            Rests::Never => {}
            Rests::InPauses => self.pausable.add(fd_of(ebpf, program)?, link.take()),
            Rests::InRushes => self.states.hook.add(fd_of(ebpf, program)?, link.take()),
        }
        self.programs.add(fd_of(ebpf, program)?, link);
        Ok(())
    }
}
