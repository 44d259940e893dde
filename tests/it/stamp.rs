//! Messages that say who sent them, as which one, and whether they are whole.

use pushpull::Message;

/// What a message says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp {
    /// So that nothing of an earlier test is mistaken for ours.
    pub run: u64,
    pub sender: u64,
    pub seq: u64,
}

/// Run, sender, sequence, number of all bytes, and the checksum of all but
/// itself; little-endian.
pub const HEADER: usize = 4 * 8 + 4;

/// Why a message is none of ours as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn(pub String);

impl Stamp {
    /// A message of one frame of so many bytes, the header at the least.
    pub fn message(self, size: usize) -> Message {
        self.frames(&[size])
    }

    /// A message of frames of these sizes. The first has room for the header.
    pub fn frames(self, sizes: &[usize]) -> Message {
        let mut frames: Vec<Vec<u8>> = Vec::with_capacity(sizes.len());
        for (at, size) in sizes.iter().enumerate() {
            let least = if at == 0 { HEADER } else { 0 };
            let filler = (self.sender ^ self.seq) as u8 ^ at as u8;
            frames.push(vec![filler; least.max(*size)]);
        }
        let all: usize = frames.iter().map(Vec::len).sum();
        let head = [self.run, self.sender, self.seq, all as u64];
        for (place, value) in frames[0].chunks_exact_mut(8).zip(head) {
            place.copy_from_slice(&value.to_le_bytes());
        }
        let sum = checksum(frames.iter().map(Vec::as_slice));
        frames[0][HEADER - 4..HEADER].copy_from_slice(&sum.to_le_bytes());
        Message::multipart(frames)
    }

    /// What the message says, if it is whole.
    pub fn read(message: &Message) -> Result<Self, Torn> {
        let first = message.as_bytes();
        if first.len() < HEADER {
            return Err(Torn(format!("{} bytes are no stamp", first.len())));
        }
        let word = |at: usize| u64::from_le_bytes(first[8 * at..][..8].try_into().unwrap());
        let stamp = Self {
            run: word(0),
            sender: word(1),
            seq: word(2),
        };
        let all: usize = message.frames().map(<[u8]>::len).sum();
        if word(3) != all as u64 {
            return Err(Torn(format!("{stamp:?} has {all} of {} bytes", word(3))));
        }
        let said = u32::from_le_bytes(first[HEADER - 4..HEADER].try_into().unwrap());
        if said != checksum(message.frames()) {
            return Err(Torn(format!("{stamp:?} has another checksum")));
        }
        Ok(stamp)
    }
}

/// Over the sizes of the frames and their bytes, without the place of the
/// checksum itself: FNV-1a, eight bytes at a time.
fn checksum<'a>(frames: impl Iterator<Item = &'a [u8]>) -> u32 {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |word: u64| sum = (sum ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
    for (at, frame) in frames.enumerate() {
        add(frame.len() as u64);
        let frame = if at == 0 {
            frame[..HEADER - 4]
                .iter()
                .for_each(|byte| add(u64::from(*byte)));
            &frame[HEADER..]
        } else {
            frame
        };
        let words = frame.chunks_exact(8);
        words
            .remainder()
            .iter()
            .for_each(|byte| add(u64::from(*byte)));
        words.for_each(|word| add(u64::from_le_bytes(word.try_into().unwrap())));
    }
    (sum ^ sum >> 32) as u32
}
