//! The keys of the screen that take something along: what is selected, a recording, a report.
//!
//! The program has given up the right to make files by then, but for a thread ([`crate::files`])
//! which can make new ones in one folder.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::{
    digest::Digest,
    files::{FileId, FileStream, Files, Folder, Outcome, Removes},
    model::{
        Model, WallClock,
        output::{FindingOutput, FindingState, ListenerOutput, Output},
    },
    record::{self, bare},
    report::{Sink, json::Json, page},
    text::{Untrusted, bytes},
    tui::{App, Guard, Selected},
};

/// Names of files begin so.
const PROGRAM: &str = "backscope";
/// Longest part of a name that tells of the target, bytes.
const MAX_TARGET: usize = 40;
/// Requests whose files may be on their way to the disk at a time.
const MAX_WAITING: usize = 16;

/// Files that one key asked for.
#[derive(Debug)]
struct Request {
    ids: Vec<FileId>,
    /// Names and lengths of those that are there.
    done: Vec<(String, u64)>,
    /// What was done with them.
    done_words: &'static str,
}

/// Takes along what keys ask for.
pub(super) struct Keeper {
    files: Result<Files, Untrusted>,
    folder: PathBuf,
    /// Names of files begin so.
    stem: String,
    clock: WallClock,
    waiting: BTreeMap<FileId, Request>,
    recording: Option<FileId>,
}

/// News of the files.
pub(super) enum News {
    /// Something to tell the user.
    Told(Untrusted),
    /// The recording could not be written.
    RecordingFailed(io::Error),
}

impl Keeper {
    /// Starts the thread that writes the files, in the working directory if none is named. Call it
    /// before rights are given up.
    ///
    /// # Errors
    /// The folder that is named cannot be used.
    pub(super) fn open(
        save_to: Option<&Path>,
        targets: &[Untrusted],
        clock: WallClock,
    ) -> anyhow::Result<Self> {
        let stem = stem(&Untrusted::join(targets, "-"));
        let (folder, files) = match save_to {
            Some(folder) => {
                let started = Folder::open(folder).and_then(start);
                let (files, _) = started
                    .with_context(|| format!("cannot write files into {}", folder.display()))?;
                (folder.to_owned(), Ok(files))
            }
            None => working_directory(),
        };
        let waiting = BTreeMap::new();
        Ok(Self { files, folder, stem, clock, waiting, recording: None })
    }

    /// Takes the clocks by which names tell the time.
    pub(super) fn set_clock(&mut self, clock: WallClock) {
        self.clock = clock;
    }

    /// True if files can be written at all.
    pub(super) fn can_write(&self) -> bool {
        self.files.is_ok()
    }

    /// Returns why no file can be written; `None` if one can.
    pub(super) fn why_not(&self) -> Option<&Untrusted> {
        self.files.as_ref().err()
    }

    /// Writes what is selected, as an object of the event stream and as text with its whole view.
    pub(super) fn write(
        &mut self,
        selected: &Selected,
        view: Option<&str>,
        model: &Model,
    ) -> Untrusted {
        let mut parts = Vec::new();
        match json(selected, model, self.clock) {
            Ok(Some(json)) => parts.push(("json", json)),
            // The model has forgotten it, and the screen has not.
            Ok(None) => {}
            Err(error) => return failed("it", &error),
        }
        parts.push(("txt", text(selected, view).into_bytes()));
        self.put(&format!("-{}", selected.kind()), model.now_ns(), parts)
    }

    /// Writes the report of the run so far.
    pub(super) fn report(&mut self, digest: &Digest, now_ns: u64) -> Untrusted {
        let mut page = Vec::new();
        match page::write(&mut page, digest) {
            Ok(()) => self.put("-report", now_ns, vec![("html", page)]),
            Err(error) => failed("the report", &error),
        }
    }

    /// Begins the file of a recording. Returns the way to write into it, and its name as far as it
    /// is known; or why there can be none.
    pub(super) fn begin_recording(
        &mut self,
        now_ns: u64,
    ) -> Result<(FileStream, Untrusted), Untrusted> {
        let stem = self.name("", now_ns);
        let files = match &mut self.files {
            Ok(files) => files,
            Err(reason) => return Err(reason.clone()),
        };
        let id = files.create(stem.clone(), record::EXTENSION, Vec::new());
        self.recording = Some(id);
        let path = self.folder.join(format!("{stem}.{}", record::EXTENSION));
        Ok((files.stream(id), path.as_path().into()))
    }

