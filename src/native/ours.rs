use std::{
    collections::hash_map::RandomState,
    ffi::{c_char, c_int, c_long, c_void, CStr, CString},
    hash::{BuildHasher, Hasher},
    process, ptr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use zmq_sys::{native as sys, zmq_msg_t};

use super::{Flow, Identity, LetIn, Recalled, Rescued, Unwritten};
use crate::{
    attach::BATCH,
    context::{last_error, Context, Events, Failure, Polled, RawFrame, Socket},
    message::Message,
    monitor::Monitor,
};

/// Where the messages of a Push are: asks the connections, which takes
/// microseconds.
pub(crate) fn flow(socket: &Socket, _until: Option<Instant>) -> Flow {
    let mut flow = sys::pushpull_flow::default();
    // SAFETY: the socket is open and this thread's own; `flow` is written.
    match unsafe { sys::pushpull_flushed(socket.raw(), &mut flow) } {
        // A peer inside the process that has not read them, or is not there.
        1 if depth(socket).0 > 0 => Flow::InLibzmq,
        1 if flow.in_kernel > 0 => Flow::InKernel(flow.in_kernel),
        1 => Flow::Through,
        // The context ended, so nothing will ever move again.
        -1 => Flow::Unknown,
        _ => Flow::InLibzmq,
    }
}

unsafe extern "C" fn take(hint: *mut c_void, frame: *mut zmq_msg_t) {
    // SAFETY: the hint is the caller's vector, which nobody else uses during
    // the call; the frame is initialised and left empty.
    unsafe { (*hint.cast::<Vec<RawFrame>>()).push(RawFrame::take(frame)) };
}

fn whole_messages(frames: Vec<RawFrame>) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut parts = Vec::new();
    for frame in frames {
        let more = frame.more();
        parts.push(frame);
        if !more {
            messages.push(Message::from_raws(std::mem::take(&mut parts)));
        }
    }
    messages
}

/// Takes back what waited for peers that have left.
pub(crate) fn rescue(socket: &Socket) -> Rescued {
    let mut frames: Vec<RawFrame> = Vec::new();
    let mut counts = sys::pushpull_rescued::default();
    // SAFETY: the socket is open and this thread's own; `take` gets the vector
    // and returns before the call does.
    let done = unsafe {
        let hint = ptr::from_mut(&mut frames).cast();
        sys::pushpull_rescue(socket.raw(), Some(take), hint, &mut counts)
    };
    Rescued {
        peers: counts.pipes,
        // Without memory nobody was asked, and a peer may still be held.
        held: if done == 0 { counts.held } else { 1 },
        messages: whole_messages(frames),
        shared: counts.shared != 0,
        lost: counts.lost,
    }
}

/// Takes every message back that no connection has begun to send.
pub(crate) fn recall(socket: &Socket) -> Recalled {
    let mut frames: Vec<RawFrame> = Vec::new();
    let mut counts = sys::pushpull_recalled::default();
    // SAFETY: the socket is open and this thread's own; `take` gets the vector
    // and returns before the call does.
    let done = unsafe {
        let hint = ptr::from_mut(&mut frames).cast();
        sys::pushpull_recall(socket.raw(), Some(take), hint, &mut counts)
    };
    if done == -1 {
        // The context ended, and nobody can be asked any more.
        counts.unread = depth(socket).0;
        counts.unasked = pipes(socket) as u64;
    }
    Recalled {
        messages: whole_messages(frames),
        torn: counts.torn + counts.encoding + counts.unread,
        // A connection that could not be asked has one write's worth at most.
        unwritten: Unwritten {
            writes: counts.writes + counts.unasked,
            messages: match counts.unasked {
                0 => counts.being_written,
                _ => u64::MAX,
            },
            bytes: counts.unwritten + counts.unasked * BATCH.1 as u64,
        },
        awake: counts.unasked == 0,
    }
}

/// Lets go of the connections of peers that left.
pub(crate) fn care(socket: &Socket) -> Result<(), Failure> {
    // SAFETY: the socket is open and this thread's own.
    match unsafe { sys::pushpull_care(socket.raw()) } {
        -1 => Err(last_error()),
        _ => Ok(()),
    }
}

/// Lets everything into a Pull that has arrived, and nothing more; see [`LetIn`].
pub(crate) fn let_in(socket: &Socket) -> LetIn {
    let mut come = sys::pushpull_come::default();
    // SAFETY: the socket is open and this thread's own; `come` is written.
    let listened = unsafe { sys::pushpull_let_in(socket.raw(), &mut come) };
    if listened == -1 && !last_error().is_terminated() {
        come.unasked = pipes(socket) as u64;
    }
    LetIn {
        cut: come.cut,
        unasked: come.unasked,
        coming: come.coming,
        sending: come.sending,
        listened: listened != 0,
    }
}

