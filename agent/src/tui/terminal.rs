//! The terminal in full-screen mode, and back again whatever happens.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;
use std::{mem, panic};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Terminal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, kill_current_process_group};
use rustix::stdio::dup2_stdin;

use super::background;
use super::theme::Theme;
use crate::outlet::Outlet;

/// Full-screen mode is on; its output leaves here. One for the process, as the terminal is.
static ENTERED: Mutex<Option<Outlet>> = Mutex::new(None);

/// Time that the terminal has for what is left when it is given back.
const PATIENCE: Duration = Duration::from_millis(500);

/// Time that the last screen may still be on its way when the next one is due.
const ON_ITS_WAY: Duration = Duration::from_millis(10);

/// Holds the terminal in full-screen mode: raw input, alternate screen, mouse reports. Dropping it,
/// or a panic in any thread, gives the terminal back as it was.
///
/// A terminal that takes nothing (Ctrl-S, a connection that hangs) blocks nobody: screens are left
/// out until it goes on, and one that is gone takes none. [`Guard::is_due`] says when one that was
/// left out can be drawn.
pub struct Guard {
    terminal: Terminal<CrosstermBackend<Frames>>,
    outlet: Outlet,
    theme: Theme,
    /// The newest screen was left out.
    left_out: bool,
}

/// Collects what makes up a screen, and sends it as a whole.
struct Frames {
    outlet: Outlet,
    frame: Vec<u8>,
}

impl Write for Frames {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.frame.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.outlet.send_anyway(mem::take(&mut self.frame), 0);
        Ok(())
    }
}

impl Guard {
    /// Takes the terminal of standard output. A theme that follows the terminal asks it for its
    /// background.
    ///
    /// # Errors
    /// Fails if standard output or input is not a terminal, or refuses the mode.
    pub fn enter(theme: Theme) -> io::Result<Self> {
        restore_on_panic();
        let outlet = Outlet::stdout()?;
        enter(&outlet)?;
        if theme.follows()
            && let Some(question) = background::question()
        {
            outlet.send_anyway(question.to_vec(), 0);
        }
        let frames = Frames { outlet: outlet.clone(), frame: Vec::new() };
        match Terminal::new(CrosstermBackend::new(frames)) {
            Ok(terminal) => Ok(Self { terminal, outlet, theme, left_out: false }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    /// Returns the theme, as it is by what the terminal has answered so far.
    pub fn theme(&self) -> Theme {
        match background::answer() {
            Some(background) => self.theme.on(background),
            None => self.theme,
        }
    }

    /// Draws the app's screen.
    ///
    /// # Errors
    /// Fails if the terminal's size can't be read.
    pub fn draw(&mut self, app: &mut super::App) -> io::Result<()> {
        app.theme = self.theme();
        self.draw_by(|frame| app.draw(frame))
    }

    /// Draws a screen.
    ///
    /// # Errors
    /// As [`Self::draw`].
    pub fn draw_by(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.left_out = !self.outlet.finish(ON_ITS_WAY);
        if self.left_out || self.outlet.is_gone() {
            return Ok(());
        }
        match self.terminal.draw(draw) {
            // Nothing was written since, so that the outlet does not know it yet.
            Err(_) if is_hung_up(io::stdout()) => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Puts text into the clipboard of whoever sits at the terminal, if that takes it.
    pub fn copy(&self, text: &str) {
        self.outlet
            .send_anyway(super::clipboard::sequence(text, std::env::var_os("TMUX").is_some()), 0);
    }

    /// Waits until the terminal takes a screen again, if the newest was left out; otherwise for
    /// ever. Who has nothing else to draw draws it then.
    pub async fn is_due(&self) {
        if !self.left_out {
            return std::future::pending().await;
        }
        self.outlet.caught_up(0).await;
    }

    /// Gives the terminal back, stops the whole job as Ctrl-Z does at a shell, and takes the
    /// terminal again once the job continues. Call it from the process's main thread: there the
    /// stop is certain to come before the return.
    ///
    /// # Errors
    /// Fails if the signal can't be raised, or the terminal can't be taken again.
    pub fn suspend(&mut self) -> io::Result<()> {
        restore();
        // The whole group, as the terminal would: a parent such as sudo must stop too for the shell
        // to notice.
        kill_current_process_group(Signal::TSTP)?;
        enter(&self.outlet)?;
        self.terminal.clear()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
    }
}

/// Returns whether a terminal has gone.
pub(crate) fn is_hung_up(terminal: impl AsFd) -> bool {
    let mut asked = [PollFd::new(&terminal, PollFlags::empty())];
    poll(&mut asked, Some(&Timespec::default())).is_ok()
        && asked[0].revents().contains(PollFlags::HUP)
}

/// Puts the terminal in place of a standard input that is none: keys come from there, and once the
/// program has given its rights up it cannot open the terminal any more.
///
/// # Errors
/// There is no terminal.
pub fn terminal_as_stdin() -> io::Result<()> {
    if io::stdin().is_terminal() {
        return Ok(());
    }
    let terminal = File::options().read(true).write(true).open("/dev/tty")?;
    Ok(dup2_stdin(terminal)?)
}

fn enter(outlet: &Outlet) -> io::Result<()> {
    enable_raw_mode()?;
    *entered() = Some(outlet.clone());
    let mut commands = Vec::new();
    execute!(commands, EnterAlternateScreen, EnableMouseCapture)?;
    outlet.send_anyway(commands, 0);
    Ok(())
}

fn entered() -> MutexGuard<'static, Option<Outlet>> {
    ENTERED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the terminal back, once. Failures are left alone: there is nobody to tell, and nothing
/// more to try.
fn restore() {
    let Some(outlet) = entered().take() else { return };
    background::await_answer();
    let mut commands = Vec::new();
    if execute!(commands, DisableMouseCapture, LeaveAlternateScreen, Show).is_ok() {
        outlet.send_anyway(commands, 0);
        outlet.finish(PATIENCE);
    }
    let _ = disable_raw_mode();
}

fn restore_on_panic() {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            report(info);
        }));
    });
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::thread;

