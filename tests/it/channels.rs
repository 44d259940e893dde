//! Channels of the caller's, and channels that carry batches.

use std::thread;

use crossbeam_channel::{bounded, unbounded};
use pushpull::{Batch, Config, Message, Pull, Push, TrySendError};

use crate::harness::{
    at, eventually, ms, number, numbered, over_ipc_and_tcp, raw_push, undisturbed_over_ipc_and_tcp,
    LONG,
};

#[test]
fn a_push_from_a_receiver_drains_by_itself_when_the_last_sender_is_gone() {
    over_ipc_and_tcp(30, |wire| {
        let pull = wire.pull();
        let (sender, receiver) = bounded::<Message>(10);
        let push = Push::from_receiver(Config::connect(&at(&pull)), receiver).unwrap();
        thread::scope(|scope| {
            for who in 0..3u64 {
                let sender = sender.clone();
                scope.spawn(move || {
                    for n in 0..500 {
                        sender.send(numbered(who << 32 | n, 8)).unwrap();
                    }
                });
            }
            drop(sender);
        });
        // Nobody asked for it, and yet everything comes.
        let mut got: Vec<_> = (0..1500)
            .map(|_| number(&pull.recv_timeout(LONG).unwrap()))
            .collect();
        got.sort();
        got.dedup();
        assert_eq!(got.len(), 1500);
        let drained = push.drain(LONG).unwrap();
        assert_eq!(drained.sent(), 1500);
    });
}

#[test]
fn a_push_from_a_receiver_has_no_sender_of_its_own() {
    over_ipc_and_tcp(30, |wire| {
        let (sender, receiver) = unbounded::<Message>();
        let push = Push::from_receiver(Config::bind(&wire.address()), receiver).unwrap();
        assert_eq!(push.send("back").unwrap_err().into_inner(), "back".into());
        let refused = push.try_send("back").unwrap_err();
        assert!(
            matches!(refused, TrySendError::Disconnected(_)),
            "{refused:?}"
        );
        drop(sender);
        assert_eq!(push.drain(LONG).unwrap().sent(), 0);
    });
}

#[test]
fn a_channel_of_the_callers_outlives_its_queue_and_gives_everything_back() {
    over_ipc_and_tcp(30, |wire| {
        let (sender, receiver) = unbounded::<Message>();
        let config = Config::bind(&wire.address());
        let push = Push::from_receiver(config, receiver.clone()).unwrap();
        for n in 0..500 {
            sender.send(numbered(n, 8)).unwrap();
        }
        let mut unsent = push.abort();
        for n in 500..510 {
            sender.send(numbered(n, 8)).unwrap();
        }
        for n in 0..500 {
            assert_eq!(number(&unsent.next().unwrap()), n);
        }
        // What came later was never the queue's.
        assert!(unsent.next().is_none());
        assert_eq!(unsent.rest().map(|r| r.len()), Some(10));
        assert_eq!(number(&receiver.recv().unwrap()), 500);
    });
}

#[test]
fn the_deadline_of_a_drain_holds_when_the_senders_were_gone_first() {
    over_ipc_and_tcp(30, |wire| {
        let (sender, receiver) = bounded::<Message>(100);
        let push = Push::from_receiver(Config::bind(&wire.address()), receiver).unwrap();
        for n in 0..100 {
            sender.send(numbered(n, 8)).unwrap();
        }
        drop(sender);
        let error = push.drain(ms(50)).unwrap_err();
        let back: Vec<_> = error.into_unsent().map(|m| number(&m)).collect();
        assert_eq!(back, (0..100).collect::<Vec<_>>());
    });
}

