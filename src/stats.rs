use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::{message::Message, monitor::LastError};

/// A snapshot of a queue's counters, all since it was opened and all in
/// messages unless they say bytes.
///
/// Every message that a [`Push`](crate::Push) accepted is at any time in
/// exactly one of `sent`, `returned`, `lost` and [`backlog`](Self::backlog).
/// The numbers are read one after the other while the worker goes on, so a
/// snapshot of a busy queue can be off by the few messages in motion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Push: taken into the channel. (For batches, those still in the channel
    /// count once the worker takes them.)
    pub accepted: u64,
    /// Push: handed to libzmq and not taken back since.
    pub sent: u64,
    /// Pull: taken from libzmq.
    pub received: u64,
    /// Pull: handed into the channel.
    pub delivered: u64,
    /// Given back: in an outcome, a receipt, or by `drain`, `abort` or `close`.
    pub returned: u64,
    /// Push: expired at their send deadline, or dropped as the oldest, with
    /// nobody to take them back: no receipt, and outcomes were off or their
    /// channel was full.
    pub lost: u64,
    /// Push: handed to libzmq, and neither known to have got to the kernel nor
    /// taken back: of what was being written when a peer left, or when the
    /// queue was aborted; the most that can be. A worker that has nothing to send
    /// sees that up to a second after the peer has left. They count as `sent` too. What
    /// a kernel had of a peer that left nobody can tell: see `peers_left`.
    pub in_doubt: u64,
    /// Payload bytes: of a Push, of all messages that left the channel; of a
    /// Pull, of all that were received.
    pub bytes: u64,
    /// Payload bytes: of a Push, of all messages that are `sent`; of a Pull, of
    /// all that were delivered.
    pub bytes_out: u64,
    /// Outcomes that were thrown away because their channel was full.
    pub outcomes_dropped: u64,
    /// Push: how often the worker had to wait because every peer was at its
    /// high-water mark, or there was none. Pull: because the channel was full.
    pub stalls: u64,
    /// Push: refused for want of room, with
    /// [`Overflow::RejectNewest`](crate::Overflow::RejectNewest). Never
    /// accepted, so they count nowhere else.
    pub rejected: u64,
    /// Push: the oldest in a full channel, with
    /// [`Overflow::DropOldest`](crate::Overflow::DropOldest). They count as
    /// `returned` or `lost` too.
    pub dropped: u64,
    /// Items in the channel.
    pub depth: u64,
    /// How long the worker has waited in [`stalls`](Self::stalls), all
    /// together; a wait that goes on is brought up to date once a second.
    pub blocked: Duration,
    /// Peers that have shaken hands and not left. See
    /// [`Push::peers`](crate::Push::peers).
    pub peers: u64,
    /// Peers that had shaken hands and left, or whose connection broke, before the queue
    /// ended: how often something that was under way to one may have been lost.
    pub peers_left: u64,
    /// Calls after the first: of peers that were not there, or left.
    pub reconnects: u64,
    /// Events that were thrown away because their channel was full.
    pub events_dropped: u64,
    /// The last thing that went wrong with a connection.
    pub last_error: Option<LastError>,
}

impl Stats {
    /// Push: accepted, and neither sent nor given back yet.
    pub fn backlog(&self) -> u64 {
        self.accepted
            .saturating_sub(self.sent + self.returned + self.lost)
    }
}

