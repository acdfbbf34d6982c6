//! The end of a client, known to all of its threads.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Tells threads to stop, also those that sleep.
#[derive(Debug, Default)]
pub struct Stop {
    stopped: Mutex<bool>,
    told: Condvar,
}

impl Stop {
    /// Tells them.
    pub fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    /// Whether they were told.
    pub fn is_stopped(&self) -> bool {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps, unless they were told or are told meanwhile. Returns whether to go on.
    pub fn sleep(&self, time: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = self.told.wait_timeout_while(stopped, time, |stopped| !*stopped);
        !*woken.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn sleepers_wake() {
        let stop = Stop::default();
        assert!(stop.sleep(Duration::from_millis(1)));
        let start = Instant::now();
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| stop.sleep(Duration::from_secs(60)));
            stop.stop();
            assert!(!sleeper.join().unwrap());
        });
        assert!(stop.is_stopped() && start.elapsed() < Duration::from_secs(50));
    }
}
