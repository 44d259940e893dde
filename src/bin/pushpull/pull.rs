//! `pushpull pull`: a queue to standard output.

use std::{
    io,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        Arc,
    },
    thread,
    time::Instant,
};

use pushpull::{
    crossbeam_channel::{bounded, select, tick, unbounded, Receiver, Sender, TryRecvError},
    Batch, Message, Pull, Stopper,
};

use crate::{
    args::PullArgs,
    end::{records, End, Result},
    monitor,
    output::{self, Output},
    progress::{Moved, Progress},
    signals::{interrupts, Heard},
};

pub fn run(args: &PullArgs) -> Result {
    let config = args.queue.config(&args.endpoint, "bind")?;
    let interrupts = interrupts()?;
    let output = Output::new(args.format).map_err(End::of_output)?;
    let pull = Pull::open_batched(args.tell.config(config))?;
    monitor::beside(pull.events(), args.tell.json);
    let mut progress = Progress::new("pull", &args.tell, !output::is_terminal());
    progress.opened(pull.endpoints(), &args.endpoint);
    let period = progress.period();
    let ticks = tick(args.idle.map_or(period, |idle| period.min(idle / 4)));

    let stopper = pull.stopper();
    let heard = Heard::new(stopper.clone());
    let counted = Arc::new(Counted::default());
    let (rest, more) = unbounded();
    let writer = Writer {
        output,
        counted: Arc::clone(&counted),
        unwritten: 0,
        count: args.count,
        eof: args.eof,
        stopper: stopper.clone(),
    };
    let words = writer.start(pull.receiver().clone(), more);
    let (mut pull, mut rest) = (Some(pull), Some(rest));
    let mut failed = Ok(());
    let mut last = (0, Instant::now());
    let ended = loop {
        select! {
            recv(words) -> word => match word {
                Ok(Word::Through) => {
                    // After the channel, in its order: what libzmq still had.
                    let left;
                    (left, failed) = close(pull.take());
                    if let Some(rest) = rest.take() {
                        left.into_iter().for_each(|batch| drop(rest.send(batch)));
                    }
                }
                Ok(Word::Ended(how)) => break Some(how),
                Err(_) => break None,
            },
            recv(interrupts) -> _ => {
                if !heard.another() {
                    break None;
                }
                progress.draining();
                stopper.stop(); // the writer ends when it has written the rest
            }
            recv(ticks) -> _ => {
                let stats = pull.as_ref().map(Pull::stats).unwrap_or_default();
                progress.show(counted.moved(stats.received));
                if stats.received != last.0 {
                    last = (stats.received, Instant::now());
                }
                if args.idle.is_some_and(|idle| last.1.elapsed() >= idle) {
                    stopper.stop();
                }
                if output::is_closed() {
                    break Some(Err(io::ErrorKind::BrokenPipe.into()));
                }
            }
        }
    };

    let left;
    if pull.is_some() {
        (left, failed) = close(pull);
    } else {
        left = Vec::new();
    }
    let moved = counted.moved(0);
    let lost = counted.unwritten() + left.iter().map(|batch| batch.len() as u64).sum::<u64>();
    progress.end(moved, lost);
    failed?;
    let unwritten = format!("{} that had come were not written", records(lost));
    match ended {
        None => return Err(End::Interrupted(unwritten)),
        Some(Ok(())) => {}
        Some(Err(error)) => {
            return Err(match End::of_output(error) {
                End::Closed(_) => End::Closed((lost > 0).then_some(unwritten)),
                End::Failed(text) if lost > 0 => End::Failed(format!("{text}; {unwritten}")),
                other => other,
            })
        }
    }
    let told = counted.told.load(Relaxed);
    let all = args
        .eof
        .is_some_and(|senders| counted.ends.load(Relaxed) >= senders);
    let enough = args.count.is_some_and(|count| moved.records >= count);
    if enough && lost > 0 {
        eprintln!("pushpull: {unwritten}");
    }
    if all && told != moved.records && !enough {
        return Err(End::Lost(format!(
            "the senders told of {}, and {} came",
            records(told),
            moved.records
        )));
    }
    if (args.eof.is_some() || args.count.is_some()) && !all && !enough {
        let text = format!(
            "ended after {}, before all had come",
            records(moved.records)
        );
        return Err(match heard.any() {
            true => End::Interrupted(text),
            false => End::Lost(text),
        });
    }
    Ok(())
}

