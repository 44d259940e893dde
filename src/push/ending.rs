//! How a Push ends, and what it gets back from libzmq.

use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::{
    carrier::{look, Carrier, End},
    telling::LOG_AGAIN,
    Outcome,
};
use crate::{
    context::Events,
    control::{Order, Woken, CARE},
    error::DrainFailure,
    message::Item,
    native::{self, Flow},
    receipt::ReturnReason,
    say::say,
    stats::Stats,
    unsent::Unsent,
    worker::Failed,
};

/// What a worker leaves behind.
pub(super) struct Ended<T> {
    pub how: Result<(), DrainFailure>,
    pub unsent: Vec<T>,
    pub in_doubt: u64,
    pub theirs: Option<Receiver<T>>,
}

impl<T: Item> Ended<T> {
    pub(super) fn into_unsent(
        self,
        outcomes: Option<Receiver<Outcome<T>>>,
        stats: Stats,
    ) -> Unsent<T> {
        let cause = match self.how {
            Err(DrainFailure::Worker(cause)) => Some(cause),
            _ => None,
        };
        Unsent {
            items: self.unsent.into_iter(),
            in_doubt: self.in_doubt,
            theirs: self.theirs,
            cause,
            outcomes,
            stats,
        }
    }
}

/// How often a draining worker asks whether everything is in the kernel: at
/// first every millisecond, which the answer is worth, and when it has waited
/// for long, in proportion to that.
const FLUSH_CHECK: (Duration, Duration) = (Duration::from_millis(1), CARE);

impl<T: Item> Carrier<T> {
    /// Waits until everything that libzmq has is in the kernel, and then as
    /// long as the deadline allows until the peers have read it from there: a
    /// peer with a stock libzmq loses what it had not read when an ipc
    /// connection closes (libzmq issue 4660). `None` if there is more to send
    /// again, since a peer left.
    pub(super) fn flush(&mut self, until: &mut Option<Instant>) -> Result<Option<End>, Failed> {
        let since = Instant::now();
        loop {
            let held = self.rescue();
            if !self.again.is_empty() {
                return Ok(None);
            }
            let flow = match held {
                0 => native::flow(&self.attached.socket, *until),
                _ => Flow::InLibzmq,
            };
            if flow == Flow::Through {
                return Ok(Some(End::Done));
            }
            let unread = match flow {
                Flow::InKernel(bytes) => Some(bytes),
                _ => None,
            };
            look(&mut self.stall, &self.attached, &self.counters, false);
            let now = Instant::now();
            if until.is_some_and(|u| now >= u) {
                return Ok(Some(self.give_up(unread, End::Late)));
            }
            let (often, seldom) = FLUSH_CHECK;
            let soon = now + (now - since).div_f32(10.0).clamp(often, seldom);
            let soon = until.map_or(soon, |u| u.min(soon));
            if self.poll(Events::NONE, Some(soon))? == Woken::Ordered {
                if self.attached.listener.order() == Order::Stop {
                    return Ok(Some(self.give_up(unread, End::Stopped)));
                }
                self.attached.listener.act_on(Order::Drain);
                *until = self.attached.listener.drain_until();
            }
        }
    }

    /// What is in the kernel counts as handed over; it is told in the log.
    fn give_up(&mut self, unread: Option<u64>, otherwise: End) -> End {
        let Some(bytes) = unread else {
            return otherwise;
        };
        self.unread = bytes;
        End::Done
    }

    /// Takes back what waited in libzmq for peers that have left. It is sent
    /// again where that keeps the order; where another peer may have newer
    /// messages already, it is kept aside for the end. Tells how many peers
    /// could not be asked for theirs.
    pub(super) fn rescue(&mut self) -> u64 {
        let rescued = native::rescue(&self.attached.socket);
        // It is told of before there is something to be taken back.
        self.doubt();
        if rescued.peers == 0 {
            return rescued.held;
        }
        let count = rescued.messages.len();
        self.counters.came_back(&rescued.messages);
        let mut lost = rescued.lost as usize;
        if rescued.shared {
            let room = self.aside_most.saturating_sub(self.aside.len());
            let mut messages = rescued.messages.into_iter();
            self.aside.extend(messages.by_ref().take(room));
            for dropped in messages {
                self.counters.went(1, dropped.len());
                lost += 1;
            }
        } else {
            self.again.put_first(rescued.messages);
        }
        self.counters.in_doubt.add(lost);
        self.in_doubt += lost as u64;
        let level = match count + lost {
            0 => log::Level::Debug,
            _ => log::Level::Warn,
        };
        say(|| {
            log::log!(
                level,
                "{}: peers that left: {}; messages that waited for them and {}: {count}; lost {lost}",
                self.name,
                rescued.peers,
                if rescued.shared {
                    "come back at the end"
                } else {
                    "go to the next"
                }
            );
        });
        rescued.held
    }

