use std::{
    sync::{
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
        Condvar, Mutex, PoisonError,
    },
    time::{Duration, Instant},
};

/// How many bytes in the channel, beside as many in the pipe (`native/large.cpp`), keep a
/// connection busy. What is more than that has left the caches when its turn comes, and
/// lies in memory that nobody has touched for long: a thousand messages of 1 MiB take a
/// gigabyte.
const ENOUGH: usize = 16 << 20;

/// Smaller messages gain nothing, and so shall not even ask how full the channel is.
const LARGE: usize = 256 << 10;

/// For each `ENOUGH` that is put in beyond that, senders wait no longer than this, all
/// together. A connection within one machine takes as much in less, also where it has to
/// share a processor. For a slower one, or none, the channel fills as if nobody waited, at
/// 1.6 GB a second and more, which is about what fresh memory costs.
const PATIENCE: Duration = Duration::from_millis(10);

/// Lets senders of large messages wait a moment for the worker to get on, before they put
/// more into the channel than keeps the connection busy.
pub(crate) struct Pace {
    patience: Duration,
    turn: Mutex<()>,
    taken: Condvar,
    waiting: AtomicU64,
    /// How long senders have waited, in nanoseconds, and how many bytes they put in.
    waited: AtomicU64,
    put: AtomicUsize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            patience: PATIENCE,
            turn: Mutex::default(),
            taken: Condvar::new(),
            waiting: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            put: AtomicUsize::new(0),
        }
    }
}

impl Pace {
    /// Waits a moment, `most` at most, while so many items of so many bytes are too many to
    /// be `ahead` of one more, and tells how long.
    #[inline]
    pub(crate) fn wait(&self, bytes: usize, most: Duration, ahead: impl Fn() -> usize) -> Duration {
        if bytes < LARGE || ahead() <= ENOUGH / bytes {
            return Duration::ZERO;
        }
        self.wait_while(bytes, most, || ahead() > ENOUGH / bytes)
    }

    #[cold]
    fn wait_while(&self, bytes: usize, most: Duration, plenty: impl Fn() -> bool) -> Duration {
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
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_add(1, SeqCst);
        while plenty() {
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

    /// The worker has taken something.
    #[inline]
    pub(crate) fn gets_on(&self) {
        if self.waiting.load(SeqCst) != 0 {
            // Whoever was about to wait does so by now.
            drop(self.turn.lock().unwrap_or_else(PoisonError::into_inner));
            self.taken.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(1);

    fn patient(patience: Duration) -> Pace {
        Pace {
            patience,
            ..Pace::default()
        }
    }

    #[test]
    fn who_has_plenty_ahead_waits_until_the_worker_gets_on() {
        let pace = patient(LONG);
        let ahead = AtomicUsize::new(ENOUGH / LARGE + 2);
        thread::scope(|scope| {
            let waits = scope.spawn(|| pace.wait(LARGE, LONG, || ahead.load(SeqCst)));
            while pace.waiting.load(SeqCst) == 0 {
                thread::yield_now();
            }
            ahead.fetch_sub(1, SeqCst);
            pace.gets_on();
            assert!(!waits.is_finished(), "one too many is still ahead");
            ahead.fetch_sub(1, SeqCst);
            pace.gets_on();
            assert!(waits.join().expect("no panic") < LONG);
        });
        assert_eq!(pace.waiting.into_inner(), 0);
    }

    #[test]
    fn a_queue_that_does_not_get_on_is_waited_for_once_for_every_16_mib() {
        let pace = patient(SHORT);
        let mut waits = Vec::new();
        for n in 0..4 * ENOUGH / LARGE {
            if pace.wait(LARGE, LONG, || 1000) >= SHORT {
                waits.push(n);
            }
        }
        assert_eq!(waits, [0, 1, 2, 3].map(|n| n * ENOUGH / LARGE));
    }

    #[test]
    fn no_longer_than_the_sender_has_time() {
        let pace = patient(LONG);
        let (waited, since) = (pace.wait(LARGE, SHORT, || 1000), Instant::now());
        assert!(SHORT <= waited && since.elapsed() < LONG, "{waited:?}");
    }

    #[test]
    fn small_messages_do_not_even_ask() {
        let pace = patient(LONG);
        let waited = pace.wait(LARGE - 1, LONG, || unreachable!());
        assert_eq!(waited, Duration::ZERO);
    }
}
