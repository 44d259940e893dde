//! A peer that chance made up: it knows the grammar of ZMTP and keeps to it as
//! long as it likes. The same seed says the same.

use crate::stranger::{greeting_of_zmtp_2, SIGNATURE};

pub struct Chance(u64);

/// How it says what it says.
pub enum Manner {
    AtOnce,
    ByteByByte,
    /// As a real one: the greeting first, and the rest after an answer.
    AfterTheAnswer,
}

impl Chance {
    pub fn of(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }

    fn one_of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len() as u64) as usize]
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.below(most + 1))
            .map(|_| self.next() as u8)
            .collect()
    }

    pub fn manner(&mut self) -> Manner {
        match self.below(5) {
            0 => Manner::ByteByByte,
            1 | 2 => Manner::AtOnce,
            _ => Manner::AfterTheAnswer,
        }
    }

    /// All that one peer says, in the end.
    pub fn speech(&mut self) -> Vec<u8> {
        let mut said = match self.below(10) {
            0 => return self.bytes(300),
            1 => self.older_greeting(),
            _ => self.greeting(),
        };
        for _ in 0..self.below(3) {
            said.extend(self.command());
        }
        for _ in 0..self.below(6) {
            said.extend(self.frame());
        }
        if self.below(20) == 0 {
            // A message that has no end.
            let more = b"\x01\x01x".repeat(70_000);
            said.extend(more);
        }
        self.garbled(said)
    }

    fn greeting(&mut self) -> Vec<u8> {
        let mut said = SIGNATURE.to_vec();
        let version = match self.below(8) {
            0 => [self.next() as u8, self.next() as u8],
            1 => [3, 1],
            2 => [2, 0],
            _ => [3, 0],
        };
        said.extend(version);
        let mechanism = self.one_of(&[
            &b"NULL"[..],
            b"NULL",
            b"NULL",
            b"NULL",
            b"PLAIN",
            b"CURVE",
            b"GSSAPI",
            b"null",
            b"\xff\xff",
        ]);
        said.extend(mechanism);
        said.resize(32, 0);
        said.push(u8::from(self.below(6) == 0));
        said.resize(64, 0);
        said
    }

    /// ZMTP 1, ZMTP 2, and something in between.
    fn older_greeting(&mut self) -> Vec<u8> {
        match self.below(3) {
            0 => vec![1, 0],
            1 => greeting_of_zmtp_2(),
            _ => {
                let mut said = SIGNATURE.to_vec();
                said.extend([self.below(3) as u8, self.below(12) as u8]);
                said
            }
        }
    }

    fn command(&mut self) -> Vec<u8> {
        let name = self.one_of(&[
            &b"READY"[..],
            b"READY",
            b"READY",
            b"ERROR",
            b"HELLO",
            b"INITIATE",
            b"WELCOME",
            b"PING",
            b"PONG",
            b"SUBSCRIBE",
            b"CANCEL",
            b"JOIN",
            b"",
        ]);
        let mut body = vec![name.len() as u8];
        body.extend(name);
        match name {
            b"READY" | b"INITIATE" => {
                let kind = self.one_of(&["PUSH", "PUSH", "PUSH", "PULL", "SUB", "ROUTER", "", "X"]);
                body.extend(property(b"Socket-Type", kind.as_bytes()));
                for _ in 0..self.below(3) {
                    let value = self.bytes(40);
                    let name = self.one_of(&[&b"Identity"[..], b"Resource", b"X-Own", b""]);
                    body.extend(property(name, &value));
                }
                if self.below(5) == 0 {
                    // One whose value is longer than all there is.
                    body.extend(b"\x01A\xff\xff\xff\xff");
                }
            }
            _ => body.extend(self.bytes(60)),
        }
        let lie = if self.below(10) == 0 { self.next() } else { 0 };
        let flags = if self.below(10) == 0 { 0 } else { 4 };
        let length = (body.len() as u64).wrapping_add(lie);
        [sized(flags, length, self.below(8) == 0), body].concat()
    }

    fn frame(&mut self) -> Vec<u8> {
        let body = self.bytes(600);
        let flags = match self.below(12) {
            0 => self.next() as u8,
            1..=3 => 1,
            _ => 0,
        };
        let length = match self.below(12) {
            0 => self.next(),
            1 => u64::MAX,
            2 => 1 << 63,
            3 => (1 << 20) + self.below(3),
            4 => 1 << self.below(64),
            _ => body.len() as u64,
        };
        [sized(flags, length, self.below(3) == 0), body].concat()
    }

    /// Mostly as it was; else cut, flipped, doubled, or with something between.
    fn garbled(&mut self, mut said: Vec<u8>) -> Vec<u8> {
        let at = self.below(said.len() as u64 + 1) as usize;
        match self.below(10) {
            0 => said.truncate(at),
            1 => {
                for _ in 0..=self.below(4) {
                    let at = self.below(said.len() as u64) as usize;
                    said[at] ^= 1 << self.below(8);
                }
            }
            2 => {
                let tail = said[at..].to_vec();
                said.extend(tail);
            }
            3 => {
                let noise = self.bytes(30);
                said.splice(at..at, noise);
            }
            _ => {}
        }
        said
    }
}

fn property(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![name.len() as u8];
    bytes.extend(name);
    bytes.extend((value.len() as u32).to_be_bytes());
    bytes.extend(value);
    bytes
}

/// Flags and length, short where it can be unless `long` is wanted.
fn sized(flags: u8, length: u64, long: bool) -> Vec<u8> {
    match u8::try_from(length) {
        Ok(length) if !long => vec![flags, length],
        _ => {
            let mut bytes = vec![flags | 2];
            bytes.extend(length.to_be_bytes());
            bytes
        }
    }
}
