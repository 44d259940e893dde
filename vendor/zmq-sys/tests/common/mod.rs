//! A thin cover for the C interface, shared by the tests. Written to compile against the
//! stock zmq-sys as well.

#![allow(dead_code)]

use std::ffi::{CStr, CString};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::raw::{c_int, c_void};
use std::time::{Duration, Instant};
use std::{ptr, thread};

use zmq_sys::*;

pub struct Context(pub *mut c_void);

unsafe impl Send for Context {}
unsafe impl Sync for Context {}

impl Context {
    pub fn new() -> Context {
        let context = unsafe { zmq_ctx_new() };
        assert!(!context.is_null());
        Context(context)
    }

    pub fn socket(&self, kind: u32) -> Socket {
        let socket = unsafe { zmq_socket(self.0, kind as c_int) };
        assert!(!socket.is_null(), "{}", last_error());
        Socket(socket)
    }

    pub fn push(&self) -> Socket {
        self.socket(ZMQ_PUSH)
    }

    pub fn pull(&self) -> Socket {
        self.socket(ZMQ_PULL)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        unsafe { zmq_ctx_term(self.0) };
    }
}

pub struct Socket(pub *mut c_void);

unsafe impl Send for Socket {}

impl Socket {
    pub fn set(&self, option: u32, value: i32) -> &Socket {
        let done = unsafe {
            zmq_setsockopt(
                self.0,
                option as c_int,
                (&raw const value).cast(),
                size_of::<i32>(),
            )
        };
        assert_eq!(done, 0, "{}", last_error());
        self
    }

    pub fn get(&self, option: u32) -> i32 {
        let mut value = 0i32;
        let mut size = size_of::<i32>();
        let done =
            unsafe { zmq_getsockopt(self.0, option as c_int, (&raw mut value).cast(), &mut size) };
        assert_eq!(done, 0, "{}", last_error());
        value
    }

    /// Binds, and answers with the address a peer connects to.
    pub fn bind(&self, address: &str) -> String {
        let name = CString::new(address).unwrap();
        assert_eq!(
            unsafe { zmq_bind(self.0, name.as_ptr()) },
            0,
            "{address}: {}",
            last_error()
        );
        let mut text = [0u8; 512];
        let mut size = text.len();
        let done = unsafe {
            zmq_getsockopt(
                self.0,
                ZMQ_LAST_ENDPOINT as c_int,
                text.as_mut_ptr().cast(),
                &mut size,
            )
        };
        assert_eq!(done, 0, "{}", last_error());
        CStr::from_bytes_until_nul(&text)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    }

    pub fn connect(&self, address: &str) {
        let name = CString::new(address).unwrap();
        assert_eq!(
            unsafe { zmq_connect(self.0, name.as_ptr()) },
            0,
            "{address}: {}",
            last_error()
        );
    }

    /// Sends one frame; false when there is no room (or no patience left).
    pub fn send(&self, body: &[u8], flags: u32) -> bool {
        let sent = unsafe { zmq_send(self.0, body.as_ptr().cast(), body.len(), flags as c_int) };
        if sent < 0 {
            assert_eq!(errno(), errno::EAGAIN, "{}", last_error());
        }
        sent >= 0
    }

    /// Receives one frame, or nothing once the socket's patience (ZMQ_RCVTIMEO) ends.
    pub fn recv(&self, flags: u32) -> Option<Vec<u8>> {
        let mut message = empty();
        let size = unsafe { zmq_msg_recv(&mut message, self.0, flags as c_int) };
        if size < 0 {
            assert_eq!(errno(), errno::EAGAIN, "{}", last_error());
            return None;
        }
        let body = bytes(&mut message);
        unsafe { zmq_msg_close(&mut message) };
        Some(body)
    }

    /// Closes and lets libzmq try to deliver for ever.
    pub fn close_lingering(self) {
        self.set(ZMQ_LINGER, -1);
        unsafe { zmq_close(self.0) };
        std::mem::forget(self);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let now = 0i32;
        unsafe {
            zmq_setsockopt(
                self.0,
                ZMQ_LINGER as c_int,
                (&raw const now).cast(),
                size_of::<i32>(),
            );
            zmq_close(self.0);
        }
    }
}

pub fn errno() -> i32 {
    unsafe { zmq_errno() }
}

pub fn last_error() -> String {
    unsafe { CStr::from_ptr(zmq_strerror(zmq_errno())) }
        .to_string_lossy()
        .into_owned()
}

pub fn empty() -> zmq_msg_t {
    let mut message = unsafe { std::mem::zeroed() };
    unsafe { zmq_msg_init(&mut message) };
    message
}

pub fn message(body: &[u8]) -> zmq_msg_t {
    let mut message = unsafe { std::mem::zeroed() };
    unsafe {
        assert_eq!(zmq_msg_init_size(&mut message, body.len()), 0);
        ptr::copy_nonoverlapping(body.as_ptr(), zmq_msg_data(&mut message).cast(), body.len());
    }
    message
}

pub fn bytes(message: &mut zmq_msg_t) -> Vec<u8> {
    unsafe {
        std::slice::from_raw_parts(zmq_msg_data(message).cast::<u8>(), zmq_msg_size(message))
            .to_vec()
    }
}

pub fn until(what: &str, done: impl FnMut() -> bool) {
    within(20, what, done);
}

/// Waits so many seconds at most.
pub fn within(patience: u64, what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(
            started.elapsed() < Duration::from_secs(patience),
            "waited too long: {what}"
        );
        thread::sleep(Duration::from_millis(1));
    }
}

/// A peer made by hand, at the point where messages begin.
pub fn raw_peer(address: &str, kind: &str) -> TcpStream {
    raw_peer_of(1, address, kind)
}

/// Of version 3 and so much of ZMTP.
pub fn raw_peer_of(minor: u8, address: &str, kind: &str) -> TcpStream {
    let stream = TcpStream::connect(address.strip_prefix("tcp://").unwrap()).unwrap();
    shake_hands_as(minor, stream, kind)
}

pub fn shake_hands(stream: TcpStream, kind: &str) -> TcpStream {
    shake_hands_as(1, stream, kind)
}

fn shake_hands_as(minor: u8, mut stream: TcpStream, kind: &str) -> TcpStream {
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).unwrap();
    stream.set_write_timeout(patience).unwrap();
    let mut greeting = [0u8; 64];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[11] = minor;
    greeting[12..16].copy_from_slice(b"NULL");
    stream.write_all(&greeting).unwrap();
    let mut theirs = [0u8; 64];
    stream.read_exact(&mut theirs).unwrap();
    let mut ready = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
    ready.push(kind.len() as u8);
    ready.extend(kind.as_bytes());
    stream.write_all(&[4, ready.len() as u8]).unwrap();
    stream.write_all(&ready).unwrap();
    let mut head = [0u8; 2];
    stream.read_exact(&mut head).unwrap();
    let mut body = vec![0; head[1] as usize];
    stream.read_exact(&mut body).unwrap();
    stream
}

/// To bind at: Wine has no Unix sockets.
pub fn addresses(folder: &tempfile::TempDir) -> Vec<String> {
    let mut addresses = vec!["tcp://127.0.0.1:*".to_owned()];
    if cfg!(unix) {
        addresses.push(format!("ipc://{}", folder.path().join("s").display()));
    }
    addresses
}
