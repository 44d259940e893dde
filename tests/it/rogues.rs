//! Peers that leave or misbehave where a queue outlives the connection: it calls, or ends
//! at that moment.

use std::{
    net::TcpListener,
    sync::{
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use pushpull::{Config, Message, Pull, Push};

use crate::{
    harness::{
        at, eventually, in_own_process, ms, number, numbered, over_bare_streams, over_ipc_and_tcp,
        patience, raw_push, within, Wire, LONG,
    },
    stranger::{shaken_hands, Line, Stranger},
};

#[test]
fn a_calling_pull_goes_on_with_its_other_peers_when_one_leaves_behind_a_full_pipe() {
    over_ipc_and_tcp(60, |wire| {
        let stays = Push::bind(&wire.address()).unwrap();
        let leaves = Push::bind(&wire.address()).unwrap();
        let config = Config::connect(&at(&leaves)).also_connect(&at(&stays));
        let pull = Pull::open(config.high_water_mark(10).capacity(1)).unwrap();
        eventually("both are there", || pull.peers() == 2);
        for n in 0..200 {
            leaves.send(numbered(n, 100)).unwrap();
        }
        eventually("its channel is full", || pull.stats().depth == 1);
        drop(leaves.abort());
        // That it has left is told when all that it sent was read; its end is seen before.
        thread::sleep(ms(100));
        let got = (0..200).take_while(|n| {
            let message = pull.recv_timeout(ms(500));
            message.is_ok_and(|m| number(&m) == *n)
        });
        assert!(got.count() > 0);
        for n in 0..5 {
            stays.send(numbered(n, 100)).unwrap();
        }
        for n in 0..5 {
            assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
        }
    });
}

#[test]
fn a_message_to_a_calling_push_costs_its_sender_the_connection_and_the_next_peer_nothing() {
    within(60, || {
        let address = Wire::new("tcp").lasting_address();
        let listener = TcpListener::bind(address.trim_start_matches("tcp://")).unwrap();
        let config = Config::connect(&address).reconnect(ms(10), ms(20));
        let push = Push::open(config).unwrap();
        let answer = || {
            let mut stranger = Stranger(Line::Tcp(listener.accept().unwrap().0));
            stranger.0.patience(LONG);
            stranger.shakes_hands("PULL");
            stranger
        };
        let mut rogue = answer();
        thread::scope(|scope| {
            // Until it is thrown out: nobody reads what it says.
            let talk = scope.spawn(|| eventually("it is thrown out", || push.peers() == 0));
            while !talk.is_finished() {
                rogue.say(&[0, 3, b'b', b'a', b'd']);
                thread::sleep(ms(10));
            }
            talk.join().unwrap();
        });
        drop(rogue);
        // The next one is let in, and gets what the Push has.
        let mut good = answer();
        push.send("hello").unwrap();
        assert_eq!(good.hears(7), b"\0\x05hello");
        drop((good, listener));
        // Before that, what is sent may be in doubt with the one that left.
        eventually("it is seen to leave", || push.peers() == 0);
        let pull = Pull::bind(&address).unwrap();
        push.send("again").unwrap();
        assert_eq!(pull.recv_timeout(LONG).unwrap(), "again".into());
    });
}

/// The peer leaves in the middle of a message of many frames while its bound Push ends.
#[test]
fn an_end_beside_a_peer_that_leaves_in_mid_message_does_not_abort_the_process() {
    in_own_process(100, || {
        let wire = Wire::new("ipc");
        for round in 0..40 {
            let push = Push::bind(&wire.address()).unwrap();
            let mut stranger = Stranger::call(&at(&push));
            stranger.say(&shaken_hands("PULL"));
            let (tell, told) = mpsc::channel::<()>();
            let peer = thread::spawn(move || {
                told.recv().unwrap();
                thread::sleep(Duration::from_micros(round * 25));
                drop(stranger);
            });
            assert!(push.wait_for_peer(LONG));
            push.send(Message::multipart((0..100).map(|_| vec![7; 100_000])))
                .unwrap();
            eventually("it is on its way", || push.stats().sent == 1);
            thread::sleep(ms(20));
            tell.send(()).unwrap();
            push.abort().for_each(drop);
            peer.join().unwrap();
        }
    });
}

/// The Push hears of them, and that they have room for a message, at one time.
#[test]
fn rogues_that_talk_to_a_busy_push_are_thrown_out_once() {
    over_bare_streams(60, |wire| {
        let push = Push::bind(&wire.address()).unwrap();
        let pull = Pull::connect(&at(&push)).unwrap();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let numbers = (0..).take_while(|_| !over.load(Relaxed));
                numbers.for_each(|n| push.send(numbered(n, 8)).unwrap());
            });
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    let _ = pull.recv_timeout(ms(100));
                }
            });
            for _ in 0..500 {
                let mut rogue = Stranger::call(&at(&push));
                rogue.shakes_hands("PULL").hears(100);
                rogue.say(&[0; 64 << 10]).is_hung_up_on();
            }
            over.store(true, Relaxed);
        });
        push.abort().for_each(drop);
    });
}

