//! Whatever was accepted arrives or comes back, and nothing does both.

use std::{collections::HashMap, sync::Barrier, thread, time::Duration};

use pushpull::{Config, Context, Message, Pull, Push, Unsent};

use crate::harness::{
    at, eventually, fill, ms, number, numbered, over_ipc_and_tcp, patience, rounds, timed,
    undisturbed_over_ipc_and_tcp, within, Wire, LONG, PROMPT,
};

const SENDERS: u64 = 4;

/// Hammers a Push from several threads until it refuses, ends it after some of
/// that, and compares what they sent, what came back, and what arrived.
fn hammer(wire: &Wire, often: u64, config: fn(Config) -> Config, end: fn(Push) -> Option<Unsent>) {
    for round in 0..rounds(often) {
        let (push, pull) = wire.pair(config, config);
        let start = Barrier::new(SENDERS as usize + 1);
        let (accepted, got, back, doubt) = thread::scope(|scope| {
            let senders: Vec<_> = (0..SENDERS)
                .map(|who| {
                    let (sender, start) = (push.sender().clone(), &start);
                    scope.spawn(move || {
                        start.wait();
                        let refused = |n: &u64| {
                            let size = if n % 7 == 0 { 3000 } else { 12 };
                            sender.send(numbered(who << 32 | n, size)).is_err()
                        };
                        (0..).find(refused).unwrap()
                    })
                })
                .collect();
            let receiver = scope.spawn({
                let receiver = pull.receiver().clone();
                move || receiver.iter().map(|m| number(&m)).collect::<Vec<_>>()
            });
            start.wait();
            // Not the same moment in each round.
            thread::sleep(Duration::from_micros(round % 10 * 300));
            let ended = end(push);
            let accepted: Vec<u64> = senders.into_iter().map(|s| s.join().unwrap()).collect();
            let doubt = ended.as_ref().map_or(0, |unsent| unsent.in_doubt());
            let back: Vec<u64> = ended.into_iter().flatten().map(|m| number(&m)).collect();
            let due = accepted.iter().sum::<u64>() - back.len() as u64;
            // All but one that the pair said hello with, and those in doubt.
            eventually("what did not come back arrived", || {
                pull.stats().received > due.saturating_sub(doubt)
            });
            let left = pull.close().unwrap();
            let mut got = receiver.join().unwrap();
            got.extend(left.map(|m| number(&m)));
            (accepted, got, back, doubt)
        });
        let total: u64 = accepted.iter().sum();
        let seen = (got.len() + back.len()) as u64;
        assert!(
            seen <= total && total <= seen + doubt,
            "round {round}: {total} accepted, {} arrived, {} came back, {doubt} in doubt",
            got.len(),
            back.len()
        );
        check_order(&accepted, got.iter().chain(&back), doubt);
    }
}

/// Each sender's messages, first those that arrived and then those that came
/// back, are what it sent, without a gap that is not in doubt.
fn check_order<'a>(accepted: &[u64], seen: impl Iterator<Item = &'a u64>, doubt: u64) {
    let mut next = HashMap::<u64, u64>::new();
    for n in seen {
        let due = next.entry(n >> 32).or_default();
        let n = n & 0xffff_ffff;
        assert!(n >= *due, "{n} twice or out of order");
        assert!(n - *due <= doubt, "{} lost before {n}", n - *due);
        *due = n + 1;
    }
    for (who, sent) in accepted.iter().enumerate() {
        let due = next.get(&(who as u64)).copied().unwrap_or(0);
        assert!(
            due <= *sent && sent - due <= doubt,
            "{who}: {due} of {sent}"
        );
    }
}

fn drained(push: Push) -> Option<Unsent> {
    push.drain(LONG).unwrap();
    None
}

fn aborted(push: Push) -> Option<Unsent> {
    Some(push.abort())
}

fn stopped(push: Push) -> Option<Unsent> {
    push.stopper().stop();
    match push.drain(LONG) {
        Ok(drained) => {
            // There was nothing to be stopped.
            assert_eq!(drained.stats().backlog(), 0);
            None
        }
        Err(error) => Some(error.into_unsent()),
    }
}

#[test]
fn what_is_accepted_while_a_drain_runs_arrives() {
    over_ipc_and_tcp(60, |wire| {
        hammer(wire, 60, |c| c, drained);
        hammer(wire, 60, |c| c.capacity(3).high_water_mark(2), drained);
        hammer(wire, 60, |c| c.capacity(0), drained);
    });
}