#[test]
fn two_pulls_feed_one_channel() {
    over_ipc_and_tcp(30, |wire| {
        let (sender, receiver) = bounded(4);
        let bind = || Config::bind(&wire.address());
        let pulls = [sender.clone(), sender].map(|s| Pull::into_sender(bind(), s).unwrap());
        thread::scope(|scope| {
            for (who, pull) in (0u64..).zip(&pulls) {
                scope.spawn(move || {
                    let push = Push::connect(&at(pull)).unwrap();
                    for n in 0..2000 {
                        push.send(numbered(who << 32 | n, 8)).unwrap();
                    }
                    push.drain(LONG).unwrap();
                });
            }
            let mut next = [0, 0];
            for _ in 0..4000 {
                let got = number(&receiver.recv_timeout(LONG).unwrap());
                let due = &mut next[(got >> 32) as usize];
                assert_eq!(got & 0xffff_ffff, *due);
                *due += 1;
            }
        });
        assert!(
            pulls[0].try_recv().is_err(),
            "they have no receiver of their own"
        );
        for pull in pulls {
            assert!(pull.close().unwrap().is_empty());
        }
        assert!(
            receiver.recv().is_err(),
            "the channel ends with the last Pull"
        );
    });
}

#[test]
fn a_pull_whose_receivers_are_gone_ends_and_gives_back_what_it_holds() {
    over_ipc_and_tcp(30, |wire| {
        let (sender, receiver) = bounded(1);
        let pull = Pull::into_sender(Config::bind(&wire.address()), sender).unwrap();
        let push = Push::connect(&at(&pull)).unwrap();
        push.send(numbered(0, 8)).unwrap();
        assert_eq!(number(&receiver.recv_timeout(LONG).unwrap()), 0);
        drop(receiver);
        push.send(numbered(1, 8)).unwrap();
        eventually("it was received", || pull.stats().received == 2);
        let left: Vec<_> = pull.close().unwrap().map(|m| number(&m)).collect();
        assert_eq!(left, [1]);
    });
}

#[test]
fn a_pull_that_waits_at_a_full_channel_ends_when_its_receivers_are_gone() {
    over_ipc_and_tcp(30, |wire| {
        let (sender, receiver) = bounded(1);
        let pull = Pull::into_sender(Config::bind(&wire.address()), sender).unwrap();
        let push = Push::connect(&at(&pull)).unwrap();
        for n in 0..2 {
            push.send(numbered(n, 8)).unwrap();
        }
        eventually("it waits", || pull.stats().stalls > 0);
        drop(receiver);
        eventually("the next was received", || pull.stats().received == 2);
        let left: Vec<_> = pull.close().unwrap().map(|m| number(&m)).collect();
        assert_eq!(left, [1]);
    });
}

#[test]
fn a_pull_into_a_channel_of_the_callers_has_no_receiver_of_its_own() {
    let (sender, _receiver) = bounded::<Message>(1);
    let pull = Pull::into_sender(Config::bind("tcp://127.0.0.1:0"), sender).unwrap();
    assert!(pull.recv_timeout(LONG).unwrap_err().is_disconnected());
    assert_eq!(pull.iter().count(), 0);
}

fn batch(numbers: std::ops::Range<u64>) -> Batch {
    numbers.map(|n| numbered(n, 8)).collect()
}

fn numbers(batches: impl IntoIterator<Item = Batch>) -> Vec<u64> {
    batches.into_iter().flatten().map(|m| number(&m)).collect()
}

#[test]
fn batches_arrive_in_order_whatever_their_size() {
    over_ipc_and_tcp(30, |wire| {
        let pull: Pull<Batch> = Pull::open_batched(Config::bind(&wire.address())).unwrap();
        let push: Push<Batch> = Push::open_batched(Config::connect(&at(&pull))).unwrap();
        let mut sent = 0;
        for size in [0, 1, 2, 127, 128, 129, 1000, 0, 5000, 1] {
            push.send(batch(sent..sent + size)).unwrap();
            sent += size;
        }
        let mut got = Vec::new();
        while (got.len() as u64) < sent {
            let batch = pull.recv_timeout(LONG).unwrap();
            assert!(!batch.is_empty());
            got.extend(numbers([batch]));
        }
        assert_eq!(got, (0..sent).collect::<Vec<_>>());
        assert_eq!(push.drain(LONG).unwrap().sent(), sent);
        assert!(pull.close().unwrap().is_empty());
    });
}

