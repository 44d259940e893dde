//! What happens to a queue's connections, told as it happens.
//!
//! Our libzmq calls [`Monitor::told`] on the thread where a thing happens,
//! mostly one of its I/O threads. So there is no monitor socket, whose full
//! queue would block that thread, no thread of our own, and nothing for the
//! worker to do; and nothing in here waits for anybody.

#[cfg(pushpull_native)]
mod said;

use std::{
    fmt,
    sync::{
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        Arc,
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{bounded, Receiver, Sender};
use zmq_sys as sys;

use crate::{context::Failure, control::Watched, native::Unwritten, stats::Stats};

/// What happened to a queue: to its connections, or to its flow. See
/// [`Config::events`](crate::Config::events).
///
/// The endpoint is the one that was bound or called, or for tcp connections
/// that came in the peer's, as libzmq names it. Over `inproc` there are no
/// connections, and no events of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The queue listens there.
    Listening {
        /// Where.
        endpoint: String,
    },
    /// Listening failed; `open` returns the error as well.
    BindFailed {
        /// Where.
        endpoint: String,
        /// The system's words.
        reason: String,
    },
    /// A call is under way: the other side has not answered yet.
    Connecting {
        /// Who is called.
        endpoint: String,
    },
    /// A call failed or a connection was lost, and the next call follows.
    ConnectingAgain {
        /// Who is called.
        endpoint: String,
        /// After this pause; see [`Config::reconnect`](crate::Config::reconnect).
        pause: Duration,
    },
    /// A call was answered. The handshake follows.
    Connected {
        /// Who was called.
        endpoint: String,
    },
    /// A connection came in. The handshake follows.
    Accepted {
        /// Where.
        endpoint: String,
    },
    /// A connection that was coming in could not be taken.
    AcceptFailed {
        /// Where.
        endpoint: String,
        /// The system's words.
        reason: String,
    },
    /// The handshake is done: there is one more peer.
    PeerJoined {
        /// Which.
        endpoint: String,
    },
    /// The other side of a connection is no peer for this queue.
    HandshakeFailed {
        /// Which.
        endpoint: String,
        /// Why.
        reason: HandshakeFailure,
    },
    /// A peer is hung up on for what it sent; see
    /// [`LastError::CutOff`](crate::LastError::CutOff). `Disconnected` follows.
    CutOff {
        /// Which.
        endpoint: String,
        /// The system's words.
        reason: String,
    },
    /// A connection ended, with or without a handshake before.
    Disconnected {
        /// Which.
        endpoint: String,
    },
    /// A listener, or a call that failed, gave its descriptor back.
    Closed {
        /// Which.
        endpoint: String,
    },
    /// A descriptor could not be given back.
    CloseFailed {
        /// Which.
        endpoint: String,
        /// The system's words.
        reason: String,
    },
    /// There are messages, and none has moved for
    /// [`Config::stall_after`](crate::Config::stall_after). Told once for each
    /// stall.
    Stalled {
        /// When the last one moved, or the first one came.
        since: Instant,
        /// What it takes to go on.
        waiting_for: WaitingFor,
    },
    /// Messages move again after a [`Stalled`](Self::Stalled).
    Resumed,
    /// Something that this version of the crate does not know, by libzmq's
    /// number for it (`ZMQ_EVENT_*` in zmq_socket_monitor(3)).
    Unknown(u64),
}

/// What a queue that is stalled waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitingFor {
    /// A Push that has never had a peer waits for the first.
    FirstPeer,
    /// A Push whose peers have all left waits for one to come back.
    PeerToReturn,
    /// A Push waits for its peers to take something: they are at the
    /// high-water mark, or don't read. Also said where peers can't be counted.
    RoomAtPeers,
    /// A Pull waits for somebody to receive: its channel is full.
    Receiver,
}

