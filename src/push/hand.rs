//! What left the channel and is not yet libzmq's.

use std::collections::VecDeque;

use crate::{
    context::{Failure, Native, RawFrame, Socket},
    message::{Message, Parts},
    native::{self, LARGE},
    receipt::{Fate, Ticket},
    stats::Counters,
};

/// Messages in order: a run of single frames that go in one call, then at most
/// one message of several frames, then whatever comes behind that.
#[derive(Default)]
pub(super) struct Hand {
    /// The longest run, if it is to be shorter than `RUN`.
    most: Option<usize>,
    run: Vec<RawFrame>,
    /// How many bytes each of the run had, for those that are gone.
    sizes: Vec<usize>,
    /// The sum of those.
    bytes: usize,
    /// How many peers there were when there was much to be sent, and how many had
    /// ever come.
    peers: usize,
    joined: u64,
    /// How many messages have gone since there was nothing to be sent.
    streak: usize,
    turn: native::Turn,
    /// How many of the run libzmq has taken; these frames are empty.
    gone: usize,
    whole: Vec<RawFrame>,
    whole_size: usize,
    /// The receipts of those, by their place in the run.
    tickets: VecDeque<(usize, Ticket)>,
    /// How many went since `take_count`.
    count: usize,
    behind: VecDeque<Message>,
}

/// Where an attempt to send came to an end.
pub(super) enum Stop {
    /// The hand is empty.
    Done,
    /// libzmq has no room for the next message.
    Full,
    /// A peer left with messages that come first.
    Left,
}

/// The longest run for one peer: long enough for few calls and wake-ups, as much
/// as goes into half of a pipe with the usual high-water mark.
pub(super) const RUN: usize = 512;

/// A run ends with the message that makes it so many bytes: what a connection
/// takes in a few system calls. And with a large one, as native/large.cpp looks at the
/// last.
const BYTES: usize = 1 << 20;

/// The most peers for each of which a run is made longer. Every call wakes
/// every connection that got something, so each should get several.
const PEERS: usize = 4;

/// With so many peers each gets several in a row when there is much to be sent: one
/// of a hundred is woken for a few messages otherwise, and costs more than they do.
const CROWD: usize = 8;

/// By this part of what each has had since there was nothing to be sent, at most, one
/// is ahead of the others then,
const AHEAD: usize = 8;

/// and not before it is so many.
const ROW: usize = 32;

/// Nor more than this: as much as is at hand, and more than the usual high-water mark lets
/// one have at once.
const LONGEST_ROW: usize = PEERS * RUN;

/// The place of `whole` among the tickets.
const WHOLE: usize = usize::MAX - 1;

