//! A bound on how often something is done.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// Lets so many a second through, after a burst. The others wait their turn.
#[derive(Debug)]
pub(super) struct Pace {
    every: Duration,
    burst: u32,
    /// The next turn; some of the past may be free.
    next: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(a_second: u32, burst: u32) -> Self {
        let every = Duration::from_secs(1) / a_second.max(1);
        Self { every, burst, next: Mutex::new(Instant::now()) }
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) {
        sleep_until(self.take(Instant::now())).await;
    }

    fn take(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let free = now.checked_sub(self.every * self.burst).unwrap_or(now);
        let turn = (*next).max(free);
        *next = turn + self.every;
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_the_rest_waits_its_turn() {
        let pace = Pace::new(10, 5);
        let now = Instant::now() + Duration::from_secs(60);
        let mut late = Vec::new();
        for _ in 0..25 {
            late.push(pace.take(now).saturating_duration_since(now));
        }
        assert_eq!(late[..6], [Duration::ZERO; 6]);
        assert_eq!(late[24], Duration::from_millis(1_900));
        let later = now + Duration::from_secs(100);
        assert!(pace.take(later) <= later, "nobody waits for what is long over");
    }
}
