//! Records out of bytes.

use std::{
    io::{self, Read},
    mem,
    sync::{Mutex, PoisonError},
};

use pushpull::{Batch, Message};

use crate::args::Format;

/// What goes through the channel at once: enough to make its cost nothing.
pub const BATCH_RECORDS: usize = 256;
pub const BATCH_BYTES: usize = 256 << 10;

/// The records of one input, in batches of what is at hand.
pub struct Records<R> {
    input: R,
    format: Format,
    longest: usize,
    buffer: Vec<u8>,
    /// The part of the buffer that holds what was read and not yet returned.
    start: usize,
    end: usize,
    at_end: bool,
    number: u64,
}

impl<R: Read> Records<R> {
    pub fn new(input: R, format: Format, longest: u64) -> Self {
        Self {
            input,
            format,
            longest: usize::try_from(longest).unwrap_or(usize::MAX),
            buffer: vec![0; BATCH_BYTES],
            start: 0,
            end: 0,
            at_end: false,
            number: 0,
        }
    }

    /// The next records, and their bytes; `None` at the end. Waits for input only
    /// when there is not a single whole record.
    pub fn next_batch(&mut self) -> io::Result<Option<(Batch, u64)>> {
        let mut batch = Batch::new();
        let mut bytes = 0;
        loop {
            while batch.len() < BATCH_RECORDS && bytes < BATCH_BYTES {
                let (from, to, next) = match self.find() {
                    Ok(Some(found)) => found,
                    Ok(None) => break,
                    // Those before it first; then it is found again.
                    Err(_) if !batch.is_empty() => break,
                    Err(error) => return Err(error),
                };
                batch.push(Message::from(&self.buffer[from..to]));
                bytes += to - from;
                self.number += 1;
                self.start = next;
            }
            if !batch.is_empty() {
                return Ok(Some((batch, bytes as u64)));
            }
            if self.at_end {
                return Ok(None);
            }
            self.fill()?;
        }
    }

    /// Where the next whole record is, and where what follows it begins.
    fn find(&mut self) -> io::Result<Option<(usize, usize, usize)>> {
        let held = &self.buffer[self.start..self.end];
        let (from, length, whole) = match self.format {
            Format::Lines => match memchr::memchr(b'\n', held) {
                Some(length) => (0, length, length + 1),
                None if self.at_end && !held.is_empty() => (0, held.len(), held.len()),
                None => return self.not_yet(held.len()),
            },
            Format::Whole => {
                if !self.at_end || self.number > 0 {
                    return self.not_yet(held.len());
                }
                (0, held.len(), held.len())
            }
            Format::Length => {
                let Some((prefix, rest)) = held.split_first_chunk::<4>() else {
                    return self.cut_off(held.len());
                };
                let length = u32::from_be_bytes(*prefix) as usize;
                if length > self.longest {
                    return Err(self.too_long());
                }
                if rest.len() < length {
                    return self.cut_off(held.len());
                }
                (4, length, 4 + length)
            }
        };
        if length > self.longest {
            return Err(self.too_long());
        }
        let from = self.start + from;
        Ok(Some((from, from + length, self.start + whole)))
    }

    fn not_yet<T>(&self, held: usize) -> io::Result<Option<T>> {
        if held > self.longest {
            return Err(self.too_long());
        }
        Ok(None)
    }

    fn cut_off<T>(&self, held: usize) -> io::Result<Option<T>> {
        if self.at_end && held > 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("record {} is cut off", self.number + 1),
            ));
        }
        Ok(None)
    }

    fn too_long(&self) -> io::Error {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "record {} is longer than {} bytes (see --max-record)",
                self.number + 1,
                self.longest
            ),
        )
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= mem::take(&mut self.start);
        if self.end == self.buffer.len() {
            self.buffer.resize(2 * self.end, 0);
        }
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.at_end = true,
                Ok(n) => self.end += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            }
            return Ok(());
        }
    }
}

/// Ends an input that may be waiting for its user, without loss: what had been
/// read before [`close`](Self::close) still goes its way.
#[derive(Debug, Default)]
pub struct Gate(Mutex<State>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Reading,
    Closed,
}

impl Gate {
    /// Lets nothing more in. Whether the reader is idle: it holds no record then
    /// and never will; else it ends by itself.
    pub fn close(&self) -> bool {
        self.swap(State::Closed) == State::Reading
    }

    fn swap(&self, new: State) -> State {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == State::Closed {
            return State::Closed;
        }
        mem::replace(&mut state, new)
    }
}

/// An input behind a gate.
pub struct Gated<'a, R> {
    pub gate: &'a Gate,
    pub input: R,
}

impl<R: Read> Read for Gated<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let closed = || io::Error::other(Closed);
        if self.gate.swap(State::Reading) == State::Closed {
            return Err(closed());
        }
        let read = self.input.read(buffer);
        if self.gate.swap(State::Open) == State::Closed {
            return Err(closed());
        }
        read
    }
}

/// The gate is closed.
#[derive(Debug)]
pub struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no more input is wanted")
    }
}

impl std::error::Error for Closed {}

pub fn is_closed(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|e| e.is::<Closed>())
}
