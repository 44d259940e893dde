use std::{fmt, io};

use crate::{Item, Message, Unsent};

/// Why a queue could not be opened.
///
/// Every start-up error comes back from `open`, `bind`, `connect`,
/// [`from_receiver`](crate::Push::from_receiver) or
/// [`into_sender`](crate::Pull::into_sender), never later and never through a
/// channel, and its text names the endpoint, path or option it is about. What can
/// be known before comes from [`Config::from_url`](crate::Config::from_url) already.
#[derive(Debug)]
pub struct OpenError {
    kind: OpenErrorKind,
    subject: String,
    reason: String,
    source: Option<io::Error>,
}

/// What kind of thing went wrong in `open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenErrorKind {
    /// The endpoint is not one that libzmq could ever use.
    InvalidEndpoint,
    /// The transport, or the form of the address, does not exist here.
    Unsupported,
    /// An option does not exist, has a value that can't be read or is outside its
    /// range, or contradicts another one.
    InvalidOption,
    /// Somebody else listens there.
    AddressInUse,
    /// No network interface of this machine has that address.
    AddressNotAvailable,
    /// The path of an `ipc` endpoint exists and is not a socket; it was left
    /// alone.
    NotASocket,
    /// The path of an `ipc` endpoint does not fit into a socket address.
    PathTooLong,
    /// The folder of an `ipc` endpoint does not exist.
    NotFound,
    /// A part of the path of an `ipc` endpoint is not a folder.
    NotADirectory,
    /// The folder of an `ipc` endpoint is on a read-only file system.
    ReadOnly,
    /// This user may not use the path or port.
    PermissionDenied,
    /// Descriptors, threads, memory or sockets of the context ran out.
    Resources,
    /// The context was shut down, or is the one of a process that this one
    /// was forked from.
    ContextTerminated,
    /// Anything else; see [`source`](std::error::Error::source).
    Other,
}

impl OpenError {
    pub(crate) fn new(
        kind: OpenErrorKind,
        subject: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            subject: subject.into(),
            reason: reason.into(),
            source: None,
        }
    }

    pub(crate) fn io(kind: OpenErrorKind, subject: impl Into<String>, source: io::Error) -> Self {
        Self {
            kind,
            subject: subject.into(),
            reason: source.to_string(),
            source: Some(source),
        }
    }

    /// In words that say more than the system's.
    pub(crate) fn because(self, reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            ..self
        }
    }

    /// The kind of the error, for a `match`.
    pub fn kind(&self) -> OpenErrorKind {
        self.kind
    }

    /// The endpoint, path or option that the error is about, as it was given.
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject.as_str() {
            "" => f.write_str(&self.reason),
            subject => write!(f, "{subject}: {}", self.reason),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| e as _)
    }
}

/// Why a worker thread ended by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The worker panicked. A defect of this library: please report it.
    #[error("queue {name}: the worker panicked: {message}")]
    Panicked {
        /// The queue's name.
        name: String,
        /// What the panic said.
        message: String,
    },
    /// The [`Context`](crate::Context) was shut down under the queue.
    #[error("queue {name}: its context was shut down")]
    ContextTerminated {
        /// The queue's name.
        name: String,
    },
    /// This is a forked child of the process that opened the queue: the worker
    /// and the messages stayed with the parent.
    #[error("queue {name}: it belongs to the parent of this forked process")]
    Forked {
        /// The queue's name.
        name: String,
    },
    /// libzmq refused an operation that should always be possible.
    #[error("queue {name}: libzmq failed to {operation}: {reason}")]
    Libzmq {
        /// The queue's name.
        name: String,
        /// What the worker was doing.
        operation: &'static str,
        /// libzmq's own words.
        reason: String,
    },
}

/// Why [`Push::drain`](crate::Push::drain) could not hand everything over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DrainFailure {
    /// The deadline passed first.
    #[error("the deadline passed")]
    Deadline,
    /// A [`Stopper`](crate::Stopper) stopped the queue first.
    #[error("the queue was stopped")]
    Stopped,
    /// A peer left, and messages went with it: they were being sent at that
    /// moment and are [in doubt](crate::Unsent::in_doubt), or can't be sent again
    /// without overtaking newer ones at another peer, and come back (at most a
    /// high-water mark of them). All else was handed over.
    #[error("a peer left")]
    PeerLeft,
    /// The worker ended by itself.
    #[error(transparent)]
    Worker(WorkerError),
}

/// [`Push::drain`](crate::Push::drain) could not hand everything over; the
/// messages that went nowhere are in [`into_unsent`](Self::into_unsent).
#[derive(Debug)]
pub struct DrainError<T: Item = Message> {
    pub(crate) name: String,
    pub(crate) failure: DrainFailure,
    pub(crate) unsent: Box<Unsent<T>>,
}

impl<T: Item> DrainError<T> {
    /// What stopped the drain.
    pub fn failure(&self) -> &DrainFailure {
        &self.failure
    }

    /// The messages that went nowhere, and what is known of the others.
    pub fn unsent(&self) -> &Unsent<T> {
        &self.unsent
    }

