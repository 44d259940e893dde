//! How a worker waits, and how it is told to stop. Nothing blocks anywhere
//! else: whoever chases a hang starts and ends here.
//!
//! A worker is only ever in one of two waits: in a channel (a `Select` on its
//! data and the stop channel) or in a poll (of its socket and the bell).
//! An order drops the stop channel's sender and rings the bell once. The first
//! is never undone, and whoever takes a ring off the bell looks at the order
//! next, which was given before, so neither wake-up can be lost.
//!
//! A caller waits in its channel, and one with a heavy message before that, for a moment,
//! in `pace`, whose lock the worker takes to wake it: nobody waits while holding that.

mod lookout;
mod pace;
mod wait;

pub(crate) use lookout::Lookout;
pub(crate) use wait::Watched;

use std::{
    cell::Cell,
    convert::Infallible,
    fmt,
    sync::{
        atomic::{AtomicBool, AtomicU64, AtomicU8, Ordering},
        Arc, Mutex, MutexGuard, PoisonError,
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{bounded, Receiver, Select, Sender, TryRecvError, TrySendError};

use crate::{
    context::{Context, Events, Failure, RawFrame, Socket, SocketKind},
    native::{self, Identity, HEAVY},
};
use pace::Paces;

/// What a worker is to do. Orders only ever rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    /// Carry messages.
    Run,
    /// Accept nothing more and hand over what is there, until the deadline.
    Drain,
    /// End at once.
    Stop,
}

/// The end of those who give orders.
pub(crate) struct Control {
    order: AtomicU8,
    paused: AtomicBool,
    /// Wakes a worker that rests.
    resume: Sender<()>,
    paces: Paces,
    owner: u32,
    ends: Mutex<Ends>,
}

struct Ends {
    drain_until: Option<Instant>,
    bell: Option<Socket>,
    hold: Option<Sender<Infallible>>,
}

/// The worker's end.
pub(crate) struct Listener {
    control: Arc<Control>,
    acting: Order,
    /// Nothing came while it waited for an item.
    idle: Cell<bool>,
    bell: Socket,
    stop: Receiver<Infallible>,
    resumed: Receiver<()>,
}

/// How often a worker that waits in a channel looks after its socket: libzmq
/// keeps the pipes of peers that left until somebody does.
pub(crate) const CARE: Duration = Duration::from_secs(1);

/// What came of waiting for an item.
pub(crate) enum Next<T> {
    Item(T),
    /// Every sender is gone.
    Gone,
    /// There is an order to look at.
    Ordered,
    /// Nothing came in time.
    Idle,
}

/// What came of waiting for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    Ready,
    /// The other side of the channel is gone.
    Gone,
    /// There is an order to look at.
    Ordered,
    /// The time is up.
    Late,
}

