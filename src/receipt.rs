use std::{fmt, sync::Arc, time::Duration};

use crate::{control::Watched, Message};

/// The fate of one message, told once, to whoever sent it. From
/// [`Push::send_tracked`](crate::Push::send_tracked) or
/// [`Message::tracked`].
///
/// One that nobody reads costs nobody anything, and dropping it is free.
///
/// ```
/// use pushpull::{Fate, Pull, Push};
///
/// let pull = Pull::bind("tcp://127.0.0.1:0")?;
/// let push = Push::connect(&pull.endpoints()[0].to_string())?;
/// let receipt = push.send_tracked("precious")?;
/// assert_eq!(receipt.wait(), Fate::Accepted);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a receipt that nobody reads tells nobody anything"]
pub struct Receipt {
    slot: Arc<Slot>,
}

type Slot = Watched<Option<Fate>>;

/// What became of a message with a [`Receipt`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// libzmq took it: it waits there for a peer or is on its way to one. (What
    /// the end of a queue still takes back from libzmq comes in its
    /// [`Unsent`](crate::Unsent), as with [`Outcome`](crate::Outcome)s.)
    Accepted,
    /// It was not sent, and this is it: a copy, where it also comes back in an
    /// [`Outcome`](crate::Outcome) or in [`Unsent`](crate::Unsent).
    Returned {
        /// Why it was not sent.
        reason: ReturnReason,
        /// The message.
        message: Message,
    },
    /// Nobody can tell: the message was dropped before a queue took it or gave
    /// it back.
    Abandoned,
}

/// Why a message with a [`Receipt`] was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReturnReason {
    /// [`Config::send_deadline`](crate::Config::send_deadline) passed.
    Deadline,
    /// The channel was full, with
    /// [`Overflow::RejectNewest`](crate::Overflow::RejectNewest).
    Rejected,
    /// It was the oldest in a full channel, with
    /// [`Overflow::DropOldest`](crate::Overflow::DropOldest).
    Dropped,
    /// The queue ended first; the message comes back in
    /// [`Unsent`](crate::Unsent) too.
    Ended,
}

impl fmt::Display for ReturnReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "the send deadline passed",
            Self::Rejected => "the channel was full",
            Self::Dropped => "it was the oldest in a full channel",
            Self::Ended => "the queue ended",
        })
    }
}

impl Receipt {
    pub(crate) fn new() -> (Ticket, Self) {
        let slot = Arc::new(Slot::new(None));
        let ticket = Ticket {
            slot: Arc::clone(&slot),
        };
        (ticket, Self { slot })
    }

    /// Waits until the fate of the message is known. That can take as long as
    /// the queue is stalled.
    pub fn wait(self) -> Fate {
        let fate = self.slot.wait(None, Option::take);
        fate.unwrap_or(Fate::Abandoned)
    }

    /// Waits for it no longer than `timeout`.
    ///
    /// # Errors
    /// Gives the receipt back when the time is up.
    pub fn wait_timeout(self, timeout: Duration) -> Result<Fate, Self> {
        let fate = self.slot.wait(Some(timeout), Option::take);
        fate.ok_or(self)
    }

    /// Takes it if it is known right now.
    ///
    /// # Errors
    /// Gives the receipt back when it is not known yet.
    pub fn try_fate(self) -> Result<Fate, Self> {
        self.wait_timeout(Duration::ZERO)
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.slot.glance().map(|fate| fate.is_some());
        f.debug_struct("Receipt").field("known", &known).finish()
    }
}

/// The message's end of a receipt.
pub(crate) struct Ticket {
    slot: Arc<Slot>,
}

impl Ticket {
    /// Tells the fate, if somebody may still ask for it, and whether somebody
    /// does.
    pub(crate) fn tell(&self, fate: impl FnOnce() -> Fate) -> bool {
        let read = Arc::strong_count(&self.slot) > 1;
        if read {
            self.slot.change(|slot| {
                slot.get_or_insert_with(fate);
            });
        }
        read
    }
}

impl Drop for Ticket {
    /// After the fate has been told, this changes nothing.
    fn drop(&mut self) {
        self.tell(|| Fate::Abandoned);
    }
}
