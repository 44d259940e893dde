mod carrier;
mod ending;
mod hand;
mod overflow;
mod telling;

pub use overflow::Overflow;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{bounded, Receiver, SendError, SendTimeoutError, Sender, TrySendError};

use crate::{
    attach::Attached,
    config::Config,
    context::SocketKind,
    control::{Control, Stopper},
    endpoint::Endpoint,
    error::{DrainError, DrainFailure, OpenError, OutcomeError},
    intake::Intake,
    message::{Batch, Item, Message},
    monitor::{Event, Monitor},
    native::HEAVY,
    receipt::{Receipt, ReturnReason},
    stats::{Counters, Stats},
    unsent::{Drained, Unsent},
    worker::Worker,
};
use carrier::Carrier;
use ending::Ended;
use overflow::{Numbers, Spillway};

/// The sending end: a channel whose far end is a ZeroMQ PUSH socket.
///
/// A worker thread takes items from the channel, in order, and hands them to
/// libzmq, which deals them out to the connected peers in turn: one by one, or,
/// to eight and more when many small ones are at hand, up to 2048 in a row, by
/// which nobody is ahead by more than an eighth of what each has had. While every
/// peer is at its high-water mark, or there is none, the worker waits, the
/// channel fills, and [`send`](Self::send) blocks. (A Push that connects holds a
/// high-water mark of messages for a peer that is not there yet.)
///
/// The handle is the duty to stop: [`drain`](Self::drain) or
/// [`abort`](Self::abort). Dropping it drains for
/// [`Config::linger`](crate::Config::linger), then aborts, and logs how many
/// messages were lost that way.
///
/// # What happens to messages
/// A message is in the channel, in the worker's hand, in libzmq, in the
/// kernel, or at the peer. In hand are as many messages as the channel has room
/// for, but no more than 512, or for each of several peers as many, and none
/// after 1 MiB. All that [`abort`](Self::abort) and a failed
/// [`drain`](Self::drain) find in the first three comes back in [`Unsent`];
/// what libzmq had encoded but could not give to the kernel, at most one write
/// to each peer, is counted in [`Unsent::in_doubt`]. What is in the kernel
/// arrives unless the peer dies, or stops reading. ZeroMQ has no
/// acknowledgements: what a peer had received when it died, or its kernel when
/// it closed, is gone with it. What was being written to a peer that left is
/// counted in [`Stats::in_doubt`].
#[must_use = "dropping a queue ends it"]
pub struct Push<T: Item = Message> {
    name: Arc<str>,
    sender: Option<Sender<T>>,
    outcomes: Option<Receiver<Outcome<T>>>,
    counters: Arc<Counters>,
    monitor: Arc<Monitor>,
    events: Option<Receiver<Event>>,
    endpoints: Vec<Endpoint>,
    control: Arc<Control>,
    worker: Worker<Ended<T>>,
    overflow: Overflow,
    spillway: Option<Arc<Spillway<T>>>,
    linger: Duration,
    done: bool,
}

/// What became of one item of a [`Push`]: libzmq took all of it, or it comes
/// back with the reason.
///
/// "Took" means that it waits for a peer or is on its way to one. What a
/// [`drain`](Push::drain) or [`abort`](Push::abort) still recalls from there
/// comes back in their [`Unsent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<T> {
    /// The number of the item, in the order in which they left the channel,
    /// from 0 (those that were rejected count in between). A jump means that the
    /// reader was too slow for the outcomes between;
    /// [`Stats::outcomes_dropped`] counts them. One exception: with
    /// [`Overflow::DropOldest`] a sender tells at once what it dropped, which
    /// can be before the worker tells of the few older ones that it has in hand.
    pub seq: u64,
    /// Whether libzmq took it.
    pub result: Result<(), OutcomeError<T>>,
}

impl Push {
    /// Opens a queue that listens at `endpoint`, with everything else as
    /// [`Config`] has it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn bind(endpoint: &str) -> Result<Self, OpenError> {
        Self::open(Config::bind(endpoint))
    }

    /// Opens a queue that calls `endpoint`. The peer need not be there yet.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn connect(endpoint: &str) -> Result<Self, OpenError> {
        Self::open(Config::connect(endpoint))
    }

    /// Opens a queue. When it returns, the socket is bound or connecting.
    ///
    /// # Errors
    /// See [`OpenError`]: every one that can happen at start-up comes from
    /// here.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        Self::with_own_channel(config)
    }

    /// Opens a queue whose channel carries batches. On the wire a batch is
    /// just its messages; it saves the cost of the channel per message.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_batched(config: Config) -> Result<Push<Batch>, OpenError> {
        Push::with_own_channel(config)
    }
}

