//! `backscope replay`: what watch shows, from a recording.

mod player;
mod screen;
mod timeline;

use std::{
    fs::File,
    io::{self, IsTerminal},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use rustix::thread::CapabilitySet;
use tokio::time::{Instant, sleep_until};

use super::{
    event_loop,
    frontend::{Frontend, Pace, is_for_screens},
    look::Look,
    signals::Signals,
    take::Keeper,
};
use crate::{
    cli::ReplayArgs,
    model::{Model, WallClock},
    privileges::sandbox::{self, Calls, Needs},
    record::{Damage, ReadError, Reader, RecordEntry},
    run::Run,
    text::Untrusted,
    tui,
};

pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let context = || format!("cannot replay {}", args.file.display());
    let for_terminal = !args.output.json && io::stdout().is_terminal();
    let on_screen = !args.output.plain && !args.output.json && is_for_screens();
    let look = Look::read(args.look, for_terminal)?;
    let damaged = if on_screen {
        tui::terminal_as_stdin()?;
        let file = File::open(&args.file).map_err(ReadError::from).with_context(context)?;
        let name = args.file.file_stem().map(Untrusted::from).unwrap_or_default();
        let clock = WallClock { mono_ns: 0, wall: SystemTime::UNIX_EPOCH };
        let keeper = Keeper::open(args.output.save_to.as_deref(), &[name], clock)?;
        confine()?;
        screen::run(file, args.speed.unwrap_or(1.0), keeper, &look).with_context(context)?
    } else {
        let file = File::open(&args.file).map_err(ReadError::from).with_context(context)?;
        confine()?;
        let mut reader = Reader::new(file).with_context(context)?;
        event_loop()?
            .block_on(text(&mut reader, args.output.json, &look, args.speed))
            .with_context(context)?;
        tell(reader.damages(), reader.damage_count())
    };
    Ok(if damaged { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Gives up all rights but to read what is open and to write to standard output and error: anybody
/// may have made the file. No thread has been started yet.
pub(super) fn confine() -> anyhow::Result<()> {
    let capabilities = CapabilitySet::empty();
    let needs = Needs { capabilities, calls: Calls::default(), processes: false };
    sandbox::enter(needs)
        .context("cannot give up the rights that reading a recording does not need")?;
    Ok(())
}

/// Says what is damaged; true if anything is.
pub(super) fn tell(damages: &[Damage], count: u64) -> bool {
    for damage in damages {
        note!("backscope: the recording is damaged: {damage}");
    }
    if count > damages.len() as u64 {
        note!(
            "backscope: the recording is damaged in {count} places; the first {} are shown",
            damages.len()
        );
    }
    count > 0
}

/// Writes all of it, as fast as it is read or at this speed. A signal ends it early, with the
/// summary up to there.
async fn text(
    reader: &mut Reader<File>,
    json: bool,
    look: &Look,
    speed: Option<f64>,
) -> anyhow::Result<()> {
    let header = reader.header().clone();
    let frontend = Frontend::text(json, header.clock, look, Pace::Reader)?;
    let mut signals = Signals::catch()?;
    let mut run = Run::new(Model::new(header.setup.clone()), frontend, None);
    run.consumer.attached(&header.attached)?;
    play(reader, &mut run, &mut signals, header.setup.attached_ns, speed).await?;
    Ok(run.consumer.finish(&mut signals).await?)
}

async fn play(
    reader: &mut Reader<File>,
    run: &mut Run<Frontend>,
    signals: &mut Signals,
    attached_ns: u64,
    speed: Option<f64>,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut now_ns = attached_ns;
    while let Some(entry) = reader.next_entry()? {
        match entry {
            RecordEntry::Finish(end_ns) => now_ns = end_ns,
            RecordEntry::Batch(batch_ns) => {
                now_ns = batch_ns;
                run.take(entry)?;
                let since = Duration::from_nanos(batch_ns.saturating_sub(attached_ns));
                let due = speed.map(|speed| begin + since.div_f64(speed));
                let next = async {
                    sleep_until(due.unwrap_or(begin)).await;
                    run.consumer.caught_up().await
                };
                tokio::select! {
                    is_read = next => if !is_read {
                        break;
                    },
                    () = signals.any() => break,
                }
            }
            entry => run.take(entry)?,
        }
    }
    // A recording that was cut off has no end of its own.
    let mut ending = run.begin_finish(now_ns)?;
    while run.finish_on(&mut ending)? {
        run.consumer.room_at_end(signals).await;
    }
    Ok(())
}
