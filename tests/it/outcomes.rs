//! What became of each item, told to whoever asks, at nobody's cost.

use std::thread;

use pushpull::{Config, OutcomeError, Push};

use crate::harness::{
    at, eventually, fill, ms, number, numbered, over_ipc_and_tcp, timed, transports, within, Wire,
    LONG,
};

#[test]
fn every_item_has_one_outcome_in_order() {
    over_ipc_and_tcp(30, |wire| {
        let pull = wire.pull();
        let push = Push::open(Config::connect(&at(&pull)).outcomes(2000)).unwrap();
        for n in 0..1000 {
            push.send(numbered(n, 8)).unwrap();
        }
        let outcomes = push.outcomes().unwrap();
        for seq in 0..1000 {
            let outcome = outcomes.recv_timeout(LONG).unwrap();
            assert_eq!((outcome.seq, outcome.result), (seq, Ok(())));
        }
        let drained = push.drain(LONG).unwrap();
        assert!(drained.outcomes().unwrap().is_empty());
        assert_eq!(drained.stats().outcomes_dropped, 0);
    });
}

#[test]
fn outcomes_that_nobody_reads_change_nothing_for_a_million_messages() {
    within(100, || {
        const ALL: u64 = 1_000_000;
        let wire = Wire::new(transports()[0]);
        let pull = wire.pull();
        let push = Push::open(Config::connect(&at(&pull)).outcomes(10)).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| (0..ALL).for_each(|n| push.send(numbered(n, 8)).unwrap()));
            for n in 0..ALL {
                assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
            }
        });
        eventually("all are told", || push.stats().outcomes_dropped == ALL - 10);
        // Those that found room were the first.
        let told: Vec<_> = push.outcomes().unwrap().try_iter().map(|o| o.seq).collect();
        assert_eq!(told, (0..10).collect::<Vec<_>>());
        push.drain(LONG).unwrap();
    });
}

#[test]
fn a_slow_reader_sees_the_gap_and_the_count() {
    over_ipc_and_tcp(30, |wire| {
        let pull = wire.pull();
        let push = Push::open(Config::connect(&at(&pull)).outcomes(5)).unwrap();
        let outcomes = push.outcomes().unwrap();
        let mut seen: Vec<u64> = Vec::new();
        for round in 1..=20 {
            for n in 0..9 {
                push.send(numbered(n, 8)).unwrap();
            }
            eventually("the worker told all", || {
                let dropped = push.stats().outcomes_dropped;
                (seen.len() + outcomes.len()) as u64 + dropped == 9 * round
            });
            seen.extend(outcomes.try_iter().map(|o| o.seq));
        }
        let due: Vec<_> = (0..20).flat_map(|r| 9 * r..9 * r + 5).collect();
        assert_eq!(seen, due);
        assert_eq!(push.stats().outcomes_dropped, 20 * 4);
        push.drain(LONG).unwrap();
    });
}

#[test]
fn an_item_that_expired_comes_back_in_its_outcome() {
    over_ipc_and_tcp(30, |wire| {
        let push = Push::open(
            Config::bind(&wire.address())
                .outcomes(100)
                .send_deadline(ms(20)),
        );
        let push = push.unwrap();
        let outcomes = push.outcomes().unwrap();
        for n in 0..3 {
            let (took, outcome) = timed(|| {
                push.send(numbered(n, 1000)).unwrap();
                outcomes.recv_timeout(LONG).unwrap()
            });
            assert!(took >= ms(19), "expired after {took:?}");
            assert_eq!(outcome.seq, n);
            let error = outcome.result.unwrap_err();
            assert!(matches!(error, OutcomeError::Deadline(_)));
            assert_eq!(error.into_inner(), numbered(n, 1000));
        }
        eventually("they are counted", || push.stats().returned == 3);
        assert_eq!((push.stats().lost, push.stats().sent), (0, 0));

        // A peer at last: the next one goes.
        let pull = pushpull::Pull::connect(&at(&push)).unwrap();
        eventually("one gets through", || {
            push.send(numbered(7, 8)).unwrap();
            outcomes.recv_timeout(LONG).unwrap().result.is_ok()
        });
        assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), 7);
        push.drain(LONG).unwrap();
    });
}

#[test]
fn an_item_that_expired_and_that_nobody_takes_back_is_counted() {
    over_ipc_and_tcp(30, |wire| {
        for (outcomes, back) in [(0, 0), (1, 1)] {
            let config = Config::bind(&wire.address())
                .outcomes(outcomes)
                .send_deadline(ms(5));
            let push = Push::open(config).unwrap();
            for n in 0..4 {
                push.send(numbered(n, 8)).unwrap();
            }
            eventually("all have expired", || push.stats().lost == 4 - back);
            let stats = push.stats();
            assert_eq!((stats.returned, stats.backlog()), (back, 0));
            assert_eq!(stats.outcomes_dropped, (4 - back) * u64::from(outcomes > 0));
            assert!(push.abort().is_empty());
        }
    });
}

#[test]
fn outcomes_are_there_after_the_end() {
    over_ipc_and_tcp(30, |wire| {
        let push = Push::open(
            Config::bind(&wire.address())
                .outcomes(10)
                .send_deadline(ms(1)),
        );
        let push = push.unwrap();
        push.send("for nobody").unwrap();
        eventually("it has expired", || push.stats().returned == 1);
        let unsent = push.abort();
        let outcome = unsent.outcomes().unwrap().recv().unwrap();
        assert_eq!(
            outcome.result.unwrap_err().into_inner(),
            "for nobody".into()
        );
        assert!(
            unsent.outcomes().unwrap().recv().is_err(),
            "there is no other"
        );
        assert!(unsent.is_empty(), "it came back once already");
    });
}

#[test]
fn no_outcome_says_sent_for_what_an_ending_gives_back_from_the_channel() {
    over_ipc_and_tcp(30, |wire| {
        let push = Push::open(Config::bind(&wire.address()).outcomes(10_000)).unwrap();
        let accepted = fill(&push, 8);
        let unsent = push.abort();
        assert_eq!(unsent.outcomes().unwrap().try_iter().count(), 0);
        assert_eq!(unsent.count() as u64, accepted);
    });
}
