//! Notices that a queue has messages and can't move them, and tells it once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    control::CARE,
    monitor::{Event, Monitor, WaitingFor},
    say::say,
};

pub(crate) struct Stall {
    name: Arc<str>,
    monitor: Arc<Monitor>,
    after: Option<Duration>,
    /// What had moved when it was last looked at, and since when that is so.
    moved: u64,
    since: Option<Instant>,
    told: bool,
}

/// How often a wait is interrupted to see whether anything moves: so many times
/// before it is called a stall, and once told, as seldom as the socket is looked
/// after. A stall is told late by no more than one such interval.
const LOOKS: u32 = 8;

impl Stall {
    pub(crate) fn new(name: &Arc<str>, monitor: &Arc<Monitor>, after: Duration) -> Self {
        Self {
            name: Arc::clone(name),
            monitor: Arc::clone(monitor),
            after: (!after.is_zero()).then_some(after),
            moved: 0,
            since: None,
            told: false,
        }
    }

    /// There is something to move; `moved` changes whenever some of it does.
    /// Tells when to look again.
    pub(crate) fn waits(
        &mut self,
        moved: u64,
        waiting_for: impl FnOnce() -> WaitingFor,
    ) -> Duration {
        let Some(after) = self.after else {
            return CARE;
        };
        let now = Instant::now();
        if self.moved != moved {
            self.flows();
            self.moved = moved;
        }
        let since = *self.since.get_or_insert(now);
        let waited = now.saturating_duration_since(since);
        if waited >= after && !self.told {
            self.told = true;
            let waiting_for = waiting_for();
            self.monitor.tell(|| Event::Stalled { since, waiting_for });
            say(|| {
                log::warn!(
                    "{}: stalled for {waited:.1?}, waiting for {waiting_for}",
                    self.name
                );
            });
        }
        if self.told {
            CARE
        } else {
            (after / LOOKS).min(after - waited).min(CARE)
        }
    }

    /// Nothing is left to move, or it moves.
    #[inline]
    pub(crate) fn flows(&mut self) {
        if self.since.take().is_some() && std::mem::take(&mut self.told) {
            self.monitor.tell(|| Event::Resumed);
            say(|| log::info!("{}: resumed", self.name));
        }
    }

    /// Whether a stall was told and not yet its end.
    #[inline]
    pub(crate) fn is_told(&self) -> bool {
        self.told
    }
}
