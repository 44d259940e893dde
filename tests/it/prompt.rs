//! Every ending is prompt in every state that the design page names. Each case
//! is tried a hundred times and more; all but one in a hundred must keep the
//! promise.

use std::{sync::Barrier, thread, time::Duration};

use pushpull::{Config, DrainFailure, Message, Pull, Push};

use crate::harness::{
    assert_prompt, at, eventually, fill, ms, number, numbered, timed, tries, undisturbed,
    undisturbed_over_ipc_and_tcp as undisturbed_over_both, Reserved, Wire, LONG, PROMPT,
};

/// Large enough that a few fill the kernel's buffers.
const SIZE: usize = 256 << 10;

/// Small buffers, quick to fill, and quick to notice that a peer is gone.
fn small(config: Config) -> Config {
    config
        .capacity(2)
        .high_water_mark(1)
        .reconnect(ms(5), ms(20))
        .linger(Duration::ZERO)
}

/// Ends a Push in turn in each of the ways that promise to be prompt.
fn end_push(turn: usize, push: Push) -> Duration {
    match turn % 3 {
        0 => timed(|| push.abort()).0,
        1 => timed(|| drop(push)).0,
        _ => {
            timed(|| {
                push.stopper().stop();
                while push.send("refused").is_ok() {}
                push.abort()
            })
            .0
        }
    }
}

fn end_pull(turn: usize, pull: Pull) -> Duration {
    match turn % 3 {
        0 => timed(|| pull.close().unwrap()).0,
        1 => timed(|| drop(pull)).0,
        _ => {
            timed(|| {
                pull.stopper().stop();
                pull.iter().for_each(drop);
                pull.close().unwrap()
            })
            .0
        }
    }
}

/// Brings a queue into a state, gives it to `end`, which measures, and cleans
/// up behind it.
fn push_tries(state: &str, mut one: impl FnMut(&mut dyn FnMut(Push))) {
    let mut took = Vec::with_capacity(tries());
    for turn in 0..tries() {
        one(&mut |push| took.push(end_push(turn, push)));
    }
    assert_prompt(&format!("a push that is {state}"), PROMPT, took);
}

fn pull_tries(state: &str, mut one: impl FnMut(&mut dyn FnMut(Pull))) {
    let mut took = Vec::with_capacity(tries());
    for turn in 0..tries() {
        one(&mut |pull| took.push(end_pull(turn, pull)));
    }
    assert_prompt(&format!("a pull that is {state}"), PROMPT, took);
}

/// A Push whose peer takes nothing, and that peer.
fn at_high_water(wire: &Wire) -> (Push, Pull) {
    let (push, pull) = wire.pair(small, small);
    fill(&push, SIZE);
    (push, pull)
}

/// A Push whose peer is gone, full to the brim.
fn reconnecting(wire: &Wire) -> Push {
    let (push, pull) = wire.pair(small, small);
    drop(pull);
    fill(&push, 100);
    push
}

fn without_a_peer(wire: &Wire) -> (Push, Reserved) {
    let (address, nobody) = wire.nobody();
    let push = Push::open(small(Config::connect(&address))).unwrap();
    fill(&push, 100);
    (push, nobody)
}

#[test]
fn an_idle_push_ends_at_once() {
    undisturbed_over_both(100, |wire| {
        push_tries("idle", |end| {
            let (push, _pull) = wire.pair(small, small);
            end(push);
        });
    });
}

#[test]
fn a_push_that_never_had_a_peer_ends_at_once() {
    undisturbed_over_both(100, |wire| {
        push_tries("calling nobody", |end| {
            let (push, _nobody) = without_a_peer(wire);
            end(push);
        });
        push_tries("called by nobody", |end| {
            let push = Push::open(small(Config::bind(&wire.address()))).unwrap();
            fill(&push, 100);
            end(push);
        });
    });
}

#[test]
fn a_push_at_high_water_ends_at_once() {
    undisturbed_over_both(100, |wire| {
        push_tries("at high water", |end| {
            let (push, _pull) = at_high_water(wire);
            end(push);
        });
    });
}

#[test]
fn a_push_that_is_reconnecting_ends_at_once() {
    undisturbed_over_both(100, |wire| {
        push_tries("reconnecting", |end| end(reconnecting(wire)));
    });
}

