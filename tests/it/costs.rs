//! What a queue costs: nothing while it is idle, and nothing once it is gone.
//! Each test counts in a process of its own.

use std::{fs, thread, time::Duration};

use pushpull::{Config, Context, Pull, Push};

use crate::{
    harness::{
        at, eventually, in_own_process, ms, numbered, patience, raw_pull, raw_push, Wire, LONG,
    },
    meter::{descriptors, effort, largest_send_buffer, resident, settled, threads, Holdings},
};

/// One life of a Push and a Pull, with a message or without.
fn live_and_end(wire: &Wire, turn: usize, context: Option<&Context>) {
    let on = |config: Config| match context {
        Some(context) => config.context(context),
        None => config,
    };
    let pull = Pull::open(on(Config::bind(&wire.address()))).unwrap();
    let config = Config::connect(&at(&pull))
        .outcomes(3)
        .linger(Duration::ZERO);
    let push = Push::open(on(config)).unwrap();
    push.send("hello").unwrap();
    match turn % 4 {
        0 => {
            assert_eq!(pull.recv_timeout(LONG).unwrap(), "hello".into());
            push.drain(LONG).unwrap();
            pull.close().unwrap().for_each(drop);
        }
        1 => {
            pull.close().unwrap().for_each(drop);
            push.abort().for_each(drop);
        }
        2 => drop((push, pull)),
        _ => {
            let keep = (
                push.stopper(),
                push.sender().clone(),
                pull.receiver().clone(),
            );
            keep.0.stop();
            drop((pull, push));
            assert!(keep.1.send("late".into()).is_err());
        }
    }
}

#[test]
fn nothing_outlives_its_queue() {
    in_own_process(60, || {
        let wires = [Wire::new("ipc"), Wire::new("tcp")];
        live_and_end(&wires[0], 0, None);
        let before = Holdings::now();
        for turn in 0..200 {
            let wire = &wires[turn % 2];
            live_and_end(wire, turn / 2, None);
            before.are_unchanged(&format!("after {turn}"));
            assert_eq!(fs::read_dir(wire.dir.path()).unwrap().count(), 0);
        }
    });
}

#[test]
fn nothing_outlives_its_queue_on_a_context_that_lives_on() {
    in_own_process(60, || {
        let wires = [Wire::new("ipc"), Wire::new("tcp")];
        let context = Context::new().unwrap();
        live_and_end(&wires[0], 0, Some(&context));
        let before = Holdings::now();
        for turn in 0..200 {
            live_and_end(&wires[turn % 2], turn / 2, Some(&context));
            before.are_unchanged(&format!("after {turn}"));
        }
        drop(context);
        let zmq = || threads().iter().any(|name| name.starts_with("ZMQbg"));
        eventually("libzmq's threads are gone", || !zmq());
    });
}

#[test]
fn ten_thousand_queues_leave_nothing_behind() {
    in_own_process(100, || {
        let wires = [Wire::new("ipc"), Wire::new("tcp")];
        let context = Context::new().unwrap();
        let pairs = |n: usize| {
            for turn in 0..n {
                live_and_end(&wires[turn % 2], turn / 2, Some(&context));
            }
        };
        pairs(500);
        let before = (Holdings::now(), resident());
        for n in 1..=10 {
            pairs(500);
            before.0.are_unchanged(&format!("after {n} thousand"));
        }
        let grown = resident().saturating_sub(before.1);
        println!("{} KiB before, {grown} KiB more", before.1);
        assert!(grown < 2048, "{grown} KiB for ten thousand queues");
    });
}

