//! Messages of any shape stay whole and in order.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
};

use pushpull::{Config, Message, Push};

use crate::harness::{at, eventually, ms, over_ipc_and_tcp, raw_pull, rounds, LONG};

/// Bytes that differ from frame to frame, and at the beginning of each.
fn pattern(seed: usize, size: usize) -> Vec<u8> {
    let mut bytes = vec![seed.wrapping_mul(31) as u8; size];
    for (i, byte) in bytes.iter_mut().enumerate().take(300) {
        *byte ^= i as u8;
    }
    bytes
}

fn shaped(sizes: &[usize]) -> Message {
    Message::multipart(sizes.iter().enumerate().map(|(i, size)| pattern(i, *size)))
}

#[track_caller]
fn assert_same(got: &Message, sent: &Message) {
    // The whole contents in a panic would help nobody.
    let sizes = |m: &Message| m.frames().map(<[u8]>::len).collect::<Vec<_>>();
    assert_eq!(sizes(got), sizes(sent));
    assert!(got == sent, "the bytes differ");
}

/// Around what libzmq treats differently: a message inside its struct (33),
/// one copied into a batch (8192), and everything beyond.
const SIZES: [usize; 15] = [
    0,
    1,
    2,
    29,
    30,
    31,
    32,
    33,
    34,
    255,
    256,
    8191,
    8192,
    8193,
    1 << 20,
];

#[test]
fn every_size_arrives_as_it_was() {
    over_ipc_and_tcp(60, |wire| {
        let (push, pull) = wire.pair(|c| c, |c| c);
        for size in SIZES {
            for sizes in [
                &[size][..],
                &[size, 0],
                &[0, size, size],
                &[7, size, 1, size],
            ] {
                push.send(shaped(sizes)).unwrap();
            }
        }
        for size in SIZES {
            for sizes in [
                &[size][..],
                &[size, 0],
                &[0, size, size],
                &[7, size, 1, size],
            ] {
                assert_same(&pull.recv_timeout(LONG).unwrap(), &shaped(sizes));
            }
        }
        push.drain(LONG).unwrap();
    });
}

#[test]
fn a_message_of_64_mib_arrives() {
    over_ipc_and_tcp(60, |wire| {
        let (push, pull) = wire.pair(|c| c, |c| c);
        let big = shaped(&[64 << 20]);
        push.send(big.clone()).unwrap();
        push.send("behind it").unwrap();
        assert_same(&pull.recv_timeout(LONG).unwrap(), &big);
        assert_eq!(pull.recv_timeout(LONG).unwrap(), "behind it".into());
        push.drain(LONG).unwrap();
    });
}

#[test]
fn up_to_a_thousand_frames_stay_one_message() {
    over_ipc_and_tcp(60, |wire| {
        // Far more frames than either side's high-water mark.
        let (push, pull) = wire.pair(|c| c.high_water_mark(10), |c| c.high_water_mark(10));
        let counts = [1, 2, 3, 10, 127, 128, 129, 500, 999, 1000];
        let messages: Vec<_> = counts.iter().map(|n| shaped(&vec![5; *n])).collect();
        thread::scope(|scope| {
            scope.spawn(|| {
                for message in messages.iter().cycle().take(100) {
                    push.send(message.clone()).unwrap();
                    push.send("one frame between").unwrap();
                }
            });
            for message in messages.iter().cycle().take(100) {
                assert_same(&pull.recv_timeout(LONG).unwrap(), message);
                let between = pull.recv_timeout(LONG).unwrap();
                assert_eq!(between, "one frame between".into());
            }
        });
        let empty = shaped(&[0; 1000]);
        push.send(empty.clone()).unwrap();
        assert_same(&pull.recv_timeout(LONG).unwrap(), &empty);
        push.drain(LONG).unwrap();
    });
}

/// A message of several frames whose every frame tells which it is of how many.
fn stamped(n: u64) -> Message {
    let frames = 1 + n % 40;
    Message::multipart((0..frames).map(|i| {
        let size = 24 + (n as usize * 7 + i as usize * 13) % 5000;
        let mut frame = pattern((n + i) as usize, size);
        frame[..8].copy_from_slice(&n.to_le_bytes());
        frame[8..16].copy_from_slice(&i.to_le_bytes());
        frame[16..24].copy_from_slice(&frames.to_le_bytes());
        frame
    }))
}

/// Peers that come, take a few messages, and leave in the middle of the stream
/// with full buffers. What they had is gone with them; what anybody gets is
/// whole, and each one sees its messages in order.
fn peers_that_come_and_go(reach: impl Fn(&zmq::Socket, usize) + Sync, push: Push) {
    let done = AtomicBool::new(false);
    let taken = AtomicU64::new(0);
    thread::scope(|scope| {
        for peer in 0..3 {
            let (done, taken, reach) = (&done, &taken, &reach);
            scope.spawn(move || {
                let context = zmq::Context::new();
                for visit in 0.. {
                    let socket = raw_pull(&context);
                    socket.set_rcvhwm(3).unwrap();
                    socket.set_rcvtimeo(20).unwrap();
                    reach(&socket, peer);
                    let mut last = None;
                    for _ in 0..(visit * 17 + peer * 5) % 60 {
                        let Ok(frames) = socket.recv_multipart(0) else {
                            break;
                        };
                        let got = Message::multipart(frames);
                        let n = crate::harness::number(&got);
                        assert_same(&got, &stamped(n));
                        assert!(last < Some(n), "{n} after {last:?}");
                        last = Some(n);
                        taken.fetch_add(1, Relaxed);
                    }
                    if done.load(Relaxed) {
                        return;
                    }
                }
            });
        }
        for n in 0..rounds(6000) {
            push.send_timeout(stamped(n), LONG).unwrap();
        }
        eventually("the peers saw some of it", || {
            taken.load(Relaxed) > rounds(500)
        });
        drop(push.abort());
        done.store(true, Relaxed);
    });
}

#[test]
fn peers_that_leave_a_bound_push_in_mid_stream_tear_nothing() {
    over_ipc_and_tcp(60, |wire| {
        let push = Push::open(Config::bind(&wire.address()).high_water_mark(3)).unwrap();
        let address = at(&push);
        peers_that_come_and_go(|socket, _| socket.connect(&address).unwrap(), push);
    });
}

#[test]
fn peers_that_restart_under_a_calling_push_tear_nothing() {
    over_ipc_and_tcp(60, |wire| {
        let addresses = [(); 3].map(|()| wire.lasting_address());
        let push = Push::open(
            Config::connect(&addresses[0])
                .also_connect(&addresses[1])
                .also_connect(&addresses[2])
                .high_water_mark(3)
                .reconnect(ms(1), ms(5)),
        );
        let bind = |socket: &zmq::Socket, peer: usize| {
            eventually("the place is free again", || {
                socket.bind(&addresses[peer]).is_ok()
            });
        };
        peers_that_come_and_go(bind, push.unwrap());
    });
}
