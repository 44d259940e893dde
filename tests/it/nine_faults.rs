//! The nine faults of the Go program that this crate comes from, each shown to
//! be impossible. Numbers and words as on the design page.

use std::thread;

use pushpull::{Config, Message, OpenErrorKind, Pull, Push};

use crate::harness::{
    at, eventually, fill, ms, number, numbered, over_ipc_and_tcp, raw_push, rounds, timed,
    undisturbed_over_ipc_and_tcp, LONG,
};

#[test]
fn fault_1_a_full_outcome_channel_stalls_nobody() {
    over_ipc_and_tcp(30, |wire| {
        let pull = wire.pull();
        let push = Push::open(Config::connect(&at(&pull)).outcomes(1)).unwrap();
        for n in 0..5000 {
            push.send_timeout(numbered(n, 8), LONG).unwrap();
            if n >= 500 {
                pull.recv_timeout(LONG).unwrap();
            }
        }
        assert_eq!(push.drain(LONG).unwrap().sent(), 5000);
    });
}

#[test]
fn fault_2_an_outcome_that_is_missing_shifts_no_other() {
    over_ipc_and_tcp(30, |wire| {
        let push = Push::open(
            Config::bind(&wire.address())
                .outcomes(1)
                .send_deadline(ms(1)),
        );
        let push = push.unwrap();
        for n in 0..4 {
            push.send(numbered(n, 8)).unwrap();
        }
        eventually("three are dropped", || push.stats().outcomes_dropped == 3);
        let outcomes = push.outcomes().unwrap();
        assert_eq!(outcomes.recv().unwrap().seq, 0);
        push.send(numbered(4, 8)).unwrap();
        // The outcome carries its number and its message: no guess by position.
        let outcome = outcomes.recv_timeout(LONG).unwrap();
        assert_eq!(outcome.seq, 4);
        assert_eq!(number(&outcome.result.unwrap_err().into_inner()), 4);
    });
}

#[test]
fn fault_3_no_outcome_says_sent_for_a_message_that_went_to_nobody() {
    over_ipc_and_tcp(30, |wire| {
        let push = Push::open(Config::bind(&wire.address()).outcomes(10)).unwrap();
        push.send("to nobody").unwrap();
        let outcome = push.outcomes().unwrap().recv_timeout(ms(50));
        assert!(outcome.is_err(), "{outcome:?}");
        assert_eq!(push.stats().sent, 0);
        // And where libzmq may hold it for a peer, it comes back at the end.
        let (address, _nobody) = wire.nobody();
        let calling = Push::open(Config::connect(&address).outcomes(10)).unwrap();
        calling.send("to nobody").unwrap();
        for push in [push, calling] {
            let back: Vec<_> = push.abort().collect();
            assert_eq!(back, ["to nobody".into()]);
        }
    });
}

#[test]
fn fault_4_a_blocked_hand_over_hears_the_stop() {
    over_ipc_and_tcp(30, |wire| {
        let (push, pull) = wire.pair(|c| c, |c| c.capacity(1));
        for n in 0..10 {
            push.send(numbered(n, 8)).unwrap();
        }
        eventually("one is in the channel", || !pull.receiver().is_empty());
        eventually("the hand-over waits", || pull.stats().stalls > 0);
        let (took, left) = timed(|| pull.close().unwrap());
        assert!(took < ms(500), "{took:?}");
        assert!(!left.is_empty());
    });
}

#[test]
fn fault_5_a_received_message_is_not_thrown_away_by_a_stop() {
    over_ipc_and_tcp(60, |wire| {
        for round in 0..rounds(100) {
            let capacity = round as usize % 3;
            let (push, pull) = wire.pair(|c| c, |c| c.capacity(capacity));
            for n in 0..20 {
                push.send(numbered(n, 8)).unwrap();
            }
            let (receiver, stopper) = (pull.receiver().clone(), pull.stopper());
            let got = thread::spawn(move || {
                let got: Vec<_> = receiver.iter().map(|m| number(&m)).collect();
                got
            });
            eventually("some came", || pull.stats().received > round % 15);
            stopper.stop();
            let received = got.join().unwrap();
            let left = pull.close().unwrap().map(|m| number(&m));
            let all: Vec<_> = received.into_iter().chain(left).collect();
            assert_eq!(all, (0..all.len() as u64).collect::<Vec<_>>());
            assert!(all.len() as u64 >= round % 15);
            push.abort().for_each(drop);
        }
    });
}

#[test]
fn fault_6_a_producers_exit_does_not_end_the_pull() {
    over_ipc_and_tcp(30, |wire| {
        let pull = wire.pull();
        for n in 0..rounds(50) {
            let push = Push::connect(&at(&pull)).unwrap();
            push.send(numbered(n, 8)).unwrap();
            push.drain(LONG).unwrap();
            assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
            // And one that leaves without a word.
            let context = zmq::Context::new();
            raw_push(&context).connect(&at(&pull)).unwrap();
        }
        assert!(pull.close().unwrap().is_empty());
    });
}

#[test]
fn fault_7_draining_and_aborting_mean_two_different_things() {
    over_ipc_and_tcp(30, |wire| {
        let (push, pull) = wire.pair(|c| c, |c| c.capacity(5000));
        for n in 0..500 {
            push.send(numbered(n, 8)).unwrap();
        }
        push.drain(LONG).unwrap();
        for n in 0..500 {
            assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
        }
        let push = Push::open(Config::bind(&wire.address())).unwrap();
        let accepted = fill(&push, 8);
        assert_eq!(push.abort().count() as u64, accepted);
    });
}

#[test]
fn fault_8_a_start_up_error_comes_from_open_and_from_nowhere_else() {
    over_ipc_and_tcp(30, |wire| {
        let pull = wire.pull();
        let error = Pull::bind(&at(&pull)).unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::AddressInUse);
        assert_eq!(error.subject(), at(&pull));
        let error = Push::open(Config::bind(&at(&pull)).outcomes(10)).unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::AddressInUse);
    });
}

/// Alone: a program that another test starts has a copy of each descriptor until it runs,
/// which takes a while under an emulator.
#[test]
fn fault_9_when_an_ending_returns_the_path_is_free_again() {
    undisturbed_over_ipc_and_tcp(60, |wire| {
        let address = wire.lasting_address();
        for round in 0..rounds(60) {
            let message = || Message::from("left over");
            if round % 2 == 0 {
                let pull = Pull::bind(&address).unwrap();
                let push = Push::connect(&address).unwrap();
                push.send(message()).unwrap();
                pull.recv_timeout(LONG).unwrap();
                pull.close().unwrap().for_each(drop);
                push.abort().for_each(drop);
            } else {
                let push = Push::bind(&address).unwrap();
                push.send(message()).unwrap();
                match round % 4 {
                    1 => drop(push.abort()),
                    _ => drop(push.drain(ms(1))),
                }
            }
        }
    });
}
