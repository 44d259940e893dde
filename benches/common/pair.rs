//! One measurement: two processes, the word passed between them, and what they
//! found.

use super::protocol::Job;
use std::{
    collections::HashMap,
    fs,
    io::{self, BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{channel, Receiver},
    thread,
    time::{Duration, Instant},
};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Test {
    /// Throughput of messages of so many bytes.
    Size(usize),
    /// Round trips of 64 bytes.
    RoundTrip,
}

/// What one run found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Messages in a second, or round trips.
    pub rate: f64,
    /// Nanoseconds of a round trip: the middle one, and of the slowest
    /// hundredth the fastest.
    pub p50: f64,
    pub p99: f64,
    /// Processor time for each message, in nanoseconds: of the pushing (or
    /// asking) process, and of the other.
    pub cpu: [f64; 2],
    /// Peak memory of the two in MB.
    pub peak: [f64; 2],
    /// How much of the machine's processors everybody else had.
    pub others: f64,
}

/// No run takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A queue with a channel holds 2000 messages on either side. Of a run that moves
/// little more than that, most is the first touch of fresh memory, and at 1 MiB
/// nothing else: it would tell who holds fewer.
const LEAST: u64 = 12_000;

/// About a second's worth for a bare loop over the stock libzmq.
pub fn count(size: usize) -> u64 {
    let nanos = match size {
        0..=512 => 180,
        513..=4096 => 1_100,
        4097..=262_144 => size as u64 * 4 / 5,
        _ => size as u64 / 3,
    };
    1_000_000_000 / nanos
}

/// Of `rounds` runs the one whose rate is the middle one.
pub fn middle(
    rounds: usize,
    program: &Path,
    name: &str,
    transport: &str,
    test: Test,
    scale: f64,
) -> io::Result<Sample> {
    let mut samples = (0..rounds)
        .map(|_| run(program, name, transport, test, scale))
        .collect::<Result<Vec<_>, _>>()
        .map_err(io::Error::other)?;
    samples.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    Ok(samples[rounds / 2])
}

/// One run of `program`, playing `name`, with `scale` times the usual number of
/// messages.
pub fn run(
    program: &Path,
    name: &str,
    transport: &str,
    test: Test,
    scale: f64,
) -> Result<Sample, String> {
    let (size, count, roles) = match test {
        Test::Size(size) => (size, count(size), ["push", "pull"]),
        Test::RoundTrip => (64, 20_000, ["ping", "echo"]),
    };
    let least = match test {
        Test::Size(_) => LEAST,
        Test::RoundTrip => 20,
    };
    let count = ((count as f64 * scale) as u64).max(least);
    let places = Places::new(transport);
    let job = |role: usize| Job {
        implementation: name.to_owned(),
        role: roles[role].to_owned(),
        endpoint: places.at[if test == Test::RoundTrip { role } else { 1 }].clone(),
        back: places.at[1 - role].clone(),
        size,
        count,
    };

    let busy_before = busy();
    let mut second = Process::start(program, &job(1))?;
    second.hear("bound")?;
    let mut first = Process::start(program, &job(0))?;
    let (front, back);
    if test == Test::RoundTrip {
        first.hear("bound")?;
        second.tell("go")?;
        first.tell("go")?;
        front = first.result()?;
        second.tell("end")?;
        back = second.result()?;
    } else {
        second.hear("met")?;
        first.tell("go")?;
        back = second.result()?;
        first.tell("end")?;
        front = first.result()?;
    }
    let busy = busy() - busy_before;
    let whole = (front["whole"] + back["whole"]) as f64 / 1e9;
    first.leave()?;
    second.leave()?;

    let count = count as f64;
    let mut sample = Sample {
        cpu: [front["cpu"] as f64 / count, back["cpu"] as f64 / count],
        peak: [front["peak"] as f64 / 1024.0, back["peak"] as f64 / 1024.0],
        others: ((busy.0 - whole) / busy.1).max(0.0),
        ..Sample::default()
    };
    if test == Test::RoundTrip {
        sample.p50 = front["p50"] as f64;
        sample.p99 = front["p99"] as f64;
        sample.rate = 1e9 / sample.p50;
    } else {
        sample.rate = count * 1e9 / (back["last"] - front["begin"]) as f64;
    }
    Ok(sample)
}

/// Processor time of the whole machine in seconds: busy (without interrupts,
/// which may be anybody's), and in all.
#[derive(Clone, Copy)]
pub struct Busy(pub f64, pub f64);

impl std::ops::Sub for Busy {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self(self.0 - before.0, self.1 - before.1)
    }
}

pub fn busy() -> Busy {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|n| n.parse().ok())
        .collect();
    // user, nice, system; and what a hypervisor took.
    let mine: f64 = ticks.iter().take(3).chain(ticks.get(7)).sum();
    let all: f64 = ticks.iter().take(8).sum();
    Busy(mine / 100.0, all / 100.0)
}

/// Two endpoints that nobody else uses.
pub struct Places {
    pub at: [String; 2],
    folder: Option<PathBuf>,
}

impl Places {
    pub fn new(transport: &str) -> Self {
        if transport == "tcp" {
            let listeners =
                [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
            let at = listeners.map(|l| format!("tcp://{}", l.local_addr().expect("an address")));
            return Self { at, folder: None };
        }
        let folder = std::env::temp_dir().join(format!("pushpull-peers-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for sockets");
        Self {
            at: ["a", "b"].map(|name| format!("ipc://{}", folder.join(name).display())),
            folder: Some(folder),
        }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// A process that plays one part, and is gone when this is.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    until: Instant,
}

impl Process {
    pub fn start(program: &Path, job: &Job) -> Result<Self, String> {
        let mut child = Command::new(program)
            .args(job.to_args())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{}: {e}", program.display()))?;
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            child,
            lines,
            until: Instant::now() + PATIENCE,
        })
    }

    fn line(&self) -> Result<String, String> {
        let left = self.until.saturating_duration_since(Instant::now());
        self.lines
            .recv_timeout(left)
            .map_err(|e| format!("no word from it ({e})"))
    }

    pub fn hear(&self, word: &str) -> Result<(), String> {
        match self.line()? {
            line if line == word => Ok(()),
            other => Err(format!("said {other:?} instead of {word}")),
        }
    }

    pub fn tell(&mut self, word: &str) -> Result<(), String> {
        let input = self.child.stdin.as_mut().expect("piped");
        writeln!(input, "{word}").map_err(|e| format!("does not listen: {e}"))
    }

    pub fn result(&self) -> Result<HashMap<String, u64>, String> {
        let line = self.line()?;
        let values = line
            .strip_prefix("result ")
            .ok_or_else(|| format!("said {line:?} instead of its result"))?;
        Ok(values
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?)))
            .collect())
    }

    /// Gives the process a moment to end by itself.
    pub fn leave(mut self) -> Result<(), String> {
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("ended with {status}")),
                _ => thread::sleep(Duration::from_millis(1)),
            }
        }
        Err("does not end".to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
