mod carrier;

use std::{fmt, sync::Arc, time::Duration};

use crossbeam_channel::{
    bounded, never, Iter, Receiver, RecvError, RecvTimeoutError, Sender, TryRecvError,
};

use crate::{
    attach::Attached,
    config::Config,
    context::SocketKind,
    control::{Control, Stopper},
    endpoint::Endpoint,
    error::{CloseError, OpenError},
    message::{Batch, Item, Message},
    monitor::{Event, Monitor},
    stats::{Counters, Stats},
    unsent::Leftover,
    worker::Worker,
};
use carrier::{Carrier, Ended};

/// The receiving end: a ZeroMQ PULL socket whose far end is a channel.
///
/// A worker thread waits for room in the channel, then takes a message from
/// libzmq and puts it there. While nobody receives, the channel fills, then
/// libzmq up to its high-water mark, then the kernel, and at last the peers
/// wait: back-pressure goes the whole way.
///
/// The handle is the duty to stop: [`close`](Self::close). Dropping it closes
/// the queue and logs how many messages were lost that way. A peer that comes
/// or goes never ends it.
///
/// # What happens to messages
/// [`close`](Self::close) gives back what is in the channel, in libzmq, and
/// what had arrived in the kernel's buffers, as far as it can be read in 25 ms, and
/// of a crowd's no more once 110 000 messages wait and 20 000 have been read (for each
/// of libzmq's threads).
/// Over tcp it waits for what is still on its way, until nothing has come for
/// 5 ms, and no longer than 20. What arrives later is lost, and its sender
/// believes it sent: of one that goes on, what both kernels hold. What it is just
/// writing a Push counts ([`Stats::in_doubt`](crate::Stats::in_doubt)). A
/// warning in the log tells of peers that were seen sending. Over `ipc`, on Linux,
/// a peer that is there can send nothing more once that has begun, and who is just
/// shaking hands is waited for, so nothing is lost that a Push does not count,
/// unless the log tells that there was not enough time (20 ms for handshakes). With a stock
/// libzmq all that the kernel has is lost. So end the senders first, with
/// [`Push::drain`](crate::Push::drain), and receive until nothing comes.
#[must_use = "dropping a queue ends it"]
pub struct Pull<T: Item = Message> {
    name: Arc<str>,
    receiver: Receiver<T>,
    counters: Arc<Counters>,
    monitor: Arc<Monitor>,
    events: Option<Receiver<Event>>,
    endpoints: Vec<Endpoint>,
    control: Arc<Control>,
    worker: Worker<Ended<T>>,
    done: bool,
}

impl Pull {
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

    /// Opens a queue whose channel carries batches: each is what was at hand,
    /// up to 128 messages, and never waits for more.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_batched(config: Config) -> Result<Pull<Batch>, OpenError> {
        Pull::with_own_channel(config)
    }
}

