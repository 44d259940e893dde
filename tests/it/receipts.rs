//! A receipt tells once what became of its message.

use pushpull::{Batch, Config, Fate, Message, OutcomeError, Overflow, Pull, Push, ReturnReason};

use crate::harness::{
    at, eventually, fill, ms, number, numbered, over_ipc_and_tcp, within, Wire, LONG,
};

fn returned(reason: ReturnReason, message: impl Into<Message>) -> Fate {
    let message = message.into();
    Fate::Returned { reason, message }
}

#[test]
fn a_message_with_a_receipt_is_no_larger_than_one_without() {
    // The vector of the most room a message takes; see CAPACITY_MAX.
    assert!(size_of::<Message>() <= 72, "{}", size_of::<Message>());
    let (tracked, receipt) = Message::multipart(["a", "bc"]).tracked();
    assert_eq!(tracked, Message::multipart(["a", "bc"]));
    assert_eq!((tracked.len(), tracked.as_bytes()), (3, &b"a"[..]));
    let copy = tracked.clone();
    assert_eq!(tracked.into_vec(), b"abc");
    assert_eq!(receipt.try_fate().unwrap(), Fate::Abandoned);
    assert_eq!(copy.frames().count(), 2);
}

#[test]
fn what_libzmq_takes_is_accepted_in_any_mixture() {
    over_ipc_and_tcp(30, |wire| {
        let pull = wire.pull();
        let push = Push::connect(&at(&pull)).unwrap();
        let mut receipts = Vec::new();
        for n in 0..1000 {
            match n % 4 {
                0 => push.send(numbered(n, 8)).unwrap(),
                1 => receipts.push(push.send_tracked(numbered(n, 8)).unwrap()),
                2 => {
                    let parts = Message::multipart([numbered(n, 8), "more".into()]);
                    receipts.push(push.send_tracked(parts).unwrap());
                }
                _ => drop(push.send_tracked(numbered(n, 2000)).unwrap()),
            }
            if n % 100 == 99 {
                for seen in n - 99..=n {
                    assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), seen);
                }
            }
        }
        for receipt in receipts {
            assert_eq!(receipt.wait_timeout(LONG).unwrap(), Fate::Accepted);
        }
        push.drain(LONG).unwrap();
    });
}

#[test]
fn messages_in_batches_have_receipts_of_their_own() {
    over_ipc_and_tcp(30, |wire| {
        let pull = wire.pull();
        let push = Push::open_batched(Config::connect(&at(&pull))).unwrap();
        let (batch, receipts): (Batch, Vec<_>) = (0..300).map(|n| numbered(n, 8).tracked()).unzip();
        push.send(batch).unwrap();
        for n in 0..300 {
            assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
        }
        for receipt in receipts {
            assert_eq!(receipt.wait_timeout(LONG).unwrap(), Fate::Accepted);
        }
        push.drain(LONG).unwrap();
    });
}

#[test]
fn what_the_end_gives_back_is_returned() {
    over_ipc_and_tcp(30, |wire| {
        let push = Push::open(Config::bind(&wire.address()).capacity(300)).unwrap();
        let receipts: Vec<_> = (0..200)
            .map(|n| match n % 3 {
                0 => push.send_tracked(Message::multipart([numbered(n, 8), "x".into()])),
                _ => push.send_tracked(numbered(n, 8)),
            })
            .collect();
        let receipt = receipts.into_iter().map(Result::unwrap);
        let (here, unread) = receipt
            .enumerate()
            .partition::<Vec<_>, _>(|(n, _)| n % 2 == 0);
        drop(unread);
        let unsent: Vec<_> = push.abort().collect();
        assert_eq!(unsent.len(), 200);
        for (n, receipt) in here {
            let fate = receipt.try_fate().unwrap();
            assert_eq!(fate, returned(ReturnReason::Ended, unsent[n].clone()));
            assert_eq!(number(&unsent[n]), n as u64);
        }
    });
}

#[test]
fn what_expires_is_returned_and_not_lost_if_somebody_has_the_receipt() {
    over_ipc_and_tcp(30, |wire| {
        let push = Push::open(Config::bind(&wire.address()).send_deadline(ms(5))).unwrap();
        let receipt = push.send_tracked("late").unwrap();
        let fate = receipt.wait_timeout(LONG).unwrap();
        assert_eq!(fate, returned(ReturnReason::Deadline, "late"));
        eventually("it is counted", || push.stats().returned == 1);
        drop(push.send_tracked("later").unwrap());
        eventually("that one is lost", || push.stats().lost == 1);
        assert!(push.abort().is_empty());
    });
}

#[test]
fn what_a_queue_refuses_comes_back_without_a_receipt() {
    within(20, || {
        let wire = Wire::new("tcp");
        let push = Push::bind(&wire.address()).unwrap();
        let sender = push.sender().clone();
        push.stopper().stop();
        eventually("it has stopped", || push.send("x").is_err());
        let error = push.send_tracked("back").unwrap_err();
        assert_eq!(error.into_inner(), "back".into());
        let (message, receipt) = Message::from("by hand").tracked();
        let error = sender.send(message).unwrap_err();
        let receipt = receipt.try_fate().unwrap_err();
        drop(error);
        assert_eq!(receipt.try_fate().unwrap(), Fate::Abandoned);
        drop(push.abort());
    });
}