impl fmt::Display for WaitingFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstPeer => "a first peer",
            Self::PeerToReturn => "a peer to return",
            Self::RoomAtPeers => "room at its peers",
            Self::Receiver => "somebody to receive",
        })
    }
}

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeFailure {
    /// The connection ended meanwhile, or nothing was said in time; the last
    /// error number of the system, which need not be about it.
    Ended(i32),
    /// The other side broke the protocol, by libzmq's number for it
    /// (`ZMQ_PROTOCOL_ERROR_*` in zmq_socket_monitor(3)).
    Protocol(u32),
    /// The other side was refused, with this ZAP status code (RFC 27).
    Refused(u32),
}

impl fmt::Display for HandshakeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(errno) => write!(
                f,
                "the connection ended or was silent ({})",
                Failure::of(*errno)
            ),
            Self::Protocol(number) => match protocol_error(*number) {
                Some(text) => write!(f, "protocol error: {text}"),
                None => write!(f, "protocol error {number:#x}"),
            },
            Self::Refused(code) => write!(f, "refused with status {code}"),
        }
    }
}

fn protocol_error(number: u32) -> Option<&'static str> {
    Some(match number {
        sys::ZMQ_PROTOCOL_ERROR_ZMTP_UNEXPECTED_COMMAND => "unexpected command",
        sys::ZMQ_PROTOCOL_ERROR_ZMTP_INVALID_SEQUENCE => "commands out of sequence",
        sys::ZMQ_PROTOCOL_ERROR_ZMTP_KEY_EXCHANGE => "key exchange",
        sys::ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_READY => "malformed READY",
        sys::ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_ERROR => "malformed ERROR",
        sys::ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_HELLO => "malformed HELLO",
        sys::ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_INITIATE => "malformed INITIATE",
        sys::ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_WELCOME => "malformed WELCOME",
        sys::ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_MESSAGE => "malformed MESSAGE",
        sys::ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_UNSPECIFIED => "malformed command",
        sys::ZMQ_PROTOCOL_ERROR_ZMTP_INVALID_METADATA => {
            "metadata that doesn't fit, such as those of a socket of the wrong type"
        }
        sys::ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC => "cryptography",
        sys::ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH => "another security mechanism",
        _ => return None,
    })
}

/// The last thing that went wrong with a queue's connections; see
/// [`Stats::last_error`](crate::Stats::last_error). Numbers are the system's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LastError {
    /// A handshake failed.
    Handshake(HandshakeFailure),
    /// A connection that was coming in could not be taken.
    Accept(i32),
    /// Listening failed.
    Bind(i32),
    /// A descriptor could not be given back.
    Close(i32),
    /// A peer was hung up on for what it sent: a message larger than
    /// [`Config::max_message_size`](crate::Config::max_message_size) (`EMSGSIZE`), or what is
    /// no ZMTP. That and what it had sent behind it is lost.
    CutOff(i32),
}

impl fmt::Display for LastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(why) => write!(f, "handshake: {why}"),
            Self::Accept(errno) => write!(f, "accept: {}", Failure::of(*errno)),
            Self::Bind(errno) => write!(f, "bind: {}", Failure::of(*errno)),
            Self::Close(errno) => write!(f, "close: {}", Failure::of(*errno)),
            Self::CutOff(errno) => write!(
                f,
                "hung up on a peer for what it sent: {}",
                Failure::of(*errno)
            ),
        }
    }
}

/// What is known of a queue's connections.
#[derive(Debug)]
pub(crate) struct Monitor {
    #[cfg_attr(
        not(pushpull_native),
        expect(dead_code, reason = "only what libzmq says is logged here")
    )]
    name: Arc<str>,
    /// Whether there are peers that can't be counted.
    blind: bool,
    /// How many there are now, and have been in all.
    peers: AtomicUsize,
    joined: AtomicU64,
    left: AtomicU64,
    reconnects: AtomicU64,
    dropped: AtomicU64,
    /// What was being written to peers that left, since the last look.
    torn: Watched<Unwritten>,
    known: Watched<Known>,
}

