//! What both sides count, to be compared at the end.

use std::time::Duration;

use indicatif::HumanCount;
use pushpull::Message;

/// Messages and bytes so far, and a checksum over all of them in their order:
/// one that is missing, changed or out of its place changes all that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    pub messages: u64,
    pub bytes: u64,
    checksum: u64,
}

/// The first frame of a sender's last message. The others have one frame each,
/// so this one can't be taken for a line.
const END: &[u8] = b"pipeline end";

impl Tally {
    pub fn new() -> Self {
        Self {
            messages: 0,
            bytes: 0,
            checksum: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// The tally with one more message.
    pub fn with(mut self, message: &Message) -> Self {
        self.messages += 1;
        self.bytes += message.len() as u64;
        for frame in message.frames() {
            // FNV-1a, with the length behind each frame to mark where it ends.
            let length = (frame.len() as u64).to_le_bytes();
            for byte in frame.iter().chain(&length) {
                self.checksum = (self.checksum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
        self
    }

    /// The last message of a sender: what the receiver must have by then.
    pub fn to_end(self) -> Message {
        let numbers = [self.messages, self.bytes, self.checksum];
        let frames = numbers.map(|n| n.to_le_bytes().to_vec());
        Message::multipart([END.to_vec()].into_iter().chain(frames))
    }

    /// The reverse; `None` for any other message.
    pub fn from_end(message: &Message) -> Option<Self> {
        let mut frames = message.frames();
        if frames.len() != 4 || frames.next() != Some(END) {
            return None;
        }
        let mut number = || Some(u64::from_le_bytes(frames.next()?.try_into().ok()?));
        Some(Self {
            messages: number()?,
            bytes: number()?,
            checksum: number()?,
        })
    }

    pub fn summary(&self, what: &str, took: Duration, stalls: u64) -> String {
        let rate = self.messages as f64 / took.as_secs_f64().max(1e-6);
        format!(
            "{what} {self} in {took:.3?}: {} messages/s, {} stalls",
            HumanCount(rate as u64),
            HumanCount(stalls),
        )
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (messages, bytes) = (HumanCount(self.messages), HumanCount(self.bytes));
        let checksum = self.checksum;
        write!(
            f,
            "{messages} messages, {bytes} bytes, checksum {checksum:016x}"
        )
    }
}
