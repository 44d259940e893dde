//! The one room with `unsafe` in it: libzmq's contexts, sockets and frames, as
//! this crate needs them.
//!
//! It goes to `zmq-sys` and past the `zmq` crate, whose error type panics on
//! every errno that it has no name for, whose `send` loses the message on
//! EAGAIN, whose `bind` and `connect` panic on a NUL byte, and whose context
//! drops wait for an endless linger.

mod frame;
mod socket;

pub(crate) use frame::{Frame, Native, RawFrame};
pub(crate) use socket::{Events, Polled, Socket, SocketKind};

use std::{
    ffi::{c_int, c_void, CString},
    fmt, io,
    mem::ManuallyDrop,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use zmq_sys as sys;

use crate::{
    error::{OpenError, OpenErrorKind},
    native::{self, Identity},
};

/// libzmq's I/O threads and `inproc` names, to be shared by several queues.
///
/// A queue without one of these gets a context of its own, with one I/O
/// thread, so that nothing another queue does can reach it. Sharing saves two
/// threads per queue. Cloning gives another handle to the same context; its
/// threads end when the last handle and the last queue are gone.
///
/// It has room for 5461 queues at a time, if the process may have as many
/// threads and three times as many descriptors. `open` of one more fails with
/// [`OpenErrorKind::Resources`], as does one without descriptors or threads.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    raw: *mut c_void,
    owner: u32,
}

// SAFETY: zmq_ctx_new(3): a context is thread safe and may be shared.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

/// The sockets that one context can hold. libzmq's own default, 1023, is
/// reached by 341 queues of three sockets each; a slot costs eight bytes.
const MAX_SOCKETS: c_int = 16_384;

impl Context {
    /// A context with one I/O thread: enough for about a gigabyte a second.
    ///
    /// # Errors
    /// [`OpenErrorKind::Resources`] when memory runs out.
    pub fn new() -> Result<Self, OpenError> {
        Self::with_io_threads(1)
    }

    /// A context with `count` I/O threads, at least one.
    ///
    /// # Errors
    /// [`OpenErrorKind::InvalidOption`] for a count outside 1 to 64;
    /// [`OpenErrorKind::Resources`] when memory runs out.
    pub fn with_io_threads(count: usize) -> Result<Self, OpenError> {
        let threads = match c_int::try_from(count) {
            Ok(n @ 1..=64) => n,
            _ => {
                return Err(OpenError::new(
                    OpenErrorKind::InvalidOption,
                    "io_threads",
                    "the value is out of range: 1 to 64 threads",
                ))
            }
        };
        // SAFETY: takes nothing; a null is handled below.
        let raw = unsafe { sys::zmq_ctx_new() };
        if raw.is_null() {
            return Err(OpenError::io(
                OpenErrorKind::Resources,
                "context",
                last_error().io(),
            ));
        }
        for (option, value) in [
            (sys::ZMQ_IO_THREADS, threads),
            (sys::ZMQ_MAX_SOCKETS, MAX_SOCKETS),
            // Its own closing of a socket must never wait for messages.
            (sys::ZMQ_BLOCKY, 0),
        ] {
            // SAFETY: `raw` is a fresh context; the option takes an int.
            unsafe { sys::zmq_ctx_set(raw, option as c_int, value) };
        }
        Ok(Self {
            inner: Arc::new(Inner {
                raw,
                owner: std::process::id(),
            }),
        })
    }

    /// Ends every queue on this context at once: their channels disconnect and
    /// their handles report
    /// [`WorkerError::ContextTerminated`](crate::WorkerError::ContextTerminated).
    /// Does not block; a queue that waits in its channel notices within a
    /// second. Messages that libzmq held are lost and counted as
    /// [in doubt](crate::Unsent::in_doubt); prefer a
    /// [`Stopper`](crate::Stopper).
    pub fn shutdown(&self) {
        // SAFETY: the context lives as long as `self`; thread safe.
        unsafe { sys::zmq_ctx_shutdown(self.inner.raw) };
    }

