//! The receiving end of a Push's channel, and how it is closed without losing
//! a message.

use std::mem::ManuallyDrop;

use crossbeam_channel::{Receiver, Sender};

use crate::message::{collect_dropped, Item};

pub(crate) struct Intake<T> {
    receiver: Receiver<T>,
    /// For a channel of our own: keeps its memory alive in `close`.
    sender: Option<Sender<T>>,
}

/// What is left of a channel that takes nothing more.
pub(crate) struct Closed<T> {
    /// What was inside, in order.
    pub items: Vec<T>,
    /// A channel of the caller's, which is not ours to close.
    pub theirs: Option<Receiver<T>>,
}

impl<T: Item> Intake<T> {
    pub(crate) fn ours(receiver: Receiver<T>, sender: &Sender<T>) -> Self {
        Self {
            receiver,
            sender: Some(sender.clone()),
        }
    }

    pub(crate) fn theirs(receiver: Receiver<T>) -> Self {
        Self {
            receiver,
            sender: None,
        }
    }

    pub(crate) fn receiver(&self) -> &Receiver<T> {
        &self.receiver
    }

    /// Refuses whatever is sent from now on, wakes the senders that wait, and
    /// returns what was accepted until then: all of it.
    ///
    /// crossbeam disconnects a channel when its last receiver is dropped, and
    /// from then on nobody can receive what is inside. Receiving it before
    /// that is no way: a sender may come in between. Disconnecting is the only
    /// moment at which "accepted" and "refused" are sharply apart, so it has to
    /// come first, and the receiving after it.
    pub(crate) fn close(self) -> Closed<T> {
        let Self { receiver, sender } = self;
        let Some(sender) = sender else {
            // As many as there are now; the rest stays for its owner.
            let items = receiver.try_iter().take(receiver.len()).collect();
            return Closed {
                items,
                theirs: Some(receiver),
            };
        };
        let receiver = ManuallyDrop::new(receiver);
        // SAFETY: a `Receiver` is a counted pointer to the channel. Dropping
        // the copy counts it off, and being the only one, disconnects the
        // channel. The memory stays until the senders are counted off as well,
        // and `sender` is one of them, alive to the end of this function; so
        // the original may still receive. It is never dropped: its count is
        // the one that is gone.
        let last = unsafe { std::ptr::read(&*receiver) };
        // A channel may also drop what is inside when it disconnects (std's
        // does), oldest first and on this thread.
        let mut items = T::pack(collect_dropped(|| drop(last)));
        items.extend(receiver.try_iter());
        drop(sender);
        Closed {
            items,
            theirs: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{atomic::AtomicU64, atomic::Ordering::Relaxed, Barrier},
        thread,
    };

    use super::Intake;
    use crate::Message;

    /// With a `try_recv` loop in front of a plain drop, this loses messages in
    /// most of its rounds.
    #[test]
    fn closing_a_channel_that_is_being_sent_to_loses_nothing() {
        for round in 0..500 {
            let (sender, receiver) = crossbeam_channel::bounded::<Message>(1 + round % 7);
            let intake = Intake::ours(receiver, &sender);
            let accepted = AtomicU64::new(0);
            let start = Barrier::new(5);
            let found = thread::scope(|scope| {
                for _ in 0..4 {
                    let (sender, accepted, start) = (sender.clone(), &accepted, &start);
                    scope.spawn(move || {
                        start.wait();
                        while sender.send("a message".into()).is_ok() {
                            accepted.fetch_add(1, Relaxed);
                        }
                    });
                }
                start.wait();
                let mut found = 0;
                for _ in 0..round {
                    found += u64::from(intake.receiver().recv().is_ok());
                }
                found + intake.close().items.len() as u64
            });
            assert_eq!(found, accepted.into_inner());
        }
    }

    #[test]
    fn a_channel_of_the_callers_is_left_open() {
        let (sender, receiver) = crossbeam_channel::unbounded::<Message>();
        sender.send("first".into()).expect("open");
        let closed = Intake::theirs(receiver).close();
        assert_eq!(closed.items, ["first".into()]);
        sender.send("second".into()).expect("still open");
        assert_eq!(
            closed.theirs.and_then(|r| r.try_recv().ok()),
            Some("second".into())
        );
    }
}