#[test]
fn what_is_accepted_while_an_abort_runs_arrives_or_comes_back() {
    over_ipc_and_tcp(60, |wire| {
        hammer(wire, 60, |c| c, aborted);
        hammer(wire, 60, |c| c.capacity(3).high_water_mark(2), aborted);
        hammer(wire, 60, |c| c.capacity(0), aborted);
    });
}

#[test]
fn what_is_accepted_while_a_stop_runs_arrives_or_comes_back() {
    over_ipc_and_tcp(60, |wire| hammer(wire, 60, |c| c, stopped));
}

#[test]
fn an_abort_with_no_peer_gives_every_message_back_in_order() {
    undisturbed_over_ipc_and_tcp(30, |wire| {
        let (address, _nobody) = wire.nobody();
        for config in [Config::connect(&address), Config::bind(&wire.address())] {
            for (capacity, high_water) in [(1000, 1000), (3, 1000), (1000, 2), (1, 1)] {
                let config = config
                    .clone()
                    .capacity(capacity)
                    .high_water_mark(high_water);
                let push = Push::open(config).unwrap();
                let accepted = fill(&push, 20);
                let unsent = push.abort();
                assert_eq!(unsent.in_doubt(), 0);
                assert_eq!(unsent.len() as u64, accepted);
                let back: Vec<_> = unsent.map(|m| number(&m)).collect();
                assert_eq!(back, (0..accepted).collect::<Vec<_>>());
            }
        }
    });
}

/// Messages of several frames, of which a connection may have sent a part.
#[test]
fn an_abort_at_high_water_loses_nothing_and_tears_nothing() {
    over_ipc_and_tcp(60, |wire| {
        for round in 0..18u64 {
            let size = [300, 3000, 100_000][round as usize % 3];
            let small = |c: Config| c.capacity(5).high_water_mark(5);
            let (push, pull) = wire.pair(small, small);
            let mut accepted = 0;
            let mut full = 0;
            while full < 10 {
                let message = Message::multipart([
                    numbered(accepted, size),
                    Message::from(""),
                    numbered(accepted, 3 * size),
                ]);
                match push.try_send(message) {
                    Ok(()) => (accepted, full) = (accepted + 1, 0),
                    Err(_) => {
                        full += 1;
                        thread::sleep(ms(1));
                    }
                }
            }
            let unsent = push.abort();
            let doubt = unsent.in_doubt();
            let back: Vec<_> = unsent.map(|m| whole(&m, size)).collect();
            let due = accepted - back.len() as u64;
            let mut got = Vec::new();
            while (got.len() as u64) < due.saturating_sub(doubt) {
                got.push(whole(&pull.recv_timeout(LONG).unwrap(), size));
            }
            while let Ok(more) = pull.recv_timeout(ms(10)) {
                got.push(whole(&more, size));
            }
            assert!(got.len() as u64 <= due, "{got:?} and {back:?}");
            assert_eq!(got, (0..got.len() as u64).collect::<Vec<_>>());
            assert_eq!(back, (due..accepted).collect::<Vec<_>>());
        }
    });
}

fn whole(message: &Message, size: usize) -> u64 {
    let frames: Vec<_> = message.frames().map(<[u8]>::len).collect();
    assert_eq!(frames, [size, 0, 3 * size]);
    number(message)
}

#[test]
fn the_counters_add_up_at_every_end() {
    over_ipc_and_tcp(30, |wire| {
        let (address, _nobody) = wire.nobody();
        let push = Push::open(Config::connect(&address).capacity(10).high_water_mark(10)).unwrap();
        let accepted = fill(&push, 100);
        let stats = push.stats();
        assert_eq!(stats.accepted, accepted);
        assert_eq!(
            stats.sent + stats.returned + stats.lost + stats.backlog(),
            accepted
        );
        assert_eq!((stats.returned, stats.lost, stats.in_doubt), (0, 0, 0));
        assert!(stats.stalls > 0);
        assert_eq!(push.abort().count() as u64, accepted);

        let (push, pull) = wire.pair(|c| c, |c| c);
        for n in 0..10 {
            push.send(numbered(n, 100)).unwrap();
        }
        let drained = push.drain(LONG).unwrap();
        let stats = drained.stats();
        assert_eq!(
            (drained.sent(), stats.accepted, stats.backlog()),
            (11, 11, 0)
        );
        assert_eq!(stats.bytes, 1000 + "are you there?".len() as u64);
        eventually("all are received", || pull.stats().received == 11);
        assert_eq!(pull.stats().bytes, stats.bytes);
    });
}

