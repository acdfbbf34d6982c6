//! `learn --html DIR`: the lessons as pages, from the recordings in the program.

use std::{
    fs::{self, Permissions},
    io::{self, IsTerminal, Read, Write},
    os::unix::fs::{PermissionsExt, fchown},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use super::{LessonRun, find};
use crate::{
    cli::LearnArgs,
    commands::Usage,
    digest::Digest,
    learn::{self, Lesson},
    record::{Reader, caller_of_sudo},
    report::course::{self, Neighbours, Told},
    text::{bytes, count_of},
};

/// Bytes at the beginning of a page that say who made it.
const HEAD: u64 = 4_096;
/// What stands there.
const MADE_BY: &str = "name=\"generator\" content=\"backscope ";
/// Time after which a person wants to know that something happens.
const PATIENCE: Duration = Duration::from_secs(1);

/// A page with the file that it becomes.
struct PageFile {
    path: PathBuf,
    text: String,
}

/// Writes the page of the lesson that was named, else the whole course.
pub(super) fn run(args: &LearnArgs, folder: &Path) -> anyhow::Result<ExitCode> {
    let named = args.lesson.as_deref().map(find).transpose()?;
    let mut runs = Vec::new();
    for entry in learn::all() {
        if named.is_none_or(|named| named.slug == entry.slug) {
            let mut run = LessonRun::of(entry, args)?;
            run.recorded = true;
            runs.push(run);
        }
    }
    let mut names: Vec<&str> = runs.iter().map(|run| run.entry.slug).collect();
    if named.is_none() {
        names.extend([course::INDEX, course::DEMOS]);
    }
    // Nothing is written before it is known that all can be.
    check(folder, &names)?;
    let pages = pages(&runs, folder, named.is_none())?;
    make(folder)?;
    let mut length = 0;
    for page in &pages {
        write(folder, page).with_context(|| format!("cannot write {}", page.path.display()))?;
        length += page.text.len() as u64;
    }
    let first = match named {
        Some(named) => path(folder, named.slug),
        None => path(folder, course::INDEX),
    };
    let mut out = io::stdout().lock();
    let written = compose!(
        "{} written, {}. Open {} in a browser.",
        count_of(pages.len() as u64, "page"),
        bytes(length),
        first.display().to_string()
    );
    writeln!(out, "{}", written.for_terminal())?;
    Ok(ExitCode::SUCCESS)
}

fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.html"))
}

/// Makes the pages: those of the lessons, and with the whole course its lists.
fn pages(runs: &[LessonRun], folder: &Path, course: bool) -> anyhow::Result<Vec<PageFile>> {
    let lessons: Vec<&Lesson> = runs.iter().map(|run| &run.lesson).collect();
    let mut progress = Progress::new(runs.len());
    let mut pages = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        progress.show(at);
        let told = told(run)?;
        let neighbours = Neighbours {
            before: at.checked_sub(1).map(|before| lessons[before]),
            after: lessons.get(at + 1).copied(),
            course,
        };
        let text = course::lesson_page(&told, &neighbours);
        pages.push(PageFile { path: path(folder, run.entry.slug), text });
    }
    if course {
        let text = course::index_page(&lessons);
        pages.push(PageFile { path: path(folder, course::INDEX), text });
        let text = course::demos_page(&lessons);
        pages.push(PageFile { path: path(folder, course::DEMOS), text });
    }
    Ok(pages)
}

/// Plays the recordings of a lesson.
fn told(run: &LessonRun) -> anyhow::Result<Told<'_>> {
    let lesson = &run.lesson;
    let context = || format!("cannot play the recordings of {}", lesson.slug);
    let (mut outcomes, mut runs) = (Vec::new(), Vec::new());
    for round in 0..lesson.rounds.len() {
        outcomes.push(run.outcome(round, None, &mut |_| {}).with_context(context)?);
    }
    if course::shows_a_queue(lesson) {
        for recording in run.entry.recordings {
            let bytes = recording.bytes().with_context(context)?;
            let mut reader = Reader::new(io::Cursor::new(bytes)).with_context(context)?;
            runs.push(Digest::of(&mut reader, 0).with_context(context)?);
        }
    }
    Ok(Told { lesson, outcomes, runs })
}