#[test]
fn an_idle_pull_ends_at_once() {
    undisturbed_over_both(100, |wire| {
        pull_tries("idle", |end| {
            let (_push, pull) = wire.pair(small, small);
            end(pull);
        });
    });
}

#[test]
fn a_pull_that_never_had_a_peer_ends_at_once() {
    undisturbed_over_both(100, |wire| {
        pull_tries("called by nobody", |end| {
            end(Pull::open(small(Config::bind(&wire.address()))).unwrap());
        });
        pull_tries("calling nobody", |end| {
            let (address, _nobody) = wire.nobody();
            end(Pull::open(small(Config::connect(&address))).unwrap());
        });
    });
}

#[test]
fn a_pull_whose_channel_is_full_ends_at_once() {
    undisturbed_over_both(100, |wire| {
        pull_tries("full", |end| {
            let (_push, pull) = at_high_water(wire);
            eventually("the channel is full", || pull.stats().stalls > 0);
            end(pull);
        });
    });
}

#[test]
fn a_pull_that_is_reconnecting_ends_at_once() {
    undisturbed_over_both(100, |wire| {
        pull_tries("reconnecting", |end| {
            let push = Push::open(small(Config::bind(&wire.address()))).unwrap();
            let pull = Pull::open(small(Config::connect(&at(&push)))).unwrap();
            push.send("are you there?").unwrap();
            pull.recv_timeout(LONG).unwrap();
            drop(push);
            end(pull);
        });
    });
}

/// The deadline, and not a moment more than the promise.
#[test]
fn a_drain_that_can_not_succeed_ends_by_its_deadline() {
    const DEADLINE: Duration = ms(5);
    let drain = |push: Push| {
        let (took, drained) = timed(|| push.drain(DEADLINE));
        let error = drained.unwrap_err();
        assert_eq!(error.failure(), &DrainFailure::Deadline);
        assert!(took >= DEADLINE, "gave up after {took:?}");
        took
    };
    undisturbed_over_both(100, |wire| {
        let tries = 0..tries();
        let took = tries.clone().map(|_| drain(without_a_peer(wire).0));
        assert_prompt("drain, nobody there", DEADLINE + PROMPT, took.collect());
        let took = tries.clone().map(|_| drain(reconnecting(wire)));
        assert_prompt("drain, peer gone", DEADLINE + PROMPT, took.collect());
        let took = tries.map(|_| {
            let (push, _pull) = at_high_water(wire);
            // Really: a drain for which the kernel has room after all succeeds.
            fill(&push, SIZE);
            fill(&push, SIZE);
            drain(push)
        });
        assert_prompt("drain, high water", DEADLINE + PROMPT, took.collect());
    });
}

/// Over tcp it must not wait for the acknowledgement, which systems put off for
/// 40 ms.
#[test]
fn a_drain_of_an_idle_push_waits_for_nothing() {
    undisturbed_over_both(100, |wire| {
        let took = (0..tries()).map(|_| {
            let (push, _pull) = wire.pair(small, small);
            timed(|| push.drain(LONG).unwrap()).0
        });
        assert_prompt("drain, idle", ms(25), took.collect());
    });
}

#[test]
fn a_dropped_push_lingers_as_long_as_it_was_told_and_no_longer() {
    const LINGER: Duration = ms(20);
    undisturbed_over_both(60, |wire| {
        let took = (0..tries()).map(|_| {
            let (address, _nobody) = wire.nobody();
            let push = Push::open(Config::connect(&address).linger(LINGER)).unwrap();
            push.send("for nobody").unwrap();
            let took = timed(|| drop(push)).0;
            assert!(took >= LINGER, "gave up after {took:?}");
            took
        });
        assert_prompt("drop with linger", LINGER + PROMPT, took.collect());
    });
}

#[test]
fn stop_wakes_a_send_that_waits_at_high_water() {
    undisturbed_over_both(60, |wire| {
        let took = (0..tries()).map(|_| {
            let (push, _pull) = at_high_water(wire);
            let (stopper, waiting) = (push.stopper(), Barrier::new(2));
            thread::scope(|scope| {
                let sender = scope.spawn(|| {
                    waiting.wait();
                    loop {
                        if let Err(back) = push.send("one too many") {
                            break back.into_inner();
                        }
                    }
                });
                waiting.wait();
                let (took, back) = timed(|| {
                    stopper.stop();
                    sender.join().unwrap()
                });
                assert_eq!(back, "one too many".into());
                took
            })
        });
        assert_prompt("a waiting send", PROMPT, took.collect());
    });
}

