use std::{
    alloc::{handle_alloc_error, Layout},
    ffi::c_void,
    fmt, mem,
    mem::MaybeUninit,
    num::NonZeroU64,
    ptr, slice,
};

use zmq_sys as sys;

use crate::native;

/// One frame: bytes that came from Rust, or a frame of libzmq's.
pub(crate) enum Frame {
    Owned(Vec<u8>),
    Native(Native),
}

/// A frame of libzmq's, with its length: libzmq keeps that beside the bytes, which
/// are in another core's cache when a worker asks.
///
/// The frame comes first, and behind it one word that is never 0, with which a
/// `Frame` and a `Message` make do. So it lies at the same place in them, and a move
/// reads the very words that the move before has written. A processor that reads
/// across two of those waits until all that was written before is in its cache: of
/// a message of 64 bytes that was a twelfth of the time.
#[repr(C)]
pub(crate) struct Native {
    raw: RawFrame,
    length_and_one: NonZeroU64,
}

impl Native {
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        RawFrame::copy_of(bytes).into_native_of(bytes.len())
    }

    #[inline]
    pub(crate) fn into_raw(self) -> RawFrame {
        self.raw
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        (self.length_and_one.get() - 1) as usize
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.raw.as_bytes()
    }
}

/// An initialised `zmq_msg_t`.
///
/// It moves as Rust values move, by a copy of its 64 bytes. libzmq does the
/// same in `zmq_msg_move`: the struct holds bytes or pointers to the heap, and
/// nothing points into it.
#[repr(transparent)]
pub(crate) struct RawFrame(pub(super) sys::zmq_msg_t);

impl fmt::Debug for RawFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawFrame({} bytes)", self.as_bytes().len())
    }
}

// SAFETY: a frame owns its bytes (libzmq counts shared ones atomically), and
// behind a shared reference it is only read.
unsafe impl Send for RawFrame {}
// SAFETY: as above.
unsafe impl Sync for RawFrame {}

impl RawFrame {
    pub(crate) fn empty() -> Self {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: zmq_msg_init initialises the struct and cannot fail.
        unsafe {
            sys::zmq_msg_init(raw.as_mut_ptr());
            Self(raw.assume_init())
        }
    }

    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        let mut raw = MaybeUninit::<sys::zmq_msg_t>::uninit();
        // SAFETY: initialises the struct, or returns -1 and leaves it alone.
        if unsafe { native::init_copy(raw.as_mut_ptr(), bytes) } == -1 {
            out_of_memory(bytes.len());
        }
        // SAFETY: initialised just now.
        Self(unsafe { raw.assume_init() })
    }

    /// Takes a vector over without a copy.
    fn owning(bytes: Vec<u8>) -> Self {
        let mut bytes = mem::ManuallyDrop::new(bytes);
        let mut raw = MaybeUninit::<sys::zmq_msg_t>::uninit();
        // SAFETY: the vector's memory stays valid until `free_vec` gets it
        // back, with its capacity as the hint.
        let made = unsafe {
            sys::zmq_msg_init_data(
                raw.as_mut_ptr(),
                bytes.as_mut_ptr().cast(),
                bytes.len(),
                Some(free_vec),
                bytes.capacity() as *mut c_void,
            )
        };
        if made == -1 {
            out_of_memory(mem::size_of::<sys::zmq_msg_t>());
        }
        // SAFETY: initialised just now.
        Self(unsafe { raw.assume_init() })
    }

    /// Empties a list of frames that libzmq has taken. What it leaves behind
    /// are empty frames, which hold nothing to be closed.
    pub(crate) fn forget_sent(frames: &mut Vec<Self>) {
        debug_assert!(frames.iter().all(|f| f.as_bytes().is_empty()));
        // SAFETY: shortens the list; see above for why nothing leaks.
        unsafe { frames.set_len(0) };
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        // SAFETY: zmq_msg_data and zmq_msg_size only read the struct; the
        // bytes live as long as it does, and an empty frame has a pointer too.
        unsafe {
            let raw = ptr::from_ref(&self.0).cast_mut();
            slice::from_raw_parts(sys::zmq_msg_data(raw).cast(), sys::zmq_msg_size(&self.0))
        }
    }

    pub(crate) fn len(&self) -> usize {
        // SAFETY: initialised, and only read.
        unsafe { sys::zmq_msg_size(&self.0) }
    }

    /// A second frame with the same bytes, which are not copied.
    #[cfg(not(pushpull_native))]
    pub(crate) fn share(&mut self) -> Self {
        let mut copy = Self::empty();
        // SAFETY: both are initialised; libzmq counts the references.
        unsafe { sys::zmq_msg_copy(&mut copy.0, &mut self.0) };
        copy
    }

    /// Moves a frame out of libzmq's hands and leaves an empty one there.
    ///
    /// # Safety
    /// `from` points to an initialised frame that nobody else uses.
    #[cfg(pushpull_native)]
    pub(crate) unsafe fn take(from: *mut sys::zmq_msg_t) -> Self {
        let mut frame = Self::empty();
        // SAFETY: both are initialised; see above.
        unsafe { sys::zmq_msg_move(&mut frame.0, from) };
        frame
    }

    /// Whether another frame of the same message follows.
    pub(crate) fn more(&self) -> bool {
        // SAFETY: initialised.
        unsafe { sys::zmq_msg_more(&self.0) != 0 }
    }

    pub(crate) fn into_native(self) -> Native {
        let length = self.len();
        self.into_native_of(length)
    }

    /// The same if its length is known.
    #[inline]
    pub(crate) fn into_native_of(self, length: usize) -> Native {
        Native {
            raw: self,
            length_and_one: NonZeroU64::MIN.saturating_add(length as u64),
        }
    }
}

/// Called by libzmq, on any thread, when the last frame that refers to a
/// vector's bytes is closed.
unsafe extern "C" fn free_vec(data: *mut c_void, capacity: *mut c_void) {
    // SAFETY: the two come from `RawFrame::owning`; length 0 since u8 has no
    // destructor.
    drop(unsafe { Vec::<u8>::from_raw_parts(data.cast(), 0, capacity as usize) });
}

impl Drop for RawFrame {
    fn drop(&mut self) {
        // SAFETY: initialised, and not used after this.
        unsafe { sys::zmq_msg_close(&mut self.0) };
    }
}

/// Ends the process as Rust does when memory runs out anywhere else.
fn out_of_memory(bytes: usize) -> ! {
    let layout = Layout::from_size_align(bytes.max(1), 1).unwrap_or(Layout::new::<u8>());
    handle_alloc_error(layout)
}

/// Below this many bytes a frame is cheaper copied into libzmq's own memory
/// than handed over with a free function.
const COPIED: usize = 512;

impl Frame {
    pub(crate) fn len(&self) -> usize {
        match self {
            Frame::Owned(bytes) => bytes.len(),
            Frame::Native(native) => native.len(),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Frame::Owned(bytes) => bytes,
            Frame::Native(native) => native.as_bytes(),
        }
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        match self {
            Frame::Owned(bytes) => bytes,
            Frame::Native(native) => native.as_bytes().to_vec(),
        }
    }

    /// The frame in the form that libzmq sends.
    pub(crate) fn into_raw(self) -> RawFrame {
        match self {
            Frame::Native(native) => native.into_raw(),
            Frame::Owned(bytes) if bytes.len() < COPIED => RawFrame::copy_of(&bytes),
            Frame::Owned(bytes) => RawFrame::owning(bytes),
        }
    }
}