pub fn close(pull: Option<Pull<Batch>>) -> (Vec<Batch>, Result) {
    match pull.map(Pull::close) {
        None => (Vec::new(), Ok(())),
        Some(Ok(left)) => (left.collect(), Ok(())),
        Some(Err(error)) => {
            let failed = Err(End::failed(error.cause()));
            (error.into_leftover().collect(), failed)
        }
    }
}

/// What the writer has done, for everybody to see.
#[derive(Default)]
struct Counted {
    /// Taken from the queue.
    seen: AtomicU64,
    written: AtomicU64,
    bytes: AtomicU64,
    /// Senders' ends, and how many records they told of.
    ends: AtomicU64,
    told: AtomicU64,
}

impl Counted {
    fn unwritten(&self) -> u64 {
        let gone = self.written.load(Relaxed) + self.ends.load(Relaxed);
        self.seen.load(Relaxed).saturating_sub(gone)
    }

    fn moved(&self, received: u64) -> Moved {
        let written = self.written.load(Relaxed);
        Moved {
            records: written,
            bytes: self.bytes.load(Relaxed),
            depth: received.saturating_sub(written + self.ends.load(Relaxed)),
        }
    }
}

/// What the writer tells.
enum Word {
    /// The queue's channel has come to its end.
    Through,
    /// All is written that should be, or nothing more can be.
    Ended(io::Result<()>),
}

/// The thread that waits for room in standard output.
struct Writer {
    output: Output,
    counted: Arc<Counted>,
    /// In the output's block.
    unwritten: u64,
    count: Option<u64>,
    eof: Option<u64>,
    stopper: Stopper,
}

/// Enough has been written.
struct Enough;

impl Writer {
    fn start(mut self, channel: Receiver<Batch>, rest: Receiver<Batch>) -> Receiver<Word> {
        let (tell, words) = bounded(2);
        thread::spawn(move || {
            let how = self.write_all(&channel, &rest, &tell);
            let _ = tell.send(Word::Ended(how));
        });
        words
    }

    fn write_all(
        &mut self,
        channel: &Receiver<Batch>,
        rest: &Receiver<Batch>,
        tell: &Sender<Word>,
    ) -> io::Result<()> {
        if self.write_from(channel)?.is_some() {
            return Ok(());
        }
        let _ = tell.send(Word::Through);
        self.write_from(rest)?;
        Ok(())
    }

    fn write_from(&mut self, channel: &Receiver<Batch>) -> io::Result<Option<Enough>> {
        loop {
            let batch = match channel.try_recv() {
                Ok(batch) => batch,
                Err(TryRecvError::Disconnected) => return self.flush().map(|()| None),
                Err(TryRecvError::Empty) => {
                    self.flush()?;
                    match channel.recv() {
                        Ok(batch) => batch,
                        Err(_) => return Ok(None),
                    }
                }
            };
            self.counted.seen.fetch_add(batch.len() as u64, Relaxed);
            for message in &batch {
                self.write(message)?;
                let written = self.counted.written.load(Relaxed) + self.unwritten;
                if self.count.is_some_and(|count| written >= count) {
                    self.flush()?;
                    return Ok(Some(Enough));
                }
            }
        }
    }

    fn write(&mut self, message: &Message) -> io::Result<()> {
        if let Some(told) = output::from_eof(message) {
            self.counted.told.fetch_add(told, Relaxed);
            let ends = self.counted.ends.fetch_add(1, Relaxed) + 1;
            if self.eof == Some(ends) {
                self.stopper.stop();
            }
            return Ok(());
        }
        self.unwritten += 1;
        self.counted.bytes.fetch_add(message.len() as u64, Relaxed);
        if self.output.put(message) {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()?;
        let written = std::mem::take(&mut self.unwritten);
        self.counted.written.fetch_add(written, Relaxed);
        Ok(())
    }
}
