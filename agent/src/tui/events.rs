//! Keys, mouse and resizing, for an asynchronous caller.

use std::io;
use std::thread;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event};
use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::mpsc;

use super::background::Answer;

/// Time within which the reader notices that nobody listens any more.
const PATIENCE: Duration = Duration::from_millis(100);
/// Typed ahead of the screen; beyond it the terminal's own buffer holds the rest.
const CAPACITY: usize = 64;

/// Starts a thread that reads the terminal's events. It ends once the receiver is dropped, or when
/// the terminal fails: the last item is the error then, a broken pipe if it was hung up. While the
/// job is stopped (Ctrl-Z) the thread is stopped with it.
///
/// # Errors
/// Fails if the thread can't be started.
pub fn events() -> io::Result<mpsc::Receiver<io::Result<Event>>> {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let watcher = sender.clone();
    thread::Builder::new().name("hangup".to_owned()).spawn(move || await_hangup(&watcher))?;
    thread::Builder::new().name("terminal".to_owned()).spawn(move || read(&sender))?;
    Ok(receiver)
}

fn read(sender: &mpsc::Sender<io::Result<Event>>) {
    let (mut answer, mut events) = (Answer::default(), Vec::new());
    while !sender.is_closed() {
        let patience = answer.patience().unwrap_or(PATIENCE);
        match event::poll(patience).and_then(|is_there| is_there.then(event::read).transpose()) {
            Ok(Some(event)) => answer.take(event, &mut events),
            Ok(None) => answer.let_go(&mut events),
            Err(error) => {
                // The screen may be over.
                let _ = sender.blocking_send(Err(error));
                return;
            }
        }
        for event in events.drain(..) {
            if sender.blocking_send(Ok(event)).is_err() {
                return;
            }
        }
    }
}

/// Waits until the terminal is hung up, and says so. Crossterm does not notice: it reads on, and
/// finds nothing as fast as it can.
fn await_hangup(sender: &mpsc::Sender<io::Result<Event>>) {
    let input = io::stdin();
    let mut awaited = [PollFd::new(&input, PollFlags::empty())];
    if poll(&mut awaited, None).is_ok() {
        // The screen may be over.
        let _ = sender.blocking_send(Err(io::ErrorKind::BrokenPipe.into()));
    }
}
