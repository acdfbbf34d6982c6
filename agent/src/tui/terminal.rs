//! The terminal in full-screen mode, and back again whatever happens.

use std::io::{self, Stdout, stdout};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Terminal};
use rustix::process::{Signal, kill_current_process_group};

/// Full-screen mode is on. One for the process, as the terminal is.
static ENTERED: AtomicBool = AtomicBool::new(false);

/// Holds the terminal in full-screen mode: raw input, alternate screen, mouse reports. Dropping it,
/// or a panic in any thread, gives the terminal back as it was.
pub struct Guard {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Guard {
    /// Takes the terminal of standard output.
    ///
    /// # Errors
    /// Fails if standard output or input is not a terminal, or refuses the mode.
    pub fn enter() -> io::Result<Self> {
        restore_on_panic();
        enter()?;
        match Terminal::new(CrosstermBackend::new(stdout())) {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    /// Draws the app's screen.
    ///
    /// # Errors
    /// Fails if the terminal can't be written to.
    pub fn draw(&mut self, app: &mut super::App) -> io::Result<()> {
        self.draw_by(|frame| app.draw(frame))
    }

    /// Draws a screen.
    ///
    /// # Errors
    /// As [`Self::draw`].
    pub fn draw_by(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw)?;
        Ok(())
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
        enter()?;
        self.terminal.clear()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    ENTERED.store(true, Ordering::SeqCst);
    execute!(stdout(), EnterAlternateScreen, EnableMouseCapture).inspect_err(|_| restore())
}

/// Gives the terminal back, once. Failures are left alone: there is nobody to tell, and nothing
/// more to try.
fn restore() {
    if ENTERED.swap(false, Ordering::SeqCst) {
        let _ = execute!(stdout(), DisableMouseCapture, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
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
