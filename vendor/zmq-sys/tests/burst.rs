//! Frames that go through a connection in a row (native/burst.hpp, native/front.hpp).

mod common;
#[path = "common/receive.rs"]
mod receive;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use common::*;
use receive::receive;
use zmq_sys::native::*;
use zmq_sys::*;

fn receive_all(pull: &Socket, most: usize, count: usize) -> Vec<(Vec<u8>, bool)> {
    let mut got = Vec::new();
    until("all have come", || {
        got.extend(receive(pull, most));
        got.len() >= count
    });
    got
}

/// Sends a run of single frames, all of it.
fn send_run(push: &Socket, bodies: &[Vec<u8>]) {
    let mut run: Vec<_> = bodies.iter().map(|body| message(body)).collect();
    let mut turn = pushpull_turn {
        length: 1,
        ..pushpull_turn::default()
    };
    let mut gone = 0;
    until("all are gone", || {
        let rest = &mut run[gone..];
        let sent = unsafe { pushpull_send_many(push.0, rest.as_mut_ptr(), rest.len(), &mut turn) };
        gone += usize::try_from(sent).unwrap_or(0);
        gone == run.len()
    });
}

/// Sends one message of several frames.
fn send_whole(push: &Socket, bodies: &[Vec<u8>]) {
    let mut frames: Vec<_> = bodies.iter().map(|body| message(body)).collect();
    until("it is gone", || {
        (unsafe { pushpull_send(push.0, frames.as_mut_ptr(), frames.len()) }) == 0
    });
}

/// A Pull as `pushpull` has it, and a Push.
fn pair(context: &Context, address: &str, batch: i32, mark: i32) -> (Socket, Socket) {
    let (pull, push) = (context.pull(), context.push());
    for socket in [&pull, &push] {
        assert_eq!(unsafe { pushpull_batch(socket.0, batch, batch) }, 0);
        assert_eq!(unsafe { pushpull_plain(socket.0) }, 0);
        socket.set(ZMQ_SNDHWM, mark).set(ZMQ_RCVHWM, mark);
    }
    push.connect(&pull.bind(address));
    (pull, push)
}

/// Sizes at which something changes: where a message holds its bytes itself, where a size
/// takes eight bytes, what is heavy, and what is longer than a buffer.
const SIZES: [usize; 24] = [
    64, 0, 64, 1, 2, 6, 7, 8, 31, 32, 33, 34, 35, 64, 250, 254, 255, 256, 257, 1000, 8191, 8192,
    8193, 70_000,
];

/// Runs of one to some frames, and messages of as many, by turns.
fn messages(count: usize) -> Vec<(bool, Vec<Vec<u8>>)> {
    let mut state = 1_usize;
    let mut chance = move |below: usize| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (state >> 33) % below
    };
    (0..count)
        .map(|n| {
            let length = 1 + chance(if n % 2 == 0 { 60 } else { 5 });
            let bodies = (0..length).map(|_| {
                // Mostly small ones, or the large ones take all the time.
                let size = SIZES[chance(SIZES.len()).min(chance(SIZES.len()))];
                let first = chance(256);
                (0..size).map(|i| (first + i * 7) as u8).collect()
            });
            (n % 2 == 1, bodies.collect())
        })
        .collect()
}

#[test]
fn frames_come_as_they_went_wherever_a_buffer_or_a_pipe_ends() {
    let folder = tempfile::tempdir().unwrap();
    for (batch, mark) in [(64, 1000), (100, 3), (511, 1000), (8192, 7), (65_536, 0)] {
        for address in addresses(&folder) {
            let context = Context::new();
            let (pull, push) = pair(&context, &address, batch, mark);
            let sent = messages(200);
            let expected: Vec<_> = sent
                .iter()
                .flat_map(|(whole, bodies)| {
                    let last = bodies.len() - 1;
                    bodies
                        .iter()
                        .enumerate()
                        .map(move |(at, body)| (body.clone(), *whole && at != last))
                })
                .collect();
            let sender = thread::spawn(move || {
                for (whole, bodies) in &sent {
                    match whole {
                        true => send_whole(&push, bodies),
                        false => send_run(&push, bodies),
                    }
                }
                push
            });
            let got = receive_all(&pull, 50, expected.len());
            let wrong = got.iter().zip(&expected).position(|(a, b)| a != b);
            assert_eq!(wrong, None, "{address}, {batch}, {mark}");
            assert_eq!(got.len(), expected.len());
            drop(sender.join().unwrap());
        }
    }
}