    /// The messages that went nowhere, oldest first.
    pub fn into_unsent(self) -> Unsent<T> {
        *self.unsent
    }
}

impl<T: Item> fmt::Display for DrainError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of messages, as the log has it, also where items are batches.
        let count: usize = self.unsent.items.as_slice().iter().map(T::count).sum();
        let in_doubt = self.unsent.in_doubt();
        write!(
            f,
            "queue {}: not drained: {}; {count} unsent, {in_doubt} in doubt",
            self.name, self.failure,
        )?;
        match self.unsent.stats.in_doubt.saturating_sub(in_doubt) {
            0 => Ok(()),
            before => write!(f, ", {before} before that"),
        }
    }
}

impl<T: Item> std::error::Error for DrainError<T> {}

/// The worker of a [`Pull`](crate::Pull) had ended by itself before
/// [`close`](crate::Pull::close); what it had taken is still in
/// [`into_leftover`](Self::into_leftover).
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct CloseError<T: Item = Message> {
    pub(crate) cause: WorkerError,
    pub(crate) leftover: Box<crate::Leftover<T>>,
}

impl<T: Item> CloseError<T> {
    /// Why the worker ended.
    pub fn cause(&self) -> &WorkerError {
        &self.cause
    }

    /// The messages that were received and not taken by anybody, oldest first.
    pub fn into_leftover(self) -> crate::Leftover<T> {
        *self.leftover
    }
}

/// Why an item of a [`Push`](crate::Push) was not sent, as its
/// [`Outcome`](crate::Outcome) tells it. The item comes back in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutcomeError<T> {
    /// [`Config::send_deadline`](crate::Config::send_deadline) passed before
    /// libzmq could take the item.
    #[error("the send deadline passed")]
    Deadline(T),
    /// The channel was full, with
    /// [`Overflow::RejectNewest`](crate::Overflow::RejectNewest): a copy of what
    /// went back to its sender.
    #[error("the channel was full")]
    Rejected(T),
    /// It was the oldest in a full channel, with
    /// [`Overflow::DropOldest`](crate::Overflow::DropOldest).
    #[error("it was the oldest in a full channel")]
    Dropped(T),
}

impl<T> OutcomeError<T> {
    /// The item that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Deadline(item) | Self::Rejected(item) | Self::Dropped(item) => item,
        }
    }
}

impl OpenError {
    /// An error of the system's, sorted by its number.
    #[cfg(unix)]
    pub(crate) fn from_io(subject: &str, error: io::Error) -> Self {
        let kind = error.raw_os_error().map_or(OpenErrorKind::Other, kind_of);
        Self::io(kind, subject, error)
    }

    /// An error of the system's, as std sorts it.
    #[cfg(windows)]
    pub(crate) fn from_io(subject: &str, error: io::Error) -> Self {
        use io::ErrorKind as Of;
        use OpenErrorKind::*;

        let kind = match error.kind() {
            Of::AddrInUse => AddressInUse,
            Of::NotFound => NotFound,
            Of::NotADirectory => NotADirectory,
            Of::PermissionDenied => PermissionDenied,
            Of::ReadOnlyFilesystem => ReadOnly,
            Of::OutOfMemory => Resources,
            Of::InvalidInput => InvalidEndpoint,
            _ => Other,
        };
        Self::io(kind, subject, error)
    }

    /// An error of libzmq's, sorted by its number.
    pub(crate) fn from_failure(subject: &str, failure: crate::context::Failure) -> Self {
        let error = Self::io(kind_of(failure.errno()), subject, failure.io());
        if failure.errno() == zmq_sys::errno::ENODEV {
            // zmq_tcp(7). The system's text, "no such device", is a riddle here.
            return error.because("the host is no address or interface of this machine");
        }
        error
    }
}

fn kind_of(errno: i32) -> OpenErrorKind {
    use zmq_sys::errno as e;
    use OpenErrorKind::*;

    #[cfg(unix)]
    match errno {
        libc::ENOTDIR => return NotADirectory,
        libc::EROFS => return ReadOnly,
        libc::EPERM => return PermissionDenied,
        // No thread is to be had.
        libc::ENFILE | libc::EAGAIN => return Resources,
        libc::EAFNOSUPPORT => return Unsupported,
        _ => {}
    }
    match errno {
        e::EADDRINUSE | e::EADDRINUSE_ALT => AddressInUse,
        // libzmq reports a bind to a name or interface it can't find so.
        e::EADDRNOTAVAIL | e::EADDRNOTAVAIL_ALT | e::ENODEV => AddressNotAvailable,
        e::EACCES => PermissionDenied,
        e::ENOENT => NotFound,
        e::ENAMETOOLONG => PathTooLong,
        e::EINVAL => InvalidEndpoint,
        e::EPROTONOSUPPORT | e::EPROTONOSUPPORT_ALT | e::EAFNOSUPPORT_ALT | e::ENOCOMPATPROTO => {
            Unsupported
        }
        e::EMFILE | e::ENOMEM | e::ENOBUFS | e::ENOBUFS_ALT | e::EMTHREAD => Resources,
        e::ETERM => ContextTerminated,
        _ => Other,
    }
}