    /// True while a recording goes on that a key asked for.
    pub(super) fn records(&self) -> bool {
        self.recording.is_some()
    }

    /// Learns that the recording has ended.
    pub(super) fn recorded(&mut self) {
        if let Some(id) = self.recording.take() {
            self.waiting
                .insert(id, Request { ids: vec![id], done: Vec::new(), done_words: "recorded" });
        }
    }

    /// Returns what became of the files since the last call.
    pub(super) fn news(&mut self) -> Vec<News> {
        let Ok(files) = &mut self.files else { return Vec::new() };
        let mut news = Vec::new();
        for outcome in files.outcomes() {
            match outcome {
                Outcome::Made { id, name } if self.recording == Some(id) => {
                    let told = compose!("recording into {}; r ends it", name);
                    news.push(News::Told(told));
                }
                Outcome::Made { .. } => {}
                Outcome::Closed { id, name, length } => {
                    news.extend(self.closed(id, name, length).map(News::Told));
                }
                Outcome::Failed(failure) if self.recording == Some(failure.id) => {
                    self.recording = None;
                    news.push(News::RecordingFailed(failure.error));
                }
                Outcome::Failed(failure) => {
                    self.waiting.retain(|_, request| !request.ids.contains(&failure.id));
                    let told = failed(self.folder.join(&failure.name), &failure.error);
                    news.push(News::Told(told));
                }
            }
        }
        news
    }

    /// Waits until everything is written. Returns sentences on what is there.
    ///
    /// # Errors
    /// The thread has failed.
    pub(super) fn end(self) -> io::Result<Vec<Untrusted>> {
        let Ok(files) = self.files else { return Ok(Vec::new()) };
        let (kept, outcomes) = files.end()?;
        let mut told = Vec::new();
        for (name, length) in kept.files {
            let path = self.folder.join(name);
            told.push(compose!("wrote {} ({})", Untrusted::from(path.as_path()), bytes(length)));
        }
        for outcome in outcomes {
            if let Outcome::Failed(failure) = outcome {
                told.push(failed(self.folder.join(&failure.name), &failure.error));
            }
        }
        Ok(told)
    }

    fn name(&self, what: &str, now_ns: u64) -> String {
        format!("{}{what}-{}", self.stem, record::stamp(&self.clock, now_ns))
    }

