//! What the runner in `benches/peers` and the processes that it starts say to
//! one another. One file for both workspaces: ours and the stock crates can't
//! be in one, since two `zmq-sys` can't.
//!
//! A process is started as `PROGRAM peer IMPLEMENTATION ROLE ENDPOINT BACK SIZE
//! COUNT`, prints single words as it gets on (`bound`, `met`), reads single
//! words from its standard input when it is to go on (`go`, `end`), and at the
//! end prints one line of `result key=value ...`.
//!
//! Times are CLOCK_MONOTONIC in nanoseconds, one clock for the whole machine.

#![allow(dead_code)]

use std::io::{self, BufRead, Write};

/// The high-water mark and channel capacity of everything that has one.
pub const HIGH_WATER: usize = 1000;

/// Round trips before the measured ones.
pub const WARM_UP: u64 = 1000;

/// What one process is to do.
#[derive(Clone, Debug)]
pub struct Job {
    pub implementation: String,
    pub role: String,
    /// Where a pull, an echo or a ping listens, and a push calls.
    pub endpoint: String,
    /// Where an echo or a ping calls.
    pub back: String,
    pub size: usize,
    pub count: u64,
}

impl Job {
    /// `None` when the program was not started by the runner.
    pub fn from_args() -> Option<Self> {
        let args: Vec<_> = std::env::args().skip(1).collect();
        match args.as_slice() {
            [peer, implementation, role, endpoint, back, size, count] if peer == "peer" => {
                Some(Self {
                    implementation: implementation.clone(),
                    role: role.clone(),
                    endpoint: endpoint.clone(),
                    back: back.clone(),
                    size: size.parse().expect("a size"),
                    count: count.parse().expect("a count"),
                })
            }
            _ => None,
        }
    }

    pub fn to_args(&self) -> Vec<String> {
        let (size, count) = (self.size.to_string(), self.count.to_string());
        [
            "peer",
            &self.implementation,
            &self.role,
            &self.endpoint,
            &self.back,
            &size,
            &count,
        ]
        .map(String::from)
        .to_vec()
    }

    /// How many messages a batch has: up to 128, and not much over 256 KiB.
    pub fn batch(&self) -> usize {
        (256 * 1024 / self.size).clamp(1, 128)
    }
}

/// Tells the runner how far this process is.
pub fn say(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .expect("the runner is there");
}

/// Waits until the runner says `word`.
pub fn await_word(word: &str) {
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .expect("the runner is there");
    assert_eq!(line.trim(), word, "what the runner says");
}

pub fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes the struct.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Processor time of this process so far, user and system, in nanoseconds.
pub fn cpu() -> u64 {
    // SAFETY: all zero is a valid rusage, which the call fills.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let nanos = |t: libc::timeval| t.tv_sec as u64 * 1_000_000_000 + t.tv_usec as u64 * 1000;
    nanos(usage.ru_utime) + nanos(usage.ru_stime)
}

/// Peak memory of this process in KiB. Not `ru_maxrss`, which a process
/// inherits from the one that started it.
pub fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .and_then(|l| l.split_whitespace().next())
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

pub fn result(since: u64, more: &str) {
    say(&format!(
        "result cpu={} whole={} peak={} {more}",
        cpu() - since,
        cpu(),
        peak()
    ));
}

const GREETING: u64 = u64::MAX;

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}

/// The pushing side of a throughput run: connect, send the [`greeting`],
/// [`go`], send what [`next`] gives, [`end`].
///
/// [`greeting`]: Self::greeting
/// [`go`]: Self::go
/// [`next`]: Self::next
/// [`end`]: Self::end
pub struct Sending {
    payload: Vec<u8>,
    seq: u64,
    count: u64,
    begin: u64,
    cpu: u64,
}

impl Sending {
    pub fn new(job: &Job) -> Self {
        Self {
            payload: vec![b'x'; job.size.max(8)],
            seq: 0,
            count: job.count,
            begin: 0,
            cpu: 0,
        }
    }

    /// Goes ahead of all, so that nobody's handshake is measured.
    pub fn greeting(&mut self) -> &[u8] {
        self.payload[..8].copy_from_slice(&GREETING.to_le_bytes());
        &self.payload
    }

    pub fn go(&mut self) {
        await_word("go");
        self.cpu = cpu();
        self.begin = now();
    }

