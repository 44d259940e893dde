//! Each function of `native`, over tcp, ipc and inproc.

mod common;

use std::io::Read;
use std::mem::MaybeUninit;
use std::os::raw::c_void;
use std::ptr;
use std::time::{Duration, Instant};

use common::*;
use zmq_sys::native::*;
use zmq_sys::*;

/// A folder for socket files, and an address in it.
fn ipc() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    // Not every Windows has Unix sockets.
    let address = if cfg!(windows) {
        "tcp://127.0.0.1:*".to_owned()
    } else {
        format!("ipc://{}", folder.path().join("s").display())
    };
    (folder, address)
}

fn send(socket: &Socket, frames: &[&[u8]]) -> Result<(), i32> {
    let mut messages: Vec<_> = frames.iter().map(|body| message(body)).collect();
    let done = unsafe { pushpull_send(socket.0, messages.as_mut_ptr(), messages.len()) };
    let error = errno();
    for (frame, body) in messages.iter_mut().zip(frames) {
        // All gone, or all still there.
        let expected: &[u8] = if done == 0 { b"" } else { body };
        assert_eq!(bytes(frame), expected);
        unsafe { zmq_msg_close(frame) };
    }
    if done == 0 {
        Ok(())
    } else {
        Err(error)
    }
}

fn send_patiently(socket: &Socket, frames: &[&[u8]]) {
    let started = Instant::now();
    while let Err(error) = send(socket, frames) {
        assert_eq!(error, errno::EAGAIN);
        assert!(started.elapsed() < Duration::from_secs(10));
        poll(socket, ZMQ_POLLOUT, 100);
    }
}

fn poll(socket: &Socket, events: u32, patience: i64) -> bool {
    let mut item = zmq_pollitem_t {
        socket: socket.0,
        fd: 0,
        events: events as i16,
        revents: 0,
    };
    unsafe { zmq_poll(&mut item, 1, patience as _) > 0 }
}

unsafe extern "C" fn take(hint: *mut c_void, frame: *mut zmq_msg_t) {
    let taken = unsafe { &mut *hint.cast::<Vec<(Vec<u8>, bool)>>() };
    let mut moved = empty();
    unsafe {
        zmq_msg_move(&mut moved, frame);
        taken.push((bytes(&mut moved), zmq_msg_more(&moved) != 0));
        zmq_msg_close(&mut moved);
    }
}

fn recall(socket: &Socket) -> (pushpull_recalled, Vec<(Vec<u8>, bool)>) {
    let mut out = pushpull_recalled::default();
    let mut taken = Vec::<(Vec<u8>, bool)>::new();
    let done = unsafe { pushpull_recall(socket.0, Some(take), (&raw mut taken).cast(), &mut out) };
    assert_eq!(done, 0, "{}", last_error());
    (out, taken)
}

fn depth(socket: &Socket) -> (u64, u64) {
    let (mut outbound, mut inbound) = (0, 0);
    assert_eq!(
        unsafe { pushpull_depth(socket.0, &mut outbound, &mut inbound, std::ptr::null_mut()) },
        0
    );
    (outbound, inbound)
}

fn flushed(socket: &Socket) -> (bool, pushpull_flow) {
    let mut flow = pushpull_flow::default();
    let answer = unsafe { pushpull_flushed(socket.0, &mut flow) };
    assert!(answer >= 0, "{}", last_error());
    (answer == 1, flow)
}

#[test]
fn sends_whole_messages() {
    let (_folder, ipc) = ipc();
    for address in ["tcp://127.0.0.1:*", &ipc, "inproc://whole"] {
        let context = Context::new();
        let pull = context.pull();
        let address = pull.bind(address);
        let push = context.push();
        assert_eq!(send(&push, &[b"nobody"]), Err(errno::EAGAIN));
        assert_eq!(send(&push, &[b"nobody", b"at", b"all"]), Err(errno::EAGAIN));
        push.connect(&address);
        send_patiently(&push, &[b"one"]);
        send_patiently(&push, &[b"two", b"", &[7; 100_000]]);
        pull.set(ZMQ_RCVTIMEO, 5000);
        assert_eq!(pull.recv(0).unwrap(), b"one");
        assert_eq!(pull.get(ZMQ_RCVMORE), 0);
        assert_eq!(pull.recv(0).unwrap(), b"two");
        assert_eq!(pull.get(ZMQ_RCVMORE), 1);
        assert_eq!(pull.recv(0).unwrap(), b"");
        assert_eq!(pull.recv(0).unwrap(), vec![7; 100_000]);
        assert_eq!(pull.get(ZMQ_RCVMORE), 0);
    }
}

