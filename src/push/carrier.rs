//! The worker of a [`Push`](super::Push): from the channel to the socket.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender};

use super::{
    ending::Ended,
    hand::{Hand, Stop},
    overflow::{Numbers, Spillway},
    Outcome,
};
use crate::{
    attach::Attached,
    config::Config,
    context::Events,
    control::{Next, Order, Woken, CARE},
    error::DrainFailure,
    intake::Intake,
    message::{Item, Message},
    native,
    say::say,
    stall::Stall,
    stats::Counters,
    worker::{guarded, Failed},
};

/// The worker: it owns the socket, and one item at a time.
pub(super) struct Carrier<T: Item> {
    pub(super) name: Arc<str>,
    pub(super) attached: Attached,
    /// The channel; gone once nothing more is accepted.
    pub(super) intake: Option<Intake<T>>,
    /// What stays of a channel of the caller's.
    pub(super) theirs: Option<Receiver<T>>,
    /// What was in the channel when it was closed.
    pub(super) queue: VecDeque<T>,
    /// What libzmq had taken for peers that left: the oldest messages of all.
    pub(super) again: Hand,
    /// What was for peers that left, and would overtake if sent again; at most
    /// a high-water mark of messages.
    pub(super) aside: Vec<Message>,
    pub(super) aside_most: usize,
    /// What is left of the items that are being sent.
    pub(super) hand: Hand,
    /// The items in hand whose fate is still to be told: their numbers, and how
    /// many of their messages are left. Empty where nobody wants to know.
    pub(super) untold: VecDeque<(u64, usize)>,
    pub(super) numbers: Arc<Numbers>,
    pub(super) spillway: Option<Arc<Spillway<T>>>,
    pub(super) stall: Stall,
    /// When its turn came.
    pub(super) since: Option<Instant>,
    /// When it looked after its socket last.
    cared: Instant,
    pub(super) report: Option<Sender<Outcome<T>>>,
    pub(super) counters: Arc<Counters>,
    pub(super) send_deadline: Option<Duration>,
    /// The fewest bytes that a message so far had on the wire.
    pub(super) smallest: u64,
    /// Messages that went with peers that left.
    pub(super) in_doubt: u64,
    /// Bytes in the kernel that a drain did not see the peers read.
    pub(super) unread: u64,
    /// What was lost and is still to be logged, and when the last was.
    pub(super) unlogged: usize,
    pub(super) logged: Option<Instant>,
    /// Peers that left in the middle of a write, and the messages of it, that
    /// are still to be logged, and when the last were.
    pub(super) deserters: (u64, u64),
    pub(super) deserted: Option<Instant>,
}

/// When there was nothing to be sent for so long, what comes is the beginning of
/// something new: it is dealt evenly.
const REST: Duration = Duration::from_millis(10);

/// When to ask again for the messages of a peer that left, whose I/O thread is
/// busy with something else.
const BUSY: Duration = Duration::from_millis(10);

/// Asks whether anything moves, and tells when to ask again. `hand` is whether
/// there is something besides what libzmq holds.
pub(super) fn look(
    stall: &mut Stall,
    attached: &Attached,
    counters: &Counters,
    hand: bool,
) -> Duration {
    let held = native::held(&attached.socket);
    if held == 0 && !hand {
        stall.flows();
        return CARE;
    }
    // What peers have taken so far.
    let moved = counters.sent.get().wrapping_sub(held);
    stall.waits(moved, || attached.monitor.waiting_for())
}

/// Why a loop ended.
pub(super) enum End {
    /// Everything was handed over.
    Done,
    Late,
    Stopped,
}

