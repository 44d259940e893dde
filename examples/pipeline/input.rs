//! What there is to send: the lines of a file, or a generated million.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use pushpull::Message;

/// A line longer than this travels in several messages, so that memory stays
/// bounded: queues count messages, whatever their size.
const LONGEST: u64 = 64 << 10;

const GENERATED: u64 = 1_000_000;

/// The messages. Each is a line with its newline, if it has one, so that all of
/// them together are the file.
pub enum Input {
    File {
        name: String,
        lines: BufReader<File>,
        size: u64,
    },
    Generated {
        next: u64,
    },
}

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub enum Total {
    Unknown,
    Bytes(u64),
    Messages(u64),
}

impl Input {
    pub fn open(file: Option<&Path>) -> io::Result<Self> {
        let Some(path) = file else {
            return Ok(Self::Generated { next: 0 });
        };
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| named(&name, e))?;
        let size = file.metadata().map_err(|e| named(&name, e))?.len();
        Ok(Self::File {
            name,
            lines: BufReader::with_capacity(LONGEST as usize, file),
            size,
        })
    }

    pub fn total(&self) -> Total {
        match self {
            Self::Generated { .. } => Total::Messages(GENERATED),
            Self::File { size: 0, .. } => Total::Unknown, // a pipe, say
            Self::File { size, .. } => Total::Bytes(*size),
        }
    }
}

impl Iterator for Input {
    type Item = io::Result<Message>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Generated { next: GENERATED } => None,
            Self::Generated { next } => {
                *next += 1;
                Some(Ok(format!("message {next:>7} of {GENERATED}\n").into()))
            }
            Self::File { name, lines, .. } => {
                let mut line = Vec::new();
                match lines.take(LONGEST).read_until(b'\n', &mut line) {
                    Ok(0) => None,
                    Ok(_) => Some(Ok(line.into())),
                    Err(error) => Some(Err(named(name, error))),
                }
            }
        }
    }
}

fn named(name: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {error}"))
}