/// How many messages of a Push wait in libzmq for somebody to take them.
pub(crate) fn held(socket: &Socket) -> u64 {
    depth(socket).0
}

/// How many messages are ready to be received.
pub(crate) fn waiting(socket: &Socket) -> usize {
    depth(socket).1 as usize
}

/// How many bytes a connection reads and writes in one system call; and no
/// reference to the peer with each message.
pub(crate) fn tune(socket: &Socket, (read, written): (c_int, c_int)) {
    // SAFETY: the socket is open and this thread's own. Nothing to be done
    // about a failure: it is slower then.
    unsafe {
        sys::pushpull_batch(socket.raw(), read, written);
        sys::pushpull_plain(socket.raw());
    }
}

/// How many connections still have something to say: those of connected
/// endpoints, and those that came in and have messages here.
pub(crate) fn pipes(socket: &Socket) -> usize {
    // SAFETY: the socket is open and this thread's own.
    usize::try_from(unsafe { sys::pushpull_pipes(socket.raw()) }).unwrap_or(0)
}

fn depth(socket: &Socket) -> (u64, u64) {
    let (mut outbound, mut inbound) = (0, 0);
    // SAFETY: the socket is open and this thread's own.
    let done =
        unsafe { sys::pushpull_depth(socket.raw(), &mut outbound, &mut inbound, ptr::null_mut()) };
    if done == -1 {
        return (0, 0);
    }
    (outbound, inbound)
}

/// Makes a message of a copy of these bytes; -1 if there is no memory.
///
/// # Safety
/// `out` points to memory for a message, which holds none.
#[inline]
pub(crate) unsafe fn init_copy(out: *mut zmq_msg_t, bytes: &[u8]) -> c_int {
    // SAFETY: see above; libzmq copies the bytes.
    unsafe { sys::pushpull_copy(out, bytes.as_ptr().cast(), bytes.len()) }
}

/// Sends a message of several frames, all or none. If there is no room, or on
/// an error, the frames are untouched.
pub(crate) fn send_whole(socket: &Socket, frames: &mut [RawFrame]) -> Result<bool, Failure> {
    // SAFETY: the socket is open and this thread's own; `RawFrame` is a
    // transparent `zmq_msg_t`, and all of them are initialised.
    let sent =
        unsafe { sys::pushpull_send(socket.raw(), frames.as_mut_ptr().cast(), frames.len()) };
    match sent {
        -1 => match last_error() {
            failure if failure.is_again() => Ok(false),
            failure => Err(failure),
        },
        _ => Ok(true),
    }
}

/// How many messages each of several peers gets in a row.
#[derive(Debug)]
pub(crate) struct Turn(sys::pushpull_turn);

impl Default for Turn {
    fn default() -> Self {
        Self(sys::pushpull_turn {
            length: 1,
            ..Default::default()
        })
    }
}

impl Turn {
    pub(crate) fn set_length(&mut self, length: usize) {
        self.0.length = length as u64;
    }
}

/// Sends messages of one frame each, in order, to each peer a turn, and tells
/// how many went; those are empty then. None means that there is no room.
pub(crate) fn send_run(
    socket: &Socket,
    frames: &mut [RawFrame],
    turn: &mut Turn,
) -> Result<usize, Failure> {
    let (first, turn) = (frames.as_mut_ptr().cast(), &mut turn.0);
    // SAFETY: as for `send_whole`; `turn` is kept by nobody else.
    let sent = unsafe { sys::pushpull_send_many(socket.raw(), first, frames.len(), turn) };
    none_if_again(sent)
}

/// Waits as [`Socket::poll`] does, and is interrupted by signals.
pub(crate) fn poll(
    socket: &Socket,
    wanted: Events,
    other: &Socket,
    millis: c_long,
) -> Result<Polled, Failure> {
    // SAFETY: both sockets are open and this thread's own.
    let ready = unsafe { sys::pushpull_poll(socket.raw(), wanted.0, other.raw(), millis as c_int) };
    match ready {
        -1 => Err(last_error()),
        ready => Ok(Polled {
            this: ready & sys::PUSHPULL_READY != 0,
            other: ready & sys::PUSHPULL_RUNG != 0,
        }),
    }
}

/// Connections of peers that are back, and wait for what their old ones still bring.
#[derive(Debug, Default)]
pub(crate) struct Waits(sys::pushpull_waits);

impl Waits {
    /// Whether [`receive`] has to be called about once a second.
    pub(crate) fn any(&self) -> bool {
        self.0.pipes > 0 || self.0.coming != 0
    }

    /// From now on [`receive`] takes all that is here, whoever it overtakes.
    pub(crate) fn end(&mut self) {
        self.0.closing = 1;
    }
}