#[test]
fn a_closing_pull_gives_back_everything_it_had_taken() {
    over_ipc_and_tcp(60, |wire| {
        for (capacity, high_water) in [(1000, 1000), (1, 1000), (1000, 1), (3, 7), (0, 5)] {
            let pull = Pull::open(
                Config::bind(&wire.address())
                    .capacity(capacity)
                    .high_water_mark(high_water),
            );
            let pull = pull.unwrap();
            let push = Push::connect(&at(&pull)).unwrap();
            // As many as this side holds for certain.
            let all = high_water.min(500) as u64 + capacity.min(500) as u64;
            for n in 0..all {
                push.send(numbered(n, 8)).unwrap();
            }
            push.drain(LONG).unwrap();
            let due = all.min(capacity as u64);
            eventually("the channel is full", || pull.stats().delivered >= due);
            let (took, left) = timed(|| pull.close().unwrap());
            let left: Vec<_> = left.map(|m| number(&m)).collect();
            // What was still in the kernel is lost, as the documentation says;
            // but never something in the middle.
            assert!(left.len() as u64 <= all);
            assert_eq!(left, (0..left.len() as u64).collect::<Vec<_>>());
            assert!(left.len() as u64 >= due, "{} of {all}", left.len());
            assert!(took < 4 * PROMPT * patience(), "{took:?}");
        }
    });
}

/// What the channel of a Pull has no room for waits in libzmq, and comes back.
#[test]
fn a_closing_pull_empties_libzmq() {
    over_ipc_and_tcp(30, |wire| {
        for _ in 0..20 {
            let (push, pull) = wire.pair(|c| c, |c| c.capacity(1));
            for n in 0..200 {
                push.send(numbered(n, 8)).unwrap();
            }
            push.drain(LONG).unwrap();
            let left: Vec<_> = pull.close().unwrap().map(|m| number(&m)).collect();
            assert_eq!(left, (0..200).collect::<Vec<_>>());
        }
    });
}

#[test]
fn what_is_accepted_for_a_neighbour_in_the_process_arrives_or_comes_back() {
    within(60, || {
        for end in [drained, aborted] {
            let context = Context::new().unwrap();
            let small = |c: Config| c.capacity(3).high_water_mark(5).context(&context);
            for _ in 0..60 {
                let pull = Pull::open(small(Config::bind("inproc://here"))).unwrap();
                let push = Push::open(small(Config::connect("inproc://here"))).unwrap();
                let sender = push.sender().clone();
                let (accepted, got, back, doubt) = thread::scope(|scope| {
                    let sender = scope.spawn(move || {
                        let refused = |n: &u64| sender.send(numbered(*n, 8)).is_err();
                        (0..).find(refused).unwrap()
                    });
                    let got = pull.recv_timeout(LONG).unwrap();
                    let receiver = pull.receiver().clone();
                    let got = scope.spawn(move || {
                        let rest = receiver.iter().map(|m| number(&m));
                        [number(&got)].into_iter().chain(rest).collect::<Vec<_>>()
                    });
                    let ended = end(push);
                    let doubt = ended.as_ref().map_or(0, Unsent::in_doubt);
                    let back: Vec<_> = ended.into_iter().flatten().map(|m| number(&m)).collect();
                    let accepted = sender.join().unwrap();
                    let due = accepted - back.len() as u64;
                    eventually("what did not come back arrived", || {
                        pull.stats().received >= due.saturating_sub(doubt)
                    });
                    let left = pull.close().unwrap();
                    let mut got = got.join().unwrap();
                    got.extend(left.map(|m| number(&m)));
                    (accepted, got, back, doubt)
                });
                check_order(&[accepted], got.iter().chain(&back), doubt);
            }
        }
    });
}

#[test]
fn a_message_for_a_neighbour_that_never_comes_is_accounted_for() {
    within(20, || {
        let context = Context::new().unwrap();
        for sent in [1, 5].repeat(50) {
            let push = Push::open(Config::connect("inproc://nobody").context(&context)).unwrap();
            for n in 0..sent {
                push.send(numbered(n, 8)).unwrap();
            }
            let unsent = push.abort();
            let doubt = unsent.in_doubt();
            assert_eq!(unsent.count() as u64 + doubt, sent);
        }
    });
}

/// A drain may not call sent what nobody can ever receive.
#[test]
fn a_drain_for_a_neighbour_that_never_comes_does_not_succeed() {
    within(20, || {
        let context = Context::new().unwrap();
        for sent in [1, 5].repeat(10) {
            let push = Push::open(Config::connect("inproc://nobody").context(&context)).unwrap();
            for n in 0..sent {
                push.send(numbered(n, 8)).unwrap();
            }
            eventually("libzmq has them", || push.stats().sent == sent);
            let unsent = push.drain(ms(5)).unwrap_err().into_unsent();
            let doubt = unsent.in_doubt();
            assert_eq!(unsent.count() as u64 + doubt, sent);
        }
    });
}
