//! What a Push does when its channel is full.

use std::sync::{
    atomic::{AtomicU64, Ordering::Relaxed},
    Arc, Mutex, MutexGuard, PoisonError,
};

use crossbeam_channel::{Receiver, Sender};

use super::Outcome;
use crate::{error::OutcomeError, message::Item, receipt::ReturnReason, say::say, stats::Stats};

/// What a Push does with an item for which its channel has no room; see
/// [`Config::overflow`](crate::Config::overflow).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// [`send`](crate::Push::send) waits for room: back-pressure.
    #[default]
    Block,
    /// [`send`](crate::Push::send) fails at once and gives the item back, as
    /// [`try_send`](crate::Push::try_send) always does.
    RejectNewest,
    /// The oldest item in the channel makes room. It comes back in its
    /// [`Outcome`](crate::Outcome) or [`Receipt`](crate::Receipt), or is lost
    /// and counted. No way to send ever waits.
    DropOldest,
}

/// The side of the senders: what they reject and drop.
pub(super) struct Spillway<T> {
    /// Gone once the queue accepts nothing more.
    open: Mutex<Option<Open<T>>>,
    numbers: Arc<Numbers>,
    rejected: AtomicU64,
    dropped: AtomicU64,
    returned: AtomicU64,
    lost: AtomicU64,
    outcomes_dropped: AtomicU64,
}

struct Open<T> {
    oldest: Receiver<T>,
    report: Option<Sender<Outcome<T>>>,
}

/// Numbers the items of a Push.
#[derive(Debug, Default)]
pub(super) struct Numbers(AtomicU64);

impl Numbers {
    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(1, Relaxed)
    }

    /// The same for the worker, when nobody else gives numbers: at a fraction of the cost.
    pub(super) fn next_alone(&self) -> u64 {
        let next = self.0.load(Relaxed);
        self.0.store(next + 1, Relaxed);
        next
    }
}

impl<T: Item> Spillway<T> {
    pub(super) fn new(
        oldest: Receiver<T>,
        report: Option<Sender<Outcome<T>>>,
        numbers: &Arc<Numbers>,
    ) -> Self {
        Self {
            open: Mutex::new(Some(Open { oldest, report })),
            numbers: Arc::clone(numbers),
            rejected: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            returned: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            outcomes_dropped: AtomicU64::new(0),
        }
    }

    fn open(&self) -> MutexGuard<'_, Option<Open<T>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the worker is the only receiver: see `Intake::close`.
    pub(super) fn shut(&self) {
        *self.open() = None;
    }

    /// Makes room for one, unless somebody has done so meanwhile.
    pub(super) fn drop_oldest(&self) {
        let guard = self.open();
        let Some(open) = &*guard else { return };
        let Ok(mut item) = open.oldest.try_recv() else {
            return;
        };
        let count = item.count() as u64;
        let receipt = item.tell(ReturnReason::Dropped);
        let outcome = self.report(open, OutcomeError::Dropped(item));
        self.dropped.fetch_add(count, Relaxed);
        if receipt || outcome {
            self.returned.fetch_add(count, Relaxed);
        } else {
            self.lost.fetch_add(count, Relaxed);
        }
    }

    /// Counts and tells an item that goes back to its sender.
    pub(super) fn reject(&self, item: &T) {
        self.rejected.fetch_add(item.count() as u64, Relaxed);
        if let Some(open) = &*self.open() {
            if open.report.is_some() {
                self.report(open, OutcomeError::Rejected(item.clone()));
            }
        }
    }

    fn report(&self, open: &Open<T>, error: OutcomeError<T>) -> bool {
        let seq = self.numbers.next();
        let Some(report) = &open.report else {
            return false;
        };
        let result = Err(error);
        let told = report.try_send(Outcome { seq, result }).is_ok();
        if !told {
            self.outcomes_dropped.fetch_add(1, Relaxed);
        }
        told
    }

    pub(super) fn log_lost(&self, name: &str) {
        let lost = self.lost.load(Relaxed);
        if lost > 0 {
            say(|| {
                log::warn!(
                    "{name}: lost {lost}: they were the oldest in a full channel and nobody took them back"
                );
            });
        }
    }

    pub(super) fn add_to(&self, stats: &mut Stats) {
        let dropped = self.dropped.load(Relaxed);
        stats.rejected = self.rejected.load(Relaxed);
        stats.dropped = dropped;
        stats.accepted += dropped;
        stats.returned += self.returned.load(Relaxed);
        stats.lost += self.lost.load(Relaxed);
        stats.outcomes_dropped += self.outcomes_dropped.load(Relaxed);
    }
}
