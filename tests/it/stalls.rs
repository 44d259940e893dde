//! A queue that is stuck says so, once, with why, and says when it goes on.

use std::time::{Duration, Instant};

use pushpull::{Config, Event, Pull, Push, Receiver, WaitingFor};

use crate::harness::{at, fill_a_peer, ms, numbered, over_ipc_and_tcp, raw_pull, LONG};

const AFTER: Duration = ms(200);

/// The next stall, and how long after its beginning it was told.
#[track_caller]
fn stalled(events: &Receiver<Event>) -> (WaitingFor, Instant) {
    loop {
        match events.recv_timeout(LONG).expect("a stall") {
            Event::Stalled { since, waiting_for } => {
                println!("{waiting_for:?} told after {:?}", since.elapsed());
                assert!(since.elapsed() >= AFTER, "told too early");
                return (waiting_for, since);
            }
            Event::Resumed => panic!("resumed without a stall"),
            _ => {}
        }
    }
}

#[track_caller]
fn resumed(events: &Receiver<Event>) {
    loop {
        match events.recv_timeout(LONG).expect("the end of the stall") {
            Event::Resumed => return,
            Event::Stalled { .. } => panic!("told twice"),
            _ => {}
        }
    }
}

fn watched(config: Config) -> Config {
    config.events(1000).stall_after(AFTER)
}

#[test]
fn a_push_without_a_peer_is_stalled_and_goes_on_with_the_first() {
    over_ipc_and_tcp(30, |wire| {
        // Bound: the message waits here. Calling: it waits in libzmq.
        let address = at(&wire.pull());
        for config in [Config::bind(&wire.address()), Config::connect(&address)] {
            let push = Push::open(watched(config.reconnect(ms(10), ms(10)))).unwrap();
            let events = push.events().unwrap();
            let sent = Instant::now();
            push.send("for the first who comes").unwrap();
            let (waiting_for, since) = stalled(events);
            assert_eq!(waiting_for, WaitingFor::FirstPeer);
            assert!(since >= sent);
            let place = push.endpoints()[0].clone();
            let pull = match place.role() {
                pushpull::Role::Bind => Pull::connect(&at(&push)),
                pushpull::Role::Connect => Pull::bind(&at(&push)),
            };
            let pull = pull.unwrap();
            resumed(events);
            assert_eq!(
                pull.recv_timeout(LONG).unwrap(),
                "for the first who comes".into()
            );
            push.drain(LONG).unwrap();
        }
    });
}

#[test]
fn a_push_at_high_water_is_stalled_until_somebody_reads() {
    over_ipc_and_tcp(60, |wire| {
        let pull = Pull::open(Config::bind(&wire.address()).capacity(1).high_water_mark(1));
        let pull = pull.unwrap();
        let config = Config::connect(&at(&pull)).capacity(10).high_water_mark(10);
        let push = Push::open(watched(config)).unwrap();
        let events = push.events().unwrap();
        let accepted = fill_a_peer(&push, 50_000);
        assert_eq!(stalled(events).0, WaitingFor::RoomAtPeers);
        let blocked = push.stats().blocked;
        assert!(!blocked.is_zero());
        for _ in 0..accepted {
            pull.recv_timeout(LONG).unwrap();
        }
        resumed(events);
        push.drain(LONG).unwrap();
    });
}

#[test]
fn a_push_whose_peer_is_gone_is_stalled_until_it_is_back() {
    over_ipc_and_tcp(30, |wire| {
        let context = zmq::Context::new();
        let peer = raw_pull(&context);
        let address = crate::harness::bound(&peer, &wire.lasting_address());
        let config = Config::connect(&address).reconnect(ms(10), ms(10));
        let push = Push::open(watched(config)).unwrap();
        let events = push.events().unwrap();
        push.send("hello").unwrap();
        assert_eq!(peer.recv_bytes(0).unwrap(), b"hello");
        drop(peer);
        loop {
            if let Event::Disconnected { .. } = events.recv_timeout(LONG).unwrap() {
                break;
            }
        }
        push.send("come back").unwrap();
        assert_eq!(stalled(events).0, WaitingFor::PeerToReturn);
        let back = Pull::bind(&address).unwrap();
        resumed(events);
        assert_eq!(back.recv_timeout(LONG).unwrap(), "come back".into());
        push.drain(LONG).unwrap();
    });
}

#[test]
fn a_pull_that_nobody_receives_from_is_stalled_until_somebody_does() {
    over_ipc_and_tcp(30, |wire| {
        // With a channel that holds nothing, it is what libzmq has that waits.
        for capacity in [1, 0] {
            let config = Config::bind(&wire.address()).capacity(capacity);
            let pull = Pull::open(watched(config)).unwrap();
            let events = pull.events().unwrap();
            let push = Push::connect(&at(&pull)).unwrap();
            for n in 0..3 {
                push.send(numbered(n, 8)).unwrap();
            }
            assert_eq!(stalled(events).0, WaitingFor::Receiver);
            for _ in 0..3 {
                pull.recv_timeout(LONG).unwrap();
            }
            resumed(events);
            push.drain(LONG).unwrap();
        }
    });
}

#[test]
fn pulls_that_share_a_channel_are_stalled_when_it_is_full() {
    over_ipc_and_tcp(30, |wire| {
        let (sender, receiver) = crossbeam_channel::bounded::<pushpull::Message>(4);
        let config = || watched(Config::bind(&wire.address()));
        let pulls =
            [(); 2].map(|()| Pull::into_sender(config(), sender.clone()).expect("it opens"));
        let pushes = pulls
            .each_ref()
            .map(|pull| Push::connect(&at(pull)).unwrap());
        for push in &pushes {
            for n in 0..100 {
                push.send(numbered(n, 8)).unwrap();
            }
        }
        for pull in &pulls {
            assert_eq!(stalled(pull.events().unwrap()).0, WaitingFor::Receiver);
        }
        for _ in 0..200 {
            receiver.recv_timeout(LONG).unwrap();
        }
        for pull in &pulls {
            resumed(pull.events().unwrap());
        }
        for push in pushes {
            push.drain(LONG).unwrap();
        }
    });
}

#[test]
fn a_queue_with_nothing_to_move_and_one_that_moves_slowly_are_not_stalled() {
    over_ipc_and_tcp(30, |wire| {
        let pull = Pull::open(watched(Config::bind(&wire.address()).capacity(2))).unwrap();
        let push = Push::open(watched(Config::connect(&at(&pull)))).unwrap();
        for n in 0..12 {
            push.send(numbered(n, 8)).unwrap();
        }
        // Each within the time, all together far longer.
        for _ in 0..12 {
            std::thread::sleep(AFTER / 4);
            pull.recv_timeout(LONG).unwrap();
        }
        std::thread::sleep(AFTER * 2);
        for events in [push.events().unwrap(), pull.events().unwrap()] {
            let told = |e: &Event| matches!(e, Event::Stalled { .. } | Event::Resumed);
            assert_eq!(events.try_iter().find(told), None);
        }
        push.drain(LONG).unwrap();
    });
}