#[test]
fn batches_and_single_messages_understand_each_other() {
    over_ipc_and_tcp(30, |wire| {
        let pull = Pull::open_batched(Config::bind(&wire.address())).unwrap();
        let (batched, single) = (
            Push::open_batched(Config::connect(&at(&pull))).unwrap(),
            Push::connect(&at(&pull)).unwrap(),
        );
        let context = zmq::Context::new();
        let theirs = raw_push(&context);
        theirs.connect(&at(&pull)).unwrap();
        for n in 0..100 {
            batched.send(batch(10 * n..10 * n + 10)).unwrap();
            single.send(numbered(1 << 32 | n, 8)).unwrap();
            theirs.send(&(2 << 32 | n).to_le_bytes()[..], 0).unwrap();
        }
        let mut got: [Vec<u64>; 3] = Default::default();
        for _ in 0.. {
            for n in numbers([pull.recv_timeout(LONG).unwrap()]) {
                got[(n >> 32) as usize].push(n & 0xffff_ffff);
            }
            if got.iter().map(Vec::len).sum::<usize>() == 1200 {
                break;
            }
        }
        assert_eq!(got[0], (0..1000).collect::<Vec<_>>());
        assert_eq!(got[1], (0..100).collect::<Vec<_>>());
        assert_eq!(got[2], (0..100).collect::<Vec<_>>());

        let receiver = wire.pull();
        let push = Push::open_batched(Config::connect(&at(&receiver))).unwrap();
        let mut mixed = batch(0..3);
        mixed.insert(1, Message::multipart(["of", "parts"]));
        push.send(mixed.clone()).unwrap();
        for sent in mixed {
            assert_eq!(receiver.recv_timeout(LONG).unwrap(), sent);
        }
    });
}

#[test]
fn an_abort_gives_back_the_rest_of_every_batch() {
    undisturbed_over_ipc_and_tcp(30, |wire| {
        let (address, _nobody) = wire.nobody();
        for config in [Config::bind(&wire.address()), Config::connect(&address)] {
            let config = config.capacity(10).high_water_mark(25);
            let push = Push::open_batched(config).unwrap();
            let mut sent = 0;
            while push.send_timeout(batch(sent..sent + 10), ms(50)).is_ok() {
                sent += 10;
            }
            let unsent = push.abort();
            assert_eq!(unsent.in_doubt(), 0);
            assert_eq!(numbers(unsent), (0..sent).collect::<Vec<_>>());
        }
    });
}

#[test]
fn a_batch_that_is_cut_in_the_middle_comes_back_from_there() {
    over_ipc_and_tcp(30, |wire| {
        let pull =
            Pull::open(Config::bind(&wire.address()).capacity(1).high_water_mark(1)).unwrap();
        let push = Push::open_batched(Config::connect(&at(&pull)).high_water_mark(1)).unwrap();
        let big = |n| numbered(n, 64 << 10);
        push.send((0..500).map(big).collect::<Batch>()).unwrap();
        assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), 0);
        eventually("it is stuck", || push.stats().stalls > 3);
        let unsent = push.abort();
        let doubt = unsent.in_doubt();
        let back = numbers(unsent);
        let mut got = vec![0];
        while (got.len() as u64) < (500 - back.len() as u64).saturating_sub(doubt) {
            got.push(number(&pull.recv_timeout(LONG).unwrap()));
        }
        while let Ok(more) = pull.recv_timeout(ms(20)) {
            got.push(number(&more));
        }
        assert!(got.len() + back.len() <= 500);
        assert_eq!(got, (0..got.len() as u64).collect::<Vec<_>>());
        assert_eq!(back, (500 - back.len() as u64..500).collect::<Vec<_>>());
    });
}

#[test]
fn a_closing_batched_pull_gives_back_everything() {
    over_ipc_and_tcp(30, |wire| {
        let pull = Pull::open_batched(Config::bind(&wire.address()).capacity(1)).unwrap();
        let push = Push::connect(&at(&pull)).unwrap();
        let accepted = 500;
        for n in 0..accepted {
            push.send(numbered(n, 8)).unwrap();
        }
        eventually("the channel is full", || pull.stats().stalls > 0);
        push.drain(LONG).unwrap();
        let left = numbers(pull.close().unwrap());
        assert_eq!(left, (0..left.len() as u64).collect::<Vec<_>>());
        assert!(!left.is_empty());
    });
}