impl<T: Item> Carrier<T> {
    pub(super) fn new(
        name: Arc<str>,
        attached: Attached,
        intake: Intake<T>,
        report: Option<Sender<Outcome<T>>>,
        numbers: Arc<Numbers>,
        spillway: Option<Arc<Spillway<T>>>,
        config: &Config,
    ) -> Self {
        let capacity = intake.receiver().capacity().filter(|_| !T::IS_BATCH);
        Self {
            stall: Stall::new(&name, &attached.monitor, config.stall_after),
            numbers,
            spillway,
            name,
            attached,
            intake: Some(intake),
            theirs: None,
            queue: VecDeque::new(),
            again: Hand::default(),
            aside: Vec::new(),
            aside_most: config.high_water_mark as usize,
            hand: Hand::behind(capacity),
            untold: VecDeque::new(),
            since: None,
            cared: Instant::now(),
            report,
            counters: Arc::default(),
            send_deadline: config.send_deadline,
            smallest: u64::MAX,
            in_doubt: 0,
            unread: 0,
            unlogged: 0,
            logged: None,
            deserters: (0, 0),
            deserted: None,
        }
    }

    pub(super) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    pub(super) fn carry(mut self) -> Ended<T> {
        let name = Arc::clone(&self.name);
        let how = match guarded(&name, || self.run()) {
            Ok(End::Done) => Ok(()),
            Ok(End::Late) => Err(DrainFailure::Deadline),
            Ok(End::Stopped) => Err(DrainFailure::Stopped),
            Err(cause) => {
                say(|| log::error!("{cause}"));
                Err(DrainFailure::Worker(cause))
            }
        };
        self.end(how)
    }

    fn run(&mut self) -> Result<End, Failed> {
        loop {
            match self.attached.listener.order() {
                Order::Run => {}
                Order::Drain => {
                    self.attached.listener.act_on(Order::Drain);
                    let until = self.attached.listener.drain_until();
                    return self.finish(until);
                }
                Order::Stop => return Ok(End::Stopped),
            }
            if self.attached.listener.is_paused() {
                self.rest()?;
                continue;
            }
            // Where there is always something to be sent, too.
            if self.cared.elapsed() >= CARE {
                self.care()?;
            }
            if self.hands_are_empty() {
                let Some(intake) = &self.intake else {
                    return Ok(End::Done);
                };
                let patience = || look(&mut self.stall, &self.attached, &self.counters, false);
                let since = Instant::now();
                match self.attached.listener.next(intake.receiver(), patience) {
                    Next::Item(item) => {
                        if since.elapsed() >= REST {
                            self.has_rested();
                        }
                        self.take(item);
                        // An order may have come just now, and decides first.
                        if self.attached.listener.holds() {
                            continue;
                        }
                    }
                    Next::Gone => {
                        say(|| log::info!("{}: the last sender is gone, draining", self.name));
                        return self.finish(None);
                    }
                    Next::Ordered => continue,
                    Next::Idle => {
                        self.has_rested();
                        self.care()?;
                        continue;
                    }
                }
            }
            self.send_hand(None)?;
        }
    }

    /// There was nothing to be sent for a while.
    fn has_rested(&mut self) {
        self.again.has_rested();
        self.hand.has_rested();
    }

    fn rest(&mut self) -> Result<(), Failed> {
        self.stall.flows();
        self.has_rested();
        self.attached.listener.rest();
        self.care()
    }

    fn care(&mut self) -> Result<(), Failed> {
        self.cared = Instant::now();
        native::care(&self.attached.socket).map_err(|f| Failed("look after its socket", f))?;
        self.rescue();
        Ok(())
    }

    /// Sends what was accepted and nothing more.
    fn finish(&mut self, until: Option<Instant>) -> Result<End, Failed> {
        self.close_channel();
        let mut until = until;
        loop {
            match self.attached.listener.order() {
                Order::Stop => return Ok(End::Stopped),
                // The senders were gone first; now there is a deadline too.
                Order::Drain if until.is_none() => {
                    self.attached.listener.act_on(Order::Drain);
                    until = self.attached.listener.drain_until();
                }
                _ => {}
            }
            if self.attached.listener.is_paused() {
                self.rest()?;
                continue;
            }
            if self.hands_are_empty() {
                let late = until.is_some_and(|u| Instant::now() >= u);
                if late && !self.queue.is_empty() {
                    return Ok(End::Late);
                }
                match self.queue.pop_front() {
                    Some(item) => self.take(item),
                    None => match self.flush(&mut until)? {
                        Some(end) => return Ok(end),
                        None => continue,
                    },
                }
            }
            if self.send_hand(until)? == Woken::Late {
                return Ok(End::Late);
            }
        }
    }