#[derive(Debug, Default)]
struct Known {
    events: Option<Sender<Event>>,
    /// The descriptors of the connections that have shaken hands.
    peers: Vec<u64>,
    /// Those of the others, and since when.
    #[cfg(pushpull_native)]
    shaking: Vec<(u64, Instant)>,
    last_error: Option<LastError>,
    /// When a failure was last worth a warning, and when a peer that was cut off.
    #[cfg(pushpull_native)]
    warned: [Option<Instant>; 2],
    ended: bool,
}

/// A handshake is two round trips. Who has not shaken hands after this is silent, or
/// speaks ZMTP 1 or 2, which know none.
#[cfg(pushpull_native)]
const SHAKING: Duration = Duration::from_secs(1);

impl Monitor {
    pub(crate) fn new(
        name: &str,
        events: usize,
        blind: bool,
    ) -> (Arc<Self>, Option<Receiver<Event>>) {
        let (sender, receiver) = match events {
            0 => (None, None),
            n => {
                let (sender, receiver) = bounded(n);
                (Some(sender), Some(receiver))
            }
        };
        let monitor = Self {
            name: name.into(),
            blind,
            peers: AtomicUsize::new(0),
            joined: AtomicU64::new(0),
            left: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            torn: Watched::new(Unwritten::default()),
            known: Watched::new(Known {
                events: sender,
                ..Known::default()
            }),
        };
        (Arc::new(monitor), receiver)
    }

    /// How many peers there are.
    pub(crate) fn peers(&self) -> usize {
        self.peers.load(Relaxed)
    }

    /// How many there have been in all.
    pub(crate) fn joined(&self) -> u64 {
        self.joined.load(Relaxed)
    }

    /// How many connections have not shaken hands yet, but may at any moment. Who
    /// is none of these any more is in `joined`, has left, or takes his time.
    pub(crate) fn shaking(&self) -> u64 {
        #[cfg(pushpull_native)]
        {
            let known = self.known.look();
            let just = known.shaking.iter().filter(|s| s.1.elapsed() < SHAKING);
            just.count() as u64
        }
        #[cfg(not(pushpull_native))]
        0
    }

    /// What was being written to peers that left since the last time.
    pub(crate) fn take_torn(&self) -> Unwritten {
        std::mem::take(&mut self.torn.look())
    }

    /// What a Push with messages and no way for them waits for.
    pub(crate) fn waiting_for(&self) -> WaitingFor {
        if self.blind {
            return WaitingFor::RoomAtPeers;
        }
        match (self.peers(), self.joined()) {
            (0, 0) => WaitingFor::FirstPeer,
            (0, _) => WaitingFor::PeerToReturn,
            _ => WaitingFor::RoomAtPeers,
        }
    }

    /// Waits for a peer; false when none came in time or the queue has ended.
    pub(crate) fn wait_for_peer(&self, patience: Duration) -> bool {
        self.known
            .wait(Some(patience), |known| {
                let there = !known.peers.is_empty();
                (there || known.ended).then_some(there && !known.ended)
            })
            .unwrap_or(false)
    }

    pub(crate) fn add_to(&self, stats: &mut Stats) {
        stats.peers = self.peers() as u64;
        stats.peers_left = self.left.load(Relaxed);
        stats.reconnects = self.reconnects.load(Relaxed);
        stats.events_dropped = self.dropped.load(Relaxed);
        stats.last_error = self.known.glance().and_then(|known| known.last_error);
    }

    /// Tells the reader of events, if there is one and it has room.
    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        let known = self.known.look();
        if let Some(events) = &known.events {
            if events.try_send(event()).is_err() {
                self.dropped.fetch_add(1, Relaxed);
            }
        }
    }

    /// The queue is gone: so are its peers, and nothing more is told.
    pub(crate) fn end(&self) {
        self.known.change(|known| {
            known.ended = true;
            known.events = None;
            known.peers.clear();
        });
        self.peers.store(0, Relaxed);
    }
}