    pub(crate) fn socket(&self, kind: SocketKind) -> Result<Socket, Failure> {
        // SAFETY: the context lives as long as `self`, which the socket keeps.
        let raw = unsafe { sys::zmq_socket(self.inner.raw, kind as c_int) };
        if raw.is_null() {
            return Err(last_error());
        }
        let socket = Socket {
            raw,
            context: self.clone(),
        };
        socket.set_int(sys::ZMQ_LINGER, 0)?;
        Ok(socket)
    }
}

impl Context {
    /// Whether this is a forked child of the process that made the context.
    pub(crate) fn is_foreign(&self) -> bool {
        self.inner.owner != std::process::id()
    }

    /// Returns when libzmq has let go of closed sockets, so that no descriptor
    /// outlives a queue. Takes the queue's last handle along.
    pub(crate) fn wait_until_gone(self, sockets: &[Identity], patience: Duration) {
        let until = Instant::now() + patience;
        let gone = |id: &Identity| native::wait_until_gone(&self, *id, until);
        if sockets.iter().all(gone) {
            return;
        }
        // An I/O thread is busy with a name that does not resolve, and ending
        // the context would wait for it, perhaps for a minute. Where there is no
        // thread to be had it stays.
        let context = ManuallyDrop::new(self);
        let spawned = thread::Builder::new()
            .name("pushpull undertaker".to_owned())
            .spawn(move || drop(ManuallyDrop::into_inner(context)));
        if let Err(e) = spawned {
            crate::say::say(|| {
                log::warn!(
                    "a context stays, as there is no thread to wait for a name to resolve: {e}"
                )
            });
        }
    }
}

impl From<&Context> for Context {
    fn from(context: &Context) -> Self {
        context.clone()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A forked child has the memory of the context and none of its
        // threads: ending it would wait for them for ever.
        if self.owner != std::process::id() {
            return;
        }
        // SAFETY: the last handle is gone and every socket, which holds one,
        // is closed, so nothing can use the context after this.
        while unsafe { sys::zmq_ctx_term(self.raw) } == -1 && last_error().0 == libc_errno::EINTR {}
    }
}

pub(crate) fn version() -> (u32, u32, u32) {
    let (mut major, mut minor, mut patch) = (0, 0, 0);
    // SAFETY: writes three ints.
    unsafe { sys::zmq_version(&mut major, &mut minor, &mut patch) };
    (major as u32, minor as u32, patch as u32)
}

/// Whether libzmq was built with a capability, such as "ipc"; see zmq_has(3).
pub(crate) fn has(capability: &str) -> bool {
    // SAFETY: a text that ends in NUL, read during the call.
    c_string(capability).is_ok_and(|name| unsafe { sys::zmq_has(name.as_ptr()) } == 1)
}

/// What libzmq reports: an errno, of the system's or of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure(c_int);

impl Failure {
    /// What the system or libzmq gave that number.
    pub(crate) fn of(errno: c_int) -> Self {
        Self(errno)
    }

    pub(crate) fn errno(self) -> c_int {
        self.0
    }

    pub(crate) fn is_again(self) -> bool {
        self.0 == libc_errno::EAGAIN
    }

    /// Our build's word for "first take back what waited for a peer that left".
    pub(crate) fn is_peer_gone(self) -> bool {
        self.0 == sys::errno::EHOSTUNREACH
    }

    pub(crate) fn is_terminated(self) -> bool {
        self.0 == sys::errno::ETERM
    }

    pub(crate) fn io(self) -> io::Error {
        match self.of_the_system() {
            Some(number) => io::Error::from_raw_os_error(number),
            None => io::Error::other(self.to_string()),
        }
    }

    /// The number that the system has for the error, unless it is libzmq's own.
    #[cfg(unix)]
    fn of_the_system(self) -> Option<i32> {
        const OWN_ERRORS: c_int = 156_384_712;
        (self.0 < OWN_ERRORS).then_some(self.0)
    }