#[test]
fn refuses_what_is_no_push() {
    let context = Context::new();
    let pull = context.pull();
    assert_eq!(send(&pull, &[b"x"]), Err(errno::ENOTSUP));
    let push = context.push();
    assert_eq!(send(&push, &[]), Err(errno::EINVAL));
    let mut nothing = MaybeUninit::<zmq_msg_t>::uninit();
    let got = unsafe { pushpull_recv_many(push.0, nothing.as_mut_ptr(), 1, std::ptr::null_mut()) };
    assert_eq!((got, errno()), (-1, errno::ENOTSUP));
    let mut junk = [0u64; 512];
    let done = unsafe { pushpull_send(junk.as_mut_ptr().cast(), ptr::null_mut(), 1) };
    assert_eq!((done, errno()), (-1, errno::ENOTSOCK));
    // Half a message, left behind by the public interface.
    push.set(ZMQ_SNDTIMEO, 0);
    pull.bind("inproc://half");
    push.connect("inproc://half");
    assert!(push.send(b"half", ZMQ_SNDMORE | ZMQ_DONTWAIT));
    assert_eq!(send(&push, &[b"x"]), Err(errno::EFSM));
    assert!(push.send(b"whole", ZMQ_DONTWAIT));
    assert_eq!(send(&push, &[b"x"]), Ok(()));
}

fn turn_of(length: u64) -> pushpull_turn {
    pushpull_turn {
        length,
        ..pushpull_turn::default()
    }
}

/// One by one to each peer.
fn send_many(push: &Socket, messages: &mut [zmq_msg_t]) -> isize {
    let mut turn = turn_of(1);
    unsafe { pushpull_send_many(push.0, messages.as_mut_ptr(), messages.len(), &mut turn) }
}

#[test]
fn batches_keep_order_and_bounds() {
    let (_folder, ipc) = ipc();
    for address in ["tcp://127.0.0.1:*", &ipc, "inproc://batches"] {
        let context = Context::new();
        let pull = context.pull();
        let address = pull.bind(address);
        let push = context.push();
        push.connect(&address);
        const COUNT: usize = 50_000;
        let mut messages: Vec<_> = (0..COUNT).map(|n| message(&n.to_le_bytes())).collect();
        let mut sent = 0;
        let mut received = 0;
        let mut out: Vec<MaybeUninit<zmq_msg_t>> =
            (0..100).map(|_| MaybeUninit::uninit()).collect();
        while received < COUNT {
            if sent < COUNT {
                let rest = &mut messages[sent..];
                let many = send_many(&push, rest);
                match many {
                    -1 => assert_eq!(errno(), errno::EAGAIN),
                    many => sent += many as usize,
                }
            }
            let many = unsafe {
                pushpull_recv_many(
                    pull.0,
                    out.as_mut_ptr().cast(),
                    out.len(),
                    std::ptr::null_mut(),
                )
            };
            if many == -1 {
                assert_eq!(errno(), errno::EAGAIN);
                poll(&pull, ZMQ_POLLIN, 100);
                continue;
            }
            for frame in &mut out[..many as usize] {
                let frame = unsafe { frame.assume_init_mut() };
                assert_eq!(bytes(frame), received.to_le_bytes());
                unsafe { zmq_msg_close(frame) };
                received += 1;
            }
        }
        for frame in &mut messages {
            assert_eq!(unsafe { zmq_msg_close(frame) }, 0);
        }
    }
}

