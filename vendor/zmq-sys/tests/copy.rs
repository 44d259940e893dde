//! A message of bytes that are copied.

mod common;

use std::mem::{size_of, MaybeUninit};

use common::*;
use zmq_sys::native::*;
use zmq_sys::*;

type Words = [u64; size_of::<zmq_msg_t>() / 8];

fn words(make: impl FnOnce(*mut zmq_msg_t) -> i32) -> (Words, Vec<u8>) {
    // libzmq leaves alone what it does not need.
    let mut message = MaybeUninit::<zmq_msg_t>::zeroed();
    assert_eq!(make(message.as_mut_ptr()), 0);
    let mut message = unsafe { message.assume_init() };
    let words = unsafe { std::mem::transmute_copy(&message) };
    let body = bytes(&mut message).to_vec();
    unsafe { zmq_msg_close(&mut message) };
    (words, body)
}

#[test]
#[cfg(target_pointer_width = "64")]
fn a_copy_is_what_libzmq_makes_of_those_bytes() {
    for size in [
        0, 1, 32, 33, 34, 64, 1000, 8191, 8192, 8193, 10_240, 10_241, 100_000, 262_143, 262_144,
    ] {
        // No two pieces are alike.
        let body: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let ours = words(|m| unsafe { pushpull_copy(m, body.as_ptr().cast(), size) });
        let theirs = words(|m| unsafe {
            let made = zmq_msg_init_size(m, size);
            std::ptr::copy_nonoverlapping(body.as_ptr(), zmq_msg_data(m).cast(), size);
            made
        });
        assert_eq!(ours.1, body);
        let different = (0..ours.0.len()).filter(|i| ours.0[*i] != theirs.0[*i]);
        let different: Vec<_> = different.collect();
        // Of long ones the word that tells where the bytes are.
        assert!(different.iter().all(|i| *i == 1), "{size}: {different:?}");
        assert!(size > 33 || different.is_empty(), "{size}");
    }
}

#[test]
fn more_than_there_is_makes_no_message() {
    let mut message = MaybeUninit::<zmq_msg_t>::zeroed();
    let byte = [0_u8];
    let made = unsafe { pushpull_copy(message.as_mut_ptr(), byte.as_ptr().cast(), usize::MAX - 8) };
    assert_eq!((made, errno()), (-1, libc::ENOMEM));
}
