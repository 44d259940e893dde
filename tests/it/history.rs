//! What was sent and what became of it: every message was delivered, came
//! back, or is counted as possibly lost with something that died. Anything
//! else is a violation, and this finds it.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use pushpull::Message;

use crate::stamp::{Stamp, Torn};

/// Everything that is known of one run.
#[derive(Debug)]
pub struct History {
    run: u64,
    /// How many messages each sender was known to have accepted.
    accepted: BTreeMap<u64, u64>,
    /// The senders that died: what they had accepted is only known from below.
    dead: Vec<u64>,
    fates: HashMap<(u64, u64), Fate>,
    /// The last message of a sender that a receiver got.
    last: HashMap<(u64, u64), u64>,
    allowances: Vec<Allowance>,
    violations: Vec<Violation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Delivered,
    Returned,
}

/// So many messages of a sender may be gone, all of them out of a range.
#[derive(Clone, Debug)]
struct Allowance {
    sender: u64,
    among: Range<u64>,
    at_most: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Accepted, and neither delivered nor given back, with nothing to blame.
    Lost { sender: u64, seq: u64 },
    /// Delivered or given back, and once more.
    Twice { sender: u64, seq: u64 },
    /// A receiver got it after a later one of the same sender, with nothing to
    /// blame.
    Reordered {
        receiver: u64,
        sender: u64,
        seq: u64,
        after: u64,
    },
    /// Not what anybody sent.
    Torn { receiver: u64, what: String },
    /// Whole, and nobody sent it in this run.
    Invented { receiver: u64, stamp: Stamp },
}

#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    pub delivered: u64,
    pub returned: u64,
    pub possibly_lost: u64,
    pub violations: Vec<Violation>,
}

