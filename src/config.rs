mod options;
#[cfg(feature = "serde")]
mod serde;
mod url;
mod value;

pub(crate) use options::is_option;

use std::time::Duration;

use crate::{
    context::Context,
    endpoint::{Endpoint, Role, Transport},
    error::{OpenError, OpenErrorKind},
    push::Overflow,
};

/// Everything about a queue that is fixed when it is opened.
///
/// ```
/// use pushpull::{Config, Pull};
/// use std::time::Duration;
///
/// let pull = Pull::open(
///     Config::bind("tcp://127.0.0.1:0")
///         .name("jobs")
///         .capacity(100)
///         .linger(Duration::from_millis(200)),
/// )?;
/// println!("listening at {}", pull.endpoints()[0]);
/// # Ok::<(), pushpull::OpenError>(())
/// ```
///
/// The values are checked by `open`, which names the one that is wrong.
///
/// # From a URL, a file or the environment
/// Every option has one name everywhere, which is that of its setter.
/// [`from_url`](Self::from_url) reads a whole configuration from one line. With
/// the feature `serde` it can also be a table in a file, and part of your own
/// configuration:
///
/// ```toml
/// connect = "ipc:///run/jobs.sock"   # or bind; never both
/// also_connect = ["tcp://other.example:5555"]
/// high_water_mark = 100
/// linger = "3s"                      # a length of time has a unit
/// reconnect = ["100ms", "3s"]
/// max_message_size = "64MiB"         # or a number of bytes
/// mode = "0660"                      # octal; 0o660 without quotes
/// keepalive = true
/// ```
///
/// Numbers and switches may also come as texts, as they do from the environment
/// (`"100"`, `"true"`, `"100ms,3s"`); see `examples/config.rs`. Unknown keys,
/// values without their unit or out of their range, and contradictions are
/// errors that name the key and tell what is allowed. The format must be one
/// that describes itself, as text formats do.
#[derive(Clone, Debug)]
#[must_use]
pub struct Config {
    endpoints: Vec<(Role, String)>,
    name: Option<String>,
    pub(crate) capacity: usize,
    pub(crate) high_water_mark: u32,
    pub(crate) linger: Duration,
    pub(crate) send_deadline: Option<Duration>,
    pub(crate) reconnect: (Duration, Duration),
    pub(crate) connect_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) keepalive: bool,
    pub(crate) max_message_size: u64,
    pub(crate) only_connected_peers: bool,
    pub(crate) legacy_peers: bool,
    pub(crate) mode: u32,
    pub(crate) outcomes: usize,
    pub(crate) events: usize,
    pub(crate) stall_after: Duration,
    pub(crate) overflow: Overflow,
    pub(crate) context: Option<Context>,
}

impl Config {
    /// A queue that listens at `endpoint`.
    pub fn bind(endpoint: &str) -> Self {
        Self::at(Role::Bind, endpoint)
    }

    /// A queue that calls `endpoint`.
    pub fn connect(endpoint: &str) -> Self {
        Self::at(Role::Connect, endpoint)
    }

    fn at(role: Role, endpoint: &str) -> Self {
        Self {
            endpoints: vec![(role, endpoint.to_owned())],
            name: None,
            capacity: 1000,
            high_water_mark: 1000,
            linger: Duration::from_secs(1),
            send_deadline: None,
            reconnect: (Duration::from_millis(100), Duration::from_secs(3)),
            connect_timeout: Duration::ZERO,
            handshake_timeout: Duration::from_secs(10),
            heartbeat: Duration::ZERO,
            keepalive: true,
            max_message_size: 64 << 20,
            only_connected_peers: false,
            legacy_peers: false,
            mode: 0o600,
            outcomes: 0,
            events: 0,
            stall_after: Duration::from_secs(10),
            overflow: Overflow::Block,
            context: None,
        }
    }

    /// Listen here as well.
    pub fn also_bind(mut self, endpoint: &str) -> Self {
        self.endpoints.push((Role::Bind, endpoint.to_owned()));
        self
    }

    /// Call there as well. A Push shares its messages out among its peers in
    /// turn, a Pull takes from them in turn.
    pub fn also_connect(mut self, endpoint: &str) -> Self {
        self.endpoints.push((Role::Connect, endpoint.to_owned()));
        self
    }