/// Checks that pages of these names can be put there, and replace none but our own.
fn check(folder: &Path, names: &[&str]) -> anyhow::Result<()> {
    match fs::metadata(folder) {
        Ok(about) if !about.is_dir() => {
            let reason = format!(
                "{} is not a folder, and the pages need one: name another, or one that is to be made",
                folder.display()
            );
            return Err(Usage(reason).into());
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot look into {}", folder.display()));
        }
    }
    for name in names {
        let path = path(folder, name);
        let is_foreign =
            is_foreign(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if is_foreign {
            let reason = format!(
                "{} is there and was not written by backscope: move it away, or name another folder",
                path.display()
            );
            return Err(Usage(reason).into());
        }
    }
    Ok(())
}

/// Tells whether something of this name is there that is not one of our pages.
fn is_foreign(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(about) if !about.is_file() => return Ok(true),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    let mut head = Vec::new();
    fs::File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    Ok(!String::from_utf8_lossy(&head).contains(MADE_BY))
}

/// Makes the folder and those above it, where they are not there.
fn make(folder: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot make the folder {}", folder.display());
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent()
        && !above.as_os_str().is_empty()
    {
        make(above)?;
    }
    fs::create_dir(folder).with_context(cannot)?;
    give_to_caller(&fs::File::open(folder).with_context(cannot)?).with_context(cannot)
}

/// Writes a page aside and renames it, so that there is always a whole one.
fn write(folder: &Path, page: &PageFile) -> anyhow::Result<()> {
    // Whoever serves the pages may read them, as far as the umask allows.
    let mut file = tempfile::Builder::new()
        .prefix(".backscope-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    file.write_all(page.text.as_bytes())?;
    give_to_caller(file.as_file())?;
    match file.persist(&page.path) {
        Ok(_) => Ok(()),
        Err(failed) => bail!(failed.error),
    }
}

/// Under sudo what is made belongs to who called it.
fn give_to_caller(file: &fs::File) -> io::Result<()> {
    match caller_of_sudo() {
        Some((user, group)) => fchown(file, Some(user), Some(group)),
        None => Ok(()),
    }
}

/// Says on a terminal how far it is, if it takes long.
struct Progress {
    begun: Instant,
    all: usize,
    is_shown: bool,
}

impl Progress {
    fn new(all: usize) -> Self {
        Self { begun: Instant::now(), all, is_shown: false }
    }

    /// Errors are left alone: nobody may be there to be told.
    fn show(&mut self, done: usize) {
        if self.begun.elapsed() >= PATIENCE && io::stderr().is_terminal() {
            let _ =
                write!(io::stderr(), "\rplaying the recordings: {done} of {} lessons", self.all);
            self.is_shown = true;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const OURS: &str = "<meta name=\"generator\" content=\"backscope 0.0.1\">";

    #[test]
    fn only_pages_of_ours_are_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let names = ["nagle", "index"];
        assert!(check(&folder.path().join("none"), &names).is_ok(), "a folder that is to be made");
        fs::write(folder.path().join("notes.html"), "mine").expect("it can be written");
        fs::write(path(folder.path(), "nagle"), OURS).expect("it can be written");
        assert!(check(folder.path(), &names).is_ok(), "others' files are left alone");
        for foreign in [OURS.replace("backscope", "another"), String::new()] {
            fs::write(path(folder.path(), "index"), &foreign).expect("it can be written");
            let error = check(folder.path(), &names).expect_err("it is not ours");
            assert!(error.is::<Usage>() && error.to_string().contains("index.html"), "{error}");
        }
        fs::remove_file(path(folder.path(), "index")).expect("it is there");
        symlink(path(folder.path(), "nagle"), path(folder.path(), "index")).expect("a link");
        assert!(
            check(folder.path(), &names).is_err(),
            "what a link leads to is not ours to replace"
        );
    }

    #[test]
    fn a_file_is_no_folder() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = check(file.path(), &["index"]).expect_err("it is a file");
        assert!(error.is::<Usage>() && error.to_string().contains("not a folder"), "{error}");
    }

    #[test]
    fn a_page_is_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let page =
            |text: &str| PageFile { path: path(folder.path(), "index"), text: text.to_owned() };
        for text in ["first", "second"] {
            write(folder.path(), &page(text)).expect("it can be written");
            assert_eq!(fs::read_to_string(path(folder.path(), "index")).expect("a file"), text);
        }
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left");
        fs::remove_file(path(folder.path(), "index")).expect("it is there");
        fs::create_dir(path(folder.path(), "index")).expect("a folder");
        write(folder.path(), &page("third")).expect_err("a folder is in the way");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left");
    }
}
