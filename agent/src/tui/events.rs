//! Keys, mouse and resizing, for an asynchronous caller.

use std::io;
use std::thread;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event};
use tokio::sync::mpsc;

/// Time within which the reader notices that nobody listens any more.
const PATIENCE: Duration = Duration::from_millis(100);
/// Typed ahead of the screen; beyond it the terminal's own buffer holds the rest.
const CAPACITY: usize = 64;

/// Starts a thread that reads the terminal's events. It ends once the receiver is dropped, or when
/// the terminal fails: the last item is the error then. While the job is stopped (Ctrl-Z) the
/// thread is stopped with it.
///
/// # Errors
/// Fails if the thread can't be started.
pub fn events() -> io::Result<mpsc::Receiver<io::Result<Event>>> {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    thread::Builder::new().name("terminal".to_owned()).spawn(move || read(&sender))?;
    Ok(receiver)
}

fn read(sender: &mpsc::Sender<io::Result<Event>>) {
    while !sender.is_closed() {
        let event = match event::poll(PATIENCE) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        let failed = event.is_err();
        if sender.blocking_send(event).is_err() || failed {
            return;
        }
    }
}
