//! `learn --pid` and `learn --from`: questions about a server of the learner's own.

use std::{
    env,
    fs::File,
    io::{self, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};

use super::lines::predict;
use crate::{
    learn::own::{self, OwnQuestion, OwnServer},
    record::Reader,
    text::{count_of, were, wrap},
};

/// Time for which the server is watched, unless another is asked for.
const WATCH: Duration = Duration::from_secs(10);
/// Columns of the text.
const WIDTH: usize = 78;

/// Watches the process, and asks about what it did. `backscope record` watches, so that it gives up
/// its rights as ever, and this process needs none.
pub(super) fn watch(pid: u32, duration: Option<Duration>) -> anyhow::Result<ExitCode> {
    let duration = duration.unwrap_or(WATCH);
    note!("backscope: watching {pid} for {}", humantime::format_duration(duration));
    let mut recorder = Command::new(env::current_exe().context("cannot find this program")?)
        .args(["record", "--output=-", "--pid", &pid.to_string()])
        .arg(format!("--duration={}ms", duration.as_millis()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start backscope again")?;
    let complaint = complaint(&mut recorder);
    let recording = recorder.stdout.take().context("the recording has no pipe")?;
    let server = server(recording);
    let status = recorder.wait().context("cannot wait for the recording")?;
    if !status.success() {
        // Without a recording, why there is none counts, not that it cannot be read.
        note!("{}", complaint.join().unwrap_or_default().trim_end());
        let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
        return Ok(ExitCode::from(code));
    }
    ask(&server?)
}

/// Asks about the server that a recording is of.
pub(super) fn play(path: &Path) -> anyhow::Result<ExitCode> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    ask(&server(BufReader::new(file)).with_context(|| format!("cannot read {}", path.display()))?)
}

fn server(recording: impl Read) -> anyhow::Result<OwnServer> {
    own::questions(Reader::new(recording)?)
}

/// Reads what the recorder says of its failure, while it runs.
fn complaint(recorder: &mut Child) -> thread::JoinHandle<String> {
    const MAX_BYTES: u64 = 64 * 1_024;
    let errors = recorder.stderr.take();
    thread::spawn(move || {
        let mut said = String::new();
        if let Some(mut errors) = errors {
            // What can be read of it is told.
            let _ = errors.by_ref().take(MAX_BYTES).read_to_string(&mut said);
            let _ = io::copy(&mut errors, &mut io::sink());
        }
        said
    })
}

/// Asks the questions, and counts what was predicted rightly.
fn ask(server: &OwnServer) -> anyhow::Result<ExitCode> {
    let OwnServer { target, requests, unseen, questions } = server;
    let mut out = io::stdout().lock();
    if questions.is_empty() {
        bail!(
            "{} has neither listened nor answered a request meanwhile, so there is nothing to ask; \
             send it requests, or watch it for longer (--duration 1m)",
            target.for_terminal()
        );
    }
    writeln!(
        out,
        "{}: {} while it was watched",
        target.for_terminal(),
        count_of(*requests, "request")
    )?;
    if *unseen > 0 {
        let word = were(*unseen);
        writeln!(out, "{} {word} missed, so figures may be low", count_of(*unseen, "event"))?;
    }
    let (mut input, mut asked, mut right) = (io::stdin().lock(), 0, 0);
    for (at, question) in questions.iter().enumerate() {
        writeln!(out)?;
        paragraph(&mut out, &format!("{} of {}. {}", at + 1, questions.len(), question.text), "")?;
        tell_offered(&mut out, question)?;
        let Some(guess) = predict(&mut input, &mut out, &question.offered)? else { break };
        asked += 1;
        right += usize::from(guess == question.right);
        reveal(&mut out, question, guess)?;
    }
    writeln!(out, "\n{right} of {asked} as you predicted.")?;
    Ok(ExitCode::SUCCESS)
}

fn tell_offered(out: &mut impl Write, question: &OwnQuestion) -> io::Result<()> {
    for (letter, offered) in ('a'..).zip(&question.offered) {
        write!(out, "   {letter}) {offered}")?;
    }
    writeln!(out)
}

fn reveal(out: &mut impl Write, question: &OwnQuestion, guess: usize) -> io::Result<()> {
    let right = question.offered.get(question.right).map(String::as_str).unwrap_or_default();
    if guess == question.right {
        writeln!(out, " ✓ {right}, as you predicted")?;
    } else {
        let guessed = question.offered.get(guess).map(String::as_str).unwrap_or_default();
        writeln!(out, " ✗ {guessed}: it was {right}")?;
    }
    for (owner, text) in &question.reveal {
        paragraph(out, text, &format!(" {}  ", owner.letter()))?;
    }
    Ok(())
}

/// A text in lines, with a mark before the first.
fn paragraph(out: &mut impl Write, text: &str, mark: &str) -> io::Result<()> {
    let indent = mark.chars().count();
    for (at, line) in wrap(text, WIDTH - indent).iter().enumerate() {
        if at == 0 {
            writeln!(out, "{mark}{line}")?;
        } else {
            writeln!(out, "{:indent$}{line}", "")?;
        }
    }
    Ok(())
}
