use std::{
    ffi::{c_int, c_void},
    fmt,
    time::{Duration, Instant},
};

use zmq_sys as sys;

use super::{c_string, check, libc_errno, retry, Context, Failure, RawFrame};
use crate::native;

/// The socket types of this crate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SocketKind {
    Pair = sys::ZMQ_PAIR as isize,
    Push = sys::ZMQ_PUSH as isize,
    Pull = sys::ZMQ_PULL as isize,
}

/// A libzmq socket. It may move between threads, not be used by two at once;
/// closing it never waits, since its linger is zero unless set otherwise.
pub(crate) struct Socket {
    pub(super) raw: *mut c_void,
    pub(super) context: Context,
}

// SAFETY: zmq_socket(3): a socket may be migrated with a full fence, which any
// safe way to move it to another thread brings; it is not Sync.
unsafe impl Send for Socket {}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}

impl Socket {
    pub(crate) fn set_int(&self, option: u32, value: c_int) -> Result<(), Failure> {
        self.set(option, &value.to_ne_bytes())
    }

    pub(crate) fn set_i64(&self, option: u32, value: i64) -> Result<(), Failure> {
        self.set(option, &value.to_ne_bytes())
    }

    pub(crate) fn set(&self, option: u32, value: &[u8]) -> Result<(), Failure> {
        // SAFETY: the socket is open; libzmq copies `value.len()` bytes.
        check(unsafe {
            sys::zmq_setsockopt(
                self.raw,
                option as c_int,
                value.as_ptr().cast(),
                value.len(),
            )
        })
    }

    /// Handles what peers did since the last call, and tells what is possible.
    #[cfg(not(pushpull_native))]
    pub(crate) fn events(&self) -> Result<Events, Failure> {
        let mut value: c_int = 0;
        let mut size = std::mem::size_of::<c_int>();
        let at = std::ptr::from_mut(&mut value).cast();
        // SAFETY: ZMQ_EVENTS writes one int, for which there is room.
        retry(|| unsafe {
            sys::zmq_getsockopt(self.raw, sys::ZMQ_EVENTS as c_int, at, &mut size)
        })?;
        Ok(Events(value as i16))
    }

    pub(crate) fn last_endpoint(&self) -> Result<String, Failure> {
        let mut buffer = [0u8; 1024];
        let mut size = buffer.len();
        // SAFETY: libzmq writes at most `size` bytes, a NUL included.
        check(unsafe {
            sys::zmq_getsockopt(
                self.raw,
                sys::ZMQ_LAST_ENDPOINT as c_int,
                buffer.as_mut_ptr().cast(),
                &mut size,
            )
        })?;
        let text = &buffer[..size.saturating_sub(1)];
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    pub(crate) fn bind(&self, endpoint: &str) -> Result<(), Failure> {
        let endpoint = c_string(endpoint)?;
        // SAFETY: the socket is open, the text ends in NUL.
        check(unsafe { sys::zmq_bind(self.raw, endpoint.as_ptr()) })
    }

    pub(crate) fn unbind(&self, endpoint: &str) -> Result<(), Failure> {
        let endpoint = c_string(endpoint)?;
        // SAFETY: as above.
        check(unsafe { sys::zmq_unbind(self.raw, endpoint.as_ptr()) })
    }

    pub(crate) fn connect(&self, endpoint: &str) -> Result<(), Failure> {
        let endpoint = c_string(endpoint)?;
        // SAFETY: as above.
        check(unsafe { sys::zmq_connect(self.raw, endpoint.as_ptr()) })
    }

    /// Receives one frame, if there is one.
    pub(crate) fn recv_frame(&self) -> Result<Option<RawFrame>, Failure> {
        let mut frame = RawFrame::empty();
        // SAFETY: the socket is open, the frame initialised.
        let received = retry(|| unsafe {
            sys::zmq_msg_recv(&mut frame.0, self.raw, sys::ZMQ_DONTWAIT as c_int)
        });
        match received {
            Ok(()) => Ok(Some(frame)),
            Err(failure) if failure.is_again() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Takes all frames that are there: only after that is a poll woken by the next.
    pub(crate) fn silence(&self) -> Result<(), Failure> {
        while self.recv_frame()?.is_some() {}
        Ok(())
    }

    /// Sends one frame without waiting; false when there is no room. Unless it
    /// was sent, the frame is untouched.
    pub(crate) fn send_part(&self, frame: &mut RawFrame, more: bool) -> Result<bool, Failure> {
        let flags = sys::ZMQ_DONTWAIT | if more { sys::ZMQ_SNDMORE } else { 0 };
        // SAFETY: the socket is open, the frame initialised; on success libzmq
        // leaves an empty frame behind, on failure it leaves it as it was.
        let sent = retry(|| unsafe { sys::zmq_msg_send(&mut frame.0, self.raw, flags as c_int) });
        match sent {
            Ok(()) => Ok(true),
            Err(failure) if failure.is_again() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Waits until `wanted` may be possible here or there is something to read on
    /// `other`. A timeout of `None` waits for ever. `wanted` must just have been
    /// found impossible, and all of `other` read.
    pub(crate) fn poll(
        &self,
        wanted: Events,
        other: &Socket,
        timeout: Option<Duration>,
    ) -> Result<Polled, Failure> {
        let deadline = timeout.map(|t| Instant::now() + t);
        loop {
            let millis = deadline.map_or(-1, |d| {
                let left = d.saturating_duration_since(Instant::now());
                // Rounded up: waking early would spin through the last millisecond.
                left.as_micros().div_ceil(1000).min(i32::MAX as u128) as _
            });
            match native::poll(self, wanted, other, millis) {
                Err(failure) if failure.0 == libc_errno::EINTR => {}
                done => return done,
            }
        }
    }

    pub(crate) fn raw(&self) -> *mut c_void {
        self.raw
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if !self.context.is_foreign() {
            // SAFETY: the socket is open and nothing uses it after this.
            unsafe { sys::zmq_close(self.raw) };
        }
    }
}

/// What a socket can do right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Events(pub(crate) i16);

impl Events {
    pub(crate) const IN: Self = Self(sys::ZMQ_POLLIN as i16);
    pub(crate) const OUT: Self = Self(sys::ZMQ_POLLOUT as i16);
    pub(crate) const NONE: Self = Self(0);
}

/// Which of the two sockets of a poll is ready; neither means the time is up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Polled {
    pub this: bool,
    pub other: bool,
}
