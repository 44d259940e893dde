//! `pushpull_recv_many`, which a stock zmq-sys does not have.

use zmq_sys::native::pushpull_recv_many;
use zmq_sys::*;

use crate::common::{bytes, empty, Socket};

/// What comes, in frames, and whether each has more behind it.
pub fn receive(socket: &Socket, most: usize) -> Vec<(Vec<u8>, bool)> {
    let mut frames = vec![empty(); most];
    let out = frames.as_mut_ptr();
    let got = unsafe { pushpull_recv_many(socket.0, out, most, std::ptr::null_mut()) };
    let frames = frames[..usize::try_from(got).unwrap_or(0)].iter_mut();
    frames
        .map(|frame| unsafe {
            let taken = (bytes(frame), zmq_msg_more(frame) != 0);
            zmq_msg_close(frame);
            taken
        })
        .collect()
}
