use std::{
    sync::{
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
        Condvar, Mutex, MutexGuard, PoisonError,
    },
    time::{Duration, Instant},
};

/// How many bytes of large messages in the channel, beside as many in the pipe
/// (`native/large.cpp`), keep a connection busy. What is more than that has left the caches
/// when its turn comes, and lies in memory that nobody has touched for long: a thousand
/// messages of 1 MiB take a gigabyte.
const ENOUGH: usize = 16 << 20;

/// For each `ENOUGH` that is put in beyond that, senders wait about so long, all together.
/// A connection within one machine takes as much in less, also where it has to share a
/// processor. For a slower one, or none, the channel fills as if nobody waited, at 1.6 GB a
/// second and more, which is about what fresh memory costs.
const PATIENCE: Duration = Duration::from_millis(10);

/// Lets senders of large messages wait a moment for the worker to get on, before they put
/// more into the channel than keeps the connection busy.
pub(super) struct Pace {
    patience: Duration,
    /// Bytes of large messages in the channel, or just coming.
    ahead: AtomicUsize,
    ended: AtomicBool,
    waiting: AtomicU64,
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
        let waited = match most.is_zero() || !self.has_plenty() {
            true => Duration::ZERO,
            false => self.wait(bytes, most),
        };
        let before = self.ahead.fetch_add(bytes, SeqCst);
        // Who left room for several has called one.
        self.call(before.saturating_add(bytes));
        waited
    }

    /// When they came out of it, or did not get in. Some were never counted: what came through
    /// a clone of the sender.
    #[cold]
    pub(super) fn leave(&self, bytes: usize) {
        let less = |ahead: usize| Some(ahead.saturating_sub(bytes));
        let before = self.ahead.fetch_update(SeqCst, SeqCst, less);
        let before = before.unwrap_or_else(|ahead| ahead);
        self.call(before.saturating_sub(bytes));
    }

    /// Nothing is put in any more.
    pub(super) fn end(&self) {
        self.ended.store(true, SeqCst);
        drop(self.turn());
        self.taken.notify_all();
    }

    fn has_plenty(&self) -> bool {
        self.ahead.load(SeqCst) >= ENOUGH && !self.ended.load(SeqCst)
    }

    /// Calls somebody who waits, where so much is ahead now.
    fn call(&self, ahead: usize) {
        if ahead < ENOUGH && self.waiting.load(SeqCst) != 0 {
            // Whoever was about to wait does so by now.
            drop(self.turn());
            self.taken.notify_one();
        }
    }

    fn wait(&self, bytes: usize, most: Duration) -> Duration {
        if self.put.fetch_add(bytes, Relaxed) >= ENOUGH {
            self.put.store(bytes, Relaxed);
            self.waited.store(0, Relaxed);
        }
        let waited = Duration::from_nanos(self.waited.load(Relaxed));
        let most = self.patience.saturating_sub(waited).min(most);
        if most.is_zero() {
            return most;
        }
        let since = Instant::now();
        let mut turn = self.turn();
        self.waiting.fetch_add(1, SeqCst);
        while self.has_plenty() {
            let Some(left) = most.checked_sub(since.elapsed()) else {
                break;
            };
            let woken = self.taken.wait_timeout(turn, left);
            turn = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(turn);
        let waited = since.elapsed();
        let side_by_side = self.waiting.fetch_sub(1, SeqCst);
        self.waited
            .fetch_add(waited.as_nanos() as u64 / side_by_side, Relaxed);
        waited
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::LARGE;
    use std::thread;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(1);

    /// With so much in the channel that the next one waits.
    fn full(patience: Duration) -> Pace {
        Pace {
            patience,
            ahead: AtomicUsize::new(ENOUGH),
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
        pace.ahead.fetch_add(LARGE, SeqCst);
        let waited = waits(&pace, || {
            pace.leave(LARGE);
            pace.leave(LARGE);
        });
        assert!(waited < LONG);
        assert_eq!(pace.ahead.into_inner(), ENOUGH);
    }

    #[test]
    fn one_that_makes_room_for_several_lets_them_all_in() {
        let pace = full(LONG);
        thread::scope(|scope| {
            let senders = [(); 4].map(|()| scope.spawn(|| pace.enter(LARGE, LONG)));
            while pace.waiting.load(SeqCst) != 4 {
                thread::yield_now();
            }
            pace.leave(4 * LARGE);
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
        for n in 0..4 * ENOUGH / LARGE {
            if pace.enter(LARGE, LONG) >= SHORT {
                waits.push(n);
            }
        }
        assert_eq!(waits, [0, 1, 2, 3].map(|n| n * ENOUGH / LARGE));
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