impl Hand {
    /// For a channel of so many items: whoever wants few messages to wait in
    /// it does not want hundreds behind it.
    pub(super) fn behind(capacity: Option<usize>) -> Self {
        let most = capacity.filter(|c| *c < RUN).map(|c| c.max(1));
        Self {
            most,
            ..Self::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gone == self.run.len() && self.whole.is_empty() && self.behind.is_empty()
    }

    /// Whether another message would still be part of the run.
    pub(super) fn has_room(&self) -> bool {
        let most = self.most.unwrap_or(RUN * self.peers.clamp(1, PEERS));
        self.run.len() < most
            && self.bytes < BYTES
            && self.whole.is_empty()
            && self.behind.is_empty()
    }

    /// Takes a message of so many bytes.
    pub(super) fn put(&mut self, message: Message, size: usize) {
        if !self.has_room() {
            self.behind.push_back(message);
            return;
        }
        // By far the most.
        let put = |native: Native| self.put_one(native.into_raw(), size);
        let Some(message) = message.give_native(put) else {
            return;
        };
        let (parts, ticket) = message.into_parts();
        if let Some(ticket) = ticket {
            let at = match parts {
                Parts::One(_) => self.run.len(),
                Parts::Many(_) => WHOLE,
            };
            self.tickets.push_back((at, ticket));
        }
        match parts {
            Parts::One(frame) => self.put_one(frame.into_raw(), size),
            Parts::Many(frames) => {
                self.whole_size = size;
                self.whole.extend(frames.into_iter().map(|f| f.into_raw()));
            }
        }
    }

    #[inline]
    fn put_one(&mut self, frame: RawFrame, size: usize) {
        self.run.push(frame);
        self.sizes.push(size);
        self.bytes += if size < LARGE { size } else { BYTES };
    }

    /// There was nothing to be sent for a while.
    pub(super) fn has_rested(&mut self) {
        self.streak = 0;
    }

    /// How many messages each peer gets in a row, when there are so many at hand.
    fn row(&self) -> usize {
        match self.streak / self.peers.max(1) / AHEAD {
            row if self.peers >= CROWD && row >= ROW => row.min(LONGEST_ROW),
            _ => 1,
        }
    }

    /// Gives libzmq what it takes, and counts it; so many peers have ever
    /// `joined`. On an error nothing is lost:
    /// the hand still has all that libzmq had not taken.
    pub(super) fn send(
        &mut self,
        socket: &Socket,
        joined: u64,
        counters: &Counters,
    ) -> Result<Stop, Failure> {
        match self.send_all(socket, joined, counters) {
            Err(failure) if failure.is_peer_gone() => Ok(Stop::Left),
            other => other,
        }
    }

    fn send_all(
        &mut self,
        socket: &Socket,
        joined: u64,
        counters: &Counters,
    ) -> Result<Stop, Failure> {
        let mut row = 1;
        if self.run.len() >= RUN {
            let peers = native::pipes(socket);
            if peers > self.peers || joined > self.joined {
                // Who has just come has had nothing.
                self.streak = 0;
            }
            (self.peers, self.joined) = (peers, joined);
            row = self.row();
        }
        self.turn.set_length(row);
        loop {
            while self.gone < self.run.len() {
                match native::send_run(socket, &mut self.run[self.gone..], &mut self.turn)? {
                    0 => return Ok(Stop::Full),
                    n => {
                        let bytes = self.sizes[self.gone..][..n].iter().sum();
                        counters.went(n, bytes);
                        self.gone += n;
                        self.count += n;
                        self.streak += n;
                        self.tell_accepted(self.gone);
                    }
                }
            }
            RawFrame::forget_sent(&mut self.run);
            self.sizes.clear();
            self.bytes = 0;
            self.gone = 0;
            if !self.whole.is_empty() {
                if !native::send_whole(socket, &mut self.whole)? {
                    return Ok(Stop::Full);
                }
                RawFrame::forget_sent(&mut self.whole);
                counters.went(1, self.whole_size);
                self.count += 1;
                self.tell_accepted(WHOLE + 1);
            }
            if self.behind.is_empty() {
                return Ok(Stop::Done);
            }
            for message in std::mem::take(&mut self.behind) {
                self.put_again(message);
            }
        }
    }

    /// Tells the receipts of all in front of that place.
    #[inline]
    fn tell_accepted(&mut self, place: usize) {
        while self.tickets.front().is_some_and(|(at, _)| *at < place) {
            if let Some((_, ticket)) = self.tickets.pop_front() {
                ticket.tell(|| Fate::Accepted);
            }
        }
    }

    /// How many messages went since this was asked last.
    pub(super) fn take_count(&mut self) -> usize {
        std::mem::take(&mut self.count)
    }

    /// Puts messages in front of all others.
    pub(super) fn put_first(&mut self, messages: Vec<Message>) {
        let others = self.take_all();
        for message in messages.into_iter().chain(others) {
            self.put_again(message);
        }
    }

    fn put_again(&mut self, message: Message) {
        let size = message.len();
        self.put(message, size);
    }

    /// All that is left, in order.
    pub(super) fn take_all(&mut self) -> Vec<Message> {
        let gone = std::mem::take(&mut self.gone);
        self.sizes.clear();
        self.bytes = 0;
        let run = self.run.drain(..).skip(gone);
        let mut all: Vec<_> = run.map(Message::from_raw).collect();
        if !self.whole.is_empty() {
            all.push(Message::from_raws(std::mem::take(&mut self.whole)));
        }
        let last = all.len().saturating_sub(1);
        for (at, ticket) in self.tickets.drain(..) {
            let at = if at == WHOLE { last } else { at - gone };
            all[at].attach(ticket);
        }
        all.extend(self.behind.drain(..));
        all
    }
}

#[cfg(all(test, pushpull_native))]
mod tests {
    use zmq_sys as sys;

    use super::{Hand, CROWD, RUN};
    use crate::{context::SocketKind, stats::Counters, Context, Message};

    /// Peers that are only called, so that there is room for all and nobody takes it.
    #[test]
    fn rows_begin_anew_when_a_peer_comes_in_place_of_another() {
        let context = Context::new().expect("a context");
        let socket = context.socket(SocketKind::Push).expect("a socket");
        socket.set_int(sys::ZMQ_SNDHWM, 0).expect("an option");
        socket.set_int(sys::ZMQ_LINGER, 0).expect("an option");
        for peer in 0..CROWD {
            let nobody = format!("ipc:///dev/null/{peer}");
            socket.connect(&nobody).expect("an endpoint");
        }
        let counters = Counters::default();
        let mut hand = Hand::default();
        let mut row_with = |joined| {
            for n in 0..RUN {
                hand.put(Message::from(n.to_string()), 1);
            }
            assert!(hand.send(&socket, joined, &counters).is_ok());
            hand.row()
        };
        let mut rows = (0..20).map(|_| row_with(CROWD as u64));
        assert!(rows.any(|row| row > 1));
        assert_eq!(row_with(CROWD as u64 + 1), 1);
        let mut rows = (0..20).map(|_| row_with(CROWD as u64 + 1));
        assert!(rows.any(|row| row > 1));
    }
}