#[test]
fn stop_wakes_a_receive_that_waits() {
    undisturbed_over_both(60, |wire| {
        let took = (0..tries()).map(|_| {
            let pull = wire.pull();
            let (stopper, waiting) = (pull.stopper(), Barrier::new(2));
            thread::scope(|scope| {
                let receiver = scope.spawn(|| {
                    waiting.wait();
                    pull.recv().unwrap_err()
                });
                waiting.wait();
                timed(|| {
                    stopper.stop();
                    receiver.join().unwrap()
                })
                .0
            })
        });
        assert_prompt("a waiting receive", PROMPT, took.collect());
    });
}

#[test]
fn stop_ends_a_drain_that_waits() {
    undisturbed_over_both(60, |wire| {
        let took = (0..tries()).map(|_| {
            let (push, _nobody) = without_a_peer(wire);
            let accepted = push.stats().accepted;
            let stopper = push.stopper();
            let sender = push.sender().clone();
            let drain = thread::spawn(move || push.drain(LONG));
            // The channel closes when the drain begins.
            eventually("the drain began", || {
                sender
                    .try_send("?".into())
                    .is_err_and(|e| e.is_disconnected())
            });
            let (took, drained) = timed(|| {
                stopper.stop();
                drain.join().unwrap()
            });
            let error = drained.unwrap_err();
            assert_eq!(error.failure(), &DrainFailure::Stopped);
            assert_eq!(error.into_unsent().count() as u64, accepted);
            took
        });
        assert_prompt("a waiting drain", PROMPT, took.collect());
    });
}

#[test]
fn stopping_twice_or_after_the_end_changes_nothing() {
    undisturbed_over_both(60, |wire| {
        let took = (0..tries()).map(|_| {
            let (push, pull) = wire.pair(small, small);
            let stoppers = [push.stopper(), push.stopper(), pull.stopper()];
            let took = timed(|| {
                for stopper in stoppers.iter().chain(&stoppers) {
                    stopper.stop();
                }
                assert!(push.abort().is_empty());
                assert!(pull.close().unwrap().is_empty());
            });
            stoppers.iter().for_each(|s| s.stop());
            took.0
        });
        // Two queues, so twice the promise.
        assert_prompt("stopped twice", 2 * PROMPT, took.collect());
    });
}

#[test]
fn eight_threads_may_stop_at_once_while_another_sends() {
    undisturbed_over_both(60, |wire| {
        let took = (0..tries()).map(|_| {
            let (push, pull) = wire.pair(|c| c, |c| c);
            let start = Barrier::new(9);
            let accepted = thread::scope(|scope| {
                for _ in 0..8 {
                    let (stopper, start) = (push.stopper(), &start);
                    scope.spawn(move || {
                        start.wait();
                        stopper.stop();
                    });
                }
                let sender = scope.spawn(|| {
                    let refused = |n: &u64| {
                        if *n == 50 {
                            start.wait();
                        }
                        push.send(numbered(*n, 8)).is_err()
                    };
                    (0..).find(refused).unwrap()
                });
                sender.join().unwrap()
            });
            let (took, unsent) = timed(|| push.abort());
            let doubt = unsent.in_doubt();
            let back: Vec<_> = unsent.collect();
            let mut got: Vec<Message> = Vec::new();
            let due = accepted - back.len() as u64;
            while (got.len() as u64) < due.saturating_sub(doubt) {
                got.push(pull.recv_timeout(LONG).unwrap());
            }
            got.extend(pull.close().unwrap());
            let all: Vec<_> = got.iter().chain(&back).map(number).collect();
            if doubt == 0 {
                assert_eq!(all, (0..accepted).collect::<Vec<_>>());
            }
            took
        });
        assert_prompt("stopped by eight", PROMPT, took.collect());
    });
}

#[test]
fn two_hundred_queues_on_one_context_end_at_once() {
    undisturbed(60, || {
        let context = pushpull::Context::new().unwrap();
        let open = |_| Push::open(small(Config::bind("tcp://127.0.0.1:0")).context(&context));
        let queues: Vec<Push> = (0..200).map(open).collect::<Result<_, _>>().unwrap();
        let took = queues.into_iter().map(|q| timed(|| q.abort()).0);
        assert_prompt("one of many", PROMPT, took.collect());
    });
}