impl Push {
    /// [`send`](Self::send), with a [`Receipt`] that tells what becomes of the
    /// message. For other ways to send, see [`Message::tracked`].
    ///
    /// # Errors
    /// Gives the message back when the queue has ended. One that
    /// [`Overflow::RejectNewest`] refuses comes back in the receipt.
    pub fn send_tracked(&self, message: impl Into<Message>) -> Result<Receipt, SendError<Message>> {
        let (message, receipt) = message.into().tracked();
        let result = match self.overflow {
            Overflow::Block => self.send(message).map_err(TrySendError::from),
            _ => self.put(message),
        };
        match result {
            Ok(()) => Ok(receipt),
            Err(TrySendError::Full(mut message)) => {
                message.tell_return(ReturnReason::Rejected);
                Ok(receipt)
            }
            Err(TrySendError::Disconnected(mut message)) => {
                drop((receipt, message.take_ticket()));
                Err(SendError(message))
            }
        }
    }
}

impl<T: Item> Push<T> {
    /// Sends what comes out of a channel of yours. When its last sender is
    /// gone, the queue hands over everything that is left and ends by itself;
    /// [`drain`](Self::drain) then waits for that. Without a deadline of a drain
    /// it ends, on Linux, when the peers have it all: as `drain` tells.
    ///
    /// Such a queue has no sender of its own: [`send`](Self::send) and its
    /// likes fail at once and give the message back.
    ///
    /// When the queue ends before the senders do, the channel stays open: it is
    /// yours. What senders put in afterwards comes out of a clone of the
    /// receiver, or of [`Unsent`] and [`Drained::rest`].
    ///
    /// # Errors
    /// See [`OpenError`]. The receiver is dropped then; keep a clone to have
    /// its messages.
    pub fn from_receiver(config: Config, receiver: Receiver<T>) -> Result<Self, OpenError> {
        Self::start(config, Intake::theirs(receiver), None)
    }

    fn with_own_channel(config: Config) -> Result<Self, OpenError> {
        config.checked()?;
        let capacity = match config.overflow {
            // One must be there to make room.
            Overflow::DropOldest => config.capacity.max(1),
            _ => config.capacity,
        };
        let (sender, receiver) = bounded(capacity);
        let intake = Intake::ours(receiver, &sender);
        Self::start(config, intake, Some(sender))
    }

    fn start(
        config: Config,
        intake: Intake<T>,
        sender: Option<Sender<T>>,
    ) -> Result<Self, OpenError> {
        let (mut attached, control) = Attached::open(SocketKind::Push, &config)?;
        let name: Arc<str> = config.queue_name().into();
        let (report, outcomes) = match config.outcomes {
            0 => (None, None),
            n => {
                let (report, outcomes) = bounded(n);
                (Some(report), Some(outcomes))
            }
        };
        let endpoints = attached.endpoints.clone();
        let monitor = Arc::clone(&attached.monitor);
        let events = attached.events.take();
        let numbers = Arc::new(Numbers::default());
        let spillway = match config.overflow {
            Overflow::Block => None,
            _ => {
                let oldest = intake.receiver().clone();
                Some(Arc::new(Spillway::new(oldest, report.clone(), &numbers)))
            }
        };
        let carrier = Carrier::new(
            Arc::clone(&name),
            attached,
            intake,
            report,
            numbers,
            spillway.clone(),
            &config,
        );
        let counters = carrier.counters();
        let worker = Worker::spawn(&format!("push {name}"), Arc::clone(&control), move || {
            carrier.carry()
        })?;
        Ok(Self {
            name,
            sender: Some(sender.unwrap_or_else(|| bounded(0).0)),
            outcomes,
            counters,
            monitor,
            events,
            endpoints,
            control,
            worker,
            overflow: config.overflow,
            spillway,
            linger: config.linger,
            done: false,
        })
    }

