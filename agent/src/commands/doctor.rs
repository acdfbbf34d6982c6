//! `backscope doctor`: what this kernel and these privileges allow, each signal's hook by a real
//! load attempt.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    process::ExitCode,
};

use serde::Serialize;

use super::CANNOT;
use crate::{
    cli::{Detail, DoctorArgs},
    kernel::preflight::Preflight,
    sensor::{self, Chosen, SensorError},
};

#[derive(Serialize)]
struct Report {
    kernel: String,
    btf: bool,
    lockdown: Option<String>,
    missing_capabilities: Vec<&'static str>,
    tick_us: u64,
    can_watch: bool,
    blocker: Option<String>,
    tier: Option<String>,
    hooks: BTreeMap<String, Option<String>>,
    refused: Vec<Refused>,
    gaps: Vec<String>,
}

#[derive(Serialize)]
struct Refused {
    signal: &'static str,
    hooks: String,
    reason: String,
}

impl Report {
    fn new(machine: Preflight, outcome: Result<Chosen, SensorError>) -> Self {
        let mut report = Self {
            kernel: machine.release,
            btf: machine.btf,
            lockdown: machine.lockdown,
            missing_capabilities: machine.missing_capabilities,
            tick_us: machine.tick_ns / 1_000,
            can_watch: outcome.is_ok(),
            blocker: None,
            tier: None,
            hooks: BTreeMap::new(),
            refused: Vec::new(),
            gaps: Vec::new(),
        };
        match outcome {
            Ok(chosen) => {
                report.tier = Some(chosen.tier().to_string());
                report.hooks = chosen.hooks();
                report.gaps = chosen.gaps();
                for refusal in chosen.refusals {
                    let (signal, hooks, reason) =
                        (refusal.signal.name(), refusal.hooks, refusal.reason);
                    report.refused.push(Refused { signal, hooks, reason });
                }
            }
            Err(error) => report.blocker = Some(error.to_string()),
        }
        report
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let yes = |is: bool| if is { "yes" } else { "no" };
        writeln!(out, "kernel        {}", self.kernel)?;
        writeln!(out, "BTF           {}", yes(self.btf))?;
        writeln!(
            out,
            "lockdown      {}",
            self.lockdown.as_deref().unwrap_or("none that can be seen")
        )?;
        let missing = &self.missing_capabilities;
        let capabilities = if missing.is_empty() {
            "sufficient".to_owned()
        } else {
            format!("missing {}", missing.join(", "))
        };
        writeln!(out, "capabilities  {capabilities}")?;
        if let Some(blocker) = &self.blocker {
            return writeln!(out, "\nwatch cannot run here: {blocker}");
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
        let mut last_reason = "";
        for refused in &self.refused {
            if refused.reason != last_reason {
                writeln!(out, "  {}:", refused.reason)?;
            }
            last_reason = &refused.reason;
            writeln!(out, "    {:<18} {}", refused.signal, refused.hooks)?;
        }
        if !self.gaps.is_empty() {
            writeln!(out, "\nWhat is lost without them:")?;
        }
        for gap in &self.gaps {
            writeln!(out, "  {gap}")?;
        }
        Ok(())
    }
}

pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let outcome = sensor::trial(args.tier.map(Into::into), args.detail == Detail::Events);
    let report = Report::new(Preflight::of_this_machine(), outcome);
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        report.write(&mut out)?;
    }
    Ok(if report.can_watch { ExitCode::SUCCESS } else { ExitCode::from(CANNOT) })
}
