//! What becomes of a socket's pipes when its peers leave, also while the I/O thread is
//! busy with something else.

mod common;
#[path = "common/receive.rs"]
mod receive;

use std::os::raw::c_void;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::time::{Duration, Instant};

use common::*;
use receive::receive;
use zmq_sys::native::*;
use zmq_sys::*;

const LONG: Duration = Duration::from_secs(20);

fn send_one(socket: &Socket, mut message: zmq_msg_t) -> Result<(), i32> {
    let done = unsafe { pushpull_send(socket.0, &mut message, 1) };
    let error = errno();
    unsafe { zmq_msg_close(&mut message) };
    if done == 0 {
        Ok(())
    } else {
        Err(error)
    }
}

unsafe extern "C" fn take(hint: *mut c_void, frame: *mut zmq_msg_t) {
    let taken = unsafe { &mut *hint.cast::<Vec<Vec<u8>>>() };
    let mut moved = empty();
    unsafe {
        zmq_msg_move(&mut moved, frame);
        taken.push(bytes(&mut moved));
        zmq_msg_close(&mut moved);
    }
}

fn rescue(socket: &Socket) -> (pushpull_rescued, Vec<Vec<u8>>) {
    let mut out = pushpull_rescued::default();
    let mut taken = Vec::<Vec<u8>>::new();
    let done = unsafe { pushpull_rescue(socket.0, Some(take), (&raw mut taken).cast(), &mut out) };
    assert_eq!(done, 0, "{}", last_error());
    (out, taken)
}

/// Keeps the I/O thread of a context busy: with the free function of a message.
struct Busy {
    entered: Sender<()>,
    release: Receiver<()>,
}

unsafe extern "C" fn hold_up(_data: *mut c_void, hint: *mut c_void) {
    let busy = unsafe { Box::from_raw(hint.cast::<Busy>()) };
    let _ = busy.entered.send(());
    let _ = busy.release.recv_timeout(LONG);
}

fn message_that_holds_up() -> (zmq_msg_t, Receiver<()>, Sender<()>) {
    static BODY: [u8; 64] = [0; 64];
    let ((entered, has_entered), (let_go, release)) = (channel(), channel());
    let busy = Box::into_raw(Box::new(Busy { entered, release }));
    let mut message = empty();
    let done = unsafe {
        zmq_msg_init_data(
            &mut message,
            BODY.as_ptr().cast_mut().cast(),
            BODY.len(),
            Some(hold_up),
            busy.cast(),
        )
    };
    assert_eq!(done, 0);
    (message, has_entered, let_go)
}

/// Not heavy, or the pipe would not hold so many.
const SIZE: usize = 7000;

/// With more for it than the kernel takes, so that some wait.
fn push_to_a_deaf_peer(context: &Context, others: &Context, body: &[u8]) -> (Socket, Socket) {
    let push = context.push();
    push.set(ZMQ_SNDHWM, 3000);
    let address = push.bind("tcp://127.0.0.1:*");
    let deaf = others.pull();
    deaf.set(ZMQ_RCVHWM, 1).connect(&address);
    let (mut sent, started) = (0u64, Instant::now());
    while sent < 2500 {
        assert!(started.elapsed() < LONG);
        sent += u64::from(send_one(&push, message(body)).is_ok());
    }
    (push, deaf)
}

/// Another socket whose connection is on the same I/O thread.
struct Neighbour {
    push: Socket,
    _friend: Socket,
}

impl Neighbour {
    fn of(context: &Context, others: &Context) -> Self {
        let push = context.push();
        let address = push.bind("tcp://127.0.0.1:*");
        let friend = others.pull();
        friend.connect(&address);
        until("the friend is there", || {
            send_one(&push, message(b"hello")).is_ok()
        });
        Self {
            push,
            _friend: friend,
        }
    }

    /// Keeps the I/O thread busy until it is told to go on.
    fn holds_up(&self) -> Sender<()> {
        let (holds_up, entered, let_go) = message_that_holds_up();
        send_one(&self.push, holds_up).unwrap();
        entered.recv_timeout(LONG).unwrap();
        let_go
    }
}

#[test]
fn what_waits_for_a_peer_that_left_stays_while_the_io_thread_is_busy() {
    let (context, others) = (Context::new(), Context::new());
    let body = vec![1u8; SIZE];
    let (push, leaver) = push_to_a_deaf_peer(&context, &others, &body);
    let neighbour = Neighbour::of(&context, &others);
    drop(leaver);
    until("the leaver is missed", || {
        send_one(&push, message(b"late")) == Err(errno::EHOSTUNREACH)
    });
    let let_go = neighbour.holds_up();

    let (out, taken) = rescue(&push);
    assert_eq!((out.pipes, out.held, out.lost, taken.len()), (0, 1, 0, 0));
    assert_eq!(send_one(&push, message(b"x")), Err(errno::EHOSTUNREACH));
    let mut recalled = pushpull_recalled::default();
    let mut none = Vec::<Vec<u8>>::new();
    unsafe { pushpull_recall(push.0, Some(take), (&raw mut none).cast(), &mut recalled) };
    assert_eq!((recalled.messages, recalled.unasked), (0, 1));
    assert!(recalled.unread > 0, "{recalled:?}");

    let_go.send(()).unwrap();
    let mut all = Vec::new();
    until("the rest is taken back", || {
        let (out, taken) = rescue(&push);
        all.extend(taken);
        out.pipes == 1
    });
    assert!(all.iter().all(|back| *back == body || back == b"late"));
    assert!(all.contains(&body));
    // The far end may have had one message under way when it was counted.
    assert!(all.len() as u64 + 1 >= recalled.unread, "{recalled:?}");
    assert_eq!(send_one(&push, message(b"x")), Err(errno::EAGAIN));
}

