//! The commands that answer: each a process of this program, which gives up its rights as it does
//! when a person calls it.

use std::{
    ffi::{OsStr, OsString},
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
};

use super::{SUM_UP_VERB, tools::Question};

/// Time for everything but the watch itself: to attach, to read a recording, to sum up.
const PATIENCE: Duration = Duration::from_secs(90);
/// Bytes of output that are read. Whatever says more is ended.
const MAX_OUTPUT: u64 = 8 << 20;
/// Bytes that are kept of what a command says about its failure.
const MAX_COMPLAINT: usize = 4_096;

/// Why there is no answer. The texts are an assistant's, and so a person's, to read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("cannot start backscope again: {0}")]
    Start(io::Error),
    #[error("cannot read the answer: {0}")]
    Read(io::Error),
    #[error("{0}")]
    Told(String),
    #[error("it ended with {0}, and said nothing")]
    Silent(ExitStatus),
    #[error("there was no answer after {} s, so it was ended", .0.as_secs())]
    Late(Duration),
    #[error("the answer is longer than {} MB, so it was ended: name fewer targets", MAX_OUTPUT >> 20)]
    Long,
}

/// Answers a question with the output of commands. They end when the future is dropped.
pub(super) async fn answer(question: &Question) -> Result<Vec<u8>, Failure> {
    let limit = match question {
        Question::WatchFor { seconds, .. } => PATIENCE + Duration::from_secs(*seconds),
        Question::Listeners { .. } | Question::Explain { .. } => PATIENCE,
    };
    let work = async {
        match question {
            Question::Listeners { target } => {
                let words = ["listeners".as_ref(), "--json".as_ref()];
                let words = words.into_iter().chain(target.iter().map(OsString::as_os_str));
                finish(own(words).spawn().map_err(Failure::Start)?).await
            }
            Question::WatchFor { seconds, target } => watch(*seconds, target).await,
            Question::Explain { recording } => {
                let words = [SUM_UP_VERB.as_ref(), "--".as_ref(), recording.as_os_str()];
                finish(own(words).spawn().map_err(Failure::Start)?).await
            }
        }
    };
    tokio::time::timeout(limit, work).await.unwrap_or(Err(Failure::Late(limit)))
}

/// Records into a pipe, from which another process sums up.
async fn watch(seconds: u64, target: &[OsString]) -> Result<Vec<u8>, Failure> {
    let duration = OsString::from(format!("--duration={seconds}s"));
    let words = ["record".as_ref(), "--output=-".as_ref(), duration.as_os_str()];
    let words = words.into_iter().chain(target.iter().map(OsString::as_os_str));
    let mut recorder = own(words).spawn().map_err(Failure::Start)?;
    let recording =
        recorder.stdout.take().ok_or_else(|| Failure::Start(io::ErrorKind::BrokenPipe.into()))?;
    let recording: Stdio = recording.try_into().map_err(Failure::Start)?;
    let mut sum_up = own([SUM_UP_VERB.as_ref(), "-".as_ref()]);
    let sum_up = sum_up.stdin(recording).spawn().map_err(Failure::Start)?;
    // Both at once: the one writes what the other reads.
    let (recorded, summed_up) = tokio::join!(finish(recorder), finish(sum_up));
    // Without a recording, why there is none counts, not that it cannot be read.
    recorded?;
    summed_up
}

/// This program with other words.
fn own<'a>(words: impl IntoIterator<Item = &'a OsStr>) -> Command {
    // The very same program, even if its file was replaced by a newer one.
    let mut command = Command::new("/proc/self/exe");
    command.args(words).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for a command, and returns what it wrote.
async fn finish(mut child: Child) -> Result<Vec<u8>, Failure> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (output, complaint) = tokio::join!(whole(stdout), beginning(stderr));
    let (output, complaint) = (output?, complaint.map_err(Failure::Read)?);
    let status = child.wait().await.map_err(Failure::Read)?;
    if status.success() {
        return Ok(output);
    }
    let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
    Err(if complaint.is_empty() { Failure::Silent(status) } else { Failure::Told(complaint) })
}

/// Reads all of it.
async fn whole(from: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        let mut bounded = from.take(MAX_OUTPUT + 1);
        bounded.read_to_end(&mut bytes).await.map_err(Failure::Read)?;
    }
    if bytes.len() as u64 > MAX_OUTPUT { Err(Failure::Long) } else { Ok(bytes) }
}

/// Reads to the end, and keeps the beginning.
async fn beginning(from: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let Some(mut from) = from else { return Ok(kept) };
    let mut bytes = [0; 1_024];
    loop {
        let read = from.read(&mut bytes).await?;
        if read == 0 {
            return Ok(kept);
        }
        let room = MAX_COMPLAINT.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..read.min(room)]);
    }
}