impl History {
    pub fn of(run: u64) -> Self {
        Self {
            run,
            accepted: BTreeMap::new(),
            dead: Vec::new(),
            fates: HashMap::new(),
            last: HashMap::new(),
            allowances: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// The stamp of a sender's message of that number.
    pub fn stamp(&self, sender: u64, seq: u64) -> Stamp {
        let run = self.run;
        Stamp { run, sender, seq }
    }

    /// The queue accepted so many messages of this sender, from 0 on.
    pub fn accepted(&mut self, sender: u64, messages: u64) {
        self.accepted.insert(sender, messages);
    }

    /// A sender died. It had tried to send so many messages; the last may have
    /// been accepted or not.
    pub fn died(&mut self, sender: u64, tried: u64) {
        self.accepted(sender, tried);
        self.dead.push(sender);
    }

    /// A receiver, in one life of it, got a message.
    pub fn delivered(&mut self, receiver: u64, message: &Message) {
        self.read(receiver, Stamp::read(message));
    }

    /// The same for what was read elsewhere.
    pub fn read(&mut self, receiver: u64, read: Result<Stamp, Torn>) {
        let stamp = match read {
            Ok(stamp) => stamp,
            Err(Torn(what)) => return self.violations.push(Violation::Torn { receiver, what }),
        };
        let Stamp { run, sender, seq } = stamp;
        if run != self.run {
            return self
                .violations
                .push(Violation::Invented { receiver, stamp });
        }
        if let Some(after) = self.last.insert((receiver, sender), seq) {
            if after > seq {
                self.violations.push(Violation::Reordered {
                    receiver,
                    sender,
                    seq,
                    after,
                });
            }
        }
        self.ends(sender, seq, Fate::Delivered);
    }

    /// A message came back to its sender.
    pub fn returned(&mut self, message: &Message) {
        match Stamp::read(message) {
            Ok(stamp) => self.ends(stamp.sender, stamp.seq, Fate::Returned),
            Err(Torn(what)) => {
                let receiver = u64::MAX;
                self.violations.push(Violation::Torn { receiver, what });
            }
        }
    }

    fn ends(&mut self, sender: u64, seq: u64, fate: Fate) {
        if self.fates.insert((sender, seq), fate).is_some() {
            self.violations.push(Violation::Twice { sender, seq });
        }
    }

    /// Something died or was cut that may have had so many messages of a
    /// sender, out of these.
    pub fn may_lose(&mut self, sender: u64, among: Range<u64>, at_most: u64) {
        self.allowances.push(Allowance {
            sender,
            among,
            at_most,
        });
    }

    /// The end of the story.
    pub fn verdict(mut self) -> Verdict {
        let invented = |((sender, seq), _): (&(u64, u64), &Fate)| {
            let accepted = self.accepted.get(sender).is_some_and(|all| seq < all);
            (!accepted).then_some(Violation::Invented {
                receiver: u64::MAX,
                stamp: self.stamp(*sender, *seq),
            })
        };
        let invented: Vec<_> = self.fates.iter().filter_map(invented).collect();
        self.violations.extend(invented);
        let mut possibly_lost = 0;
        for (&sender, &all) in &self.accepted {
            let mut allowed: Vec<_> = self.allowances.clone();
            allowed.retain(|a| a.sender == sender);
            // The one that ends first first: no other choice explains more.
            allowed.sort_by_key(|a| a.among.end);
            for seq in (0..all).filter(|seq| !self.fates.contains_key(&(sender, *seq))) {
                let fits = |a: &&mut Allowance| a.at_most > 0 && a.among.contains(&seq);
                if let Some(blamed) = allowed.iter_mut().find(fits) {
                    blamed.at_most -= 1;
                    possibly_lost += 1;
                } else if !(seq + 1 == all && self.dead.contains(&sender)) {
                    self.violations.push(Violation::Lost { sender, seq });
                }
            }
        }
        let count = |fate| self.fates.values().filter(|f| **f == fate).count() as u64;
        Verdict {
            delivered: count(Fate::Delivered),
            returned: count(Fate::Returned),
            possibly_lost,
            violations: self.violations,
        }
    }
}

impl Verdict {
    /// Fails with the first violations, if there is any.
    #[track_caller]
    pub fn is_clean(&self) -> &Self {
        let some = &self.violations[..self.violations.len().min(10)];
        assert!(
            some.is_empty(),
            "{} violations among {} delivered, {} returned and {} possibly lost, such as {some:#?}",
            self.violations.len(),
            self.delivered,
            self.returned,
            self.possibly_lost,
        );
        println!(
            "{} delivered, {} returned, {} possibly lost, no violation",
            self.delivered, self.returned, self.possibly_lost
        );
        self
    }
}

/// The checker finds what it is for.
mod finds {
    use super::*;

    const RUN: u64 = 77;

    /// A history in which ten messages were accepted, and these were delivered
    /// to one receiver.
    fn told(delivered: impl IntoIterator<Item = u64>) -> History {
        let mut history = History::of(RUN);
        history.accepted(1, 10);
        for seq in delivered {
            let message = history.stamp(1, seq).frames(&[100, 0, 9]);
            history.delivered(5, &message);
        }
        history
    }

    fn only(history: History) -> Violation {
        let violations = history.verdict().violations;
        assert_eq!(violations.len(), 1, "{violations:?}");
        violations.into_iter().next().unwrap()
    }

    #[test]
    fn nothing_where_nothing_is_wrong() {
        let mut history = told(0..6);
        for seq in 6..9 {
            let message = history.stamp(1, seq).message(0);
            history.returned(&message);
        }
        history.may_lose(1, 9..10, 1);
        let verdict = history.verdict();
        let (delivered, returned, possibly_lost) =
            (verdict.delivered, verdict.returned, verdict.possibly_lost);
        assert_eq!((delivered, returned, possibly_lost), (6, 3, 1));
        verdict.is_clean();
    }

    #[test]
    fn what_was_lost_in_silence() {
        let lost = Violation::Lost { sender: 1, seq: 4 };
        let history = told((0..10).filter(|n| *n != 4));
        assert_eq!(only(history), lost);
        let mut elsewhere = told((0..10).filter(|n| *n != 4));
        elsewhere.may_lose(1, 5..10, 10);
        elsewhere.may_lose(2, 0..10, 10);
        assert_eq!(only(elsewhere), lost);
    }

    #[test]
    fn what_was_lost_beyond_the_count() {
        let mut history = told(0..7);
        history.may_lose(1, 0..10, 2);
        assert_eq!(only(history), Violation::Lost { sender: 1, seq: 9 });
    }

    #[test]
    fn two_causes_explain_what_each_alone_can_not() {
        let mut history = told([0, 1, 2, 3, 4, 7, 9]);
        history.may_lose(1, 5..9, 1);
        history.may_lose(1, 0..7, 2);
        assert_eq!(history.verdict().is_clean().possibly_lost, 3);
    }

    #[test]
    fn what_came_twice() {
        let twice = Violation::Twice { sender: 1, seq: 9 };
        let mut history = told(0..10);
        let again = history.stamp(1, 9).message(50);
        history.delivered(6, &again);
        assert_eq!(only(history), twice);
        let mut history = told(0..10);
        history.returned(&again);
        assert_eq!(only(history), twice);
    }

    #[test]
    fn what_came_out_of_order() {
        let history = told([0, 1, 2, 4, 3, 5, 6, 7, 8, 9]);
        let reordered = Violation::Reordered {
            receiver: 5,
            sender: 1,
            seq: 3,
            after: 4,
        };
        assert_eq!(only(history), reordered);
    }

    #[test]
    fn what_is_torn() {
        let whole = told([]).stamp(1, 3).frames(&[100, 0, 9]);
        let frames: Vec<Vec<u8>> = whole.frames().map(<[u8]>::to_vec).collect();
        let mut flipped = frames.clone();
        flipped[0][99] ^= 1;
        let mut shifted = frames.clone();
        shifted[1] = shifted[2].split_off(4);
        shifted.swap(1, 2);
        let mut short = frames.clone();
        short.pop();
        for torn in [flipped, shifted, short, vec![vec![1; 20]]] {
            let mut history = told(0..10);
            history.delivered(5, &Message::multipart(torn));
            assert!(matches!(only(history), Violation::Torn { receiver: 5, .. }));
        }
    }

    #[test]
    fn what_nobody_sent() {
        let mut other_run = told(0..10);
        other_run.delivered(5, &History::of(1).stamp(1, 3).message(40));
        let mut too_many = told(0..10);
        let never = too_many.stamp(1, 10).message(40);
        too_many.delivered(5, &never);
        for history in [other_run, too_many] {
            assert!(matches!(only(history), Violation::Invented { .. }));
        }
    }

    #[test]
    fn that_the_last_of_a_dead_sender_is_unknown() {
        let mut history = told(0..9);
        history.died(1, 10);
        assert_eq!(history.verdict().is_clean().possibly_lost, 0);
    }
}