    fn hands_are_empty(&self) -> bool {
        self.hand.is_empty() && self.again.is_empty()
    }

    pub(super) fn poll(&self, wanted: Events, until: Option<Instant>) -> Result<Woken, Failed> {
        self.attached
            .listener
            .poll(&self.attached.socket, wanted, until)
            .map_err(|f| Failed("wait for its socket", f))
    }

    /// Takes an item in hand, and more while they come without a wait. Where
    /// items may expire, it is one at a time.
    fn take(&mut self, first: T) {
        let telling = self.report.is_some() || self.send_deadline.is_some();
        let alone = self.send_deadline.is_some() || self.attached.listener.holds();
        self.since = self.send_deadline.map(|_| Instant::now());
        let mut item = first;
        loop {
            let (mut messages, mut bytes) = (0, 0);
            item.unpack(|message| {
                let size = message.len();
                messages += 1;
                bytes += size;
                self.smallest = self.smallest.min(size as u64 + 2);
                self.hand.put(message, size);
            });
            if telling {
                let number = match &self.spillway {
                    Some(_) => self.numbers.next(),
                    None => self.numbers.next_alone(),
                };
                self.untold.push_back((number, messages));
            }
            if self.intake.is_some() {
                self.counters.taken.add(messages);
            }
            self.counters.bytes.add(bytes);
            self.attached.listener.gets_on(bytes);
            if alone || !self.hand.has_room() {
                break;
            }
            let next = match &self.intake {
                Some(intake) => intake.receiver().try_recv().ok(),
                None => self.queue.pop_front(),
            };
            item = match next {
                Some(next) => next,
                None => break,
            };
        }
    }

    /// Sends what is in hand, as far as libzmq takes it. Comes back early when
    /// there is an order, or when `until` has passed (`Late`).
    fn send_hand(&mut self, until: Option<Instant>) -> Result<Woken, Failed> {
        #[cfg(test)]
        crate::worker::fault::point(&self.name);
        loop {
            let (wanted, patience) = match self.send_now()? {
                Stop::Done => {
                    if self.stall.is_told() {
                        look(&mut self.stall, &self.attached, &self.counters, false);
                    }
                    return Ok(Woken::Ready);
                }
                Stop::Left => match self.rescue() {
                    0 => continue,
                    _ => (Events::NONE, BUSY),
                },
                Stop::Full => {
                    self.counters.stalls.add(1);
                    let patience = look(&mut self.stall, &self.attached, &self.counters, true);
                    (Events::OUT, patience)
                }
            };
            let now = Instant::now();
            // What a peer left behind has no number any more to expire by.
            let expiry = self
                .since
                .filter(|_| !self.untold.is_empty())
                .zip(self.send_deadline)
                .and_then(|(s, d)| s.checked_add(d));
            let wake = [until, expiry, Some(now + patience)]
                .into_iter()
                .flatten()
                .min();
            let woken = self.poll(wanted, wake)?;
            if wanted == Events::OUT {
                let blocked = now.elapsed().as_nanos();
                self.counters.blocked.add(blocked as usize);
            }
            if woken == Woken::Ordered || self.attached.listener.is_paused() {
                return Ok(Woken::Ordered);
            }
            let passed = |time: Option<Instant>| time.is_some_and(|t| Instant::now() >= t);
            if passed(until) {
                return Ok(Woken::Late);
            }
            if passed(expiry) {
                self.expire();
                return Ok(Woken::Ready);
            }
            self.rescue();
        }
    }

    /// Sends what it can, and tells of it.
    fn send_now(&mut self) -> Result<Stop, Failed> {
        let stop = self.send_some();
        self.tell_sent();
        stop
    }

    fn send_some(&mut self) -> Result<Stop, Failed> {
        for hand in [&mut self.again, &mut self.hand] {
            let joined = self.attached.monitor.joined();
            match hand.send(&self.attached.socket, joined, &self.counters) {
                Ok(Stop::Done) => {}
                Ok(stop) => return Ok(stop),
                Err(failure) => return Err(Failed("send", failure)),
            }
        }
        Ok(Stop::Done)
    }
}