/// What is left of a turn is the first of the next call, whatever goes one by one meanwhile,
/// and nobody gets what is left of the turn of another one that is full.
#[test]
fn turns_go_on_from_call_to_call() {
    let context = Context::new();
    let push = context.push();
    let pulls: Vec<_> = (0..4)
        .map(|n| {
            let pull = context.pull();
            // Together with the other side's it is room for so many.
            pull.set(ZMQ_RCVHWM, if n == 3 { 2 } else { 1000 });
            push.set(ZMQ_SNDHWM, if n == 3 { 1 } else { 1000 });
            push.connect(&pull.bind(&format!("inproc://turns-{n}")));
            pull
        })
        .collect();
    let mut turn = turn_of(4);
    let mut sent = 0;
    for round in 0..40 {
        while pulls[3].recv(ZMQ_DONTWAIT).is_some() {}
        let mut six: Vec<_> = (0..6).map(|_| message(b"x")).collect();
        sent += unsafe { pushpull_send_many(push.0, six.as_mut_ptr(), six.len(), &mut turn) };
        if round % 2 == 0 {
            sent += send_many(&push, &mut [message(b"x")]);
        }
        if round % 4 == 0 {
            assert_eq!(send(&push, &[b"x", b"y"]), Ok(()));
        }
    }
    assert_eq!(sent, 40 * 6 + 20);
    let shares = pulls[..3].iter().map(|pull| {
        let frames = std::iter::from_fn(|| pull.recv(ZMQ_DONTWAIT));
        frames.filter(|body| body == b"x").count()
    });
    let shares: Vec<_> = shares.collect();
    let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
    assert!(most - least <= 4 + 2, "{shares:?}");
}

#[test]
fn batches_go_round() {
    let context = Context::new();
    let push = context.push();
    let pulls: Vec<_> = (0..3)
        .map(|n| {
            let pull = context.pull();
            push.connect(&pull.bind(&format!("inproc://round-{n}")));
            pull.set(ZMQ_RCVTIMEO, 0);
            pull
        })
        .collect();
    let mut messages: Vec<_> = (0..10).map(|_| message(b"x")).collect();
    let sent = send_many(&push, &mut messages);
    assert_eq!(sent, 10);
    let mut shares: Vec<_> = pulls
        .iter()
        .map(|pull| std::iter::from_fn(|| pull.recv(ZMQ_DONTWAIT)).count())
        .collect();
    shares.sort();
    assert_eq!(shares, [3, 3, 4]);
}

#[test]
fn depth_counts_both_ways() {
    let context = Context::new();
    let pull = context.pull();
    let address = pull.bind("inproc://depth");
    let push = context.push();
    push.connect(&address);
    assert_eq!((depth(&push), depth(&pull)), ((0, 0), (0, 0)));
    for _ in 0..5 {
        send(&push, &[b"a", b"b"]).unwrap();
    }
    assert_eq!(depth(&push), (5, 0));
    assert!(poll(&pull, ZMQ_POLLIN, 1000));
    assert_eq!(depth(&pull), (0, 5));
    pull.recv(ZMQ_DONTWAIT).unwrap();
    pull.recv(ZMQ_DONTWAIT).unwrap();
    assert_eq!((depth(&push), depth(&pull)), ((4, 0), (0, 4)));
}

#[test]
fn recalls_what_waits_for_a_peer() {
    let context = Context::new();
    let push = context.push();
    // Nobody listens there.
    push.connect("ipc:///nonexistent/pushpull");
    send(&push, &[b"first"]).unwrap();
    send(&push, &[b"second", b"part"]).unwrap();
    send(&push, &[b"third"]).unwrap();
    let (is_flushed, flow) = flushed(&push);
    assert!(!is_flushed);
    assert_eq!((flow.queued, flow.pipes, flow.unasked), (3, 1, 0));
    let (out, taken) = recall(&push);
    assert_eq!(
        out,
        pushpull_recalled {
            messages: 3,
            ..Default::default()
        }
    );
    let expected: [(&[u8], bool); 4] = [
        (b"first", false),
        (b"second", true),
        (b"part", false),
        (b"third", false),
    ];
    assert!(taken
        .iter()
        .map(|(body, more)| (&body[..], *more))
        .eq(expected));
    assert!(flushed(&push).0);
    assert_eq!(depth(&push), (0, 0));
    assert_eq!(recall(&push).0, pushpull_recalled::default());
}

/// A connection may have the beginning of a message: the rest of that is not taken either.
#[test]
fn recall_does_not_take_what_is_half_gone() {
    // By chance, one in 200, it ends between two messages.
    assert!((0..3).any(|_| recalls_within_a_message()));
}