    #[inline]
    pub fn next(&mut self) -> Option<&[u8]> {
        if self.seq == self.count {
            return None;
        }
        self.payload[..8].copy_from_slice(&self.seq.to_le_bytes());
        self.seq += 1;
        Some(&self.payload)
    }

    /// Comes back when everything has arrived: a stock libzmq loses what is on
    /// its way when an ipc connection closes.
    pub fn end(self) {
        let sent = now();
        await_word("end");
        result(self.cpu, &format!("begin={} sent={sent}", self.begin));
    }
}

/// The pulling side: bind, [`bound`](Self::bound), give all that comes to
/// [`take`](Self::take) until it says false, [`end`](Self::end).
pub struct Receiving {
    size: usize,
    expected: u64,
    count: u64,
    cpu: u64,
}

impl Receiving {
    pub fn new(job: &Job) -> Self {
        Self {
            size: job.size.max(8),
            expected: GREETING,
            count: job.count,
            cpu: 0,
        }
    }

    pub fn bound(&self) {
        say("bound");
    }

    /// Checks a message; false after the last one.
    #[inline]
    pub fn take(&mut self, bytes: &[u8]) -> bool {
        assert_eq!(bytes.len(), self.size, "the size of a message");
        assert_eq!(number(bytes), self.expected, "the order of the messages");
        self.expected = self.expected.wrapping_add(1);
        if self.expected == 0 {
            self.met();
        }
        self.expected != self.count
    }

    #[cold]
    fn met(&mut self) {
        self.cpu = cpu();
        say("met");
    }

    pub fn end(self) {
        let last = now();
        result(self.cpu, &format!("last={last}"));
    }
}

/// The side of a latency run that asks and measures: bind, [`bound`], connect,
/// then [`next`] and [`back`] in turn until there is no next, [`end`].
///
/// [`bound`]: Self::bound
/// [`next`]: Self::next
/// [`back`]: Self::back
/// [`end`]: Self::end
pub struct Pinging {
    payload: Vec<u8>,
    seq: u64,
    count: u64,
    asked: u64,
    cpu: u64,
    times: Vec<u32>,
}

impl Pinging {
    pub fn new(job: &Job) -> Self {
        Self {
            payload: vec![b'x'; job.size.max(8)],
            seq: 0,
            count: job.count + WARM_UP,
            asked: 0,
            cpu: 0,
            times: Vec::with_capacity(job.count as usize),
        }
    }

    /// Comes back when the other side listens too.
    pub fn bound(&self) {
        say("bound");
        await_word("go");
    }

    #[inline]
    pub fn next(&mut self) -> Option<&[u8]> {
        if self.seq == self.count {
            return None;
        }
        if self.seq == WARM_UP {
            self.cpu = cpu();
        }
        self.payload[..8].copy_from_slice(&self.seq.to_le_bytes());
        self.asked = now();
        Some(&self.payload)
    }

    #[inline]
    pub fn back(&mut self, bytes: &[u8]) {
        let time = now() - self.asked;
        assert_eq!(bytes.len(), self.payload.len(), "the size of an answer");
        assert_eq!(number(bytes), self.seq, "the order of the answers");
        if self.seq >= WARM_UP {
            self.times.push(time.try_into().unwrap_or(u32::MAX));
        }
        self.seq += 1;
    }

    pub fn end(mut self) {
        let since = self.cpu;
        self.times.sort_unstable();
        let at = |percent: usize| {
            self.times[(self.times.len() * percent / 100).min(self.times.len() - 1)]
        };
        result(since, &format!("p50={} p99={}", at(50), at(99)));
    }
}

/// The side of a latency run that answers: bind, [`bound`](Self::bound),
/// connect, send everything back until [`answered`](Self::answered) says
/// false, [`end`](Self::end).
pub struct Echoing {
    left: u64,
    count: u64,
    cpu: u64,
}

impl Echoing {
    pub fn new(job: &Job) -> Self {
        Self {
            left: job.count + WARM_UP,
            count: job.count,
            cpu: 0,
        }
    }

    pub fn bound(&self) {
        say("bound");
        await_word("go");
    }

    /// Counts an answer; false after the last one.
    #[inline]
    pub fn answered(&mut self) -> bool {
        self.left -= 1;
        if self.left == self.count {
            self.cpu = cpu();
        }
        self.left > 0
    }

    pub fn end(self) {
        let since = self.cpu;
        await_word("end");
        result(since, "");
    }
}
