//! `backscope doctor`: what this kernel and these privileges allow, each signal's hook by a real
//! load attempt.

use std::{
    collections::BTreeMap,
    env::consts::ARCH,
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;
use serde::Serialize;

use super::CANNOT;
use crate::{
    cli::{Detail, DoctorArgs},
    kernel::preflight::Preflight,
    model::Sandbox,
    privileges::{
        self, CommandNeeds,
        sandbox::{self, Needs},
    },
    sensor::{self, Chosen, SensorError},
    text::{Untrusted, to_json},
};

/// What this kernel and these privileges allow.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Report {
    /// Release of the kernel.
    kernel: Untrusted,
    /// Architecture of the processor, as `uname -m` has it.
    #[cfg_attr(test, schemars(extend("enum" = ["x86_64", "aarch64"])))]
    arch: &'static str,
    /// `true` if the kernel shows its types (BTF).
    btf: bool,
    /// Mode of lockdown; `null` where the kernel has none, or does not show it.
    #[cfg_attr(test, schemars(extend("enum" = ["none", "integrity", "confidentiality", null])))]
    lockdown: Option<Untrusted>,
    /// Capabilities that are missing.
    missing_capabilities: Vec<&'static str>,
    /// Length of a tick of the kernel.
    tick_us: u64,
    /// `true` if `watch` can run here.
    can_watch: bool,
    /// Reason why it cannot, and what to do about it; `null` if it can.
    blocker: Option<Untrusted>,
    /// Tier of the hooks; `null` if `watch` cannot run here.
    #[cfg_attr(test, schemars(extend("enum" = ["full", "tracepoint", null])))]
    tier: Option<String>,
    /// Hooks by the signal that they serve; `null` where no hook does.
    hooks: BTreeMap<String, Option<String>>,
    /// Better hooks that were refused.
    refused: Vec<Refused>,
    /// Sentences on what this kernel does not show.
    gaps: Vec<Untrusted>,
    /// Capabilities that each command takes.
    commands: Vec<CommandNeeds>,
    /// Rights that a watch keeps after the attach; `null` if `watch` cannot run here.
    sandbox: Option<Sandbox>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Refused {
    /// Signal that they would serve.
    signal: &'static str,
    /// The hooks.
    hooks: String,
    /// Reason of the kernel, or of backscope.
    reason: Untrusted,
}

impl Report {
    fn new(
        machine: Preflight,
        outcome: Result<Chosen, SensorError>,
        sandbox: Option<Sandbox>,
    ) -> Self {
        let mut report = Self {
            kernel: machine.release.into(),
            arch: ARCH,
            btf: machine.btf,
            lockdown: machine.lockdown.map(Untrusted::from),
            missing_capabilities: machine.missing_capabilities,
            tick_us: machine.tick_ns / 1_000,
            can_watch: outcome.is_ok(),
            blocker: None,
            tier: None,
            hooks: BTreeMap::new(),
            refused: Vec::new(),
            gaps: Vec::new(),
            commands: Vec::new(),
            sandbox,
        };
        match outcome {
            Ok(chosen) => {
                report.tier = Some(chosen.tier().to_string());
                report.hooks = chosen.hooks();
                report.gaps = chosen.gaps().into_iter().map(Untrusted::from).collect();
                for refusal in chosen.refusals {
                    let (signal, hooks, reason) =
                        (refusal.signal.name(), refusal.hooks, refusal.reason.into());
                    report.refused.push(Refused { signal, hooks, reason });
                }
            }
            Err(error) => report.blocker = Some(error.to_string().into()),
        }
        report
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let yes = |is: bool| if is { "yes" } else { "no" };
        writeln!(out, "kernel        {} on {}", self.kernel.for_terminal(), self.arch)?;
        writeln!(out, "BTF           {}", yes(self.btf))?;
        let unseen = Untrusted::from("none visible");
        let lockdown = self.lockdown.as_ref().unwrap_or(&unseen);
        writeln!(out, "lockdown      {}", lockdown.for_terminal())?;
        let missing = &self.missing_capabilities;
        let capabilities = if missing.is_empty() {
            "sufficient".to_owned()
        } else {
            format!("missing {}", missing.join(", "))
        };
        writeln!(out, "capabilities  {capabilities}")?;
        if let Some(blocker) = &self.blocker {
            writeln!(out, "\nwatch cannot run here: {}", blocker.for_terminal())?;
            return self.write_commands(out);
        }
        writeln!(out, "tier          {}\n", self.tier.as_deref().unwrap_or_default())?;
        let mut rows = Vec::new();
        for (signal, hook) in &self.hooks {
            let hook = hook.as_deref().unwrap_or("none");
            rows.push(vec![signal.clone(), hook.to_owned()]);
        }
        super::table::write(out, &["SIGNAL", "HOOK"], &rows)?;
        if !self.refused.is_empty() {
            writeln!(out, "\nBetter hooks that were refused, and the reason:")?;
        }
        let mut told = Vec::new();
        for Refused { reason, .. } in &self.refused {
            if told.contains(&reason) {
                continue;
            }
            told.push(reason);
            writeln!(out, "  {}:", reason.for_terminal())?;
            for refused in self.refused.iter().filter(|refused| refused.reason == *reason) {
                writeln!(out, "    {:<18} {}", refused.signal, refused.hooks)?;
            }
        }
        if !self.gaps.is_empty() {
            writeln!(out, "\nWhat is lost without them:")?;
        }
        for gap in &self.gaps {
            writeln!(out, "  {}", gap.for_terminal())?;
        }
        if let Some(sandbox) = &self.sandbox {
            write_sandbox(out, sandbox)?;
        }
        self.write_commands(out)
    }

    fn write_commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\nWhat each command takes:")?;
        for needs in &self.commands {
            writeln!(out, "  {}", needs.words())?;
        }
        Ok(())
    }
}