fn recalls_within_a_message() -> bool {
    const FRAMES: usize = 200;
    const COUNT: usize = 100;
    let context = Context::new();
    let push = context.push();
    push.set(ZMQ_SNDBUF, 65_536).set(ZMQ_SNDHWM, 0);
    let mut deaf = raw_peer(&push.bind("tcp://127.0.0.1:*"), "PULL");
    let body = |n: usize, at: usize| [n.to_le_bytes(), at.to_le_bytes()].concat().repeat(30);
    for n in 0..COUNT {
        let bodies: Vec<_> = (0..FRAMES).map(|at| body(n, at)).collect();
        let frames: Vec<_> = bodies.iter().map(|body| &body[..]).collect();
        send_patiently(&push, &frames);
    }
    let (counts, taken) = recall(&push);
    assert_eq!(counts.unasked, 0);
    let left = counts.messages as usize;
    assert_eq!(taken.len(), left * FRAMES);
    for (place, frame) in taken.iter().enumerate() {
        let (n, at) = (COUNT - left + place / FRAMES, place % FRAMES);
        assert!(*frame == (body(n, at), at != FRAMES - 1), "{n}, {at}");
    }
    // And that one's rest goes where its beginning went.
    for n in 0..COUNT - left {
        for at in 0..FRAMES {
            let mut frame = vec![0; 9 + 480];
            deaf.read_exact(&mut frame).unwrap();
            assert!(frame[9..] == body(n, at), "{n}, {at}");
        }
    }
    until("it is whole", || flushed(&push).0);
    assert_eq!(recall(&push).0.torn, 0);
    counts.torn == 1
}

#[test]
fn recall_leaves_the_socket_usable() {
    let (_folder, mut address) = ipc();
    if address.starts_with("tcp") {
        // It is called first.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        address = format!("tcp://{}", free.local_addr().unwrap());
    }
    let context = Context::new();
    let push = context.push();
    push.set(ZMQ_SNDHWM, 10);
    push.connect(&address);
    for _ in 0..3 {
        let mut count = 0;
        while send(&push, &[b"x"]).is_ok() {
            count += 1;
        }
        assert_eq!(count, 10);
        assert_eq!(recall(&push).0.messages, 10);
    }
    send_patiently(&push, &[b"after"]);
    let pull = context.pull();
    pull.bind(&address);
    pull.set(ZMQ_RCVTIMEO, 10_000);
    assert_eq!(pull.recv(0).unwrap(), b"after");
}

#[test]
fn recall_and_what_arrived_make_the_whole() {
    let (_folder, ipc) = ipc();
    for address in ["tcp://127.0.0.1:*", &ipc] {
        let context = Context::new();
        let pull = context.pull();
        pull.set(ZMQ_RCVHWM, 5).set(ZMQ_RCVTIMEO, 300);
        let address = pull.bind(address);
        let push = context.push();
        push.set(ZMQ_SNDHWM, 3000);
        push.connect(&address);
        // Two frames each, large enough to fill the kernel's buffers in between, and not heavy.
        let body = vec![1u8; 7000];
        let mut sent = 0u64;
        let mut full_since = Instant::now();
        while full_since.elapsed() < Duration::from_millis(200) {
            if send(&push, &[&sent.to_le_bytes(), &body]).is_ok() {
                sent += 1;
                full_since = Instant::now();
            } else {
                poll(&push, ZMQ_POLLOUT, 50);
            }
        }
        let (out, taken) = recall(&push);
        assert!(out.messages > 300, "{out:?}");
        assert_eq!(taken.len() as u64, out.messages * 2);
        assert_eq!(out.unasked, 0);
        // The connection still carries whole messages, the torn one among them.
        let recalled: Vec<u64> = taken
            .iter()
            .step_by(2)
            .map(|(body, _)| u64::from_le_bytes(body[..].try_into().unwrap()))
            .collect();
        let mut arrived = Vec::new();
        while let Some(first) = pull.recv(0) {
            assert_eq!(pull.get(ZMQ_RCVMORE), 1);
            assert_eq!(pull.recv(0).unwrap(), body);
            assert_eq!(pull.get(ZMQ_RCVMORE), 0);
            arrived.push(u64::from_le_bytes(first[..].try_into().unwrap()));
        }
        arrived.extend(recalled);
        assert!(
            arrived.iter().copied().eq(0..sent),
            "{} of {sent}",
            arrived.len()
        );
        assert!(flushed(&push).0);
    }
}

