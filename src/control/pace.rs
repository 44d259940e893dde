use std::{
    sync::{
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
        Condvar, Mutex, MutexGuard, PoisonError,
    },
    thread,
    time::{Duration, Instant},
};

use crate::native::LARGE;

/// How many bytes of heavy messages in the channel, beside as many in the pipe
/// (`native/large.cpp`), keep a connection busy. What is more than that has left the caches
/// when its turn comes, and lies in memory that nobody has touched for long: a thousand
/// messages of 1 MiB take a gigabyte.
fn enough(item: usize) -> usize {
    match item {
        ..LARGE => 2 << 20,
        LARGE.. => 16 << 20,
    }
}

/// For so many bytes
const STRETCH: usize = 16 << 20;

/// senders wait so long at the most, all together. A connection within one machine takes as
/// much in less, also where it has to share a processor. For a slower one, or none, the
/// channel fills as if nobody waited, at 1.6 GB a second and more, which is about what fresh
/// memory costs.
const PATIENCE: Duration = Duration::from_millis(10);

/// How often a sender gives its processor away before it sleeps, as crossbeam does it.
const LOOKS: usize = 4;

/// Lets senders of heavy messages wait a moment for the worker to get on, before they put
/// more into the channel than keeps the connection busy.
pub(super) struct Pace {
    patience: Duration,
    /// Bytes of heavy messages in the channel, or just coming.
    ahead: AtomicUsize,
    ended: AtomicBool,
    waiting: AtomicU64,
    /// Those who sleep are called when there are fewer bytes; 0 if nobody is.
    wanted: AtomicUsize,
    turn: Mutex<()>,
    taken: Condvar,
    /// How long senders have waited, in nanoseconds, and how many bytes they put in.
    waited: AtomicU64,
    put: AtomicUsize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            patience: PATIENCE,
            ahead: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
            wanted: AtomicUsize::new(0),
            turn: Mutex::default(),
            taken: Condvar::new(),
            waited: AtomicU64::new(0),
            put: AtomicUsize::new(0),
        }
    }
}

impl Pace {
    /// Before so many bytes are put into the channel: waits a moment, `most` at most, while
    /// there is plenty, and tells how long.
    pub(super) fn enter(&self, bytes: usize, most: Duration) -> Duration {
        if self.put.fetch_add(bytes, Relaxed) >= STRETCH {
            self.put.store(bytes, Relaxed);
            self.waited.store(0, Relaxed);
        }
        let waited = match most.is_zero() || !self.has_plenty(bytes) {
            true => Duration::ZERO,
            false => self.wait(bytes, most),
        };
        self.ahead.fetch_add(bytes, SeqCst);
        waited
    }

    /// When they came out of it, or did not get in. Some were never counted: what came through
    /// a clone of the sender.
    #[cold]
    pub(super) fn leave(&self, bytes: usize) {
        let less = |ahead: usize| Some(ahead.saturating_sub(bytes));
        let before = self.ahead.fetch_update(SeqCst, SeqCst, less);
        let ahead = before.unwrap_or_default().saturating_sub(bytes);
        if ahead < self.wanted.load(SeqCst) && self.wanted.swap(0, SeqCst) != 0 {
            self.call();
        }
    }

    /// Nothing is put in any more.
    pub(super) fn end(&self) {
        self.ended.store(true, SeqCst);
        self.call();
    }

    fn call(&self) {
        // Whoever was about to sleep does so by now.
        drop(self.turn());
        self.taken.notify_all();
    }

    fn has_plenty(&self, item: usize) -> bool {
        self.ahead.load(SeqCst) >= enough(item) && !self.ended.load(SeqCst)
    }

    fn wait(&self, item: usize, most: Duration) -> Duration {
        let waited = Duration::from_nanos(self.waited.load(Relaxed));
        let most = self.patience.saturating_sub(waited).min(most);
        if most.is_zero() {
            return most;
        }
        let since = Instant::now();
        self.waiting.fetch_add(1, SeqCst);
        let mut looks = 0..LOOKS;
        while self.has_plenty(item) && looks.next().is_some() {
            thread::yield_now();
        }
        if self.has_plenty(item) {
            self.sleep(item, since, most);
        }
        let waited = since.elapsed();
        let side_by_side = self.waiting.fetch_sub(1, SeqCst);
        self.waited
            .fetch_add(waited.as_nanos() as u64 / side_by_side, Relaxed);
        waited
    }

