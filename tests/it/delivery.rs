//! What was accepted arrives, once, in order, however slow the receiver is.

use std::{collections::HashMap, thread, time::Duration};

use pushpull::{Config, DrainFailure, Message, Pull, Push};

use crate::harness::{
    at, bound, eventually, ms, number, numbered, over_ipc_and_tcp, raw_pull, raw_push, LONG,
};

#[test]
fn drain_delivers_everything_to_a_slow_receiver() {
    over_ipc_and_tcp(60, |wire| {
        const ALL: u64 = 3000;
        let pull =
            Pull::open(Config::bind(&wire.address()).capacity(1).high_water_mark(1)).unwrap();
        let push = Push::open(
            Config::connect(&at(&pull))
                .capacity(4000)
                .high_water_mark(4000),
        );
        let push = push.unwrap();
        for n in 0..ALL {
            push.send(numbered(n, 1000)).unwrap();
        }
        let drain = thread::spawn(move || push.drain(LONG));
        for n in 0..ALL {
            // Slow for its sender, which has long been done.
            if n % 100 == 0 {
                thread::sleep(ms(5));
            }
            assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
        }
        assert_eq!(drain.join().unwrap().unwrap().sent(), ALL);
        assert!(pull.close().unwrap().is_empty());
    });
}

/// The peer is any ZeroMQ, and reads nothing until the Push is long gone.
#[test]
fn what_a_drain_gave_to_the_kernel_arrives_after_the_push_is_gone() {
    over_ipc_and_tcp(60, |wire| {
        const ALL: u64 = 50;
        let pull =
            Pull::open(Config::bind(&wire.address()).capacity(1).high_water_mark(1)).unwrap();
        let push = Push::connect(&at(&pull)).unwrap();
        for n in 0..ALL {
            push.send(numbered(n, 1000)).unwrap();
        }
        // Nobody reads: the deadline passes, with everything in the kernel.
        push.drain(ms(300)).unwrap();
        for n in 0..ALL {
            assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
        }
    });
}

#[test]
fn drain_waits_for_a_peer_that_comes_late() {
    over_ipc_and_tcp(60, |wire| {
        let push = Push::bind(&wire.address()).unwrap();
        let address = at(&push);
        for n in 0..2000 {
            if n < 1000 {
                push.send(numbered(n, 8)).unwrap();
            }
        }
        let drain = thread::spawn(move || push.drain(LONG));
        thread::sleep(ms(50));
        let pull = Pull::connect(&address).unwrap();
        for n in 0..1000 {
            assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
        }
        assert_eq!(drain.join().unwrap().unwrap().sent(), 1000);
    });
}

#[test]
fn a_hundred_thousand_messages_arrive_once_and_in_order() {
    over_ipc_and_tcp(60, |wire| {
        const ALL: u64 = 100_000;
        let pull = wire.pull();
        let push = Push::connect(&at(&pull)).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..ALL {
                    push.send(numbered(n, 16)).unwrap();
                }
                push.drain(LONG).unwrap();
            });
            for n in 0..ALL {
                assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
            }
        });
        eventually("all is counted", || pull.stats().delivered == ALL);
        let stats = pull.stats();
        assert_eq!((stats.received, stats.delivered), (ALL, ALL));
        assert_eq!(stats.bytes, 16 * ALL);
        assert!(pull.close().unwrap().is_empty());
    });
}

#[test]
fn each_of_eight_senders_is_received_in_order() {
    over_ipc_and_tcp(60, |wire| {
        const EACH: u64 = 5000;
        let pull = wire.pull();
        thread::scope(|scope| {
            for who in 0..8u64 {
                let address = at(&pull);
                scope.spawn(move || {
                    let push = Push::connect(&address).unwrap();
                    for n in 0..EACH {
                        push.send(numbered(who << 32 | n, 8)).unwrap();
                    }
                    push.drain(LONG).unwrap();
                });
            }
            let mut next = HashMap::<u64, u64>::new();
            for _ in 0..8 * EACH {
                let got = number(&pull.recv_timeout(LONG).unwrap());
                let due = next.entry(got >> 32).or_default();
                assert_eq!(got & 0xffff_ffff, *due);
                *due += 1;
            }
        });
    });
}

