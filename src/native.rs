//! What our own build of libzmq can do and the stock one can't: look into the
//! pipes between a socket and its connections.
//!
//! With the stock build the answers are guesses on the safe side, made from
//! what libzmq's public interface offers.

#[cfg(pushpull_native)]
mod ours;
#[cfg(not(pushpull_native))]
mod stock;

#[cfg(pushpull_native)]
pub(crate) use ours::{
    care, flow, held, identity, init_copy, introduce, is_awake, let_in, pipes, poll, recall,
    receive, rescue, send_run, send_whole, tune, wait_until_gone, waiting, Turn, Waits, Watch,
};
#[cfg(not(pushpull_native))]
pub(crate) use stock::{
    care, flow, held, identity, init_copy, introduce, is_awake, let_in, pipes, poll, recall,
    receive, rescue, send_run, send_whole, tune, wait_until_gone, waiting, Turn, Waits, Watch,
};

use std::ffi::c_int;

use crate::message::Message;

/// Messages of so many bytes are weighed and not only counted, as native/large.hpp has it,
pub(crate) const HEAVY: usize = 8 << 10;

/// and one of so many is large.
pub(crate) const LARGE: usize = 256 << 10;

/// By which a socket is known when it is closed; to be asked for before. The
/// address is never followed, and may be another socket's by then.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(pushpull_native),
    expect(dead_code, reason = "the stock build does not ask")
)]
pub(crate) struct Identity {
    address: usize,
    number: c_int,
}

/// How far the messages of a Push have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Some wait in libzmq for a peer, or for room in the kernel.
    InLibzmq,
    /// The kernel has all, and the peers have yet to read about so many bytes.
    #[cfg_attr(
        not(pushpull_native),
        expect(dead_code, reason = "the stock build can't tell")
    )]
    InKernel(u64),
    /// The peers' side has all.
    Through,
    /// Nobody can tell any more.
    Unknown,
}

/// What libzmq gave back when a queue was aborted.
#[derive(Debug, Default)]
pub(crate) struct Recalled {
    /// The messages that no connection had begun to send, oldest first.
    pub messages: Vec<Message>,
    /// Messages of which a connection had sent a part, or may have.
    pub torn: u64,
    /// What connections had encoded and not yet given to the kernel, or may have.
    pub unwritten: Unwritten,
    /// Whether every connection could be asked.
    pub awake: bool,
}

/// What waited in libzmq for peers that have left.
#[derive(Debug, Default)]
pub(crate) struct Rescued {
    pub peers: u64,
    /// Peers that could not be asked for theirs just now.
    pub held: u64,
    pub messages: Vec<Message>,
    /// Whether other peers may have newer messages already.
    pub shared: bool,
    /// Messages that could not be had back.
    pub lost: u64,
}

/// What came in when a Pull closed.
#[derive(Debug)]
pub(crate) struct LetIn {
    /// Connections that there was not enough time for.
    pub cut: u64,
    /// Connections that could not be asked.
    pub unasked: u64,
    /// Connections that may have more on its way here, since there is room now.
    pub coming: u64,
    /// Connections through which more came while they were read.
    pub sending: u64,
    /// False if libzmq's threads were all too busy to listen.
    pub listened: bool,
}

/// What was being written, and the kernel did not get.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    /// The connections that it belongs to.
    pub writes: u64,
    /// The most messages that were in these writes.
    pub messages: u64,
    /// How much of them is left.
    pub bytes: u64,
}

impl Unwritten {
    /// The most messages in it, when none has fewer bytes than `smallest`: the
    /// first and the last of each write may be there in part.
    pub(crate) fn most(&self, smallest: u64) -> u64 {
        (self.bytes / smallest.max(1) + 2 * self.writes).min(self.messages)
    }
}

impl Recalled {
    /// The most messages that can be neither here nor in the kernel, when none
    /// took fewer than `smallest` bytes and `sent` were sent in all.
    pub(crate) fn in_doubt(&self, smallest: u64, sent: u64) -> u64 {
        (self.unwritten.most(smallest) + self.torn)
            .min(sent.saturating_sub(self.messages.len() as u64))
    }
}

/// The libzmq inside; see [`libzmq`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Libzmq {
    /// Its version: major, minor, patch.
    pub version: (u32, u32, u32),
    /// Whether a clean close over `ipc` loses nothing however slow the receiver
    /// is. Stock libzmq loses what is in the kernel when its sender closes
    /// (libzmq issue 4660). Ours says so where that was seen to be mended, which
    /// is Linux; for macOS and Windows it was never tried.
    pub lossless_ipc: bool,
    /// Whether CURVE encryption was built in.
    pub curve: bool,
    /// Whether the `ipc` transport was built in.
    pub ipc: bool,
    /// The faults of libzmq that this build mends, by name.
    pub mends: Vec<&'static str>,
}

/// Tells which libzmq this program contains.
///
/// ```
/// let zmq = pushpull::libzmq();
/// assert_eq!(zmq.version.0, 4);
/// println!("libzmq {:?}, lossless ipc: {}", zmq.version, zmq.lossless_ipc);
/// ```
pub fn libzmq() -> Libzmq {
    let mends: Vec<_> = env!("PUSHPULL_ZMQ_MENDS")
        .split(',')
        .filter(|m| !m.is_empty())
        .collect();
    Libzmq {
        version: crate::context::version(),
        lossless_ipc: mends.contains(&"lossless-ipc"),
        curve: crate::context::has("curve"),
        ipc: crate::context::has("ipc"),
        mends,
    }
}

#[cfg(test)]
mod tests {
    use super::Unwritten;

    #[test]
    fn what_was_being_written_is_no_more_than_either_measure_of_it() {
        let (writes, bytes) = (2, 1000);
        let most = |messages, smallest| {
            let unwritten = Unwritten {
                writes,
                messages,
                bytes,
            };
            unwritten.most(smallest)
        };
        assert_eq!((most(500, 100), most(10, 100)), (14, 10));
        assert_eq!(most(u64::MAX, u64::MAX), 4);
    }
}
