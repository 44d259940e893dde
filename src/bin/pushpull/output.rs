//! Bytes out of records, and the word about the end that two of this program
//! pass between them.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
};

use pushpull::Message;

use crate::args::Format;

/// Written at once. Also the most that waits here while more comes.
const BLOCK: usize = 256 << 10;

/// Records on their way to standard output.
pub struct Output {
    format: Format,
    to: File,
    block: Vec<u8>,
}

impl Output {
    pub fn new(format: Format) -> io::Result<Self> {
        Ok(Self {
            format,
            to: standard_output()?,
            block: Vec::with_capacity(2 * BLOCK),
        })
    }

    /// Whether it is time to flush.
    pub fn put(&mut self, record: &Message) -> bool {
        if self.format == Format::Length {
            // Never more: a peer's limit, `max_message_size`, would have to be set so.
            let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
            self.block.extend_from_slice(&length.to_be_bytes());
        }
        for frame in record.frames() {
            self.block.extend_from_slice(frame);
        }
        if self.format == Format::Lines {
            self.block.push(b'\n');
        }
        self.block.len() >= BLOCK
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.to.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }
}

/// Standard output without std's own buffer, which looks for newlines.
fn standard_output() -> io::Result<File> {
    #[cfg(unix)]
    use std::os::fd::AsFd as _;
    #[cfg(windows)]
    use std::os::windows::io::AsHandle as _;

    let stdout = io::stdout();
    #[cfg(unix)]
    let own = stdout.as_fd().try_clone_to_owned()?;
    #[cfg(windows)]
    let own = stdout.as_handle().try_clone_to_owned()?;
    Ok(own.into())
}

pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether nobody reads standard output any more: a filter that has nothing to
/// write would never find out.
pub fn is_closed() -> bool {
    #[cfg(unix)]
    {
        use rustix::event::{poll, PollFd, PollFlags, Timespec};
        let stdout = io::stdout();
        let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::ERR)
    }
    #[cfg(not(unix))]
    false
}

/// The last message of `push --eof`.
pub fn eof(records: u64) -> Message {
    Message::multipart([&b"pushpull"[..], b"eof", records.to_string().as_bytes()])
}

/// How many records its sender sent, if it is that message. No record of push has
/// more than one frame.
pub fn from_eof(message: &Message) -> Option<u64> {
    let mut frames = message.frames();
    if frames.len() != 3 || frames.next() != Some(b"pushpull") || frames.next() != Some(b"eof") {
        return None;
    }
    std::str::from_utf8(frames.next()?).ok()?.parse().ok()
}
