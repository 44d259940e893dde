//! Peers that leave while messages wait for them.

use std::time::Duration;

use pushpull::{Config, Pull, Push};

use crate::harness::*;

/// What the connection of a peer that reads nothing swallows: both ends'
/// kernel buffers, and one message in libzmq.
const SWALLOWED: usize = 8 << 20;
const SIZE: usize = 32 << 10;

struct Waiting {
    push: Push,
    accepted: u64,
    deaf: zmq::Socket,
    address: String,
    _context: zmq::Context,
}

/// Messages that wait in a Push for a peer that reads none.
fn for_a_deaf_peer(wire: &Wire, push_calls: bool) -> Waiting {
    let context = zmq::Context::new();
    let deaf = raw_pull(&context);
    deaf.set_rcvhwm(1).unwrap();
    deaf.set_linger(0).unwrap();
    let (push, address) = if push_calls {
        deaf.bind(&wire.address()).unwrap();
        let address = deaf.get_last_endpoint().unwrap().unwrap();
        let config = Config::connect(&address).only_connected_peers(true);
        (Push::open(config.high_water_mark(2000)).unwrap(), address)
    } else {
        let push = Push::open(Config::bind(&wire.address()).high_water_mark(2000)).unwrap();
        let address = at(&push);
        deaf.connect(&address).unwrap();
        (push, address)
    };
    Waiting {
        accepted: fill(&push, SIZE),
        push,
        deaf,
        address,
        _context: context,
    }
}

impl Waiting {
    /// The peer is gone, and the Push has noticed: a next one that came before that would
    /// get newer messages first. Returns the Push, how many it had accepted, and where.
    fn deserted(self) -> (Push, u64, String) {
        drop(self.deaf);
        eventually("the push has noticed", || {
            self.push.stats().sent < self.accepted / 4
        });
        (self.push, self.accepted, self.address)
    }
}

fn comes_back(wire: &Wire, push_calls: bool) {
    let (push, accepted, _) = for_a_deaf_peer(wire, push_calls).deserted();
    let unsent = push.abort();
    let back: Vec<_> = unsent.map(|m| number(&m)).collect();
    let missing = accepted - back.len() as u64;
    assert!(
        missing as usize <= SWALLOWED / SIZE,
        "{missing} of {accepted} are gone"
    );
    assert!(
        back.iter().copied().eq(missing..accepted),
        "not the last ones, in order"
    );
}

fn goes_to_the_next(wire: &Wire, push_calls: bool) {
    let (push, accepted, address) = for_a_deaf_peer(wire, push_calls).deserted();
    let pull = match push_calls {
        true => Pull::bind(&address).unwrap(),
        false => Pull::connect(&address).unwrap(),
    };
    let first = number(&pull.recv_timeout(LONG).unwrap());
    assert!(
        first as usize <= SWALLOWED / SIZE,
        "{first} of {accepted} are gone"
    );
    for n in first + 1..accepted {
        assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
    }
    push.drain(Duration::from_secs(10)).unwrap();
}

#[test]
fn the_counters_tell_how_often_a_peer_left() {
    over_ipc_and_tcp(30, |wire| {
        for push_calls in [false, true] {
            let waiting = for_a_deaf_peer(wire, push_calls);
            let push = waiting.push;
            assert_eq!((push.stats().peers, push.stats().peers_left), (1, 0));
            drop(waiting.deaf);
            eventually("it has left", || push.stats().peers_left == 1);
            if push_calls {
                eventually("the push calls", || push.stats().reconnects > 0);
            }
            assert_eq!(push.stats().peers, 0);
            drop(push.abort());
        }
    });
}

#[test]
fn what_waited_for_a_peer_that_left_a_bound_push_comes_back() {
    over_ipc_and_tcp(60, |wire| comes_back(wire, false));
}

#[test]
fn what_waited_for_a_peer_that_left_a_bound_push_goes_to_the_next_in_order() {
    over_ipc_and_tcp(60, |wire| goes_to_the_next(wire, false));
}

#[test]
fn what_waited_for_the_only_connected_peer_comes_back_when_it_leaves() {
    over_ipc_and_tcp(60, |wire| comes_back(wire, true));
}

#[test]
fn what_waited_for_the_only_connected_peer_goes_to_the_next_in_order() {
    over_ipc_and_tcp(60, |wire| goes_to_the_next(wire, true));
}