    /// Counts what was being written to peers that left. A drain that is under
    /// way is not Ok then.
    fn doubt(&mut self) {
        let torn = self.attached.monitor.take_torn();
        let peers = torn.writes;
        if peers > 0 {
            let most = self.counters.sent.get();
            let count = torn.most(self.smallest).min(most);
            self.counters.in_doubt.add(count as usize);
            if self.intake.is_none() {
                self.in_doubt += count;
            }
            self.deserters.0 += peers;
            self.deserters.1 += count;
        }
        if self.deserted.is_none_or(|at| at.elapsed() >= LOG_AGAIN) {
            self.log_deserters();
        }
    }

    fn log_deserters(&mut self) {
        let (peers, count) = std::mem::take(&mut self.deserters);
        if peers > 0 {
            self.deserted = Some(Instant::now());
            say(|| {
                log::warn!(
                    "{}: peers that left in the middle of a write: {peers}; of it up to {count} \
                     messages, and what their kernels had, may be lost",
                    self.name
                );
            });
        }
    }

    /// Accepts nothing more. All that was accepted is in `queue` then.
    pub(super) fn close_channel(&mut self) {
        self.doubt();
        if let Some(spillway) = &self.spillway {
            spillway.shut();
        }
        if let Some(intake) = self.intake.take() {
            let closed = intake.close();
            self.attached.listener.has_closed();
            let count = closed.items.iter().map(|i| i.count()).sum();
            self.counters.taken.add(count);
            self.queue.extend(closed.items);
            self.theirs = closed.theirs;
        }
    }

    pub(super) fn end(mut self, how: Result<(), DrainFailure>) -> Ended<T> {
        self.close_channel();
        self.log_lost();
        if let Some(spillway) = &self.spillway {
            spillway.log_lost(&self.name);
        }
        let held = self.rescue();
        let all_gone = self.aside.is_empty() && self.again.is_empty();
        let how = match how {
            Ok(()) if held > 0 || !all_gone || self.in_doubt > 0 => Err(DrainFailure::PeerLeft),
            other => other,
        };
        let mut unsent = T::pack(std::mem::take(&mut self.aside));
        let mut in_doubt = 0;
        if how.is_err() {
            let recalled = native::recall(&self.attached.socket);
            // A peer may have left just before its connection was asked.
            self.doubt();
            let written = recalled.in_doubt(self.smallest, self.counters.sent.get());
            self.counters.in_doubt.add(written as usize);
            in_doubt = written + self.in_doubt;
            if !recalled.awake {
                self.attached.be_impatient();
            }
            self.counters.came_back(&recalled.messages);
            unsent.extend(T::pack(recalled.messages));
            unsent.extend(T::pack(self.again.take_all()));
            unsent.extend(T::pack(self.hand.take_all()));
            unsent.extend(self.queue.drain(..));
        }
        self.log_deserters();
        for item in &mut unsent {
            item.tell(ReturnReason::Ended);
        }
        let count = unsent.iter().map(|i| i.count()).sum();
        self.counters.returned.add(count);
        let sent = self.counters.sent.get();
        say(|| match &how {
            Ok(()) if self.unread > 0 => log::info!(
                "{}: drained, {sent} sent; waited no longer for peers to read what fills some \
                 {} bytes of the kernel's buffers",
                self.name,
                self.unread
            ),
            Ok(()) => log::info!("{}: drained, {sent} sent", self.name),
            Err(why) => log::info!(
                "{}: ended ({why}), {sent} sent, {count} unsent, {in_doubt} in doubt",
                self.name
            ),
        });
        self.attached.close();
        Ended {
            how,
            unsent,
            in_doubt,
            theirs: self.theirs,
        }
    }
}