impl<T: Item> Pull<T> {
    /// Feeds a channel of yours, so that several queues can share one. The
    /// queue ends by itself when it has something to hand over and every
    /// receiver is gone; [`close`](Self::close) then returns that message.
    ///
    /// Such a queue has no receiver of its own: [`recv`](Self::recv) and its
    /// likes fail at once.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn into_sender(config: Config, sender: Sender<T>) -> Result<Self, OpenError> {
        Self::start(config, sender, bounded(0).1)
    }

    fn with_own_channel(config: Config) -> Result<Self, OpenError> {
        config.checked()?;
        let (sender, receiver) = bounded(config.capacity);
        Self::start(config, sender, receiver)
    }

    fn start(config: Config, out: Sender<T>, receiver: Receiver<T>) -> Result<Self, OpenError> {
        let (mut attached, control) = Attached::open(SocketKind::Pull, &config)?;
        let name: Arc<str> = config.queue_name().into();
        let endpoints = attached.endpoints.clone();
        let monitor = Arc::clone(&attached.monitor);
        let events = attached.events.take();
        let carrier = Carrier::new(Arc::clone(&name), attached, out, config.stall_after);
        let counters = carrier.counters();
        let worker = Worker::spawn(&format!("pull {name}"), Arc::clone(&control), move || {
            carrier.carry()
        })?;
        Ok(Self {
            name,
            receiver,
            counters,
            monitor,
            events,
            endpoints,
            control,
            worker,
            done: false,
        })
    }

    /// Takes the next item, waiting for it.
    ///
    /// # Errors
    /// When the queue has ended and the channel is empty.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.receiver.recv()
    }

    /// Takes the next item if there is one right now.
    ///
    /// # Errors
    /// When there is none, or the queue has ended and the channel is empty.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.receiver.try_recv()
    }

    /// Takes the next item, waiting no longer than `timeout`.
    ///
    /// # Errors
    /// When none came in time, or the queue has ended and the channel is
    /// empty.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.receiver.recv_timeout(timeout)
    }

    /// The items as they come, until the queue has ended.
    pub fn iter(&self) -> Iter<'_, T> {
        self.receiver.iter()
    }

    /// Stops taking messages from libzmq until [`resume`](Self::resume): it
    /// fills, then the kernel, and then the peers wait. What is in the channel
    /// can be received. At once, but for what is just being received; every
    /// ending works as ever.
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

    /// The channel itself, to clone for other threads or to use in a `Select`.
    /// A clone that outlives the queue gets what is inside, then the end.
    pub fn receiver(&self) -> &Receiver<T> {
        &self.receiver
    }

    /// The endpoints in the order of the [`Config`], with the ports and paths
    /// that the system chose.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The queue's counters as they are now.
    pub fn stats(&self) -> Stats {
        let mut stats = self.counters.snapshot(0);
        stats.depth = self.receiver.len() as u64;
        self.monitor.add_to(&mut stats);
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
    /// is one. False at once when the queue has ended. See
    /// [`peers`](Self::peers) for those that don't count.
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

    /// Ends at once, within 50 ms whatever state the queue is in, and mostly
    /// within one (ten over tcp; more where a sender goes on, or somebody has
    /// called and not shaken hands): first it removes its
    /// socket file and reads what has come, then it takes no more connections, then
    /// it takes out of libzmq what is complete there, then it is gone. (On a machine
    /// that keeps libzmq's thread from running it waits for that, up to two seconds. And the
    /// 160 000 messages that eighty full senders leave in libzmq, with the usual high-water
    /// mark, took 50 to 70 ms to be taken out, on two cores.)
    ///
    /// What nobody had received yet comes back. See
    /// [what happens to messages](#what-happens-to-messages).
    ///
    /// # Errors
    /// When the worker had ended by itself. The messages are in
    /// [`CloseError::into_leftover`].
    pub fn close(mut self) -> Result<Leftover<T>, CloseError<T>> {
        self.control.stop();
        let ended = self.join();
        let leftover = Leftover {
            channel: (!self.control.is_foreign()).then(|| self.receiver.clone()),
            items: ended.leftover.into_iter(),
            cut_short: ended.cut_short,
            stats: self.stats(),
        };
        match ended.cause {
            None => Ok(leftover),
            Some(cause) => Err(CloseError {
                cause,
                leftover: Box::new(leftover),
            }),
        }
    }

    fn join(&mut self) -> Ended<T> {
        self.done = true;
        self.worker.join(&self.name).unwrap_or_else(|cause| Ended {
            leftover: Vec::new(),
            cut_short: 0,
            cause: Some(cause),
        })
    }
}

impl<'a, T: Item> IntoIterator for &'a Pull<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T: Item> Drop for Pull<T> {
    fn drop(&mut self) {
        if self.control.is_foreign() {
            // A forked child: the worker may have held the channel's locks.
            std::mem::forget((
                std::mem::replace(&mut self.receiver, never()),
                self.events.take(),
            ));
            return;
        }
        if self.done {
            return;
        }
        self.control.stop();
        let ended = self.join();
        let lost: usize = ended.leftover.iter().map(|i| i.count()).sum();
        let in_channel = self.receiver.len();
        if lost + in_channel > 0 {
            log::warn!(
                "{}: dropped; lost are {lost} messages that nobody had received, and what no clone \
                 of the receiver takes out of its channel ({in_channel} {})",
                self.name,
                if T::IS_BATCH { "batches" } else { "messages" }
            );
        }
    }
}

impl<T: Item> fmt::Debug for Pull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pull")
            .field("name", &self.name)
            .field("endpoints", &self.endpoints)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
