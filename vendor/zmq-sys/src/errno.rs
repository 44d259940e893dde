//! The values of `zmq_errno()`, by the names C gives them.

use std::os::raw::c_int;

#[cfg(windows)]
use crate::windows::errno as system;
#[cfg(unix)]
use libc as system;

macro_rules! system {
    ($($name:ident)*) => { $(pub const $name: c_int = system::$name;)* };
}

system! {
    EACCES EADDRINUSE EADDRNOTAVAIL EAGAIN EBUSY ECONNREFUSED EFAULT EHOSTUNREACH
    EINPROGRESS EINTR EINVAL EMFILE EMSGSIZE ENAMETOOLONG ENETDOWN ENOBUFS ENODEV
    ENOENT ENOMEM ENOTCONN ENOTSOCK ENOTSUP EPROTO EPROTONOSUPPORT
}

// libzmq counts its own errors from here.
const BASE: c_int = crate::ffi::ZMQ_HAUSNUMERO as c_int;

// What libzmq uses on a platform that lacks the name.
pub const ENOTSUP_ALT: c_int = BASE + 1;
pub const EPROTONOSUPPORT_ALT: c_int = BASE + 2;
pub const ENOBUFS_ALT: c_int = BASE + 3;
pub const ENETDOWN_ALT: c_int = BASE + 4;
pub const EADDRINUSE_ALT: c_int = BASE + 5;
pub const EADDRNOTAVAIL_ALT: c_int = BASE + 6;
pub const ECONNREFUSED_ALT: c_int = BASE + 7;
pub const EINPROGRESS_ALT: c_int = BASE + 8;
pub const ENOTSOCK_ALT: c_int = BASE + 9;
pub const EMSGSIZE_ALT: c_int = BASE + 10;
pub const EAFNOSUPPORT_ALT: c_int = BASE + 11;
pub const ENETUNREACH_ALT: c_int = BASE + 12;
pub const ECONNABORTED_ALT: c_int = BASE + 13;
pub const ECONNRESET_ALT: c_int = BASE + 14;
pub const ENOTCONN_ALT: c_int = BASE + 15;
pub const ETIMEDOUT_ALT: c_int = BASE + 16;
pub const EHOSTUNREACH_ALT: c_int = BASE + 17;
pub const ENETRESET_ALT: c_int = BASE + 18;

// Errors of libzmq itself.
pub const EFSM: c_int = BASE + 51;
pub const ENOCOMPATPROTO: c_int = BASE + 52;
pub const ETERM: c_int = BASE + 53;
pub const EMTHREAD: c_int = BASE + 54;