    /// What log lines, threads and errors call the queue. The first endpoint
    /// unless set.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// How many items the channel holds: messages, or batches, however many messages these
    /// have. 1000 unless set; 0 makes every send wait until the worker takes the item. A
    /// thousand messages of 1 MiB are a gigabyte, and for a peer that was called and is not
    /// there yet libzmq holds another: who wants little memory sets both, for each queue
    /// ([`high_water_mark`](Self::high_water_mark)). Where a peer keeps up,
    /// [`Push::send`](crate::Push::send) holds them back earlier.
    pub fn capacity(mut self, items: usize) -> Self {
        self.capacity = items;
        self
    }

    /// How many messages libzmq holds for each peer, on this side; also how many
    /// a Push keeps aside that were for peers that left (see
    /// [`DrainFailure::PeerLeft`](crate::DrainFailure::PeerLeft)). 1000 unless
    /// set; at least 1. (ZeroMQ's 0 means "no limit" and is refused: memory
    /// stays bounded here.) Of messages of 8 KiB and more libzmq holds about
    /// 1 MiB for a peer of a Push, and of those of 256 KiB and more 16 MiB, or four
    /// messages, once one of that size has gone to it, with up to 64 peers. (It judges
    /// by the last message of those that it gets at once; with MSVC only the latter.)
    /// See `ZMQ_SNDHWM` and `ZMQ_RCVHWM` in zmq_setsockopt(3).
    pub fn high_water_mark(mut self, messages: u32) -> Self {
        self.high_water_mark = messages;
        self
    }

    /// How long dropping a Push goes on handing messages over before it
    /// aborts. 1 s unless set; zero aborts at once. [`Push::drain`] has its own
    /// deadline and does not look at this one. On Linux the time is also spent
    /// on peers that have yet to take what the kernel has, as a drain does.
    ///
    /// [`Push::drain`]: crate::Push::drain
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// How long a Push tries to hand an item to libzmq once it is first in
    /// line. When that passes, the item comes back in its
    /// [`Outcome`](crate::Outcome) and the next one gets its turn. Unset, it
    /// waits for ever.
    ///
    /// With [`outcomes`](Self::outcomes) off, or their channel full, an expired
    /// item has nobody to come back to: it is counted in
    /// [`Stats::lost`](crate::Stats::lost) and logged.
    pub fn send_deadline(mut self, deadline: Duration) -> Self {
        self.send_deadline = Some(deadline);
        self
    }

    /// The pause before a lost connection is tried again: the first one, and
    /// the longest, towards which it doubles. 100 ms and 3 s unless set. See
    /// `ZMQ_RECONNECT_IVL` in zmq_setsockopt(3).
    pub fn reconnect(mut self, first: Duration, longest: Duration) -> Self {
        self.reconnect = (first, longest);
        self
    }

    /// When to give up one attempt to reach a tcp peer and begin the next.
    /// Zero, the default, leaves it to the system. See `ZMQ_CONNECT_TIMEOUT`.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// When to drop a connection whose peer has not shaken hands. 10 s unless
    /// set; zero waits for ever. See `ZMQ_HANDSHAKE_IVL`.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Send a ZMTP ping this often, and drop a peer that leaves one unanswered
    /// for as long. Zero, the default, sends none. See `ZMQ_HEARTBEAT_IVL`.
    ///
    /// For a Push: a receiver under back-pressure reads no pings either. It is
    /// taken for a dead one, and what is in its buffers is lost; the log says
    /// that a peer left, and what was being written to it is counted. And over
    /// tcp the answer to a ping, if it finds this Push gone, has this side's
    /// kernel throw away what it had not yet sent; a drain waits for that.
    ///
    /// A Pull pings nobody while it has something of his to read, and gives
    /// nobody up that it has no room for; but with CURVE it does ping. (On a stock libzmq it does, and aborts
    /// the process when there is room again; and over tcp a ping that finds its
    /// sender gone has the sender's kernel throw away what was still to come.)
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// Whether the system probes idle tcp connections, so that a peer whose
    /// machine vanished is noticed. On unless set. See `ZMQ_TCP_KEEPALIVE`.
    pub fn keepalive(mut self, on: bool) -> Self {
        self.keepalive = on;
        self
    }