    fn put(&mut self, what: &str, now_ns: u64, parts: Vec<(&'static str, Vec<u8>)>) -> Untrusted {
        let stem = self.name(what, now_ns);
        let files = match &mut self.files {
            Ok(files) => files,
            Err(reason) => return reason.clone(),
        };
        if self.waiting.len() >= MAX_WAITING {
            return "the disk is still busy with the files before".into();
        }
        let mut ids = Vec::new();
        for (extension, bytes) in parts {
            let id = files.create(stem.clone(), extension, bytes);
            files.close(id, Vec::new());
            ids.push(id);
        }
        if let Some(&first) = ids.first() {
            self.waiting.insert(first, Request { ids, done: Vec::new(), done_words: "wrote" });
        }
        compose!("writing {stem} …")
    }

    /// A file is whole. Returns a sentence once all are that were asked for together.
    fn closed(&mut self, id: FileId, name: String, length: u64) -> Option<Untrusted> {
        let (&key, request) =
            self.waiting.iter_mut().find(|(_, request)| request.ids.contains(&id))?;
        request.done.push((name, length));
        if request.done.len() < request.ids.len() {
            return None;
        }
        let request = self.waiting.remove(&key)?;
        Some(compose!("{} {}", request.done_words, written(&request.done)))
    }
}

/// Names files of one stem, and how long they are together: "a.json and .txt (4.2 kB)".
fn written(files: &[(String, u64)]) -> String {
    let mut names = String::new();
    let mut length = 0;
    for (name, bytes) in files {
        length += bytes;
        if names.is_empty() {
            names += name;
        } else {
            let extension = name.rsplit('.').next().unwrap_or_default();
            names += &format!(" and .{extension}");
        }
    }
    format!("{names} ({})", bytes(length))
}

/// Starts the thread; where it could write elsewhere, too, it is not taken unless it was asked for.
fn working_directory() -> (PathBuf, Result<Files, Untrusted>) {
    let folder = match std::env::current_dir() {
        Ok(folder) => folder,
        Err(error) => return (PathBuf::new(), Err(failed("files", &error))),
    };
    let files = match Folder::open(&folder).and_then(start) {
        Ok((files, None)) => Ok(files),
        Ok((files, Some(gap))) => Err({
            // The thread is gone before anybody counts them.
            let _ = files.end();
            compose!(
                "no file can be written: {gap}, so nothing would hold the writing to one folder; \
             --save-to DIR allows it all the same"
            )
        }),
        Err(error) => Err(failed(folder.as_path(), &error)),
    };
    (folder, files)
}

fn start(folder: Folder) -> io::Result<(Files, Option<String>)> {
    Files::start(folder, Removes::Nothing)
}

fn failed(what: impl AsRef<Path>, error: &io::Error) -> Untrusted {
    // The reason first: a narrow screen cuts the path.
    compose!("{}: cannot write {}", bare(error), Untrusted::from(what.as_ref()))
}

/// Returns the beginning of names: of the target what can stand in any name of a file.
fn stem(target: &Untrusted) -> String {
    let mut stem = PROGRAM.to_owned();
    let mut gap = true;
    for character in target.for_terminal().to_string().chars() {
        if stem.len() >= PROGRAM.len() + MAX_TARGET {
            break;
        }
        let is_plain = character.is_ascii_alphanumeric() || matches!(character, '.' | '_');
        if !is_plain {
            gap = true;
            continue;
        }
        if gap {
            stem.push('-');
        }
        gap = false;
        stem.push(character);
    }
    stem
}

/// Returns what is selected as an object of the event stream; `None` of a connection that the model
/// does not know any more.
fn json(selected: &Selected, model: &Model, clock: WallClock) -> io::Result<Option<Vec<u8>>> {
    let now_ns = model.now_ns();
    let output = match selected {
        Selected::Listener(view) => {
            Output::Listener(ListenerOutput { ts_ns: now_ns, view: (**view).clone() })
        }
        Selected::Connection(view) => match model.connection(view.sock) {
            Some(output) => output,
            None => return Ok(None),
        },
        Selected::Finding(finding) => Output::Finding(FindingOutput {
            ts_ns: now_ns,
            state: FindingState::Begun,
            finding: (**finding).clone(),
        }),
        Selected::Thread(thread) => {
            let mut out = Vec::new();
            Json::new(clock).thread(&mut out, now_ns, thread)?;
            return Ok(Some(out));
        }
    };
    let mut out = Vec::new();
    Json::new(clock).write(&mut out, &[output], &model.brief())?;
    Ok(Some(out))
}

/// Returns what is selected as text: a few words, and its view in full if it has one.
fn text(selected: &Selected, view: Option<&str>) -> String {
    let mut text = String::new();
    for words in selected.words() {
        text += &format!("{}\n", words.for_terminal());
    }
    if let Some(view) = view {
        text += &format!("\n{view}\n");
    }
    text
}

/// Said where there is nothing to take along.
pub(super) const NOTHING: &str = "nothing is selected";

/// Copies what is selected on a screen into the clipboard, and says so.
pub(super) fn copy(app: &mut App, guard: &Guard) {
    let told = match app.selected() {
        Some(selected) => {
            let text = text(&selected, None);
            guard.copy(&text);
            copied(&selected, &text)
        }
        None => NOTHING.into(),
    };
    app.tell(told);
}

/// Returns what is told of a copy.
fn copied(selected: &Selected, text: &str) -> Untrusted {
    let condition = match std::env::var_os("TMUX") {
        Some(_) => "if tmux passes it on (set-clipboard on)",
        None => "if the terminal takes OSC 52",
    };
    compose!("copied the {} ({}), {condition}", selected.kind(), bytes(text.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_nothing_of_the_target_that_could_mean_something() {
        let of = |target: &str| stem(&target.into());
        assert_eq!(of("nginx 4242"), "backscope-nginx-4242");
        assert_eq!(of("../../etc/passwd\u{1b}[2J"), "backscope-..-..-etc-passwd-u-1b-2J");
        assert_eq!(of("--port 80"), "backscope-port-80");
        assert_eq!(of("wörld"), "backscope-w-rld");
        assert_eq!(of(""), "backscope");
        assert!(of(&"x".repeat(500)).len() < 60);
    }
}