fn pipes(socket: &Socket) -> i32 {
    unsafe { pushpull_pipes(socket.0) }
}

/// The first pipe has a message, so libzmq itself looks no further.
#[test]
fn a_pull_that_nobody_receives_from_lets_go_of_peers_that_left() {
    const COMERS: i32 = 50;
    let (context, others) = (Context::new(), Context::new());
    let pull = context.pull();
    let address = pull.bind("tcp://127.0.0.1:*");
    let speaker = others.push();
    speaker.connect(&address);
    speaker.send(b"nobody receives this", 0);
    until("the speaker has spoken", || {
        pull.get(ZMQ_EVENTS) & ZMQ_POLLIN as i32 != 0
    });
    let silent: Vec<_> = (0..COMERS)
        .map(|_| {
            let socket = others.push();
            socket.connect(&address);
            socket
        })
        .collect();
    until("all have come", || {
        assert_eq!(unsafe { pushpull_care(pull.0) }, 0);
        pipes(&pull) == 1 + COMERS
    });
    drop(silent);
    until("all but the speaker are gone", || {
        assert_eq!(unsafe { pushpull_care(pull.0) }, 0);
        pipes(&pull) == 1
    });
    assert_eq!(pull.recv(0).unwrap(), b"nobody receives this");
}

/// A pipe is a connection: to the receiver the three are one peer that came back.
#[test]
fn a_peer_that_comes_back_does_not_overtake_itself() {
    const EACH: u32 = 7;
    let folder = tempfile::tempdir().unwrap();
    for address in addresses(&folder) {
        let context = Context::new();
        let pull = context.pull();
        let address = pull.bind(&address);
        for life in 0..3 {
            let sender = Context::new();
            let push = sender.push();
            push.connect(&address);
            for n in 0..EACH {
                // Several frames too: they stay together.
                let n = life * EACH + n;
                assert!(push.send(&n.to_le_bytes(), ZMQ_SNDMORE));
                assert!(push.send(b"more", 0));
            }
            let all = u64::from((life + 1) * EACH);
            until("this life is heard", || heard(&pull).0 == all);
            if life < 2 {
                drop((push, sender));
                until("its end is noticed", || heard(&pull).1 == all);
            } else {
                let mut got = Vec::new();
                until("all are received", || {
                    got.extend(receive(&pull, 5).into_iter().map(|(body, _)| body));
                    got.len() == 2 * 3 * EACH as usize
                });
                let numbers: Vec<u32> = got
                    .chunks(2)
                    .map(|message| {
                        assert_eq!(message[1], b"more");
                        u32::from_le_bytes(message[0][..].try_into().unwrap())
                    })
                    .collect();
                assert_eq!(numbers, (0..3 * EACH).collect::<Vec<_>>(), "{address}");
            }
        }
    }
}

/// The same when the receiver is so far behind that it has not even read to the end of
/// the first connections. Only Linux tells of a connection's end before that; peers that
/// say their name (`pushpull_introduce`) need nobody to tell.
#[cfg_attr(not(target_os = "linux"), ignore = "nobody tells of the end")]
#[test]
fn a_peer_that_comes_back_does_not_overtake_what_the_kernel_still_has_of_it() {
    const EACH: u32 = 100;
    let folder = tempfile::tempdir().unwrap();
    for address in addresses(&folder) {
        let context = Context::new();
        let pull = context.pull();
        pull.set(ZMQ_RCVHWM, 5);
        let address = pull.bind(&address);
        let mut last = None;
        for life in 0..3 {
            let sender = Context::new();
            let push = sender.push();
            push.connect(&address);
            for n in life * EACH..(life + 1) * EACH {
                assert!(push.send(&n.to_le_bytes(), 0));
            }
            until("this life is heard", || {
                heard(&pull);
                pipes(&pull) == life as i32 + 1
            });
            if life < 2 {
                push.close_lingering();
                drop(sender);
            } else {
                last = Some((push, sender));
            }
        }
        let mut got = Vec::new();
        until("all are received", || {
            got.extend(receive(&pull, 3).into_iter().map(|(body, _)| body));
            got.len() == 3 * EACH as usize
        });
        let numbers: Vec<u32> = got
            .iter()
            .map(|body| u32::from_le_bytes(body[..].try_into().unwrap()))
            .collect();
        assert_eq!(numbers, (0..3 * EACH).collect::<Vec<_>>(), "{address}");
        drop(last);
    }
}

/// How many messages wait, and how many of them are of connections that have ended.
fn heard(pull: &Socket) -> (u64, u64) {
    let (mut inbound, mut left) = (0, 0);
    assert_eq!(unsafe { pushpull_care(pull.0) }, 0);
    unsafe { pushpull_depth(pull.0, std::ptr::null_mut(), &mut inbound, &mut left) };
    (inbound, left)
}

/// On a machine that is very busy an I/O thread has to wait for its turn.
#[test]
fn what_an_io_thread_has_that_is_late_is_taken_back() {
    let (context, others) = (Context::new(), Context::new());
    let body = vec![1u8; SIZE];
    let (push, _deaf) = push_to_a_deaf_peer(&context, &others, &body);
    let let_go = Neighbour::of(&context, &others).holds_up();
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        let_go.send(()).unwrap();
    });
    let mut recalled = pushpull_recalled::default();
    let mut taken = Vec::<Vec<u8>>::new();
    unsafe { pushpull_recall(push.0, Some(take), (&raw mut taken).cast(), &mut recalled) };
    assert_eq!(recalled.unasked, 0, "{recalled:?}");
    assert_eq!(recalled.messages, taken.len() as u64);
    assert!(taken.len() > 10 && taken.iter().all(|back| *back == body));
    late.join().unwrap();
}
