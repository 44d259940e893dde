//! Peers that leave while messages wait for them.

use std::time::Duration;

use pushpull::{Config, Pull, Push};

use crate::harness::*;

/// What the connection of a peer that reads nothing swallows: both ends'
/// kernel buffers, and one message in libzmq.
const SWALLOWED: usize = 8 << 20;
const SIZE: usize = 32 << 10;

fn filled_by_a_deaf_peer(wire: &Wire) -> (Push, u64, zmq::Socket, zmq::Context) {
    let push = Push::open(Config::bind(&wire.address()).high_water_mark(2000)).unwrap();
    let context = zmq::Context::new();
    let deaf = raw_pull(&context);
    deaf.set_rcvhwm(1).unwrap();
    deaf.set_linger(0).unwrap();
    deaf.connect(&at(&push)).unwrap();
    let accepted = fill(&push, SIZE);
    (push, accepted, deaf, context)
}

#[test]
fn what_waited_for_a_peer_that_left_a_bound_push_comes_back() {
    over_ipc_and_tcp(60, |wire| {
        let (push, accepted, deaf, _context) = filled_by_a_deaf_peer(wire);
        drop(deaf);
        eventually("the push has noticed", || push.stats().sent < accepted / 4);
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
    });
}

#[test]
fn what_waited_for_a_peer_that_left_a_bound_push_goes_to_the_next_in_order() {
    over_ipc_and_tcp(60, |wire| {
        let (push, accepted, deaf, _context) = filled_by_a_deaf_peer(wire);
        drop(deaf);
        // A next one that came before that would get newer messages first.
        eventually("the push has noticed", || push.stats().sent < accepted / 4);
        let pull = Pull::connect(&at(&push)).unwrap();
        let first = number(&pull.recv_timeout(LONG).unwrap());
        assert!(
            first as usize <= SWALLOWED / SIZE,
            "{first} of {accepted} are gone"
        );
        for n in first + 1..accepted {
            assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
        }
        push.drain(Duration::from_secs(10)).unwrap();
    });
}
