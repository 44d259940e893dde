//! What `native/` adds to libzmq: sends that are whole or nothing, batches,
//! the way back for messages that libzmq has accepted, and the questions "is it all in
//! the kernel?" and "is it all gone?".
//!
//! Every function answers -1 and sets errno (read it with `zmq_errno`) when it fails;
//! none blocks beyond [`PATIENCE_MS`], throws or aborts, but that those which save messages
//! at an end, [`pushpull_recall`] and [`pushpull_let_in`], and the question whether somebody
//! is there at all, [`pushpull_awake`], may take [`STARVED_MS`] more, and [`pushpull_poll`]
//! waits as long as it is told to.
//! `socket` must be a live socket of libzmq and belongs to the calling thread, as with
//! libzmq's own functions.

use std::os::raw::{c_char, c_int, c_short, c_void};

use crate::ffi::zmq_msg_t;

/// How long a call waits for an I/O thread at most. An I/O thread answers within
/// microseconds, unless it resolves a name.
pub const PATIENCE_MS: u64 = 25;

/// How much longer some of them wait, as long as no thread of the process is
/// seen to resolve a name twice, [`PATIENCE_MS`] apart: on a machine that is very busy an
/// I/O thread may have to wait for its turn.
pub const STARVED_MS: u64 = 500;

/// What [`pushpull_poll`] found: there may be something to be sent or received.
pub const PUSHPULL_READY: c_int = 1;
/// And this: the bell has a message.
pub const PUSHPULL_RUNG: c_int = 2;

/// What [`pushpull_recall`] found.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct pushpull_recalled {
    /// Messages handed to `take`, every frame of them.
    pub messages: u64,
    /// Messages of which an engine already has some frames but not all. They cannot be
    /// taken back: their other frames were left where the engine finds them.
    pub torn: u64,
    /// Bytes that engines hold, encoded, and the kernel has not taken.
    pub unwritten: u64,
    /// The most messages of which these are a part.
    pub being_written: u64,
    /// The engines that these belong to.
    pub writes: u64,
    /// Engines that still have a message to encode to its end, not counted in `unwritten`.
    pub encoding: u64,
    /// Connections whose I/O thread did not answer in time: nothing was taken there.
    pub unasked: u64,
    /// Messages that wait there, or at peers inside the process.
    pub unread: u64,
}

/// What [`pushpull_rescue`] did.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct pushpull_rescued {
    /// Connections that were let go, their messages taken back.
    pub pipes: u64,
    /// Connections whose I/O thread did not answer in time: nothing has changed there.
    pub held: u64,
    /// Messages of which a part had been sent, or for which memory ran out.
    pub lost: u64,
    /// 1 when other connections had messages as well, so that the receiver of the ones
    /// taken back may have newer ones already; else 0.
    pub shared: u64,
}

/// What [`pushpull_let_in`] left.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct pushpull_come {
    /// Connections that there was not enough time for: the kernel has more of theirs.
    pub cut: u64,
    /// Connections that could not be asked, or for which there was no time at all.
    pub unasked: u64,
    /// Connections whose peers may send more now, since room was made: not those of
    /// peers that share a buffer with us.
    pub coming: u64,
    /// Connections for which more came meanwhile than the kernel had at first.
    pub sending: u64,
}

/// What [`pushpull_flushed`] found.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct pushpull_flow {
    /// Messages that wait in pipes and no engine has pulled.
    pub queued: u64,
    /// Bytes that engines hold, encoded, and the kernel has not taken.
    pub unwritten: u64,
    /// Engines that still have a message to encode to its end.
    pub encoding: u64,
    /// Connections whose I/O thread did not answer in time.
    pub unasked: u64,
    /// Connections that were looked at.
    pub pipes: u64,
    /// Bytes that the kernel holds: over ipc those that the other end has not read, over
    /// tcp those that the other end's kernel has no room for. 0 where the system cannot
    /// tell.
    pub in_kernel: u64,
}

/// How many messages a peer gets in a row; see [`pushpull_send_many`].
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct pushpull_turn {
    /// 1 or more.
    pub length: u64,
    /// Those that the one whose turn it is still has to get. This and the others are 0 at
    /// first, and kept from call to call.
    pub left: u64,
    /// Its place,
    pub at: u64,
    /// and who it is.
    pub whose: u64,
}

/// Who waits for older connections of the same peer; see [`pushpull_recv_many`].
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct pushpull_waits {
    /// Connections that wait.
    pub pipes: u64,
    /// Messages that may be received before the next look whether they still have to.
    pub messages: u64,
    /// Since when, in milliseconds, a connection that has ended is waited for to give the
    /// rest.
    pub coming: i64,
    /// To be set to 1 to have all that is here, and wait for nobody.
    pub closing: u64,
}