/// As RFC 23 has it.
fn on_the_wire(body: &[u8], more: bool) -> Vec<u8> {
    let mut bytes = match u8::try_from(body.len()) {
        Ok(size) => vec![u8::from(more), size],
        Err(_) => {
            let mut header = vec![u8::from(more) | 2];
            header.extend((body.len() as u64).to_be_bytes());
            header
        }
    };
    bytes.extend(body);
    bytes
}

#[test]
fn others_read_what_is_written() {
    for minor in [0, 1] {
        let context = Context::new();
        let push = context.push();
        let address = push.bind("tcp://127.0.0.1:*");
        let mut peer = raw_peer_of(minor, &address, "PULL");
        let mut expected = Vec::new();
        for (whole, bodies) in messages(20) {
            let last = bodies.len() - 1;
            for (at, body) in bodies.iter().enumerate() {
                expected.extend(on_the_wire(body, whole && at != last));
            }
            match whole {
                true => send_whole(&push, &bodies),
                false => send_run(&push, &bodies),
            }
        }
        let mut got = vec![0; expected.len()];
        peer.read_exact(&mut got).unwrap();
        assert!(got == expected, "3.{minor}");
    }
}

/// A Pull with this high-water mark, and somebody who has all of this written at once.
fn written_at_once(context: &Context, mark: i32, limit: i64, all: &[u8]) -> (Socket, TcpStream) {
    let pull = context.pull();
    pull.set(ZMQ_RCVHWM, mark);
    let done = unsafe {
        let limit = (&raw const limit).cast();
        zmq_setsockopt(pull.0, ZMQ_MAXMSGSIZE as i32, limit, size_of::<i64>())
    };
    assert_eq!(done, 0);
    assert_eq!(unsafe { pushpull_plain(pull.0) }, 0);
    let address = pull.bind("tcp://127.0.0.1:*");
    let mut peer = raw_peer(&address, "PUSH");
    peer.write_all(all).unwrap();
    (pull, peer)
}