impl Control {
    /// The two ends, joined by a pair of sockets on `context`, which are noted
    /// down in `sockets`.
    pub(crate) fn pair(
        context: &Context,
        sockets: &mut Vec<Identity>,
    ) -> Result<(Arc<Self>, Listener), Failure> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "inproc://pushpull.control.{}",
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );

        let inside = context.socket(SocketKind::Pair)?;
        sockets.push(native::identity(&inside));
        inside.bind(&name)?;
        let outside = context.socket(SocketKind::Pair)?;
        sockets.push(native::identity(&outside));
        outside.connect(&name)?;
        // They are joined, and nobody else is to call. libzmq goes through all such
        // names whenever a socket of the context closes.
        inside.unbind(&name)?;
        inside.silence()?;
        let (hold, stop) = bounded(0);
        let (resume, resumed) = bounded(1);
        let control = Arc::new(Self {
            order: AtomicU8::new(Order::Run as u8),
            paused: AtomicBool::new(false),
            resume,
            paces: Paces::default(),
            owner: std::process::id(),
            ends: Mutex::new(Ends {
                drain_until: None,
                bell: Some(outside),
                hold: Some(hold),
            }),
        });
        let listener = Listener {
            control: Arc::clone(&control),
            acting: Order::Run,
            idle: Cell::new(false),
            bell: inside,
            stop,
            resumed,
        };
        Ok((control, listener))
    }

    pub(crate) fn stop(&self) {
        self.give(Order::Stop, None);
    }

    pub(crate) fn drain(&self, until: Option<Instant>) {
        self.give(Order::Drain, until);
    }

    pub(crate) fn pause(&self) {
        self.paused.store(true, Ordering::Relaxed);
    }

    pub(crate) fn resume(&self) {
        if !self.is_foreign() && self.paused.swap(false, Ordering::Relaxed) {
            // One that waits there already wakes the worker as well.
            let _ = self.resume.try_send(());
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Sends a heavy item of so many bytes as `send` does, which is told how long that has
    /// taken by then: it waits a moment, `most` at most, for the worker to get on.
    #[cold]
    pub(crate) fn paced<E>(
        &self,
        bytes: usize,
        most: Duration,
        send: impl FnOnce(Duration) -> Result<(), E>,
    ) -> Result<(), E> {
        // In a forked child somebody may hold the lock for ever.
        if self.is_foreign() {
            return send(Duration::ZERO);
        }
        let result = send(self.paces.enter(bytes, most));
        if result.is_err() {
            self.paces.leave(bytes);
        }
        result
    }

    fn give(&self, order: Order, until: Option<Instant>) {
        // The worker did not come along into a forked child; ringing here
        // would ring in the parent.
        if self.is_foreign() {
            return;
        }
        let mut ends = self.ends();
        if order <= self.order() {
            return;
        }
        ends.drain_until = until;
        self.order.store(order as u8, Ordering::Release);
        ends.hold = None;
        if let Some(bell) = &ends.bell {
            // Two rings at most in a worker's life, so there is always room;
            // it fails only when the context ends, which wakes the worker too.
            let _ = bell.send_part(&mut RawFrame::empty(), false);
        }
    }

    fn order(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            0 => Order::Run,
            1 => Order::Drain,
            _ => Order::Stop,
        }
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is a forked child of the process that opened the queue.
    pub(crate) fn is_foreign(&self) -> bool {
        self.owner != std::process::id()
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("order", &self.order())
            .finish_non_exhaustive()
    }
}

impl Listener {
    /// The order in force, and the deadline that came with a drain.
    #[inline]
    pub(crate) fn order(&self) -> Order {
        self.control.order()
    }

    pub(crate) fn drain_until(&self) -> Option<Instant> {
        self.control.ends().drain_until
    }

    /// From now on only an order above this one wakes the worker.
    pub(crate) fn act_on(&mut self, order: Order) {
        self.acting = order;
    }

    /// So many bytes came out of the channel.
    #[inline]
    pub(crate) fn gets_on(&self, bytes: usize) {
        if bytes >= HEAVY {
            self.control.paces.leave(bytes);
        }
    }

    /// The channel is closed.
    pub(crate) fn has_closed(&self) {
        self.control.paces.end();
    }

    /// Whether to carry nothing for the time being. A drain carries.
    #[inline]
    pub(crate) fn is_paused(&self) -> bool {
        self.holds() && self.order() == Order::Run
    }

    /// Whether to carry nothing unless there is an order.
    #[inline]
    pub(crate) fn holds(&self) -> bool {
        self.control.is_paused()
    }

    /// Waits up to `CARE` until that is over.
    pub(crate) fn rest(&self) {
        let mut select = Select::new();
        let resumed = select.recv(&self.resumed);
        select.recv(&self.stop);
        match select.select_timeout(CARE) {
            Ok(operation) if operation.index() == resumed => {
                let _ = operation.recv(&self.resumed);
            }
            Ok(operation) => {
                let _ = operation.recv(&self.stop);
            }
            Err(_) => {}
        }
    }

    /// Takes the next item, waiting for it as long as `patience` says once
    /// there is none.
    pub(crate) fn next<T>(
        &self,
        items: &Receiver<T>,
        patience: impl FnOnce() -> Duration,
    ) -> Next<T> {
        // Who has waited in vain is in no hurry.
        let mut lookout = if self.idle.take() {
            Lookout::default()
        } else {
            Lookout::new()
        };
        loop {
            match items.try_recv() {
                Ok(item) => return Next::Item(item),
                Err(TryRecvError::Disconnected) => return Next::Gone,
                Err(TryRecvError::Empty) if self.order() != self.acting => return Next::Ordered,
                Err(TryRecvError::Empty) => {}
            }
            if !lookout.goes_on() {
                break;
            }
        }
        let mut select = Select::new();
        let data = select.recv(items);
        select.recv(&self.stop);
        match select.select_timeout(patience()) {
            Err(_) => {
                self.idle.set(true);
                Next::Idle
            }
            Ok(operation) if operation.index() == data => match operation.recv(items) {
                Ok(item) => Next::Item(item),
                Err(_) => Next::Gone,
            },
            Ok(operation) => {
                let _ = operation.recv(&self.stop);
                Next::Ordered
            }
        }
    }

    /// Waits until `out` has room, or nobody to make any, up to `patience`.
    pub(crate) fn room<T>(&self, out: &Sender<T>, patience: Duration) -> Woken {
        let mut select = Select::new();
        let room = select.send(out);
        select.recv(&self.stop);
        // Ready says that the operation would not block, and a disconnected
        // channel does not: the send that follows finds that out.
        match select.ready_timeout(patience) {
            _ if self.order() != self.acting => Woken::Ordered,
            Ok(ready) if ready == room => Woken::Ready,
            Ok(_) => Woken::Ordered,
            Err(_) => Woken::Late,
        }
    }

    /// Hands an item over, waiting for room as long as `patience` says; gives it back with
    /// the reason.
    pub(crate) fn hand_over<T>(
        &self,
        out: &Sender<T>,
        item: T,
        patience: impl FnOnce() -> Duration,
    ) -> Result<(), (Woken, T)> {
        let item = match out.try_send(item) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(item)) => return Err((Woken::Gone, item)),
            Err(TrySendError::Full(item)) => item,
        };
        let mut select = Select::new();
        let room = select.send(out);
        select.recv(&self.stop);
        let Ok(operation) = select.select_timeout(patience()) else {
            return Err((Woken::Late, item));
        };
        if operation.index() == room {
            operation
                .send(out, item)
                .map_err(|e| (Woken::Gone, e.into_inner()))
        } else {
            let _ = operation.recv(&self.stop);
            Err((Woken::Ordered, item))
        }
    }

    /// Waits until `wanted` is possible on the socket, at most until `until`.
    pub(crate) fn poll(
        &self,
        socket: &Socket,
        wanted: Events,
        until: Option<Instant>,
    ) -> Result<Woken, Failure> {
        loop {
            if self.order() != self.acting {
                return Ok(Woken::Ordered);
            }
            let patience = until.map(|u| u.saturating_duration_since(Instant::now()));
            let polled = socket.poll(wanted, &self.bell, patience)?;
            if polled.other {
                // Whichever order it was for: that is given before the bell is rung.
                self.bell.silence()?;
                continue;
            }
            return Ok(match polled.this {
                true => Woken::Ready,
                false => Woken::Late,
            });
        }
    }
}

