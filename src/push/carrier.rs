//! The worker of a [`Push`](super::Push): from the channel to the socket.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender};

use super::{hand::Hand, Outcome};
use crate::{
    attach::Attached,
    context::Events,
    control::{Next, Order, Woken},
    error::{DrainFailure, OutcomeError},
    intake::Intake,
    message::{Item, Message},
    native::{self, Flow},
    stats::Counters,
    unsent::Unsent,
    worker::{guarded, Failed},
};

/// What a worker leaves behind.
pub(super) struct Ended<T> {
    pub how: Result<(), DrainFailure>,
    pub unsent: Vec<T>,
    pub in_doubt: u64,
    pub theirs: Option<Receiver<T>>,
}

impl<T: Item> Ended<T> {
    pub(super) fn into_unsent(self, outcomes: Option<Receiver<Outcome<T>>>) -> Unsent<T> {
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
        }
    }
}

/// The worker: it owns the socket, and one item at a time.
pub(super) struct Carrier<T: Item> {
    name: Arc<str>,
    attached: Attached,
    /// The channel; gone once nothing more is accepted.
    intake: Option<Intake<T>>,
    /// What stays of a channel of the caller's.
    theirs: Option<Receiver<T>>,
    /// What was in the channel when it was closed.
    queue: VecDeque<T>,
    /// What is left of the item that is being sent.
    hand: Hand,
    /// The number of that item.
    seq: u64,
    /// When its turn came.
    since: Option<Instant>,
    report: Option<Sender<Outcome<T>>>,
    counters: Arc<Counters>,
    send_deadline: Option<Duration>,
    /// The fewest bytes that a message so far had on the wire.
    smallest: u64,
}

/// How often an idle worker looks after its socket: libzmq keeps the pipes of
/// peers that left until somebody does.
const CARE: Duration = Duration::from_secs(1);

/// How often a draining worker asks whether everything is in the kernel. The
/// answer costs microseconds.
const FLUSH_CHECK: Duration = Duration::from_millis(1);