/// Nothing came in time, as each system says it.
fn is_late(error: std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// How many messages there are to be received.
fn inbound(pull: &Socket) -> u64 {
    assert_eq!(unsafe { pushpull_care(pull.0) }, 0);
    let (out, left) = (std::ptr::null_mut(), std::ptr::null_mut());
    let mut inbound = 0;
    assert_eq!(
        unsafe { pushpull_depth(pull.0, out, &mut inbound, left) },
        0
    );
    inbound
}

#[test]
fn no_more_is_put_into_a_pipe_than_its_high_water_mark() {
    const MARK: u64 = 7;
    const COUNT: usize = 1000;
    let context = Context::new();
    let all = on_the_wire(
        b"a message of more than 33 bytes, so that it stays there",
        false,
    );
    let (pull, _peer) = written_at_once(&context, MARK as i32, -1, &all.repeat(COUNT));
    until("it is full", || inbound(&pull) >= MARK);
    let mut got = 0;
    until("all have come", || {
        assert!(inbound(&pull) <= MARK);
        got += receive(&pull, 3).len();
        got == COUNT
    });
}

#[test]
fn what_is_in_front_of_a_frame_that_is_too_long_comes() {
    let context = Context::new();
    let mut all = on_the_wire(&[1; 100], false).repeat(50);
    all.extend(on_the_wire(&[2; 101], false));
    all.extend(on_the_wire(&[3; 100], false).repeat(50));
    let (pull, mut peer) = written_at_once(&context, 1000, 100, &all);
    // Until it is hung up on, with whatever of this unread.
    let end = peer.read_to_end(&mut Vec::new());
    assert!(!end.is_err_and(is_late));
    let got = receive_all(&pull, 200, 50);
    assert!(got == vec![(vec![1; 100], false); 50]);
    assert_eq!(receive(&pull, 1), []);
}

/// It asks to be given up after a tenth of a second in which nothing comes behind it.
const PING: &[u8] = b"\x04\x0b\x04PING\0\x01half";
const PONG: &[u8] = b"\x04\x09\x04PONGhalf";

#[test]
fn a_command_between_frames_is_heard_and_is_no_message() {
    let context = Context::new();
    // All of it is read at once.
    let frames = on_the_wire(&[1; 100], false).repeat(30);
    let all = [&frames, PING, &frames].concat();
    let (pull, mut peer) = written_at_once(&context, 1000, -1, &all);
    assert!(receive_all(&pull, 200, 60) == vec![(vec![1; 100], false); 60]);
    let mut pong = vec![0; PONG.len()];
    peer.read_exact(&mut pong).unwrap();
    assert_eq!(pong, PONG);
    // What came behind it was a sign of life.
    let patience = Some(Duration::from_millis(500));
    peer.set_read_timeout(patience).unwrap();
    let end = peer.read(&mut [0]);
    assert!(end.is_err_and(is_late));
}

const CROWD: usize = 20;

fn crowd(context: &Context) -> (Socket, Vec<Socket>) {
    let pull = context.pull();
    let address = pull.bind("inproc://crowd");
    let crowd = (0..CROWD).map(|_| {
        let push = context.push();
        push.connect(&address);
        push
    });
    let crowd = crowd.collect();
    (pull, crowd)
}

#[test]
fn a_crowd_takes_turns() {
    let context = Context::new();
    let (pull, crowd) = crowd(&context);
    for (peer, push) in crowd.iter().enumerate() {
        send_run(push, &vec![vec![peer as u8]; 40]);
    }
    let row = 16;
    let got = receive(&pull, CROWD * row);
    for peer in 0..CROWD {
        let of_this = got.iter().filter(|(body, _)| *body == [peer as u8]);
        assert_eq!(of_this.count(), row);
    }
}

/// Whose pipe is empty then is asked again before it counts as empty, and its peer may have
/// sent something meanwhile; and a row may end within a message.
#[test]
fn rows_of_a_crowd_end_anywhere() {
    const ROUNDS: usize = 50;
    let context = Context::new();
    let (pull, crowd) = crowd(&context);
    // By peer: two messages of a frame, and one of two.
    let frames =
        |peer: usize, round: usize| (0..4).map(move |at| vec![peer as u8, round as u8, at]);
    let mut got = Vec::new();
    for round in 0..ROUNDS {
        for (peer, push) in crowd.iter().enumerate() {
            let frames: Vec<_> = frames(peer, round).collect();
            send_run(push, &frames[..2]);
            send_whole(push, &frames[2..]);
        }
        // Has the pull hear of it.
        assert!(inbound(&pull) > 0);
        got.extend(receive(&pull, 5));
    }
    let left = CROWD * ROUNDS * 4 - got.len();
    got.extend(receive_all(&pull, 101, left));
    for (frame, next) in got.iter().zip(&got[1..]) {
        assert_eq!(frame.1, frame.0[2] == 2);
        assert!(!frame.1 || next.0[0] == frame.0[0]);
    }
    for peer in 0..CROWD {
        let expected = (0..ROUNDS).flat_map(|round| frames(peer, round));
        let got = got.iter().map(|(frame, _)| frame);
        assert!(got
            .filter(|frame| frame[0] == peer as u8)
            .eq(&expected.collect::<Vec<_>>()));
    }
}

/// Whatever a mailbox has: what a child sends through its parent's socket goes nowhere.
#[cfg(unix)]
#[test]
fn a_forked_child_can_not_send_through_what_it_inherited() {
    let context = Context::new();
    let pull = context.pull();
    let push = context.push();
    push.connect(&pull.bind("tcp://127.0.0.1:*"));
    until("the first is sent", || push.send(b"x", ZMQ_DONTWAIT));
    pull.set(ZMQ_RCVTIMEO, 5000);
    assert!(pull.recv(0).is_some());
    // Now it is silent.
    assert_eq!(unsafe { pushpull_care(push.0) }, 0);
    let (push_raw, flags) = (push.0, ZMQ_DONTWAIT as i32);
    let child = unsafe { libc::fork() };
    if child == 0 {
        // Beyond the millisecond in which a socket looks only once.
        unsafe {
            libc::alarm(10);
            libc::usleep(10_000);
            let sent = zmq_send(push_raw, b"y".as_ptr().cast(), 1, flags);
            libc::_exit(i32::from(sent != -1 || zmq_errno() != libc::EINTR));
        }
    }
    let mut status = 0;
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0);
}
