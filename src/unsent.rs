use std::{fmt, vec};

use crossbeam_channel::Receiver;

use crate::{error::WorkerError, message::Item, push::Outcome, stats::Stats, Message};

/// A [`Push`](crate::Push) that handed everything over.
#[derive(Debug)]
pub struct Drained<T: Item = Message> {
    pub(crate) stats: Stats,
    pub(crate) theirs: Option<Receiver<T>>,
    pub(crate) outcomes: Option<Receiver<Outcome<T>>>,
}

impl<T: Item> Drained<T> {
    /// How many messages the queue sent in its life.
    pub fn sent(&self) -> u64 {
        self.stats.sent
    }

    /// How many of those may have been lost in the queue's life, as they were being
    /// written to peers that left: [`Stats::in_doubt`]. What such a peer's kernel had
    /// nobody can tell: see [`Stats::peers_left`].
    pub fn in_doubt(&self) -> u64 {
        self.stats.in_doubt
    }

    /// The last state of the counters.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// For a queue made [from a receiver](crate::Push::from_receiver): that
    /// receiver, with whatever senders have put in since the drain began.
    pub fn rest(&self) -> Option<&Receiver<T>> {
        self.theirs.as_ref()
    }

    /// The outcomes that nobody has read yet, if there are any to be read.
    pub fn outcomes(&self) -> Option<&Receiver<Outcome<T>>> {
        self.outcomes.as_ref()
    }
}

/// The messages of a [`Push`](crate::Push) that went nowhere, oldest first:
/// taken back from libzmq, from the worker's hand, and from the channel.
///
/// With several peers "oldest first" holds for the messages of each. A
/// [`Batch`](crate::Batch) comes back without what was sent of it.
#[must_use = "these messages are lost when nobody looks at them"]
pub struct Unsent<T: Item = Message> {
    pub(crate) items: vec::IntoIter<T>,
    pub(crate) in_doubt: u64,
    pub(crate) theirs: Option<Receiver<T>>,
    pub(crate) cause: Option<WorkerError>,
    pub(crate) outcomes: Option<Receiver<Outcome<T>>>,
    pub(crate) stats: Stats,
}

impl<T: Item> Unsent<T> {
    /// The last state of the queue's counters.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// For a queue made [from a receiver](crate::Push::from_receiver): that
    /// receiver, with whatever senders have put in since the queue ended.
    pub fn rest(&self) -> Option<&Receiver<T>> {
        self.theirs.as_ref()
    }

    /// How many further messages may or may not arrive: a connection had begun
    /// to send them, and whether the kernel got all of it is not known. Never
    /// too low. With this crate's own build of libzmq it is 0 unless a
    /// connection was stuck with a full kernel buffer, and then at most what
    /// one write to each peer holds, which is 256 KiB (thousands of small ones)
    /// or one larger message. It is all that libzmq may hold with a stock
    /// build, after [`Context::shutdown`](crate::Context::shutdown), and while
    /// libzmq's thread looks up a name, or is kept from running for half a second.
    ///
    /// With it are those that were being written to peers that left while a
    /// drain was under way. Of peers that had left before, they are in
    /// [`Stats::in_doubt`] alone, which has these, too.
    pub fn in_doubt(&self) -> u64 {
        self.in_doubt
    }

    /// Why the worker had ended by itself, if it had.
    pub fn cause(&self) -> Option<&WorkerError> {
        self.cause.as_ref()
    }

    /// The outcomes that nobody has read yet, if there are any to be read.
    pub fn outcomes(&self) -> Option<&Receiver<Outcome<T>>> {
        self.outcomes.as_ref()
    }
}

impl<T: Item> Unsent<T> {
    /// How many items are left.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Item> Iterator for Unsent<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.items.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

impl<T: Item> ExactSizeIterator for Unsent<T> {}

impl<T: Item> fmt::Debug for Unsent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsent")
            .field("items", &self.len())
            .field("in_doubt", &self.in_doubt)
            .field("cause", &self.cause)
            .finish_non_exhaustive()
    }
}

/// What a [`Pull`](crate::Pull) had received and nobody had taken, oldest
/// first.
#[must_use = "these messages are lost when nobody looks at them"]
pub struct Leftover<T: Item = Message> {
    pub(crate) channel: Option<Receiver<T>>,
    pub(crate) items: vec::IntoIter<T>,
    pub(crate) cut_short: u64,
    pub(crate) stats: Stats,
}

impl<T: Item> Leftover<T> {
    /// Of how many peers something may be lost: they had sent more than there was time
    /// to read, or were seen sending or coming still. The log tells which. What came
    /// later yet nobody can know here: over tcp a sender that goes on believes it sent.
    pub fn cut_short(&self) -> u64 {
        self.cut_short
    }

    /// The last state of the queue's counters.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// How many items are left.
    pub fn len(&self) -> usize {
        self.channel.as_ref().map_or(0, Receiver::len) + self.items.len()
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Item> Iterator for Leftover<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        // The worker is gone, so the channel only ever gets emptier.
        let first = self.channel.as_ref().and_then(|c| c.try_recv().ok());
        first.or_else(|| self.items.next())
    }
}

impl<T: Item> fmt::Debug for Leftover<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leftover")
            .field("items", &self.len())
            .field("cut_short", &self.cut_short)
            .finish_non_exhaustive()
    }
}