    /// libzmq has made an errno of what Winsock said; the C runtime has no text
    /// for most of them.
    #[cfg(windows)]
    fn of_the_system(self) -> Option<i32> {
        use windows_sys::Win32::Networking::WinSock as w;
        use zmq_sys::errno as e;

        Some(match self.0 {
            e::EACCES => w::WSAEACCES,
            e::EADDRINUSE => w::WSAEADDRINUSE,
            e::EADDRNOTAVAIL => w::WSAEADDRNOTAVAIL,
            e::ECONNREFUSED => w::WSAECONNREFUSED,
            e::EHOSTUNREACH => w::WSAEHOSTUNREACH,
            e::EMFILE => w::WSAEMFILE,
            e::EMSGSIZE => w::WSAEMSGSIZE,
            e::ENETDOWN => w::WSAENETDOWN,
            e::ENOBUFS => w::WSAENOBUFS,
            e::ENOTCONN => w::WSAENOTCONN,
            e::ENOTSOCK => w::WSAENOTSOCK,
            e::EPROTONOSUPPORT => w::WSAEPROTONOSUPPORT,
            _ => return None,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: zmq_strerror returns a static text for every number.
        let text = unsafe { std::ffi::CStr::from_ptr(sys::zmq_strerror(self.0)) };
        f.write_str(&text.to_string_lossy())
    }
}

pub(crate) fn last_error() -> Failure {
    // SAFETY: reads this thread's errno.
    Failure(unsafe { sys::zmq_errno() })
}

fn check(result: c_int) -> Result<(), Failure> {
    if result == -1 {
        Err(last_error())
    } else {
        Ok(())
    }
}

/// Signals interrupt calls of libzmq; nobody above this needs to know.
fn retry(mut call: impl FnMut() -> c_int) -> Result<(), Failure> {
    loop {
        match check(call()) {
            Err(failure) if failure.0 == libc_errno::EINTR => {}
            other => return other,
        }
    }
}

fn c_string(text: &str) -> Result<CString, Failure> {
    CString::new(text).map_err(|_| Failure(libc_errno::EINVAL))
}

/// The errno values that decide what this crate does, as libzmq returns them
/// on every platform (on Windows, those of the C runtime).
pub(crate) mod libc_errno {
    pub(crate) use zmq_sys::errno::{EAGAIN, EINTR, EINVAL};
}

#[cfg(pushpull_native)]
impl Context {
    pub(crate) fn raw(&self) -> *mut c_void {
        self.inner.raw
    }
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::c_int,
        time::{Duration, Instant},
    };

    use zmq_sys as sys;

    use super::Context;
    use crate::{Config, OpenErrorKind, Pull, Push};

    fn with_room_for(sockets: c_int) -> Context {
        let context = Context::new().expect("there is memory");
        // SAFETY: a fresh context; the option takes an int.
        let set =
            unsafe { sys::zmq_ctx_set(context.inner.raw, sys::ZMQ_MAX_SOCKETS as c_int, sockets) };
        assert_eq!(set, 0);
        context
    }

    /// A queue has three sockets: it runs out with its first, second or third.
    #[test]
    fn a_context_without_room_for_a_queue_tells_and_harms_nobody() {
        for left in 0..3 {
            let context = with_room_for(6 + left);
            let bind = || Config::bind("tcp://127.0.0.1:0").context(&context);
            let pull = Pull::open(bind()).expect("there is room for two");
            let at = pull.endpoints()[0].to_string();
            let connect = || Config::connect(&at).context(&context);
            let push = Push::open(connect()).expect("there is room for two");
            let works = |push: &Push, word: &str| {
                push.send(word).expect("the queue is open");
                let got = pull.recv_timeout(Duration::from_secs(10));
                assert_eq!(got.expect("it arrives"), word.into());
            };
            let refused = || {
                // More often than there is room: nothing keeps what it had got.
                for _ in 0..4 {
                    for error in [
                        Push::open(connect())
                            .map(drop)
                            .expect_err("there is no room"),
                        Pull::open(bind()).map(drop).expect_err("there is no room"),
                    ] {
                        assert_eq!(error.kind(), OpenErrorKind::Resources, "{error}");
                        assert!(error.to_string().contains("tcp://127.0.0.1"), "{error}");
                    }
                }
            };
            refused();
            works(&push, "unharmed");
            // Whoever closes makes room; on a busy machine a moment later.
            let returned = push.abort().count();
            assert_eq!(returned, 0);
            let until = Instant::now() + Duration::from_secs(10);
            let push = loop {
                match Push::open(connect()) {
                    Ok(push) => break push,
                    Err(error) => assert!(Instant::now() < until, "{error}"),
                }
            };
            works(&push, "and again");
            refused();
            drop(push.abort());
            drop(pull.close());
        }
    }
}