/// Why a loop ended.
enum End {
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
        send_deadline: Option<Duration>,
    ) -> Self {
        Self {
            name,
            attached,
            intake: Some(intake),
            theirs: None,
            queue: VecDeque::new(),
            hand: Hand::default(),
            seq: 0,
            since: None,
            report,
            counters: Arc::default(),
            send_deadline,
            smallest: u64::MAX,
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
                log::error!("{cause}");
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
            if self.hand.is_empty() {
                let Some(intake) = &self.intake else {
                    return Ok(End::Done);
                };
                match self.attached.listener.next(intake.receiver(), CARE) {
                    Next::Item(item) => self.take(item),
                    Next::Gone => {
                        log::info!("{}: the last sender is gone, draining", self.name);
                        return self.finish(None);
                    }
                    Next::Ordered => continue,
                    Next::Idle => {
                        self.attached
                            .socket
                            .events()
                            .map_err(|f| Failed("look after its socket", f))?;
                        continue;
                    }
                }
            }
            self.send_hand(None)?;
        }
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
            if self.hand.is_empty() {
                match self.queue.pop_front() {
                    Some(item) => self.take(item),
                    None => break,
                }
            }
            if self.send_hand(until)? == Woken::Late {
                return Ok(End::Late);
            }
        }
        self.flush(until)
    }

    /// Waits until everything that libzmq has is in the kernel, and then as
    /// long as the deadline allows until the peers have read it from there: a
    /// peer with a stock libzmq loses what it had not read when an ipc
    /// connection closes (libzmq issue 4660).
    fn flush(&mut self, until: Option<Instant>) -> Result<End, Failed> {
        let mut until = until;
        loop {
            let flow = native::flow(&self.attached.socket, until);
            if flow == Flow::Through {
                return Ok(End::Done);
            }
            let safe = flow == Flow::InKernel;
            let now = Instant::now();
            if until.is_some_and(|u| now >= u) {
                return Ok(if safe { End::Done } else { End::Late });
            }
            let soon = now + FLUSH_CHECK;
            let soon = until.map_or(soon, |u| u.min(soon));
            if self.poll(Events::NONE, Some(soon))? == Woken::Ordered {
                if self.attached.listener.order() == Order::Stop {
                    return Ok(if safe { End::Done } else { End::Stopped });
                }
                self.attached.listener.act_on(Order::Drain);
                until = self.attached.listener.drain_until();
            }
        }
    }

    fn poll(&self, wanted: Events, until: Option<Instant>) -> Result<Woken, Failed> {
        self.attached
            .listener
            .poll(&self.attached.socket, wanted, until)
            .map_err(|f| Failed("wait for its socket", f))
    }

    /// Takes an item in hand, and more while they come without a wait. Where
    /// the fate of each item is to be told, it is one at a time.
    fn take(&mut self, first: T) {
        let one_by_one = self.report.is_some() || self.send_deadline.is_some();
        self.since = self.send_deadline.map(|_| Instant::now());
        let mut next = Some(first);
        while let Some(item) = next.take() {
            let (mut messages, mut bytes) = (0, 0);
            item.unpack(|message| {
                let size = message.len();
                messages += 1;
                bytes += size;
                self.smallest = self.smallest.min(size as u64 + 2);
                self.hand.put(message);
            });
            self.counters.taken.add(messages);
            self.counters.bytes.add(bytes);
            if !one_by_one && self.hand.has_room() {
                next = match &self.intake {
                    Some(intake) => intake.receiver().try_recv().ok(),
                    None => self.queue.pop_front(),
                };
            }
        }
    }

    /// Sends what is in hand, as far as libzmq takes it. Comes back early when
    /// there is an order, or when `until` has passed (`Late`).
    fn send_hand(&mut self, until: Option<Instant>) -> Result<Woken, Failed> {
        #[cfg(test)]
        crate::worker::fault::point(&self.name);
        loop {
            let sent = self
                .hand
                .send(&self.attached.socket)
                .map_err(|f| Failed("send", f))?;
            self.counters.sent.add(sent.messages);
            if !sent.full {
                self.report(Ok(()));
                return Ok(Woken::Ready);
            }
            self.counters.stalls.add(1);
            let expiry = self.since.zip(self.send_deadline).map(|(s, d)| s + d);
            let wake = [until, expiry].into_iter().flatten().min();
            match self.poll(Events::OUT, wake)? {
                Woken::Late if until.is_some_and(|u| Instant::now() >= u) => {
                    return Ok(Woken::Late)
                }
                Woken::Late => {
                    self.expire();
                    return Ok(Woken::Ready);
                }
                Woken::Ordered => return Ok(Woken::Ordered),
                _ => {}
            }
        }
    }

    /// The item in hand has waited for too long.
    fn expire(&mut self) {
        for item in T::pack(self.hand.take_all()) {
            self.report(Err(OutcomeError::Deadline(item)));
        }
    }

    fn report(&mut self, result: Result<(), OutcomeError<T>>) {
        if self.report.is_none() && result.is_ok() {
            return;
        }
        let returned = result
            .as_ref()
            .err()
            .map(|OutcomeError::Deadline(item)| item.count());
        let seq = self.seq;
        self.seq += 1;
        let told = self
            .report
            .as_ref()
            .map(|report| report.try_send(Outcome { seq, result }).is_ok());
        if told == Some(false) {
            self.counters.outcomes_dropped.add(1);
        }
        match (returned, told) {
            (Some(n), Some(true)) => self.counters.returned.add(n),
            (Some(n), _) => {
                self.counters.lost.add(n);
                log::warn!(
                    "{}: lost {n}: the send deadline passed and nobody took it back",
                    self.name
                );
            }
            (None, _) => {}
        }
    }

    /// Accepts nothing more. All that was accepted is in `queue` then.
    fn close_channel(&mut self) {
        if let Some(intake) = self.intake.take() {
            let closed = intake.close();
            self.queue.extend(closed.items);
            self.theirs = closed.theirs;
        }
    }

    fn end(mut self, how: Result<(), DrainFailure>) -> Ended<T> {
        self.close_channel();
        let mut unsent = Vec::new();
        let mut in_doubt = 0;
        if how.is_err() {
            let recalled = native::recall(&self.attached.socket);
            in_doubt = recalled.in_doubt(self.smallest, self.counters.sent.get());
            self.counters.sent.sub(recalled.messages.len());
            unsent.extend(T::pack(
                recalled
                    .messages
                    .into_iter()
                    .map(Message::from_raws)
                    .collect(),
            ));
            unsent.extend(T::pack(self.hand.take_all()));
            for item in &self.queue {
                self.counters.taken.add(item.count());
            }
            unsent.extend(self.queue.drain(..));
        }
        let count = unsent.iter().map(|i| i.count()).sum();
        self.counters.returned.add(count);
        self.counters.in_doubt.add(in_doubt as usize);
        match &how {
            Ok(()) => log::info!("{}: drained, {} sent", self.name, self.counters.sent.get()),
            Err(why) => log::info!(
                "{}: ended ({why}), {} sent, {count} unsent, {in_doubt} in doubt",
                self.name,
                self.counters.sent.get()
            ),
        }
        self.attached.close();
        Ended {
            how,
            unsent,
            in_doubt,
            theirs: self.theirs,
        }
    }
}