    /// Puts an item into the channel, waiting while it is full, unless
    /// [`Config::overflow`] says otherwise.
    ///
    /// An item (a message or a batch) of 8 KiB and more also waits a moment where the
    /// channel has 1 MiB of such, one of 256 KiB and more where it has 16 MiB of those: a
    /// peer within the machine takes them in less time than fresh memory for them costs.
    /// All senders of a queue together wait so for about 10 ms for every 16 MiB at the most,
    /// also where nobody is there; then the channel fills, up to its capacity.
    /// [`send_tracked`](Push::send_tracked) waits so, too, and
    /// [`send_timeout`](Self::send_timeout), as part of its timeout;
    /// [`try_send`](Self::try_send) does not. Nor does what goes through a clone of
    /// [`sender`](Self::sender), and nobody waits for it.
    ///
    /// # Errors
    /// Gives the item back when the queue has ended: stopped, or its worker
    /// failed. With [`Overflow::RejectNewest`] also when the channel is full.
    pub fn send(&self, item: impl Into<T>) -> Result<(), SendError<T>> {
        let item = item.into();
        if self.overflow != Overflow::Block {
            return self.put(item).map_err(|e| SendError(e.into_inner()));
        }
        match item.size() {
            ..HEAVY => self.sender().send(item),
            size => {
                let send = |_| self.sender().send(item);
                self.control.paced(size, Duration::MAX, send)
            }
        }
    }

    /// Puts an item into the channel as a policy that never waits has it.
    fn put(&self, mut item: T) -> Result<(), TrySendError<T>> {
        loop {
            item = match (self.sender().try_send(item), &self.spillway) {
                (Err(TrySendError::Full(item)), Some(spillway)) => {
                    if self.overflow != Overflow::DropOldest {
                        spillway.reject(&item);
                        return Err(TrySendError::Full(item));
                    }
                    spillway.drop_oldest();
                    item
                }
                (result, _) => return result,
            }
        }
    }

    /// Puts an item into the channel if there is room right now.
    ///
    /// # Errors
    /// Gives the item back when the channel is full or the queue has ended.
    pub fn try_send(&self, item: impl Into<T>) -> Result<(), TrySendError<T>> {
        let item = item.into();
        match (self.overflow, item.size()) {
            (Overflow::DropOldest, _) => self.put(item),
            (_, ..HEAVY) => self.sender().try_send(item),
            (_, size) => {
                let send = |_| self.sender().try_send(item);
                self.control.paced(size, Duration::ZERO, send)
            }
        }
    }

    /// Puts an item into the channel, waiting no longer than `timeout`.
    ///
    /// # Errors
    /// Gives the item back when the time is up or the queue has ended.
    pub fn send_timeout(
        &self,
        item: impl Into<T>,
        timeout: Duration,
    ) -> Result<(), SendTimeoutError<T>> {
        let item = item.into();
        match (self.overflow, item.size()) {
            (Overflow::DropOldest, _) => self
                .put(item)
                .map_err(|e| SendTimeoutError::Disconnected(e.into_inner())),
            (_, ..HEAVY) => self.sender().send_timeout(item, timeout),
            (_, size) => self.control.paced(size, timeout, |waited| {
                let left = timeout.saturating_sub(waited);
                self.sender().send_timeout(item, left)
            }),
        }
    }

    /// Stops handing messages to libzmq until [`resume`](Self::resume): the
    /// channel fills, and senders wait. At once, but for the few messages that
    /// are just being handed over; what libzmq has goes on. Every ending works
    /// as ever, and a [`drain`](Self::drain) hands everything over.
    pub fn pause(&self) {
        self.control.pause();
    }

    /// Ends a [`pause`](Self::pause).
    pub fn resume(&self) {
        self.control.resume();
    }

    /// Whether the queue is paused.
    pub fn is_paused(&self) -> bool {
        self.control.is_paused()
    }

    /// The channel itself, to clone for other threads or to use in a `Select`. (Threads can
    /// share a `&Push`, too: heavy messages wait for room in its own methods alone.)
    /// Clones that outlive the queue fail and give their messages back.
    pub fn sender(&self) -> &Sender<T> {
        self.sender
            .as_ref()
            .expect("there until the handle is gone")
    }

    /// The outcomes, if [`Config::outcomes`] asked for them.
    pub fn outcomes(&self) -> Option<&Receiver<Outcome<T>>> {
        self.outcomes.as_ref()
    }

    /// The endpoints in the order of the [`Config`], with the ports and paths
    /// that the system chose.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The queue's counters as they are now.
    pub fn stats(&self) -> Stats {
        let in_channel = self.sender.as_ref().map_or(0, Sender::len);
        let mut stats = self.counters.snapshot(in_channel);
        self.monitor.add_to(&mut stats);
        if let Some(spillway) = &self.spillway {
            spillway.add_to(&mut stats);
        }
        stats
    }

    /// What happens to the queue, if [`Config::events`] asked for it. A clone
    /// that outlives the queue gets what is inside, then the end.
    pub fn events(&self) -> Option<&Receiver<Event>> {
        self.events.as_ref()
    }

