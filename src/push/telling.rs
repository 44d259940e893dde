//! What a worker tells of the items it has taken: outcomes, and what was lost.

use std::time::{Duration, Instant};

use super::{carrier::Carrier, Outcome};
use crate::{error::OutcomeError, message::Item, receipt::ReturnReason, say::say};

/// How often at the most the log says that items expired or peers deserted, each
/// time how many.
pub(super) const LOG_AGAIN: Duration = Duration::from_secs(10);

impl<T: Item> Carrier<T> {
    /// Tells the items of which all has gone.
    pub(super) fn tell_sent(&mut self) {
        let mut sent = self.hand.take_count();
        let (mut full, mut dropped) = (false, 0);
        while let Some((seq, left)) = self.untold.front_mut() {
            if *left > sent {
                *left -= sent;
                break;
            }
            sent -= *left;
            if let Some(report) = &self.report {
                let outcome = Outcome {
                    seq: *seq,
                    result: Ok(()),
                };
                // To look costs less than to try in vain, as where nobody reads.
                full = full && report.is_full() || report.try_send(outcome).is_err();
                dropped += usize::from(full);
            }
            self.untold.pop_front();
        }
        self.counters.outcomes_dropped.add(dropped);
    }

    /// The item in hand has waited for too long.
    pub(super) fn expire(&mut self) {
        self.since = None;
        let numbers = self.untold.drain(..).collect::<Vec<_>>();
        let expired = T::pack(self.hand.take_all());
        for ((seq, _), item) in numbers.into_iter().zip(expired) {
            self.report_late(seq, item);
        }
    }

    fn report_late(&mut self, seq: u64, mut item: T) {
        let count = item.count();
        let kept = item.tell(ReturnReason::Deadline);
        let result = Err(OutcomeError::Deadline(item));
        let told = self
            .report
            .as_ref()
            .map(|report| report.try_send(Outcome { seq, result }).is_ok());
        if told == Some(false) {
            self.counters.outcomes_dropped.add(1);
        }
        if kept || told == Some(true) {
            self.counters.returned.add(count);
            return;
        }
        self.counters.lost.add(count);
        self.unlogged += count;
        if self.logged.is_none_or(|at| at.elapsed() >= LOG_AGAIN) {
            self.log_lost();
        }
    }

    /// Logs what was lost since the last time.
    pub(super) fn log_lost(&mut self) {
        let n = std::mem::take(&mut self.unlogged);
        if n > 0 {
            self.logged = Some(Instant::now());
            say(|| {
                log::warn!(
                    "{}: lost {n}: the send deadline passed and nobody took them back",
                    self.name
                );
            });
        }
    }
}