/// A command is whole before the next message begins, however large it is.
#[test]
fn large_commands_of_a_stranger_tear_no_message() {
    over_bare_streams(60, |wire| {
        let pull = Pull::bind(&wire.address()).unwrap();
        for size in [8 << 10, 64 << 10, (256 << 10) - 1, 256 << 10, 1 << 20] {
            let mut stranger = Stranger::call(&at(&pull));
            stranger.shakes_hands("PUSH");
            for large in [40, 300_000] {
                let frame = |flags: u8, size: usize| {
                    let mut frame = vec![flags];
                    frame.extend((size as u64).to_be_bytes());
                    frame.resize(9 + size, b'x');
                    frame
                };
                let mut command = frame(6, size);
                command[9..14].copy_from_slice(b"\x04NOOP");
                stranger.say(&command);
                thread::sleep(ms(10));
                stranger.say(&frame(2, large)).say(b"\0\x05hello");
                let message = pull.recv_timeout(LONG).unwrap();
                assert_eq!(message.as_bytes(), vec![b'x'; large], "after {size}");
                assert_eq!(pull.recv_timeout(LONG).unwrap(), "hello".into());
            }
        }
    });
}

/// A connection that may not read hears no answer to its pings. What it had read by then
/// would be lost, and the next one found the pipe full before it began.
#[test]
fn a_heartbeat_does_not_take_back_pressure_for_death() {
    const COUNT: u64 = 2_000;
    in_own_process(60, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let config = Config::connect(&address).reconnect(ms(10), ms(20));
        let interval = ms(200) * patience();
        let config = config.heartbeat(interval).high_water_mark(1).capacity(1);
        let message = |n: u64| [&[0, 8][..], &n.to_be_bytes()].concat();
        let messages: Vec<_> = (0..COUNT).flat_map(message).collect();
        let pull = Pull::open(config).unwrap();
        let mut sender = Stranger(Line::Tcp(listener.accept().unwrap().0));
        // Before the first ping, which it does not answer, nor any other.
        sender.shakes_hands("PUSH").say(&messages);
        thread::sleep(interval * 4);
        assert_eq!(pull.peers(), 1, "it was given up");
        for n in 0..COUNT {
            let message = pull.recv_timeout(LONG).unwrap();
            assert_eq!(message.as_bytes(), n.to_be_bytes());
        }
        // It reads again, and hears nothing.
        eventually("it is given up", || pull.stats().peers_left == 1);
    });
}

/// What a pinged kernel still has to send, it throws away when its connection is closed.
/// With something to be read from it, nobody needs to ask whether a peer lives.
#[test]
#[cfg(target_os = "linux")]
fn a_heartbeat_loses_nothing_of_a_sender_that_has_gone() {
    const COUNT: u64 = 30_000;
    within(60, || {
        let interval = ms(500) * patience();
        let config = Config::bind("tcp://127.0.0.1:0").heartbeat(interval);
        let pull = Pull::open(config.high_water_mark(1).capacity(1)).unwrap();
        let message = |n: u64| [&[0, 8][..], &n.to_be_bytes()].concat();
        let messages: Vec<_> = (0..COUNT).flat_map(message).collect();
        let mut sender = Stranger::call(&at(&pull));
        // More than our kernel takes, less than its own: it has said all before a ping.
        sender.0.buffers(8 * messages.len());
        sender.shakes_hands("PUSH").say(&messages);
        drop(sender);
        thread::sleep(interval * 3);
        for n in 0..COUNT {
            let message = pull
                .recv_timeout(LONG)
                .unwrap_or_else(|_| panic!("{n} came"));
            assert_eq!(message.as_bytes(), n.to_be_bytes());
        }
    });
}

/// A ping that was not sent has no answer, and nobody is to wait for it.
#[test]
fn a_heartbeat_gives_up_nobody_for_a_ping_that_was_not_sent() {
    over_ipc_and_tcp(60, |wire| {
        let interval = ms(200) * patience();
        let context = zmq::Context::new();
        let pairs = (1..7_u8).map(|count| {
            let config = Config::bind(&wire.address()).heartbeat(interval);
            let pull = Pull::open(config.high_water_mark(1).capacity(1)).unwrap();
            let sender = raw_push(&context);
            sender.connect(&at(&pull)).unwrap();
            for n in 0..count {
                sender.send([n].as_slice(), 0).unwrap();
            }
            (count, pull, sender)
        });
        let pairs: Vec<_> = pairs.collect();
        // With one in the channel, and two before it, some count leaves one that the
        // connection has read and found no room for, and nothing behind it.
        thread::sleep(interval * 2);
        for (count, pull, _) in &pairs {
            for n in 0..*count {
                assert_eq!(pull.recv_timeout(LONG).unwrap().as_bytes(), [n]);
            }
        }
        thread::sleep(interval * 2);
        for (count, pull, _) in &pairs {
            assert_eq!(pull.stats().peers_left, 0, "of {count} messages");
        }
    });
}

/// The same from the other side: whoever pings it, what a drain was Ok for has come.
#[test]
#[cfg(target_os = "linux")]
fn a_drain_waits_until_the_peers_kernel_has_it_all() {
    const COUNT: u64 = 20_000;
    within(60, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Those that come have as little room.
        rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 16 << 10).unwrap();
        let push = Push::connect(&format!("tcp://{}", listener.local_addr().unwrap())).unwrap();
        let mut receiver = Stranger(Line::Tcp(listener.accept().unwrap().0));
        receiver.shakes_hands("PULL");
        for n in 0..COUNT {
            push.send(numbered(n, 8)).unwrap();
        }
        let (done, drained) = mpsc::channel();
        let draining = thread::spawn(move || {
            push.drain(LONG).unwrap();
            done.send(()).unwrap();
        });
        let early = drained.recv_timeout(ms(300));
        assert!(early.is_err(), "what is on its way can still be lost");
        for n in 0..COUNT {
            let heard = receiver.hears(10);
            assert_eq!(heard[2..], n.to_le_bytes(), "message {n}");
        }
        draining.join().unwrap();
    });
}