#[test]
fn messages_are_dealt_out_among_the_peers_in_turn() {
    over_ipc_and_tcp(20, |wire| {
        let pulls = [wire.pull(), wire.pull(), wire.pull()];
        let push = Push::open(
            Config::connect(&at(&pulls[0]))
                .also_connect(&at(&pulls[1]))
                .also_connect(&at(&pulls[2])),
        );
        let push = push.unwrap();
        for n in 0..300 {
            push.send(numbered(n, 8)).unwrap();
        }
        push.drain(LONG).unwrap();
        let mut all: Vec<u64> = Vec::new();
        for pull in &pulls {
            let share: Vec<_> = (0..100).map(|_| pull.recv_timeout(LONG).unwrap()).collect();
            let share: Vec<_> = share.iter().map(number).collect();
            assert!(share.is_sorted());
            all.extend(share);
        }
        all.sort();
        assert_eq!(all, (0..300).collect::<Vec<_>>());
    });
}

#[test]
fn what_waits_for_the_only_peer_survives_its_restart() {
    over_ipc_and_tcp(40, |wire| {
        let quick = |c: Config| c.reconnect(ms(5), ms(20));
        let (push, pull) = wire.pair(quick, |c| c);
        let address = at(&pull);
        drop(pull);
        // It notices with the first message at the latest, which may be lost
        // with the dead connection: what had been sent has no way back.
        eventually("the connection is gone", || {
            push.try_send("?").unwrap();
            Pull::bind(&address).is_ok()
        });
        for n in 0..500 {
            push.send(numbered(n, 8)).unwrap();
        }
        let pull = Pull::bind(&address).unwrap();
        let mut next = 0;
        while next < 500 {
            let got = pull.recv_timeout(LONG).unwrap();
            if got.len() == 8 {
                assert_eq!(number(&got), next);
                next += 1;
            }
        }
        push.drain(LONG).unwrap();
    });
}

#[test]
fn any_zeromq_can_be_at_the_other_end() {
    over_ipc_and_tcp(40, |wire| {
        let context = zmq::Context::new();
        let theirs = raw_pull(&context);
        let push = Push::connect(&bound(&theirs, &wire.address())).unwrap();
        push.send("to them").unwrap();
        assert_eq!(theirs.recv_bytes(0).unwrap(), b"to them");
        push.send(Message::multipart(["in", "parts"])).unwrap();
        assert_eq!(theirs.recv_multipart(0).unwrap(), [&b"in"[..], b"parts"]);
        push.drain(LONG).unwrap();

        let pull = wire.pull();
        let theirs = raw_push(&context);
        theirs.connect(&at(&pull)).unwrap();
        theirs.send("from them", 0).unwrap();
        assert_eq!(pull.recv_timeout(LONG).unwrap(), "from them".into());
        theirs.send_multipart(["in", "parts"], 0).unwrap();
        let got = pull.recv_timeout(LONG).unwrap();
        assert_eq!(got, Message::multipart(["in", "parts"]));
    });
}

#[test]
fn a_drain_that_fails_tells_messages_and_not_batches() {
    over_ipc_and_tcp(20, |wire| {
        let (address, _nobody) = wire.nobody();
        let push = Push::open_batched(Config::connect(&address)).unwrap();
        for _ in 0..3 {
            push.send(vec!["one".into(), "two".into()]).unwrap();
        }
        let told = push.drain(Duration::ZERO).unwrap_err().to_string();
        assert!(told.ends_with("6 unsent, 0 in doubt"), "{told}");
    });
}

#[test]
fn a_drain_with_nobody_there_gives_everything_back_in_order() {
    over_ipc_and_tcp(20, |wire| {
        let (address, _nobody) = wire.nobody();
        for config in [Config::connect(&address), Config::bind(&wire.address())] {
            let push = Push::open(config.high_water_mark(100).capacity(100)).unwrap();
            let mut accepted = 0;
            while push.send_timeout(numbered(accepted, 8), ms(50)).is_ok() {
                accepted += 1;
            }
            let error = push.drain(Duration::ZERO).unwrap_err();
            assert_eq!(error.failure(), &DrainFailure::Deadline);
            let told = error.to_string();
            assert!(
                told.contains(&format!("{accepted} unsent, 0 in doubt")),
                "{told}"
            );
            let back: Vec<_> = error.into_unsent().map(|m| number(&m)).collect();
            assert_eq!(back, (0..accepted).collect::<Vec<_>>());
        }
    });
}
