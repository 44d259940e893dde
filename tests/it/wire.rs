//! Everything that can come over a wire: chance makes up thousands of peers that
//! do not know the protocol, know it by half, or mean harm. A good one flows on
//! meanwhile, and afterwards everything is as it was.

use std::{io::Write, time::Duration};

use pushpull::{Config, Pull, Push};

use crate::{
    chance::{Chance, Manner},
    harness::{at, descriptors_for, eventually, in_own_process, ms, patience, Wire, LONG},
    history::History,
    meter::{effort, resident, settled, Holdings},
    stamp::Stamp,
    stranger::{greeting, Line, Stranger},
};

const RUN: u64 = 0x600d;

/// A Pull, a good peer of it, and what they have said to each other.
struct Good {
    pull: Pull,
    push: Push,
    history: History,
    sent: u64,
    /// Messages of peers that chance taught to speak.
    foreign: u64,
}

impl Good {
    fn at(wire: &Wire, config: impl FnOnce(Config) -> Config) -> Self {
        let config = config(Config::bind(&wire.address()).max_message_size(1 << 20));
        let pull = Pull::open(config).unwrap();
        let push = Push::connect(&at(&pull)).unwrap();
        let mut good = Self {
            pull,
            push,
            history: History::of(RUN),
            sent: 0,
            foreign: 0,
        };
        good.flows();
        good
    }

    /// Messages go through right now.
    #[track_caller]
    fn flows(&mut self) {
        let begun = self.sent;
        for size in [0, 300, 9000] {
            let stamp = self.history.stamp(1, self.sent);
            self.push.send(stamp.frames(&[size, 5])).unwrap();
            self.sent += 1;
        }
        let mut arrived = begun;
        while arrived < self.sent {
            let message = self.pull.recv_timeout(LONG).unwrap();
            match Stamp::read(&message) {
                Ok(stamp) if stamp.run == RUN => {
                    self.history.delivered(1, &message);
                    arrived += 1;
                }
                _ => self.foreign += 1,
            }
        }
    }

    fn ends(mut self) -> u64 {
        self.flows();
        self.push.drain(LONG).unwrap();
        self.history.accepted(1, self.sent);
        // What is left is not ours.
        self.foreign += self.pull.close().unwrap().count() as u64;
        assert_eq!(self.history.verdict().is_clean().delivered, self.sent);
        self.foreign
    }
}

/// What a process has at rest, to be compared with later.
struct Rest(Holdings, u64);

impl Rest {
    fn now() -> Self {
        Self(Holdings::now(), resident())
    }

    fn grown(&self) -> u64 {
        resident().saturating_sub(self.1)
    }

    #[track_caller]
    fn is_back(&self, what: &str) {
        eventually("descriptors and threads are back", || self.0.covers_now());
        let grown = || self.grown();
        eventually("memory is back", || grown() < 4 << 10);
        // What they left behind is cleared away in the first.
        let used: Vec<_> = (0..3)
            .map(|_| {
                let (_, before) = effort();
                std::thread::sleep(ms(300));
                effort().1 - before
            })
            .collect();
        println!(
            "{what}: {} KiB more than {}, {used:?} in 0.3 s each",
            grown(),
            self.1
        );
        assert!(
            used[0] < ms(100) * patience()
                && used[1..].iter().all(|used| *used < ms(15) * patience()),
            "{what}: {used:?} in 0.3 s each"
        );
    }
}

/// Seeds that ever found something stay.
const SEEDS: [u64; 2] = [1, 0x9e37_79b9_7f4a_7c15];

#[test]
fn whatever_comes_over_the_wire_harms_nobody() {
    in_own_process(100, || {
        for transport in ["ipc", "tcp"] {
            let wire = Wire::new(transport);
            let hasty = |c: Config| c.handshake_timeout(ms(150));
            let mut good = [
                Good::at(&wire, hasty),
                Good::at(&wire, |c| hasty(c).legacy_peers(true)),
            ];
            chat(&mut good, 200, 99);
            let rest = Rest::now();
            for seed in SEEDS {
                chat(&mut good, 1000, seed);
            }
            rest.is_back(transport);
            let [strict, legacy] = good.map(Good::ends);
            println!("{transport}: chance got {strict} and {legacy} messages through");
            assert!(strict + legacy > 0, "chance never speaks the protocol");
        }
    });
}

fn chat(good: &mut [Good], peers: u64, seed: u64) {
    let mut chance = Chance::of(seed);
    let mut waiting = std::collections::VecDeque::new();
    for n in 0..peers {
        let which = chance.below(good.len() as u64) as usize;
        let line = Line::to(&at(&good[which].pull)).unwrap();
        line.patience(ms(5));
        let bytes = chance.speech();
        match chance.manner() {
            Manner::AtOnce => drop((&line).write_all(&bytes)),
            Manner::ByteByByte => {
                for byte in bytes.chunks(1).take(300) {
                    if (&line).write_all(byte).is_err() {
                        break;
                    }
                }
            }
            Manner::AfterTheAnswer => {
                let (first, rest) = bytes.split_at(bytes.len().min(64));
                let _ = (&line).write_all(first);
                let _ = std::io::Read::read(&mut &line, &mut [0; 64]);
                let _ = (&line).write_all(rest);
            }
        }
        // Some stay for a while, some leave at once.
        if chance.below(2) == 0 {
            waiting.push_back(line);
        }
        if waiting.len() > 40 {
            waiting.pop_front();
        }
        if n % 25 == 0 {
            good.iter_mut().for_each(Good::flows);
        }
    }
    drop(waiting);
    good.iter_mut().for_each(Good::flows);
}

#[test]
fn two_thousand_half_handshakes_are_forgotten() {
    in_own_process(100, || {
        const ALL: u64 = 2000;
        descriptors_for(2 * ALL + 200);
        for transport in ["ipc", "tcp"] {
            let wire = Wire::new(transport);
            let mut good = Good::at(&wire, |c| c.handshake_timeout(Duration::from_secs(1)));
            crowd(&mut good, 100);
            let mut rest = Rest::now();
            rest.1 = settled(4 << 10, || crowd(&mut good, ALL));
            rest.is_back(transport);
            assert_eq!(good.ends(), 0);
        }
    });
}

fn crowd(good: &mut Good, size: u64) {
    let halves: Vec<_> = (0..size)
        .map(|n| {
            let mut stranger = Stranger::call(&at(&good.pull));
            let half = n as usize % 64;
            stranger.say(&greeting(b"NULL")[..half]);
            stranger
        })
        .collect();
    good.flows();
    for mut stranger in halves {
        stranger.is_hung_up_on();
    }
    good.flows();
}

#[test]
fn five_thousand_that_call_and_leave_are_forgotten() {
    in_own_process(100, || {
        for transport in ["ipc", "tcp"] {
            let wire = Wire::new(transport);
            let mut good = Good::at(&wire, |c| c);
            let mut visits = |n: u64| {
                for n in 0..n {
                    drop(Line::to(&at(&good.pull)).unwrap());
                    if n % 500 == 0 {
                        good.flows();
                    }
                }
                good.flows();
            };
            visits(500);
            let rest = Rest::now();
            visits(5000);
            rest.is_back(transport);
            assert_eq!(good.ends(), 0);
        }
    });
}