    /// The longest message a Pull accepts, all frames together, in bytes. 64 MiB
    /// unless set; never more than 65536 frames. A peer that announces a longer
    /// frame loses its connection before any of it is stored, and with it what was
    /// under way behind that; the log tells, and
    /// [`LastError::CutOff`](crate::LastError::CutOff). A Push does not know its
    /// peers' limits. (With less than some 100 bytes not even a handshake fits.) See
    /// `ZMQ_MAXMSGSIZE`, with which stock libzmq bounds each frame alone, and in
    /// which -1 means no limit.
    pub fn max_message_size(mut self, bytes: u64) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// Whether a Push with several endpoints keeps messages from those that
    /// are not connected at the moment. Off unless set: a message may then
    /// wait for the one peer it was dealt to, and survives its restart. On,
    /// what waits for a peer that goes away goes to the next one, or comes back
    /// at the end where it would overtake; with stock libzmq it is lost. A Pull
    /// does not look at it. See `ZMQ_IMMEDIATE`.
    pub fn only_connected_peers(mut self, on: bool) -> Self {
        self.only_connected_peers = on;
        self
    }

    /// Lets peers in that speak ZMTP 1 or 2 (libzmq before 4.0, JeroMQ before
    /// 0.5). Off unless set, since these protocols let raw bytes through as
    /// well.
    pub fn legacy_peers(mut self, on: bool) -> Self {
        self.legacy_peers = on;
        self
    }

    /// The permission bits of an `ipc` socket file. `0o600` unless set: the
    /// same user alone. Unix only, and not for `ipc://@name`, which has no file
    /// and is open to every user of the machine.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Report one [`Outcome`](crate::Outcome) per item of a Push through a
    /// channel of this many. 0, the default, reports none. A full channel
    /// never holds the worker up: the outcome is dropped and counted.
    pub fn outcomes(mut self, capacity: usize) -> Self {
        self.outcomes = capacity;
        self
    }

    /// Tell what happens to the queue's connections and its flow through a
    /// channel of this many [`Event`](crate::Event)s. 0, the default, tells
    /// nothing. A full channel holds nobody up: what finds no room is dropped,
    /// and counted in [`Stats::events_dropped`](crate::Stats::events_dropped).
    ///
    /// The events of connections need this crate's own build of libzmq; with a
    /// stock one there are [`Stalled`](crate::Event::Stalled) and
    /// [`Resumed`](crate::Event::Resumed) alone.
    pub fn events(mut self, capacity: usize) -> Self {
        self.events = capacity;
        self
    }

    /// When a queue that has messages and can't move any is called stalled: in
    /// [`Event::Stalled`](crate::Event::Stalled), and in the log as a warning,
    /// once for each stall. 10 s unless set; zero never. From 10 ms; it is told
    /// within a fifth more.
    pub fn stall_after(mut self, time: Duration) -> Self {
        self.stall_after = time;
        self
    }

    /// What a Push does when its channel is full. [`Overflow::Block`] unless
    /// set. The others are for [`send`](crate::Push::send) and its likes on the
    /// handle: clones of [`Push::sender`](crate::Push::sender) are plain
    /// channels, and a Push [from a
    /// receiver](crate::Push::from_receiver) has nothing to say about its own.
    /// In a URL or a file: `block`, `reject_newest`, `drop_oldest`.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Share libzmq's I/O threads with other queues, and reach them over
    /// `inproc`. Unless set, the queue has a context of its own. What shares a
    /// thread waits for one another: that of a Pull that closes reads what has
    /// arrived, for up to 25 ms.
    pub fn context(mut self, context: impl Into<Context>) -> Self {
        self.context = Some(context.into());
        self
    }

    pub(crate) fn queue_name(&self) -> String {
        match &self.name {
            Some(name) => name.clone(),
            None => self.endpoints[0].1.clone(),
        }
    }

    /// The endpoints, parsed, once every value is known to be in range.
    pub(crate) fn checked(&self) -> Result<Vec<Endpoint>, OpenError> {
        self.check_ranges()?;
        let endpoints = self.parsed_endpoints()?;
        for endpoint in &endpoints {
            if endpoint.transport() == Transport::Inproc && self.context.is_none() {
                return Err(OpenError::new(
                    OpenErrorKind::InvalidOption,
                    endpoint.to_string(),
                    "inproc reaches queues of the same context alone: set Config::context",
                ));
            }
        }
        Ok(endpoints)
    }

    fn parsed_endpoints(&self) -> Result<Vec<Endpoint>, OpenError> {
        self.endpoints
            .iter()
            .map(|(role, text)| Endpoint::parse(*role, text))
            .collect()
    }
}