#[test]
fn flushed_follows_the_bytes() {
    let (_folder, ipc) = ipc();
    for address in ["tcp://127.0.0.1:*", &ipc] {
        let context = Context::new();
        let pull = context.pull();
        pull.set(ZMQ_RCVHWM, 1).set(ZMQ_RCVTIMEO, 5000);
        let address = pull.bind(address);
        let push = context.push();
        push.set(ZMQ_SNDHWM, 3000);
        push.connect(&address);
        assert!(flushed(&push).0);
        let body = vec![1u8; 7000];
        for _ in 0..2900 {
            send_patiently(&push, &[&body]);
        }
        // 20 MB: more than any buffer here holds.
        std::thread::sleep(Duration::from_millis(100));
        let (is_flushed, flow) = flushed(&push);
        assert!(!is_flushed && flow.queued > 0, "{flow:?}");
        for _ in 0..2900 {
            assert_eq!(pull.recv(0).unwrap().len(), body.len());
        }
        until("all to be in the kernel", || flushed(&push).0);
    }
}

#[test]
fn flushed_saves_the_last_batch() {
    // A send buffer so small that it cannot take a batch at once: without the question,
    // the end of the last batch is lost.
    for size in [64usize, 1000] {
        let receiver = Context::new();
        let pull = receiver.pull();
        pull.set(ZMQ_RCVHWM, 10)
            .set(ZMQ_RCVBUF, 4096)
            .set(ZMQ_RCVTIMEO, 2000);
        let address = pull.bind("tcp://127.0.0.1:*");
        let count = 200_000 / size;
        let sender = std::thread::spawn(move || {
            let context = Context::new();
            let push = context.push();
            push.set(ZMQ_SNDHWM, 0).set(ZMQ_SNDBUF, 4096);
            push.connect(&address);
            for _ in 0..count {
                assert!(push.send(&vec![1; size], 0));
            }
            until("all to be in the kernel", || flushed(&push).0);
            push.close_lingering();
        });
        let mut received = 0;
        while received < count && pull.recv(0).is_some() {
            received += 1;
            if received % (5000 / size) == 0 {
                std::thread::sleep(Duration::from_millis(3));
            }
        }
        sender.join().unwrap();
        assert_eq!(received, count);
    }
}

#[test]
fn gone_means_gone() {
    let (_folder, ipc) = ipc();
    let context = Context::new();
    let other = context.push();
    for address in ["tcp://127.0.0.1:*", &ipc] {
        let pull = context.pull();
        let address = pull.bind(address);
        let push = context.push();
        push.connect(&address);
        send_patiently(&push, &[b"x"]);
        pull.set(ZMQ_RCVTIMEO, 5000);
        pull.recv(0).unwrap();
        let ids = [push.0, pull.0].map(|s| (s, unsafe { pushpull_id(s) }));
        assert!(ids[0].1 > 0 && ids[1].1 > 0 && ids[0].1 != ids[1].1);
        for (socket, id) in ids {
            assert_eq!(unsafe { pushpull_gone(context.0, socket, id) }, 0);
            // One that was at the same place before it.
            until(
                "an earlier socket of that address to be gone",
                || unsafe { pushpull_gone(context.0, socket, -1) } == 1,
            );
        }
        drop((push, pull));
        for (socket, id) in ids {
            until(
                "a socket to be gone",
                || unsafe { pushpull_gone(context.0, socket, id) } == 1,
            );
        }
    }
    // One that lingers is not gone.
    let (socket, id) = (other.0, unsafe { pushpull_id(other.0) });
    other.connect("ipc:///nonexistent/pushpull");
    send(&other, &[b"x"]).unwrap();
    other.set(ZMQ_LINGER, 200);
    unsafe { zmq_close(other.0) };
    std::mem::forget(other);
    assert_eq!(unsafe { pushpull_gone(context.0, socket, id) }, 0);
    until(
        "the linger to end",
        || unsafe { pushpull_gone(context.0, socket, id) } == 1,
    );
}