/// Gives what is called from now on a name, by which a Pull of ours knows a
/// peer that comes back.
pub(crate) fn introduce(socket: &Socket) -> Result<(), Failure> {
    // Random, and one further each time; a forked child goes on where its parent is.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(process::id());
    let name = CString::new(format!("{:016x}", hasher.finish())).unwrap_or_default();
    // SAFETY: the socket is open and this thread's own; libzmq copies the name.
    match unsafe { sys::pushpull_introduce(socket.raw(), name.as_ptr()) } {
        -1 => Err(last_error()),
        _ => Ok(()),
    }
}

/// Receives up to `most` frames into a list that is empty, and no part of a
/// message unless it has more frames than that.
pub(crate) fn receive(
    socket: &Socket,
    frames: &mut Vec<RawFrame>,
    most: usize,
    waits: &mut Waits,
) -> Result<(), Failure> {
    debug_assert!(frames.is_empty());
    frames.reserve_exact(most);
    let room = &mut frames.spare_capacity_mut()[..most];
    // SAFETY: the socket is open and this thread's own; libzmq initialises as
    // many frames as it returns, in memory that is there for `room.len()`, and
    // `waits` is kept by nobody else.
    let received = unsafe {
        let room_of = room.as_mut_ptr().cast();
        sys::pushpull_recv_many(socket.raw(), room_of, room.len(), &mut waits.0)
    };
    let count = none_if_again(received)?;
    // SAFETY: see above; the list was empty.
    unsafe { frames.set_len(count) };
    Ok(())
}

fn none_if_again(count: isize) -> Result<usize, Failure> {
    match usize::try_from(count) {
        Ok(count) => Ok(count),
        Err(_) => match last_error() {
            failure if failure.is_again() => Ok(0),
            failure => Err(failure),
        },
    }
}

/// When to ask whether the I/O threads listen at all: one that resolves a name
/// does not, perhaps for a minute, and is not worth the wait.
const UNUSUAL: Duration = Duration::from_millis(10);

/// What [`wait_until_gone`] needs to know; to be asked before the close.
pub(crate) fn identity(socket: &Socket) -> Identity {
    Identity {
        address: socket.raw() as usize,
        // SAFETY: the socket is open and this thread's own.
        number: unsafe { sys::pushpull_id(socket.raw()) },
    }
}

/// Waits until a closed socket, its connections and their descriptors are gone,
/// and tells whether they are.
pub(crate) fn wait_until_gone(context: &Context, identity: Identity, until: Instant) -> bool {
    let since = Instant::now();
    let mut doubted = false;
    let Identity { address, number } = identity;
    // SAFETY: the context lives as long as the handle that we were given; the
    // socket's address is only compared.
    while unsafe { sys::pushpull_gone(context.raw(), address as *mut c_void, number) } == 0 {
        let now = Instant::now();
        if now >= until {
            return false;
        }
        if now - since >= UNUSUAL && !doubted {
            doubted = true;
            if !is_awake(context) {
                return false;
            }
        }
        thread::sleep(Duration::from_micros(50));
    }
    true
}

/// Whether all I/O threads have done by now what they were told before. They may be kept
/// from running, and are waited for, but not if one resolves a name.
pub(crate) fn is_awake(context: &Context) -> bool {
    // SAFETY: the context lives as long as the handle that we were given.
    unsafe { sys::pushpull_awake(context.raw()) == 1 }
}

/// Tells a monitor what happens to a socket's connections, until it is dropped,
/// which has to be before the socket is.
#[derive(Debug)]
pub(crate) struct Watch {
    socket: *mut c_void,
    monitor: Arc<Monitor>,
}

// SAFETY: the pointer is only used to end the watch, which any thread may do.
unsafe impl Send for Watch {}

unsafe extern "C" fn told(hint: *mut c_void, event: u64, value: u64, endpoint: *const c_char) {
    // SAFETY: the hint is the monitor that a `Watch` keeps until nobody is told
    // any more; the endpoint ends in NUL and lives as long as the call.
    let (monitor, endpoint) = unsafe { (&*hint.cast::<Monitor>(), CStr::from_ptr(endpoint)) };
    monitor.told(event, value, &endpoint.to_string_lossy());
}

impl Watch {
    pub(crate) fn over(socket: &Socket, monitor: &Arc<Monitor>) -> Self {
        let monitor = Arc::clone(monitor);
        let hint = Arc::as_ptr(&monitor).cast_mut().cast();
        // SAFETY: the socket is open; the hint lives until `drop` has ended this.
        // It fails only when memory runs out, and then nothing is told.
        unsafe { sys::pushpull_watch(socket.raw(), Some(told), hint) };
        Self {
            socket: socket.raw(),
            monitor,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: the socket is still open; see above.
        unsafe { sys::pushpull_watch(self.socket, None, ptr::null_mut()) };
        self.monitor.end();
    }
}