    use ratatui::layout::Rect;
    use ratatui::{TerminalOptions, Viewport};
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn who_reads_has_not_hung_up() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(!is_hung_up(&reader));
        drop(writer);
        assert!(is_hung_up(&reader), "the other end has gone");
    }

    #[test]
    fn a_screen_that_was_left_out_is_due_once_the_terminal_goes_on() {
        const MUCH: usize = 1 << 20;
        let (mut reader, writer) = io::pipe().unwrap();
        let outlet = Outlet::new(writer.as_fd()).unwrap();
        outlet.send_anyway(vec![b'-'; MUCH], 0);
        let frames = Frames { outlet: outlet.clone(), frame: Vec::new() };
        let viewport = Viewport::Fixed(Rect::new(0, 0, 20, 1));
        let terminal =
            Terminal::with_options(CrosstermBackend::new(frames), TerminalOptions { viewport });
        let mut guard =
            Guard { terminal: terminal.unwrap(), outlet, theme: Theme::plain(), left_out: false };
        let draw = |guard: &mut Guard| {
            guard.draw_by(|frame| frame.render_widget("lesson", frame.area())).unwrap();
        };
        draw(&mut guard);
        let event_loop =
            tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let is_due = |guard: &Guard, patience| {
            event_loop.block_on(async { timeout(patience, guard.is_due()).await }).is_ok()
        };
        assert!(!is_due(&guard, Duration::from_millis(50)), "the terminal stands still");
        let reads = thread::spawn(move || {
            reader.read_exact(&mut vec![0; MUCH]).unwrap();
            reader
        });
        assert!(is_due(&guard, Duration::from_secs(60)), "it goes on");
        draw(&mut guard);
        assert!(!is_due(&guard, Duration::from_millis(50)), "it was drawn");
        let mut screen = [0; 256];
        let size = reads.join().unwrap().read(&mut screen).unwrap();
        let screen = String::from_utf8_lossy(&screen[..size]).into_owned();
        assert!(screen.contains("lesson"), "{screen:?}");
    }
}
