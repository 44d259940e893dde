use std::{
    ffi::{c_int, c_long},
    ptr,
    sync::Arc,
    time::Instant,
};

use zmq_sys as sys;

use super::{Flow, Identity, LetIn, Recalled, Rescued};
use crate::{
    context::{last_error, Context, Events, Failure, Polled, RawFrame, Socket},
    monitor::Monitor,
};

/// The longest that a close may wait for messages when nobody set a deadline.
const LINGER: i32 = 30_000;

/// More than any default holds, little enough to be read in milliseconds.
const WAITING: usize = 10_000;

/// As in ours.rs.
///
/// # Safety
/// `out` points to memory for a message, which holds none.
pub(crate) unsafe fn init_copy(out: *mut sys::zmq_msg_t, bytes: &[u8]) -> c_int {
    // SAFETY: it initialises the struct with room for all of the bytes, or returns -1.
    unsafe {
        let done = sys::zmq_msg_init_size(out, bytes.len());
        if done == 0 {
            let at = sys::zmq_msg_data(out).cast();
            ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len());
        }
        done
    }
}

/// A stock libzmq does not tell.
pub(crate) fn is_awake(_context: &Context) -> bool {
    false
}

pub(crate) fn poll(
    socket: &Socket,
    wanted: Events,
    other: &Socket,
    millis: c_long,
) -> Result<Polled, Failure> {
    let item = |socket: &Socket, events: Events| sys::zmq_pollitem_t {
        socket: socket.raw(),
        fd: 0 as _,
        events: events.0,
        revents: 0,
    };
    let mut items = [item(socket, wanted), item(other, Events::IN)];
    // SAFETY: two initialised items, both sockets open.
    let ready = unsafe { sys::zmq_poll(items.as_mut_ptr(), items.len() as c_int, millis) };
    if ready < 0 {
        return Err(last_error());
    }
    Ok(Polled {
        this: items[0].revents != 0,
        other: items[1].revents != 0,
    })
}

/// Stock libzmq can't tell. It is told to go on for as long when it closes.
pub(crate) fn flow(socket: &Socket, until: Option<Instant>) -> Flow {
    let linger = until.map_or(LINGER, |u| {
        let left = u.saturating_duration_since(Instant::now());
        i32::try_from(left.as_millis()).unwrap_or(i32::MAX)
    });
    match socket.set_int(sys::ZMQ_LINGER, linger) {
        Ok(()) => Flow::Through,
        Err(_) => Flow::Unknown,
    }
}

/// Stock libzmq drops these messages and does not tell.
pub(crate) fn rescue(_: &Socket) -> Rescued {
    Rescued::default()
}

pub(crate) fn care(socket: &Socket) -> Result<(), Failure> {
    socket.events().map(drop)
}

/// It is lost there.
pub(crate) fn let_in(_: &Socket) -> LetIn {
    LetIn {
        cut: 0,
        unasked: 0,
        coming: 0,
        sending: 0,
        listened: true,
    }
}

/// Nothing comes back, and everything ever sent may still have been inside.
pub(crate) fn recall(_: &Socket) -> Recalled {
    Recalled {
        torn: u64::MAX >> 1,
        ..Recalled::default()
    }
}

/// Stock libzmq can't tell: what it has taken counts as moved.
pub(crate) fn held(_: &Socket) -> u64 {
    0
}

pub(crate) fn waiting(_: &Socket) -> usize {
    WAITING
}

/// Stock libzmq deals them out one by one.
#[derive(Debug, Default)]
pub(crate) struct Turn;

impl Turn {
    pub(crate) fn set_length(&mut self, _length: usize) {}
}

pub(crate) fn send_run(
    socket: &Socket,
    frames: &mut [RawFrame],
    _turn: &mut Turn,
) -> Result<usize, Failure> {
    for (i, frame) in frames.iter_mut().enumerate() {
        match socket.send_part(frame, false) {
            Ok(true) => {}
            Err(failure) if i == 0 => return Err(failure),
            _ => return Ok(i),
        }
    }
    Ok(frames.len())
}

/// With stock libzmq a peer that comes back takes turns with its old connection.
#[derive(Debug, Default)]
pub(crate) struct Waits;

impl Waits {
    pub(crate) fn any(&self) -> bool {
        false
    }

    pub(crate) fn end(&mut self) {}
}

pub(crate) fn introduce(_: &Socket) -> Result<(), Failure> {
    Ok(())
}

pub(crate) fn receive(
    socket: &Socket,
    frames: &mut Vec<RawFrame>,
    most: usize,
    _: &mut Waits,
) -> Result<(), Failure> {
    while frames.len() < most {
        match socket.recv_frame() {
            Ok(Some(frame)) => frames.push(frame),
            Err(failure) if frames.is_empty() => return Err(failure),
            // It comes again when these are handed over.
            Ok(None) | Err(_) => break,
        }
    }
    Ok(())
}

pub(crate) fn tune(_: &Socket, _: (c_int, c_int)) {}

pub(crate) fn pipes(_: &Socket) -> usize {
    0
}

/// Without our build, libzmq swallows the rest of a message, and calls it
/// sent, when the peer leaves between two of its frames.
pub(crate) fn send_whole(socket: &Socket, frames: &mut [RawFrame]) -> Result<bool, Failure> {
    let last = frames.len() - 1;
    let mut copies: Vec<_> = frames.iter_mut().map(RawFrame::share).collect();
    for (i, copy) in copies.iter_mut().enumerate() {
        if !socket.send_part(copy, i < last)? {
            if i > 0 && i < last {
                // libzmq is now dropping up to the end of a message.
                socket.send_part(&mut RawFrame::empty(), false)?;
            }
            return Ok(false);
        }
    }
    frames.fill_with(RawFrame::empty);
    Ok(true)
}

pub(crate) fn identity(_: &Socket) -> Identity {
    Identity {
        address: 0,
        number: 0,
    }
}

/// Stock libzmq can't tell this either.
pub(crate) fn wait_until_gone(_: &Context, _: Identity, _: Instant) -> bool {
    true
}

/// Stock libzmq tells a monitor socket alone, whose full queue blocks its I/O
/// thread. Nothing is told here but what the queue itself sees.
#[derive(Debug)]
pub(crate) struct Watch(Arc<Monitor>);

impl Watch {
    pub(crate) fn over(_: &Socket, monitor: &Arc<Monitor>) -> Self {
        Self(Arc::clone(monitor))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.end();
    }
}