/// An event of [`pushpull_watch`] beside libzmq's own: the peer of a PUSH socket leaves,
/// and so many bytes (the lower 32 bits) of what was being written to it never got to the
/// kernel; that was of so many messages (the upper 32) at the most. A message larger than a
/// write counts as one write. `ZMQ_EVENT_DISCONNECTED` follows.
pub const PUSHPULL_UNWRITTEN: u64 = 0x1_0000_0001;

/// The same of a peer that is hung up on for what it sent, with the error number: `EMSGSIZE`
/// where a message was too large. What came behind that is lost.
pub const PUSHPULL_CUT_OFF: u64 = 0x1_0000_0002;

/// What [`pushpull_watch`] calls: the event, its value, and the endpoint, which ends in
/// NUL and lives as long as the call.
#[allow(non_camel_case_types)]
pub type pushpull_told =
    unsafe extern "C" fn(hint: *mut c_void, event: u64, value: u64, endpoint: *const c_char);

extern "C" {
    /// Makes a message of a copy of so many bytes, as `zmq_msg_init_size` and a copy do, and
    /// writes it in a form that is quick to move. Returns 0, or -1 with `ENOMEM`.
    pub fn pushpull_copy(out: *mut zmq_msg_t, bytes: *const c_void, size: usize) -> c_int;

    /// Sends one message of `count` frames over a PUSH socket: whole, or not at all.
    ///
    /// Returns 0, and every frame is an empty message then; or -1, and every frame is
    /// what it was. Errno: `EAGAIN` no peer has room; `EHOSTUNREACH` a peer has left and
    /// its messages wait for [`pushpull_rescue`]; `ETERM` the context ends; `EFSM`
    /// somebody left a message half sent through `zmq_msg_send`; `ENOTSUP` not a PUSH
    /// socket; `EINVAL` no frames; `EFAULT` a frame is not initialised; `ENOTSOCK`.
    pub fn pushpull_send(socket: *mut c_void, frames: *mut zmq_msg_t, count: usize) -> c_int;

    /// Sends up to `count` messages of one frame each over a PUSH socket, in order, and
    /// returns how many went (each an empty message then), or -1 with the errno of
    /// [`pushpull_send`] when none did. Of several peers with room each gets a turn; a single
    /// one gets all.
    pub fn pushpull_send_many(
        socket: *mut c_void,
        messages: *mut zmq_msg_t,
        count: usize,
        turn: *mut pushpull_turn,
    ) -> isize;

    /// Waits until another thread has something to tell the PUSH or PULL socket (if `events`
    /// is not 0), or a message comes to `bell`, up to `timeout` milliseconds (-1: for ever).
    /// Returns [`PUSHPULL_READY`] and [`PUSHPULL_RUNG`], together where it is both, 0 when the
    /// time is up, and -1 with `EINTR` for a signal. With one system call, so two things must
    /// just have been seen, or a wake-up is missed: that nothing can be sent or received, by
    /// the functions here, and that the bell has no message, by a `zmq_msg_recv` that found
    /// none. With `events` 0 it hears what the socket is told, as pipes end, when it has
    /// waited. (On Windows it is `zmq_poll`.)
    pub fn pushpull_poll(
        socket: *mut c_void,
        events: c_short,
        bell: *mut c_void,
        timeout: c_int,
    ) -> c_int;

    /// Receives up to `count` frames from a PULL socket and returns how many, or -1
    /// (`EAGAIN`: none is there). `out` is uninitialised memory; the frames returned are
    /// initialised, and the caller closes them. If the last one has more to follow
    /// (`zmq_msg_more`), `out` was too short for the message, and its other frames are
    /// there at once for the next call. Commands are processed even when messages never
    /// stop. What a connection that ended has left is received before anything else, so
    /// that a peer that comes back does not overtake itself; one that has given its name
    /// waits, if `waits` is given, until its older connections have ended, or three
    /// seconds long when nothing comes through them. With many connections that is looked
    /// at after as many messages only. `waits` is the caller's, zero at first and the same
    /// each time. While its `pipes` are not 0, this has to be called about once a second,
    /// also when the socket has nothing to be received.
    pub fn pushpull_recv_many(
        socket: *mut c_void,
        out: *mut zmq_msg_t,
        count: usize,
        waits: *mut pushpull_waits,
    ) -> isize;

    /// Gives the connections of the endpoints that are called from now on a name, by
    /// which a PULL socket of ours knows that they are one peer's, also when they come
    /// back: 1 to 64 characters, unlike any other's in the world, and another one for each
    /// endpoint. It goes out as a property of ZMTP's handshake (RFC 23). 0, or -1 with
    /// errno `EINVAL`, `ENOMEM` or `ENOTSOCK`.
    pub fn pushpull_introduce(socket: *mut c_void, name: *const c_char) -> c_int;

    /// 1 when the kernel has all that this PUSH socket accepted, 0 when not yet; the
    /// details, if wanted, go to `out`. Asks the I/O threads, which takes microseconds;
    /// once a millisecond is fine. Peers inside the process (inproc) are left out:
    /// theirs are the messages already.
    pub fn pushpull_flushed(socket: *mut c_void, out: *mut pushpull_flow) -> c_int;

    /// Takes back every message that libzmq accepted from this PUSH socket and no engine
    /// has pulled: `take` gets their frames, on this thread, the oldest of each
    /// connection first, and moves them away with `zmq_msg_move` (what it leaves is
    /// closed). Returns 0; the counts go to `out`. Peers inside the process (inproc) are
    /// left out.
    pub fn pushpull_recall(
        socket: *mut c_void,
        take: Option<unsafe extern "C" fn(hint: *mut c_void, frame: *mut zmq_msg_t)>,
        hint: *mut c_void,
        out: *mut pushpull_recalled,
    ) -> c_int;

    /// Takes back what waited for peers that have left a PUSH socket: like
    /// [`pushpull_recall`], and lets their connections go. While such a connection
    /// waits, [`pushpull_send`] and [`pushpull_send_many`] fail with `EHOSTUNREACH`, so
    /// that nothing overtakes.
    pub fn pushpull_rescue(
        socket: *mut c_void,
        take: Option<unsafe extern "C" fn(hint: *mut c_void, frame: *mut zmq_msg_t)>,
        hint: *mut c_void,
        out: *mut pushpull_rescued,
    ) -> c_int;

    /// Lets go of the connections of peers that left, also those that a PULL socket
    /// which nobody receives from would keep. Receives nothing.
    pub fn pushpull_care(socket: *mut c_void) -> c_int;

    /// Has all that was sent to a PULL socket, and has arrived, come in: what its
    /// connections have read and had no room for, and what the kernel has for them. Those
    /// that were asked read no more by themselves after that, and over ipc on Linux their
    /// peers can write no more: it is for a socket that is about to be closed. Returns 1,
    /// or 0 if no I/O thread answered. `out` may be NULL.
    pub fn pushpull_let_in(socket: *mut c_void, out: *mut pushpull_come) -> c_int;

    /// Counts messages: `outbound` those accepted and not yet pulled by an engine,
    /// `inbound` those ready to be received, and of these `left` from connections that
    /// have ended. Each may be NULL. Costs no system call.
    pub fn pushpull_depth(
        socket: *mut c_void,
        outbound: *mut u64,
        inbound: *mut u64,
        left: *mut u64,
    ) -> c_int;

    /// How many bytes connections made from now on read and write in one system call
    /// (stock libzmq: 8192 each). 0, or -1 with errno `EINVAL` or `ENOTSOCK`.
    pub fn pushpull_batch(socket: *mut c_void, read: c_int, written: c_int) -> c_int;

    /// Receives messages from connections made from now on without what libzmq knows of
    /// the peer: `zmq_msg_gets` finds nothing. Saves two counted references a message.
    pub fn pushpull_plain(socket: *mut c_void) -> c_int;

    /// How many pipes to I/O threads the socket has, whatever their state: one a connected
    /// endpoint and one an accepted connection, until its last message has been received.
    pub fn pushpull_pipes(socket: *mut c_void) -> c_int;

    /// From now on `told` hears what the socket would tell a monitor (the events and
    /// values of zmq_socket_monitor(3); of `ZMQ_EVENT_HANDSHAKE_SUCCEEDED` the value is
    /// the descriptor, as with the events of connections) at once, on the thread where
    /// it happens, which is mostly an I/O thread: it must be quick, must not block and
    /// must not call libzmq. `None` ends that: when this has returned, nobody is in
    /// `told` any more, or will be. It must be ended before `zmq_close`. From any thread.
    pub fn pushpull_watch(
        socket: *mut c_void,
        told: Option<pushpull_told>,
        hint: *mut c_void,
    ) -> c_int;

    /// Bounds the number of frames of every message that this process receives from now
    /// on (65536 unless called). A peer that exceeds it is disconnected, as is one whose
    /// frames, together, exceed the socket's `ZMQ_MAXMSGSIZE`.
    pub fn pushpull_max_frames(frames: u64);

    /// The number of a socket for [`pushpull_gone`], unique in the process; ask before
    /// `zmq_close`.
    pub fn pushpull_id(socket: *mut c_void) -> c_int;

    /// Whether every I/O thread of a context answers in time: 1, else 0.
    pub fn pushpull_awake(context: *mut c_void) -> c_int;

    /// After `zmq_close`: 1 when the socket that was at this address and had this number,
    /// its connections and all their descriptors are gone, else 0. Waits for the I/O
    /// threads up to [`PATIENCE_MS`], and not at all while the socket lingers.
    pub fn pushpull_gone(context: *mut c_void, socket: *mut c_void, id: c_int) -> c_int;
}