    fn sleep(&self, item: usize, since: Instant, most: Duration) {
        let mut turn = self.turn();
        loop {
            // When half is gone, so that it is not called for every message.
            self.wanted.fetch_max(enough(item) / 2, SeqCst);
            let Some(left) = most.checked_sub(since.elapsed()) else {
                return;
            };
            if !self.has_plenty(item) {
                return;
            }
            let woken = self.taken.wait_timeout(turn, left);
            turn = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(1);

    /// With so much in the channel that the next one waits.
    fn full(patience: Duration) -> Pace {
        Pace {
            patience,
            ahead: AtomicUsize::new(STRETCH),
            ..Pace::default()
        }
    }

    /// What a sender waits that begins to wait before `then`.
    fn waits(pace: &Pace, then: impl FnOnce()) -> Duration {
        thread::scope(|scope| {
            let sender = scope.spawn(|| pace.enter(LARGE, LONG));
            while pace.waiting.load(SeqCst) == 0 {
                thread::yield_now();
            }
            then();
            sender.join().expect("no panic")
        })
    }

    #[test]
    fn who_finds_plenty_waits_until_the_worker_gets_on() {
        let pace = full(LONG);
        let waited = waits(&pace, || {
            while pace.ahead.load(SeqCst) >= STRETCH / 2 {
                pace.leave(LARGE);
            }
        });
        assert!(waited < LONG);
        assert_eq!(pace.ahead.into_inner(), STRETCH / 2);
    }

    #[test]
    fn one_that_makes_room_for_several_lets_them_all_in() {
        let pace = full(LONG);
        thread::scope(|scope| {
            let senders = [(); 4].map(|()| scope.spawn(|| pace.enter(LARGE, LONG)));
            while pace.waiting.load(SeqCst) != 4 {
                thread::yield_now();
            }
            pace.leave(STRETCH);
            for sender in senders {
                assert!(sender.join().expect("no panic") < LONG);
            }
        });
    }

    #[test]
    fn nobody_waits_for_a_queue_that_has_ended() {
        let pace = full(LONG);
        assert!(waits(&pace, || pace.end()) < LONG);
        assert_eq!(pace.enter(LARGE, LONG), Duration::ZERO);
    }

    #[test]
    fn a_queue_that_does_not_get_on_is_waited_for_once_for_every_16_mib() {
        let pace = full(SHORT);
        let mut waits = Vec::new();
        for n in 0..4 * STRETCH / LARGE {
            if pace.enter(LARGE, LONG) >= SHORT {
                waits.push(n);
            }
        }
        assert_eq!(waits, [0, 1, 2, 3].map(|n| n * STRETCH / LARGE));
    }

    #[test]
    fn heavy_messages_have_room_for_2_mib() {
        let pace = full(SHORT);
        pace.leave(14 << 20);
        assert!(pace.enter(16 << 10, LONG) >= SHORT);
        assert_eq!(pace.enter(LARGE, LONG), Duration::ZERO);
        pace.leave(LARGE + (32 << 10));
        assert_eq!(pace.enter(16 << 10, LONG), Duration::ZERO);
    }

    #[test]
    fn nobody_waits_longer_than_there_is_time() {
        let pace = full(LONG);
        assert_eq!(pace.enter(LARGE, Duration::ZERO), Duration::ZERO);
        let waited = pace.enter(LARGE, SHORT);
        assert!(SHORT <= waited && waited < LONG, "{waited:?}");
    }

    #[test]
    fn what_was_never_counted_may_leave() {
        let pace = Pace::default();
        pace.leave(LARGE);
        assert_eq!(pace.enter(LARGE, LONG), Duration::ZERO);
        assert_eq!(pace.ahead.into_inner(), LARGE);
    }
}