impl Drop for Listener {
    /// The outer end is closed with the inner one, so that stoppers that are
    /// still around keep no socket, and with it no context, alive.
    fn drop(&mut self) {
        if !self.control.is_foreign() {
            let mut ends = self.control.ends();
            ends.bell = None;
            ends.hold = None;
        }
    }
}

/// Stops a queue from anywhere: another thread, a neighbour, a signal
/// handler's thread (not the handler itself: it takes a lock).
///
/// Cheap to clone, and harmless when the queue has ended long ago.
#[derive(Clone, Debug)]
pub struct Stopper {
    control: Arc<Control>,
}

impl Stopper {
    pub(crate) fn new(control: &Arc<Control>) -> Self {
        Self {
            control: Arc::clone(control),
        }
    }

    /// Tells the queue to end at once, and returns without waiting for it.
    ///
    /// The channel disconnects: a send that is blocked or comes later fails
    /// and gives its message back, and receivers get what is in the channel and
    /// then the end. What was accepted and not sent, or received and not
    /// taken, is kept for the handle: [`Push::abort`](crate::Push::abort) or
    /// [`Push::drain`](crate::Push::drain), and
    /// [`Pull::close`](crate::Pull::close), return it.
    ///
    /// Calling it again, from any number of threads, changes nothing.
    pub fn stop(&self) {
        self.control.stop();
    }
}