fn write_sandbox(out: &mut dyn Write, sandbox: &Sandbox) -> io::Result<()> {
    let (yes, no) = ("yes".to_owned(), "no".to_owned());
    let kept = match sandbox.capabilities.as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let filtered = if sandbox.seccomp { yes } else { no.clone() };
    let landlock = match sandbox.landlock {
        Some(version) => format!("version {version}"),
        None => no,
    };
    writeln!(out, "\nWhat a watch keeps once it is attached:")?;
    writeln!(out, "  capabilities           {kept}")?;
    writeln!(out, "  system calls filtered  {filtered}")?;
    writeln!(out, "  Landlock               {landlock}")?;
    for gap in &sandbox.gaps {
        writeln!(out, "  {gap}")?;
    }
    Ok(())
}

/// Gives up what a watch would, to see what it keeps. `None` if it cannot run.
fn confine(outcome: &Result<Chosen, SensorError>) -> anyhow::Result<Option<Sandbox>> {
    let Ok(chosen) = outcome else { return Ok(None) };
    let capabilities = {
        let _raised = privileges::raise();
        sensor::would_need(chosen)
    };
    let sandbox = sandbox::enter(Needs::of_watch(capabilities, false));
    Ok(Some(sandbox.context("cannot give up the rights that a watch does not need")?))
}

pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let outcome = sensor::trial(args.tier.map(Into::into), args.detail == Detail::Events);
    let machine = Preflight::of_this_machine();
    let commands = CommandNeeds::of_all();
    let sandbox = confine(&outcome)?;
    let report = Report { commands, ..Report::new(machine, outcome, sandbox) };
    let mut out = io::stdout().lock();
    if args.json {
        out.write_all(&to_json(&report)?)?;
        writeln!(out)?;
    } else {
        report.write(&mut out)?;
    }
    Ok(if report.can_watch { ExitCode::SUCCESS } else { ExitCode::from(CANNOT) })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::report::tests::schema::keeps_to;
    use crate::sensor::{Refusal, Signal};

    fn machine(lockdown: Option<&str>) -> Preflight {
        Preflight {
            release: "6.12.1".into(),
            btf: true,
            lockdown: lockdown.map(Into::into),
            missing_capabilities: vec!["CAP_BPF"],
            foreign_pid_namespace: false,
            tick_ns: 4_000_000,
        }
    }

    #[test]
    fn what_can_watch_keeps_to_the_schema() {
        let mut chosen = Chosen::default();
        chosen.refusals.push(Refusal {
            signal: Signal::Listen,
            hooks: "inet_listen".into(),
            reason: "not permitted".into(),
        });
        let mut report =
            Report::new(machine(Some("integrity")), Ok(chosen), Some(Sandbox::default()));
        report.hooks.insert("accept".into(), Some("inet_csk_accept".into()));
        report.hooks.insert("syn".into(), None);
        report.commands = CommandNeeds::of_all();
        let object = keeps_to("doctor", &report);
        assert_eq!((&object["can_watch"], &object["blocker"]), (&true.into(), &Value::Null));
        assert_eq!(object["refused"][0]["signal"], "listen");
    }

    #[test]
    fn a_reason_is_told_once() {
        let mut chosen = Chosen::default();
        for (signal, reason) in
            [(Signal::Listen, "no"), (Signal::Queued, "never"), (Signal::Accept, "no")]
        {
            let (hooks, reason) = ("a hook".to_owned(), reason.to_owned());
            chosen.refusals.push(Refusal { signal, hooks, reason });
        }
        let mut out = Vec::new();
        Report::new(machine(None), Ok(chosen), None).write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().skip_while(|line| !line.ends_with("reason:")).collect();
        let begins: Vec<_> = lines[1..6].iter().map(|line| line.trim_start()).collect();
        assert!(begins[0] == "no:" && begins[3] == "never:", "{text}");
        assert!(begins[1].starts_with("listen") && begins[2].starts_with("accept"), "{text}");
    }

    #[test]
    fn what_cannot_watch_keeps_to_the_schema() {
        let reason = SensorError::Blocked("missing CAP_BPF".into());
        let object = keeps_to("doctor", &Report::new(machine(None), Err(reason), None));
        assert_eq!((&object["can_watch"], &object["tier"]), (&false.into(), &Value::Null));
        assert_eq!(object["blocker"], "missing CAP_BPF");
    }
}