#[test]
fn a_failed_open_leaves_nothing_behind() {
    in_own_process(60, || {
        let wire = Wire::new("ipc");
        live_and_end(&wire, 0, None);
        let taken = wire.pull();
        let before = Holdings::now();
        // A thread of a context lives as long as the context.
        let shared = Context::new().unwrap();
        let _ = Push::open(Config::bind(&wire.address()).context(&shared))
            .unwrap()
            .abort();
        let before_shared = Holdings::now();
        let back = |config: &Config| before_shared.are_unchanged(&format!("{config:?}"));
        for _ in 0..20 {
            assert!(Push::open(Config::bind(&at(&taken))).is_err());
            assert!(Pull::open(Config::bind(&at(&taken)).context(&shared)).is_err());
            // The queue that has the path was called, to see whether it lives, and takes a
            // moment to hang up.
            eventually("it has hung up", || before_shared.covers_now());
        }
        for config in [
            Config::bind("nonsense"),
            Config::bind("tcp://192.0.2.1:0"),
            Config::bind(&wire.address()).also_bind("tcp://192.0.2.1:0"),
            Config::bind("tcp://127.0.0.1:0").also_connect("ipc:///no such folder/a"),
        ] {
            for _ in 0..20 {
                assert!(Push::open(config.clone()).is_err());
                assert!(Pull::open(config.clone()).is_err());
            }
            back(&config);
            let config = config.context(&shared);
            for _ in 0..20 {
                assert!(Push::open(config.clone()).is_err());
                back(&config);
                assert!(Pull::open(config.clone()).is_err());
            }
        }
        drop(shared);
        before.are_unchanged("all is gone");
    });
}

#[test]
fn an_idle_queue_costs_nothing() {
    in_own_process(60, || {
        const SECONDS: u64 = 3;
        let wires = [Wire::new("ipc"), Wire::new("tcp")];
        let pairs = wires.each_ref().map(|wire| wire.pair(|c| c, |c| c));
        let alone = (
            Push::bind(&wires[0].address()).unwrap(),
            Pull::bind(&wires[1].address()).unwrap(),
        );
        // One that waits for room, which is idle as well.
        let full = Push::open(Config::bind(&wires[1].address()).capacity(1)).unwrap();
        let accepted = crate::harness::fill(&full, 8);
        let queues = 7;
        thread::sleep(ms(200));
        let before = effort();
        thread::sleep(Duration::from_secs(SECONDS));
        let after = effort();
        let (switches, time) = (after.0 - before.0, after.1 - before.1);
        println!("{queues} queues for {SECONDS} s: {switches} waits, {time:?}");
        // This thread and the watchdog wait as well.
        assert!(switches <= queues * (SECONDS + 1) + 5, "{switches} waits");
        assert!(time < ms(30) * patience(), "{time:?}");
        for (push, pull) in pairs {
            push.send("awake").unwrap();
            assert_eq!(pull.recv_timeout(LONG).unwrap(), "awake".into());
        }
        assert_eq!(full.abort().count() as u64, accepted);
        drop(alone);
    });
}

#[test]
fn an_idle_push_forgets_the_peers_that_leave() {
    in_own_process(100, || {
        for transport in ["ipc", "tcp"] {
            let wire = Wire::new(transport);
            let push = Push::bind(&wire.address()).unwrap();
            let context = zmq::Context::new();
            let sockets = || descriptors().get("socket:").copied().unwrap_or(0);
            let calm = sockets();
            let visit = |n: usize| {
                for _ in 0..n / 50 {
                    let peers: Vec<_> = (0..50).map(|_| raw_pull(&context)).collect();
                    for peer in &peers {
                        peer.connect(&at(&push)).unwrap();
                    }
                    eventually("they are connected", || sockets() >= calm + 50);
                    drop(peers);
                    eventually("they have left", || sockets() <= calm);
                }
                // An idle worker looks after its socket about once a second.
                thread::sleep(ms(2100));
            };
            visit(500);
            let before = Holdings::now();
            // A pipe that is kept is some kilobytes: 3000 would be 20 MiB. To end one
            // takes libzmq two looks at its socket.
            let calm = settled(2048, || visit(3000));
            before.are_unchanged("after 3000");
            let grown = || resident().saturating_sub(calm);
            eventually("their memory is free again", || grown() < 2048);
            println!("{transport}: {calm} KiB, {} more", grown());
            drop(context);
            push.abort().for_each(drop);
        }
    });
}

#[test]
fn a_pull_keeps_nothing_of_the_peers_that_leave() {
    in_own_process(100, || {
        let wire = Wire::new("ipc");
        let pull = wire.pull();
        let context = zmq::Context::new();
        let visit = |n: usize| {
            for _ in 0..n {
                let peer = raw_push(&context);
                peer.set_linger(10_000).unwrap();
                peer.connect(&at(&pull)).unwrap();
                peer.send("hello", 0).unwrap();
                drop(peer);
                assert_eq!(pull.recv_timeout(LONG).unwrap(), "hello".into());
            }
        };
        visit(300);
        let calm = settled(2048, || visit(2000));
        let grown = || resident().saturating_sub(calm);
        eventually("their memory is free again", || grown() < 2048);
        println!("{calm} KiB, {} more", grown());
    });
}

