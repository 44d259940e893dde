//! How a program's own threads wait for a word of the library's: with a time
//! limit, and without holding anybody up who has the word.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// A value under a lock that is only ever held for a moment, and that can be
/// waited for.
#[derive(Debug, Default)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn look(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same where a lock that is taken may be so for ever: in a forked
    /// child.
    pub(crate) fn glance(&self) -> Option<MutexGuard<'_, T>> {
        self.value.try_lock().ok()
    }

    /// Changes the value and wakes those who wait for it.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.look());
        self.changed.notify_all();
        result
    }

    /// Waits until `found` finds something, at most `patience`; `None` waits
    /// for ever.
    pub(crate) fn wait<R>(
        &self,
        patience: Option<Duration>,
        mut found: impl FnMut(&mut T) -> Option<R>,
    ) -> Option<R> {
        let until = patience.and_then(|p| Instant::now().checked_add(p));
        let mut value = self.look();
        loop {
            if let Some(result) = found(&mut value) {
                return Some(result);
            }
            value = match until {
                None => self
                    .changed
                    .wait(value)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    let waited = self.changed.wait_timeout(value, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}