#[test]
fn a_push_that_rejects_the_newest_never_waits_and_tells_each() {
    over_ipc_and_tcp(30, |wire| {
        let config = Config::bind(&wire.address()).capacity(10).outcomes(1000);
        let push = Push::open(config.overflow(Overflow::RejectNewest)).unwrap();
        let accepted = fill(&push, 8);
        assert_eq!(
            push.stats().rejected,
            0,
            "try_send asks, and is not refused"
        );
        let back = push.send("one too many").unwrap_err().into_inner();
        assert_eq!(back, "one too many".into());
        let receipt = push.send_tracked("another").unwrap();
        let fate = receipt.try_fate().unwrap();
        assert_eq!(fate, returned(ReturnReason::Rejected, "another"));
        let outcomes: Vec<_> = push.outcomes().unwrap().try_iter().collect();
        let told: Vec<_> = outcomes
            .into_iter()
            .map(|o| o.result.unwrap_err())
            .collect();
        assert_eq!(
            told,
            ["one too many", "another"].map(|m| OutcomeError::Rejected(m.into()))
        );
        let stats = push.stats();
        assert_eq!((stats.rejected, stats.accepted), (2, accepted));
        assert_eq!(push.abort().count() as u64, accepted);
    });
}

#[test]
fn a_push_that_drops_the_oldest_never_waits_and_tells_each() {
    over_ipc_and_tcp(30, |wire| {
        for (outcomes, capacity) in [(10_000, 10), (0, 10), (0, 0)] {
            let config = Config::bind(&wire.address())
                .capacity(capacity)
                .outcomes(outcomes)
                .overflow(Overflow::DropOldest);
            let push = Push::open(config).unwrap();
            let receipts: Vec<_> = (0..1000)
                .map(|n| push.send_tracked(numbered(n, 8)).unwrap())
                .collect();
            for n in 1000..2000 {
                push.send(numbered(n, 8)).unwrap();
                push.try_send(numbered(n, 8)).unwrap();
                push.send_timeout(numbered(n, 8), LONG).unwrap();
            }
            // From then on it takes nothing more, and the numbers stand still.
            eventually("its worker waits", || push.stats().stalls > 0);
            let stats = push.stats();
            assert_eq!(stats.accepted, 4000);
            assert_eq!(stats.backlog() + stats.dropped, 4000);
            assert_eq!(stats.dropped, stats.returned + stats.lost);
            let seqs = push.outcomes().map(|o| o.try_iter().map(|o| o.seq));
            if let Some(seqs) = seqs {
                // All but the one in the worker's hand, and in order.
                let seqs: Vec<_> = seqs.collect();
                assert_eq!(seqs.len() as u64, stats.dropped);
                assert!(seqs.windows(2).all(|s| s[0] < s[1]));
                assert_eq!(stats.lost, 0);
            }
            let rest: Vec<_> = push.abort().map(|m| number(&m)).collect();
            assert_eq!(rest.len() as u64, stats.backlog());
            assert_eq!(*rest.last().unwrap(), 1999);
            let mut ended = 0;
            for (n, receipt) in receipts.into_iter().enumerate() {
                match receipt.try_fate().unwrap() {
                    Fate::Returned { reason, message } => {
                        assert_eq!(number(&message), n as u64);
                        ended += u64::from(reason == ReturnReason::Ended);
                    }
                    other => panic!("{n}: {other:?}"),
                }
            }
            assert_eq!(ended, rest.iter().filter(|n| **n < 1000).count() as u64);
        }
    });
}

#[test]
fn nothing_is_lost_or_doubled_while_the_oldest_are_dropped_and_others_go() {
    over_ipc_and_tcp(60, |wire| {
        let pull = Pull::open(Config::bind(&wire.address()).capacity(100_000)).unwrap();
        let config = Config::connect(&at(&pull)).capacity(3).high_water_mark(3);
        let push = Push::open(config.overflow(Overflow::DropOldest)).unwrap();
        let receipts: Vec<_> = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..3u64)
                .map(|who| {
                    let push = &push;
                    scope.spawn(move || {
                        let send = |n: u64| push.send_tracked(numbered(n * 3 + who, 8)).unwrap();
                        (0..10_000).map(send).collect::<Vec<_>>()
                    })
                })
                .collect();
            senders
                .into_iter()
                .flat_map(|s| s.join().unwrap())
                .collect()
        });
        let drained = push.drain(LONG).unwrap();
        let (mut accepted, mut dropped) = (0, 0);
        for receipt in receipts {
            match receipt.try_fate().unwrap() {
                Fate::Accepted => accepted += 1,
                Fate::Returned { .. } => dropped += 1,
                other => panic!("{other:?}"),
            }
        }
        println!("{accepted} went, {dropped} were dropped");
        let stats = drained.stats();
        assert_eq!((stats.sent, stats.dropped), (accepted, dropped));
        assert_eq!(accepted + dropped, 30_000);
        for _ in 0..accepted {
            pull.recv_timeout(LONG).unwrap();
        }
        assert!(pull.try_recv().is_err());
    });
}
