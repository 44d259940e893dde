//! A queue that is paused carries nothing, keeps everything, and ends as promptly as ever.

use std::{sync::Arc, thread};

use crossbeam_channel::RecvTimeoutError;
use pushpull::{Config, Event, Pull, Push};

use crate::harness::{at, eventually, fill, ms, number, numbered, over_ipc_and_tcp, timed, LONG};

#[test]
fn a_paused_push_keeps_what_comes_and_sends_it_afterwards() {
    over_ipc_and_tcp(30, |wire| {
        let pull = wire.pull();
        let push = Push::open(Config::connect(&at(&pull)).capacity(5)).unwrap();
        assert!(push.wait_for_peer(LONG) && !push.is_paused());
        push.pause();
        push.pause();
        assert!(push.is_paused());
        let mut accepted = 0;
        while push.send_timeout(numbered(accepted, 8), ms(30)).is_ok() {
            accepted += 1;
        }
        assert!((5..=6).contains(&accepted), "{accepted}");
        assert_eq!(push.stats().sent, 0);
        assert_eq!(pull.recv_timeout(ms(30)), Err(RecvTimeoutError::Timeout));
        push.resume();
        for n in 0..accepted {
            assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
        }
        // As often as one likes, without a wake-up that stays behind.
        for n in 0..100 {
            push.pause();
            push.send(numbered(n, 8)).unwrap();
            push.resume();
            assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
        }
        push.drain(LONG).unwrap();
    });
}

#[test]
fn a_paused_pull_keeps_the_back_pressure() {
    over_ipc_and_tcp(60, |wire| {
        let config = Config::bind(&wire.address())
            .capacity(10)
            .high_water_mark(10);
        let pull = Pull::open(config).unwrap();
        let config = Config::connect(&at(&pull)).capacity(10).high_water_mark(10);
        let push = Push::open(config).unwrap();
        assert!(pull.wait_for_peer(LONG));
        pull.pause();
        // What wakes it may still come through.
        let accepted = fill(&push, 50_000);
        let seen = pull.receiver().try_iter().count() as u64;
        assert!(seen <= 10, "{seen} came through");
        assert!(pull.recv_timeout(ms(50)).is_err(), "nothing more comes");
        assert!(accepted < 1000, "{accepted} have found room");
        pull.resume();
        for n in seen..accepted {
            assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
        }
        push.drain(LONG).unwrap();
    });
}

#[test]
fn every_ending_of_a_paused_queue_is_prompt() {
    over_ipc_and_tcp(60, |wire| {
        for turn in 0..40 {
            let pull = wire.pull();
            let config = Config::connect(&at(&pull)).linger(LONG);
            let push = Push::open(config).unwrap();
            assert!(push.wait_for_peer(LONG));
            push.pause();
            pull.pause();
            if turn % 2 == 1 {
                pull.resume();
                push.send("kept").unwrap();
            }
            let (took, ()) = timed(|| match turn % 4 {
                0 => drop((push.abort(), pull.close().unwrap())),
                1 => {
                    push.drain(LONG).unwrap();
                    assert_eq!(pull.recv_timeout(LONG).unwrap(), "kept".into());
                }
                2 => drop((push, pull)),
                _ => {
                    push.stopper().stop();
                    pull.stopper().stop();
                    let unsent: Vec<_> = push.abort().collect();
                    assert_eq!(unsent, ["kept".into()]);
                }
            });
            assert!(took < ms(2000), "turn {turn} took {took:?}");
        }
    });
}

#[test]
fn the_end_of_the_senders_waits_for_the_pause_and_a_pause_is_no_stall() {
    over_ipc_and_tcp(30, |wire| {
        let pull = wire.pull();
        let (sender, receiver) = crossbeam_channel::bounded::<pushpull::Message>(10);
        let config = Config::connect(&at(&pull)).events(100).stall_after(ms(20));
        let push = Arc::new(Push::from_receiver(config, receiver).unwrap());
        push.pause();
        sender.send("through".into()).unwrap();
        drop(sender);
        assert!(pull.recv_timeout(ms(100)).is_err());
        let resuming = Arc::clone(&push);
        thread::spawn(move || resuming.resume()).join().unwrap();
        assert_eq!(pull.recv_timeout(LONG).unwrap(), "through".into());
        let stalls = |e: Event| matches!(e, Event::Stalled { .. });
        assert!(!push.events().unwrap().try_iter().any(stalls));
        let push = Arc::into_inner(push).unwrap();
        eventually("it ends by itself", || push.stats().sent == 1);
        push.drain(LONG).unwrap();
    });
}