#[test]
fn a_push_whose_peer_left_behind_what_is_past_its_deadline_rests() {
    in_own_process(60, || {
        let wire = Wire::new("ipc");
        let push = Push::open(Config::bind(&wire.address()).send_deadline(ms(50))).unwrap();
        let context = zmq::Context::new();
        let deaf = raw_pull(&context);
        deaf.set_rcvhwm(1).unwrap();
        deaf.connect(&at(&push)).unwrap();
        assert!(push.wait_for_peer(LONG));
        // Not heavy, or libzmq would not hold so many.
        for n in 0..900 {
            push.send(numbered(n, 7 << 10)).unwrap();
        }
        eventually("libzmq has them", || push.stats().sent == 900);
        drop(deaf);
        eventually("the push has noticed", || push.stats().sent < 900);
        thread::sleep(ms(100));
        let before = effort();
        thread::sleep(ms(500));
        let (waits, time) = effort();
        assert!(waits - before.0 < 50, "{} waits", waits - before.0);
        assert!(time - before.1 < ms(50), "{:?}", time - before.1);
        push.abort().for_each(drop);
    });
}

/// Messages that are in a queue for long are bounded; those that pass leave
/// nothing.
#[test]
fn messages_that_pass_leave_no_memory_behind() {
    in_own_process(100, || {
        let wire = Wire::new("ipc");
        let (push, pull) = wire.pair(|c| c, |c| c);
        let pass = |n: usize| {
            thread::scope(|scope| {
                scope.spawn(|| {
                    for turn in 0..n {
                        let size = [10, 100, 600, 5000, 20_000][turn % 5];
                        push.send(vec![1; size]).unwrap();
                        push.send(pushpull::Message::multipart([vec![1; size], vec![]]))
                            .unwrap();
                    }
                });
                for _ in 0..2 * n {
                    pull.recv_timeout(LONG).unwrap();
                }
            });
        };
        pass(10_000);
        let before = resident();
        pass(40_000);
        let grown = resident().saturating_sub(before);
        println!("{before} KiB before, {grown} KiB more");
        assert!(grown < 8 << 10, "{grown} KiB more");
    });
}

/// A receiver that is killed takes what the kernel holds along, and one that closes reads it:
/// so it is little where a connection does not carry much.
#[test]
fn a_connection_gets_a_larger_buffer_in_the_kernel_for_its_rate_and_not_for_its_age() {
    const SIZE: usize = 100_000;
    in_own_process(60, || {
        let wire = Wire::new("ipc");
        let (push, pull) = wire.pair(|c| c, |c| c);
        let pass = |count: usize| {
            (0..count).for_each(|_| push.send(vec![0; SIZE]).unwrap());
            for _ in 0..count {
                assert_eq!(pull.recv_timeout(LONG).unwrap().len(), SIZE);
            }
        };
        pass(1);
        let usual = largest_send_buffer();
        // As much as gets one, at a tenth of the rate at most.
        for _ in 0..120 {
            pass(1);
            thread::sleep(ms(10));
        }
        assert_eq!(largest_send_buffer(), usual);
        eventually("it has more", || {
            pass(300);
            largest_send_buffer() > usual
        });
    });
}

/// What a connection holds in the kernel; how much faster that is, the benches tell.
#[test]
fn large_messages_get_a_larger_buffer_in_the_kernel_unless_one_was_asked_for() {
    in_own_process(60, || {
        let context = zmq::Context::new();
        let after_one_of = |size: usize, asked: i32| {
            let wire = Wire::new("ipc");
            let (push, pull) = (raw_push(&context), raw_pull(&context));
            push.set_sndbuf(asked).unwrap();
            pull.bind(&wire.address()).unwrap();
            push.connect(&pull.get_last_endpoint().unwrap().unwrap())
                .unwrap();
            push.send(vec![0; size], 0).unwrap();
            assert_eq!(pull.recv_bytes(0).unwrap().len(), size);
            largest_send_buffer()
        };
        let usual = after_one_of(1000, -1);
        assert_eq!(after_one_of(1 << 20, 1 << 16), usual);
        assert_eq!(after_one_of(100_000, -1), usual);
        assert!(after_one_of(1 << 20, -1) > usual);
    });
}
