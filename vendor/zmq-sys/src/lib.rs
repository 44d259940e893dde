//! C bindings to libzmq 4.3.5, built from source, complete and mended.
//!
//! The crate stands in for `zmq-sys` 0.12 (`[patch.crates-io]`), so it offers every
//! name that one has. What it adds is [`native`]: operations on PUSH and PULL sockets
//! which the public C interface of libzmq cannot express.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use crate::unix::RawFd;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub use crate::windows::RawFd;

pub mod errno;
pub mod native;

pub use crate::ffi::*;

// Generated from libzmq's zmq.h; see README.md for the command.
#[allow(non_camel_case_types, dead_code, missing_docs)]
#[allow(clippy::all, clippy::pedantic)]
mod ffi;

// Keeps libsodium's archive among the linked libraries.
#[cfg(feature = "curve")]
use libsodium_sys as _;

// The zmq crate starts from zeroed structs.
impl Default for zmq_msg_t {
    fn default() -> Self {
        Self { __: [0; 64] }
    }
}