    /// How many peers have shaken hands and not left. Without this crate's own
    /// build of libzmq it is always 0, and peers over `inproc` don't count.
    pub fn peers(&self) -> usize {
        self.monitor.peers()
    }

    /// Waits until there is a peer, at most `timeout`, and tells whether there
    /// is one. False at once when the queue has ended, and after `timeout` where nobody
    /// counts: see [`peers`](Self::peers).
    pub fn wait_for_peer(&self, timeout: Duration) -> bool {
        !self.control.is_foreign() && self.monitor.wait_for_peer(timeout)
    }

    /// The queue's name, as log lines have it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A handle that stops the queue from anywhere.
    pub fn stopper(&self) -> Stopper {
        Stopper::new(&self.control)
    }

    /// Accepts nothing more, hands over everything that was accepted, and
    /// ends. Senders that are blocked or come later fail and get their message
    /// back.
    ///
    /// Blocks until the kernel has all of it and, on Linux, over `ipc` the peer
    /// has read it from there, over `tcp` it was all sent to the peer's kernel; or
    /// until the deadline has passed, or somebody called [`Stopper::stop`]; at
    /// most 50 ms longer than `deadline` (and up to a second more where
    /// [`abort`](Self::abort) may take that). What this side's kernel has by then
    /// counts as handed over: it arrives also after this process has ended, as
    /// long as the peer lives and reads. (Over `ipc` a peer with a stock libzmq may
    /// lose what it had not read by then. Over `tcp`, what had not been sent is
    /// lost if the peer says something to this connection once it is closed: a
    /// stock libzmq that sends heartbeats, or any peer that answers those of this
    /// queue. The log tells that there is some.)
    ///
    /// # Errors
    /// When not everything could be handed over, or a peer left in the middle of
    /// a write ([`DrainFailure::PeerLeft`]). The rest is in
    /// [`DrainError::into_unsent`].
    pub fn drain(mut self, deadline: Duration) -> Result<Drained<T>, DrainError<T>> {
        self.control.drain(Instant::now().checked_add(deadline));
        let ended = self.join();
        let outcomes = self.take_outcomes();
        let nothing_left = ended.unsent.is_empty() && ended.in_doubt == 0;
        match ended.how {
            Ok(())
            | Err(DrainFailure::Stopped | DrainFailure::Deadline | DrainFailure::PeerLeft)
                if nothing_left =>
            {
                Ok(Drained {
                    stats: self.stats(),
                    theirs: ended.theirs,
                    outcomes,
                })
            }
            ref how => Err(DrainError {
                name: self.name.to_string(),
                failure: how.clone().err().unwrap_or(DrainFailure::Stopped),
                unsent: Box::new(ended.into_unsent(outcomes, self.stats())),
            }),
        }
    }

    /// Ends at once, within 50 ms whatever state the queue is in, and gives back
    /// every message that went nowhere. (On a machine that keeps libzmq's thread
    /// from running it waits for that, up to a second, in order to give back
    /// what it holds.)
    pub fn abort(mut self) -> Unsent<T> {
        self.control.stop();
        let ended = self.join();
        let outcomes = self.take_outcomes();
        ended.into_unsent(outcomes, self.stats())
    }

    fn take_outcomes(&mut self) -> Option<Receiver<Outcome<T>>> {
        if self.control.is_foreign() {
            return None;
        }
        self.outcomes.take()
    }

    fn join(&mut self) -> Ended<T> {
        self.done = true;
        self.worker.join(&self.name).unwrap_or_else(|cause| Ended {
            how: Err(DrainFailure::Worker(cause)),
            unsent: Vec::new(),
            in_doubt: 0,
            theirs: None,
        })
    }
}

impl<T: Item> Drop for Push<T> {
    fn drop(&mut self) {
        if self.control.is_foreign() {
            // A forked child: the worker may have held the channels' locks.
            std::mem::forget((
                self.sender.take(),
                self.outcomes.take(),
                self.events.take(),
                self.spillway.take(),
            ));
            return;
        }
        if self.done {
            return;
        }
        self.control.drain(Instant::now().checked_add(self.linger));
        let ended = self.join();
        let lost = ended.unsent.iter().map(|i| i.count()).sum::<usize>();
        if lost > 0 || ended.in_doubt > 0 {
            log::warn!(
                "{}: dropped with {lost} messages unsent and {} in doubt; they are lost",
                self.name,
                ended.in_doubt
            );
        }
    }
}

impl<T: Item> fmt::Debug for Push<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push")
            .field("name", &self.name)
            .field("endpoints", &self.endpoints)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
