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

/// How many bytes of large messages in the channel, beside as many in the pipe
/// (`enough` in `native/large.cpp`), keep a connection busy. What is more than that has left
/// the caches when its turn comes, and lies in memory that nobody has touched for long: a
/// thousand messages of 1 MiB take a gigabyte.
const ENOUGH: usize = 16 << 20;

/// The same of heavy ones that are not large.
const ENOUGH_HEAVY: usize = 1 << 20;

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
/// more into the channel than keeps the connection busy. Large ones are counted by themselves.
#[derive(Default)]
pub(super) struct Paces {
    heavy: Pace<ENOUGH_HEAVY>,
    large: Pace<ENOUGH>,
}

impl Paces {
    /// Before an item of so many bytes is put into the channel: waits a moment, `most` at
    /// most, while there is plenty, and tells how long.
    pub(super) fn enter(&self, bytes: usize, most: Duration) -> Duration {
        match bytes {
            ..LARGE => self.heavy.enter(bytes, most),
            LARGE.. => self.large.enter(bytes, most),
        }
    }

    /// When it came out of it, or did not get in. Some were never counted: what came through
    /// a clone of the sender.
    #[cold]
    pub(super) fn leave(&self, bytes: usize) {
        match bytes {
            ..LARGE => self.heavy.leave(bytes),
            LARGE.. => self.large.leave(bytes),
        }
    }

    /// Nothing is put in any more.
    pub(super) fn end(&self) {
        self.heavy.end();
        self.large.end();
    }
}

struct Pace<const ENOUGH: usize> {
    patience: Duration,
    /// Bytes in the channel, or just coming.
    ahead: AtomicUsize,
    ended: AtomicBool,
    waiting: AtomicU64,
    /// Somebody sleeps, or did, and is to be called.
    asleep: AtomicBool,
    turn: Mutex<()>,
    taken: Condvar,
    /// How long senders have waited, in nanoseconds, and how many bytes they put in.
    waited: AtomicU64,
    put: AtomicUsize,
}

impl<const ENOUGH: usize> Default for Pace<ENOUGH> {
    fn default() -> Self {
        Self {
            patience: PATIENCE,
            ahead: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            turn: Mutex::default(),
            taken: Condvar::new(),
            waited: AtomicU64::new(0),
            put: AtomicUsize::new(0),
        }
    }
}

impl<const ENOUGH: usize> Pace<ENOUGH> {
    fn enter(&self, bytes: usize, most: Duration) -> Duration {
        let mut waited = Duration::ZERO;
        if !most.is_zero() {
            if self.has_plenty() {
                waited = self.wait(most);
            }
            let before = self.put.fetch_add(bytes, Relaxed);
            // Wraps as `fetch_add` does, at a whole number of stretches.
            if before.wrapping_add(bytes) / STRETCH != before / STRETCH {
                self.waited.store(0, Relaxed);
            }
        }
        self.ahead.fetch_add(bytes, SeqCst);
        waited
    }

    fn leave(&self, bytes: usize) {
        let less = |ahead: usize| Some(ahead.saturating_sub(bytes));
        let before = self.ahead.fetch_update(SeqCst, SeqCst, less);
        let ahead = before.unwrap_or_default().saturating_sub(bytes);
        // When half is gone, so that nobody is called for every message.
        if ahead < ENOUGH / 2 && self.asleep.load(SeqCst) && self.asleep.swap(false, SeqCst) {
            self.call();
        }
    }

    fn end(&self) {
        self.ended.store(true, SeqCst);
        self.call();
    }

    fn call(&self) {
        // Whoever was about to sleep does so by now.
        drop(self.turn());
        self.taken.notify_all();
    }

    fn has_plenty(&self) -> bool {
        self.ahead.load(SeqCst) >= ENOUGH && !self.ended.load(SeqCst)
    }

    fn wait(&self, most: Duration) -> Duration {
        let waited = Duration::from_nanos(self.waited.load(Relaxed));
        let most = self.patience.saturating_sub(waited).min(most);
        if most.is_zero() {
            return most;
        }
        let since = Instant::now();
        self.waiting.fetch_add(1, SeqCst);
        let mut looks = 0..LOOKS;
        while self.has_plenty() && looks.next().is_some() {
            thread::yield_now();
        }
        if self.has_plenty() {
            self.sleep(since, most);
        }
        let waited = since.elapsed();
        let side_by_side = self.waiting.fetch_sub(1, SeqCst);
        self.waited
            .fetch_add(waited.as_nanos() as u64 / side_by_side, Relaxed);
        waited
    }

    fn sleep(&self, since: Instant, most: Duration) {
        let mut turn = self.turn();
        loop {
            self.asleep.store(true, SeqCst);
            let Some(left) = most.checked_sub(since.elapsed()) else {
                return;
            };
            if !self.has_plenty() {
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
    fn full(patience: Duration) -> Pace<ENOUGH> {
        Pace {
            patience,
            ahead: AtomicUsize::new(ENOUGH),
            ..Pace::default()
        }
    }

    /// What a sender waits that begins to wait before `then`.
    fn waits(pace: &Pace<ENOUGH>, then: impl FnOnce()) -> Duration {
        thread::scope(|scope| {
            let sender = scope.spawn(|| pace.enter(LARGE, LONG));
            while !pace.asleep.load(SeqCst) {
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
            pace.leave(ENOUGH / 2 + LARGE);
        });
        assert!(waited < LONG);
        assert_eq!(pace.ahead.into_inner(), ENOUGH / 2);
    }

    #[test]
    fn one_that_makes_room_for_several_lets_them_all_in() {
        let pace = full(LONG);
        thread::scope(|scope| {
            let senders = [(); 4].map(|()| scope.spawn(|| pace.enter(LARGE, LONG)));
            while pace.waiting.load(SeqCst) != 4 {
                thread::yield_now();
            }
            pace.leave(ENOUGH);
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
    fn heavy_messages_wait_for_1_mib_of_their_own() {
        const HEAVY: usize = 16 << 10;
        let waits = |paces: &Paces| paces.enter(HEAVY, LONG) >= PATIENCE;
        let mut paces = Paces::default();
        for _ in 0..64 {
            paces.enter(LARGE, Duration::ZERO);
        }
        for _ in 0..64 {
            assert_eq!(paces.enter(HEAVY, LONG), Duration::ZERO);
        }
        assert!(waits(&paces));
        paces.heavy.waited = AtomicU64::new(0);
        paces.leave(2 * HEAVY);
        assert_eq!(paces.enter(HEAVY, LONG), Duration::ZERO);
        paces.large.patience = SHORT;
        assert!(paces.enter(LARGE, LONG) >= SHORT);
    }

    #[test]
    fn what_does_not_wait_gives_others_no_more_to_wait() {
        let pace = full(SHORT);
        assert!(pace.enter(LARGE, LONG) >= SHORT);
        for _ in 0..4 * ENOUGH / LARGE {
            pace.enter(LARGE, Duration::ZERO);
        }
        assert_eq!(pace.enter(LARGE, LONG), Duration::ZERO);
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
        let pace = Pace::<ENOUGH>::default();
        pace.leave(LARGE);
        assert_eq!(pace.enter(LARGE, LONG), Duration::ZERO);
        assert_eq!(pace.ahead.into_inner(), LARGE);
    }
}