/// One line, for people.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        let mut count = |f: &mut fmt::Formatter<'_>, name: &str, n: u64| {
            if n == 0 {
                return Ok(());
            }
            let comma = if std::mem::take(&mut first) { "" } else { ", " };
            write!(f, "{comma}{n} {name}")
        };
        count(f, "accepted", self.accepted)?;
        count(f, "sent", self.sent)?;
        count(f, "received", self.received)?;
        count(f, "delivered", self.delivered)?;
        count(f, "bytes in", self.bytes)?;
        count(f, "bytes out", self.bytes_out)?;
        count(f, "in the channel", self.depth)?;
        count(f, "returned", self.returned)?;
        count(f, "lost", self.lost)?;
        count(f, "in doubt", self.in_doubt)?;
        count(f, "rejected", self.rejected)?;
        count(f, "dropped", self.dropped)?;
        count(f, "peers", self.peers)?;
        count(f, "peers left", self.peers_left)?;
        count(f, "reconnects", self.reconnects)?;
        count(f, "stalls", self.stalls)?;
        count(f, "outcomes dropped", self.outcomes_dropped)?;
        count(f, "events dropped", self.events_dropped)?;
        if first {
            f.write_str("nothing yet")?;
        }
        if !self.blocked.is_zero() {
            write!(f, ", blocked for {:.1?}", self.blocked)?;
        }
        match self.last_error {
            Some(error) => write!(f, ", last error: {error}"),
            None => Ok(()),
        }
    }
}

/// A map of numbers; `blocked` in seconds, `last_error` as text.
#[cfg(feature = "serde")]
impl serde::Serialize for Stats {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;

        let counts = [
            ("accepted", self.accepted),
            ("sent", self.sent),
            ("received", self.received),
            ("delivered", self.delivered),
            ("returned", self.returned),
            ("lost", self.lost),
            ("in_doubt", self.in_doubt),
            ("bytes", self.bytes),
            ("bytes_out", self.bytes_out),
            ("outcomes_dropped", self.outcomes_dropped),
            ("stalls", self.stalls),
            ("rejected", self.rejected),
            ("dropped", self.dropped),
            ("depth", self.depth),
            ("peers", self.peers),
            ("peers_left", self.peers_left),
            ("reconnects", self.reconnects),
            ("events_dropped", self.events_dropped),
        ];
        let mut map = serializer.serialize_struct("Stats", counts.len() + 2)?;
        for (name, count) in counts {
            map.serialize_field(name, &count)?;
        }
        map.serialize_field("blocked", &self.blocked.as_secs_f64())?;
        map.serialize_field("last_error", &self.last_error.map(|e| e.to_string()))?;
        map.end()
    }
}

/// Written by the queue's worker alone, read by anybody.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub taken: Counter,
    pub sent: Counter,
    pub received: Counter,
    pub delivered: Counter,
    pub returned: Counter,
    pub lost: Counter,
    pub in_doubt: Counter,
    pub bytes: Counter,
    pub bytes_out: Counter,
    pub outcomes_dropped: Counter,
    pub stalls: Counter,
    /// In nanoseconds.
    pub blocked: Counter,
}

impl Counters {
    pub(crate) fn snapshot(&self, in_channel: usize) -> Stats {
        Stats {
            sent: self.sent.get(),
            returned: self.returned.get(),
            lost: self.lost.get(),
            accepted: self.taken.get() + in_channel as u64,
            delivered: self.delivered.get(),
            received: self.received.get(),
            in_doubt: self.in_doubt.get(),
            bytes: self.bytes.get(),
            bytes_out: self.bytes_out.get(),
            outcomes_dropped: self.outcomes_dropped.get(),
            stalls: self.stalls.get(),
            depth: in_channel as u64,
            blocked: Duration::from_nanos(self.blocked.get()),
            ..Stats::default()
        }
    }

    /// A Push has handed messages to libzmq.
    #[inline]
    pub(crate) fn went(&self, messages: usize, bytes: usize) {
        self.sent.add(messages);
        self.bytes_out.add(bytes);
    }

    /// It has taken them back.
    pub(crate) fn came_back(&self, messages: &[Message]) {
        self.sent.sub(messages.len());
        self.bytes_out.sub(messages.iter().map(Message::len).sum());
    }
}

/// A counter with one writer: a load and a store, no locked instruction.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: usize) {
        self.0.store(self.get() + n as u64, Relaxed);
    }

    pub(crate) fn sub(&self, n: usize) {
        self.0.store(self.get().saturating_sub(n as u64), Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
