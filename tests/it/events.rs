//! What happens to a queue is told as it happens, at nobody's cost.

use std::{io::Write, net::TcpStream, thread, time::Duration};

use pushpull::{Config, Event, HandshakeFailure, LastError, Pull, Push, Receiver};

use crate::harness::{
    at, eventually, ms, number, numbered, over_ipc_and_tcp, raw_pull, timed, within, Wire, LONG,
};
use crate::stranger::Stranger;

/// Waits for an event that fits, past others.
#[track_caller]
fn heard(events: &Receiver<Event>, fits: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = events.recv_timeout(LONG).expect("an event that fits");
        if fits(&event) {
            return event;
        }
    }
}

#[test]
fn both_ends_tell_the_whole_life_of_a_connection_in_order() {
    over_ipc_and_tcp(30, |wire| {
        let pull = Pull::open(Config::bind(&wire.address()).events(100)).unwrap();
        let push = Push::open(Config::connect(&at(&pull)).events(100)).unwrap();
        let (there, here) = (
            pull.events().unwrap().clone(),
            push.events().unwrap().clone(),
        );
        let place = at(&pull);
        assert_eq!(
            there.recv_timeout(LONG).unwrap(),
            Event::Listening {
                endpoint: place.clone()
            }
        );
        assert!(matches!(
            there.recv_timeout(LONG).unwrap(),
            Event::Accepted { .. }
        ));
        assert!(matches!(
            there.recv_timeout(LONG).unwrap(),
            Event::PeerJoined { .. }
        ));
        let connected = heard(&here, |e| matches!(e, Event::Connected { .. }));
        assert_eq!(
            connected,
            Event::Connected {
                endpoint: place.clone()
            }
        );
        let joined = here.recv_timeout(LONG).unwrap();
        assert_eq!(
            joined,
            Event::PeerJoined {
                endpoint: place.clone()
            }
        );

        pull.close().unwrap().for_each(drop);
        assert_eq!(
            here.recv_timeout(LONG).unwrap(),
            Event::Disconnected {
                endpoint: place.clone()
            }
        );
        let again = heard(&here, |e| matches!(e, Event::ConnectingAgain { .. }));
        let Event::ConnectingAgain { endpoint, pause } = again else {
            unreachable!()
        };
        assert_eq!((endpoint, pause), (place, ms(100)));
        eventually("it is counted", || push.stats().reconnects > 0);
        // The end of a queue is the end of its events.
        drop(push.abort());
        while here.recv_timeout(LONG).is_ok() {}
        assert!(here.recv().is_err());
    });
}

#[test]
fn peers_are_counted_as_they_come_and_go() {
    over_ipc_and_tcp(30, |wire| {
        let push = Push::bind(&wire.address()).unwrap();
        assert_eq!((push.peers(), push.stats().peers), (0, 0));
        let context = zmq::Context::new();
        let mut there = Vec::new();
        for n in 1..=5 {
            let peer = raw_pull(&context);
            peer.connect(&at(&push)).unwrap();
            there.push(peer);
            eventually("it is counted", || push.peers() == n);
        }
        assert_eq!(push.stats().peers, 5);
        there.truncate(2);
        eventually("those that left are not", || push.peers() == 2);
        there.clear();
        eventually("nobody is left", || push.peers() == 0);
        drop(push.abort());
    });
}

#[test]
fn waiting_for_a_peer_ends_when_one_comes_in_time_or_the_queue_ends() {
    over_ipc_and_tcp(30, |wire| {
        let address = wire.lasting_address();
        let push = Push::open(Config::connect(&address).reconnect(ms(10), ms(10))).unwrap();
        let (took, came) = timed(|| push.wait_for_peer(ms(50)));
        assert!(!came && took >= ms(50), "{came} after {took:?}");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| push.wait_for_peer(LONG));
            let pull = Pull::bind(&address).unwrap();
            assert!(pull.wait_for_peer(LONG));
            assert!(waiting.join().unwrap());
        });
        assert!(pull_of_nobody(wire));
        drop(push.abort());
    });
}

fn pull_of_nobody(wire: &Wire) -> bool {
    let pull = wire.pull();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| pull.wait_for_peer(Duration::MAX));
        pull.stopper().stop();
        !waiting.join().unwrap()
    })
}

