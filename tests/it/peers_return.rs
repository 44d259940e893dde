//! Peers that come back while their old connection still has something to bring.

use std::{ops::Range, thread};

use pushpull::{Config, Pull, Push};

use crate::{
    harness::*,
    proxy::Proxy,
    stranger::{greeting, ready, Stranger},
};

/// Two connections of one Push: the old one, which is over for the Push, has `OLD` under
/// way in a line that stalls; `NEW` came through the new one.
struct Returned {
    pull: Pull,
    push: Push,
    other: Push,
    line: Proxy,
    _switch: Proxy,
}

const OLD: Range<u64> = 10..20;
const NEW: Range<u64> = 20..30;
/// Of one is more than of all that shakes hands.
const SIZE: usize = 1000;

impl Returned {
    fn over(wire: &Wire) -> Self {
        let pull = Pull::bind(&wire.address()).unwrap();
        let line = Proxy::before(&at(&pull), wire);
        let switch = Proxy::before(&line.address, wire);
        let calling = Config::connect(&switch.address).reconnect(ms(10), ms(10));
        let push = Push::open(calling.events(100)).unwrap();
        let send =
            |numbers: Range<u64>| numbers.for_each(|n| push.send(numbered(n, SIZE)).unwrap());
        send(0..10);
        receives(&pull, 0..10);
        line.stalls();
        send(OLD);
        eventually("the old line has them", || {
            switch.passed() >= OLD.end * SIZE as u64
        });
        switch.leads_to(&at(&pull));
        switch.turns_away();
        eventually("the push is back", || pull.peers() == 2);
        send(NEW);
        let other = Push::connect(&at(&pull)).unwrap();
        Self {
            pull,
            push,
            other,
            line,
            _switch: switch,
        }
    }

    /// Another peer's messages come through, and none of the new connection's.
    fn others_go_on(&self) {
        self.other.send(numbered(1000, SIZE)).unwrap();
        receives(&self.pull, 1000..1001);
        assert!(self.pull.recv_timeout(ms(300)).is_err());
    }
}

fn receives(pull: &Pull, numbers: Range<u64>) {
    for n in numbers {
        assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
    }
}

#[test]
fn a_peer_that_comes_back_does_not_overtake_what_its_old_connection_still_brings() {
    over_ipc_and_tcp(30, |wire| {
        let returned = Returned::over(wire);
        returned.others_go_on();
        returned.line.flows();
        receives(&returned.pull, OLD.start..NEW.end);
        returned.push.drain(LONG).unwrap();
    });
}

#[test]
fn a_peer_that_comes_back_does_not_overtake_an_old_connection_that_trickles() {
    over_ipc_and_tcp(30, |wire| {
        let returned = Returned::over(wire);
        // A message every half second, which makes five seconds.
        returned.line.trickles(2);
        receives(&returned.pull, OLD.start..NEW.end);
    });
}

#[test]
fn a_peer_that_comes_back_does_not_wait_for_ever_for_its_old_connection() {
    over_ipc_and_tcp(30, |wire| {
        let returned = Returned::over(wire);
        receives(&returned.pull, NEW);
        returned.line.flows();
        receives(&returned.pull, OLD);
    });
}

#[test]
fn a_peer_that_comes_back_does_not_wait_for_ever_while_others_wait_for_one_that_talks() {
    over_ipc_and_tcp(30, |wire| {
        let returned = Returned::over(wire);
        let mut strangers = strangers_of_one_name(&at(&returned.pull), 2);
        eventually("they are in", || returned.pull.peers() == 5);
        thread::scope(|scope| {
            let received = scope.spawn(|| {
                let messages = returned.pull.iter().map(|m| number(&m));
                let own = messages.filter(|n| NEW.contains(n));
                own.take(NEW.count()).collect::<Vec<_>>()
            });
            while !received.is_finished() {
                strangers[0].say(b"\0\x08stranger");
                thread::sleep(ms(10));
            }
            assert!(received.join().unwrap().into_iter().eq(NEW));
        });
    });
}

#[test]
fn a_close_gives_back_what_waits_for_an_old_connection() {
    over_ipc_and_tcp(30, |wire| {
        let returned = Returned::over(wire);
        returned.others_go_on();
        let (took, leftover) = timed(|| returned.pull.close().unwrap());
        let numbers: Vec<_> = leftover.map(|m| number(&m)).collect();
        assert!(numbers.iter().copied().eq(NEW), "{numbers:?}");
        assert!(took < ms(1000), "{took:?}");
    });
}

/// Connections that say all the same name wait for one another.
fn strangers_of_one_name(address: &str, count: usize) -> Vec<Stranger> {
    let properties = [("Socket-Type", "PUSH"), ("X-Pushpull-Session", "everyone")];
    let mut hello = greeting(b"NULL");
    hello.extend(ready(&properties));
    (0..count)
        .map(|_| {
            let mut stranger = Stranger::call(address);
            stranger.say(&hello);
            stranger
        })
        .collect()
}

#[test]
fn strangers_who_say_all_one_name_hold_nobody_else_up() {
    const MESSAGES: u64 = 50_000;
    in_own_process(60, || {
        let wire = Wire::new("ipc");
        let (push, pull) = wire.pair(|c| c, |c| c);
        let pass = || {
            timed(|| {
                thread::scope(|scope| {
                    scope.spawn(|| (0..MESSAGES).for_each(|n| push.send(numbered(n, 8)).unwrap()));
                    receives(&pull, 0..MESSAGES);
                });
            })
            .0
        };
        let alone = pass();
        let strangers = strangers_of_one_name(&at(&pull), 1000);
        eventually("all of them are in", || pull.peers() == 1001);
        let beside = pass();
        println!("{alone:?} alone, {beside:?} beside {}", strangers.len());
        assert!(beside < 20 * alone);
    });
}
