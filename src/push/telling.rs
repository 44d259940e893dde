//! What a worker tells of the items it has taken: outcomes, and what was lost.

use std::time::{Duration, Instant};

use super::{carrier::Carrier, Outcome};
use crate::{error::OutcomeError, message::Item, receipt::ReturnReason, worker::say};

/// How often at the most the log says that items expired, each time how many.
const LOG_AGAIN: Duration = Duration::from_secs(10);

impl<T: Item> Carrier<T> {
    /// Tells the items of which all has gone.
    pub(super) fn tell_sent(&mut self) {
        let mut sent = self.hand.take_count();
        while let Some((seq, left)) = self.untold.front_mut() {
            if *left > sent {
                *left -= sent;
                return;
            }
            sent -= *left;
            let seq = *seq;
            self.untold.pop_front();
            self.report(seq, Ok(()));
        }
    }

    /// The item in hand has waited for too long.
    pub(super) fn expire(&mut self) {
        self.since = None;
        let numbers = self.untold.drain(..).collect::<Vec<_>>();
        let expired = T::pack(self.hand.take_all());
        for ((seq, _), item) in numbers.into_iter().zip(expired) {
            self.report(seq, Err(OutcomeError::Deadline(item)));
        }
    }

    fn report(&mut self, seq: u64, mut result: Result<(), OutcomeError<T>>) {
        if self.report.is_none() && result.is_ok() {
            return;
        }
        let mut kept = false;
        let returned = match &mut result {
            Err(OutcomeError::Deadline(item)) => {
                kept = item.tell(ReturnReason::Deadline);
                Some(item.count())
            }
            _ => None,
        };
        let told = self
            .report
            .as_ref()
            .map(|report| report.try_send(Outcome { seq, result }).is_ok());
        if told == Some(false) {
            self.counters.outcomes_dropped.add(1);
        }
        match (returned, told) {
            (Some(n), told) if kept || told == Some(true) => self.counters.returned.add(n),
            (Some(n), _) => {
                self.counters.lost.add(n);
                self.unlogged += n;
                if self.logged.is_none_or(|at| at.elapsed() >= LOG_AGAIN) {
                    self.log_lost();
                }
            }
            (None, _) => {}
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