#[test]
fn events_that_nobody_reads_are_counted_and_hold_nobody_up() {
    over_ipc_and_tcp(60, |wire| {
        let pull = Pull::open(Config::bind(&wire.address()).events(2)).unwrap();
        for n in 0..50 {
            let push = Push::connect(&at(&pull)).unwrap();
            push.send(numbered(n, 8)).unwrap();
            push.drain(LONG).unwrap();
            assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
        }
        // Accepted, joined, disconnected; and the listener.
        eventually("all are counted", || {
            pull.stats().events_dropped == 3 * 50 + 1 - 2
        });
        assert_eq!(pull.events().unwrap().len(), 2);
        pull.close().unwrap().for_each(drop);
    });
}

#[test]
fn a_handshake_that_fails_is_told_with_its_reason() {
    within(30, || {
        let pull = Pull::open(Config::bind("tcp://127.0.0.1:0").events(100)).unwrap();
        let events = pull.events().unwrap();
        let address = at(&pull);
        let failed = |events| {
            let event = heard(events, |e| matches!(e, Event::HandshakeFailed { .. }));
            match event {
                Event::HandshakeFailed { reason, .. } => reason,
                _ => unreachable!(),
            }
        };

        // A greeting of ZMTP 3 with NULL (RFC 23), and then no READY but nonsense.
        let mut wrong = TcpStream::connect(address.strip_prefix("tcp://").unwrap()).unwrap();
        let mut words = vec![0; 64];
        words[0] = 0xff;
        words[9] = 0x7f;
        words[10] = 3;
        words[12..16].copy_from_slice(b"NULL");
        words.extend(b"\x04\x06\x05WRONG");
        wrong.write_all(&words).unwrap();
        let reason = failed(events);
        assert!(matches!(reason, HandshakeFailure::Protocol(_)), "{reason}");
        eventually("it is remembered", || {
            pull.stats().last_error == Some(LastError::Handshake(reason))
        });
        drop(wrong);

        // Somebody who hangs up.
        let mut stranger = TcpStream::connect(address.strip_prefix("tcp://").unwrap()).unwrap();
        stranger.write_all(&[0xff]).unwrap();
        drop(stranger);
        loop {
            let reason = failed(events);
            if matches!(reason, HandshakeFailure::Ended(_)) {
                break;
            }
        }
        assert_eq!(pull.peers(), 0, "none of them was a peer");
        pull.close().unwrap().for_each(drop);
    });
}

#[test]
fn a_peer_that_is_hung_up_on_for_a_message_too_large_is_told_of() {
    over_ipc_and_tcp(30, |wire| {
        let open = || {
            let config = Config::bind(&wire.address()).max_message_size(1000);
            Pull::open(config.events(100)).unwrap()
        };
        let tells = |pull: &Pull| {
            heard(pull.events().unwrap(), |e| {
                matches!(e, Event::CutOff { .. })
            });
            let is_known = || matches!(pull.stats().last_error, Some(LastError::CutOff(_)));
            eventually("it is the last error", is_known);
        };
        let pull = open();
        let push = Push::connect(&at(&pull)).unwrap();
        push.send(numbered(0, 1000)).unwrap();
        pull.recv_timeout(LONG).unwrap();
        assert_eq!(pull.stats().last_error, None);
        push.send(numbered(1, 1001)).unwrap();
        tells(&pull);
        drop(pull);
        // All in all, where it does not come at once.
        if cfg!(target_os = "linux") {
            let pull = open();
            let mut peer = Stranger::call(&at(&pull));
            let frame = [&[1, 250][..], &[0; 250]].concat();
            peer.shakes_hands("PUSH");
            // It is looked at when more comes.
            while (&peer.0).write_all(&frame).is_ok() {}
            tells(&pull);
        }
    });
}

#[test]
fn no_events_unless_asked_for() {
    within(20, || {
        let pull = Pull::bind("tcp://127.0.0.1:0").unwrap();
        assert!(pull.events().is_none());
        let push = Push::connect(&at(&pull)).unwrap();
        assert!(push.events().is_none());
        assert!(push.wait_for_peer(LONG) && pull.wait_for_peer(LONG));
        drop((push, pull));
    });
}
