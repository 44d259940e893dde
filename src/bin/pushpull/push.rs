//! `pushpull push`: standard input to a queue.

use std::{
    fs::File,
    io::{self, stdin, Read},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        Arc,
    },
    thread,
    time::Duration,
};

use pushpull::{
    crossbeam_channel::{bounded, select, tick, Receiver, Sender},
    Batch, DrainFailure, Push,
};

use crate::{
    args::{Format, PushArgs},
    end::{records, End, Result},
    input::{is_closed, Gate, Gated, Records},
    monitor, output,
    progress::{Moved, Progress},
    signals::{interrupts, Heard},
};

/// How often the end looks whether all has gone, which a tick is too slow for.
const LOOK: Duration = Duration::from_millis(10);

pub fn run(args: &PushArgs) -> Result {
    let config = args.queue.config(&args.endpoint, "connect")?;
    // A file that can't be read is told before anything is sent.
    for file in &args.files {
        File::open(file).map_err(|e| named(file, e))?;
    }
    let interrupts = interrupts()?;
    let push = Push::open_batched(args.tell.config(config))?;
    monitor::beside(push.events(), args.tell.json);
    let mut progress = Progress::new("push", &args.tell, true);
    progress.opened(push.endpoints(), &args.endpoint);
    let ticks = tick(progress.period());
    let heard = Heard::new(push.stopper());

    let reader = Arc::new(Reader::default());
    let ended = reader.start(args, push.sender().clone());
    let input = loop {
        select! {
            recv(ended) -> input => break input.unwrap_or(Ok(())),
            recv(interrupts) -> _ => if heard.another() {
                progress.draining();
                if reader.gate.close() {
                    break Ok(()); // it waits for its user, and has nothing in hand
                }
            },
            recv(ticks) -> _ => progress.show(reader.moved(&push)),
        }
    };
    let early = heard.any();

    let mut eof = (args.eof && input.is_ok() && !early)
        .then(|| vec![output::eof(reader.accepted.load(Relaxed))]);
    while let Some(batch) = eof.take() {
        select! {
            send(push.sender(), batch) -> _ => {} // fails when the queue has ended: drain tells why
            recv(interrupts) -> _ => {
                if heard.another() {
                    progress.draining();
                }
                eof = Some(batch);
            }
            recv(ticks) -> _ => {
                progress.show(reader.moved(&push));
                eof = Some(batch);
            }
        }
    }
    // While there is something to show, it is shown; the last bit is drain's.
    while progress.is_shown() && args.deadline.is_none() && !heard.twice() {
        if push.stats().backlog() == 0 {
            break;
        }
        select! {
            recv(interrupts) -> _ => if heard.another() {
                progress.draining();
            },
            recv(ticks) -> _ => progress.show(reader.moved(&push)),
            default(LOOK) => {}
        }
    }
    heard.clone().listen(interrupts);
    let drained = push.drain(args.deadline.unwrap_or(Duration::MAX));

    let mut end = Ok(());
    let (mut unsent, mut in_doubt) = (0, 0);
    if let Err(error) = drained {
        if let DrainFailure::Worker(cause) = error.failure() {
            end = Err(End::failed(cause));
        }
        in_doubt = error.unsent().in_doubt();
        let batches = error.into_unsent();
        let count = |batch: Batch| {
            batch
                .iter()
                .filter(|m| output::from_eof(m).is_none())
                .count()
        };
        unsent = batches.map(count).sum::<usize>() as u64;
    }
    // And what the reader could not get rid of.
    let read = reader.read.load(Relaxed);
    let lost = unsent + (read - reader.accepted.load(Relaxed));
    let moved = Moved {
        records: read - lost,
        bytes: reader.bytes.load(Relaxed),
        depth: 0,
    };
    progress.end(moved, lost);
    input.map_err(End::Failed)?;
    end?;
    if lost + in_doubt > 0 {
        let mut text = format!("{} of {read} went nowhere", records(lost));
        if in_doubt > 0 {
            text += &format!(", {in_doubt} more may not have arrived");
        }
        return Err(match heard.any() {
            true => End::Interrupted(text),
            false => End::Lost(text),
        });
    }
    match early {
        true => Err(End::Interrupted(format!(
            "interrupted; {} handed over",
            records(read)
        ))),
        false => Ok(()),
    }
}

fn named(file: &Path, error: io::Error) -> End {
    End::Failed(format!("{}: {error}", file.display()))
}

/// The thread that waits for input, and for room in the channel.
#[derive(Default)]
struct Reader {
    gate: Gate,
    read: AtomicU64,
    accepted: AtomicU64,
    bytes: AtomicU64,
}

impl Reader {
    /// Tells once when it is through, or why it isn't.
    fn start(
        self: &Arc<Self>,
        args: &PushArgs,
        sender: Sender<Batch>,
    ) -> Receiver<std::result::Result<(), String>> {
        let (tell, ended) = bounded(1);
        let reader = Arc::clone(self);
        let (files, format, longest) = (args.files.clone(), args.format, args.max_record);
        thread::spawn(move || {
            let _ = tell.send(reader.read_all(&files, format, longest, &sender));
        });
        ended
    }

    fn read_all(
        &self,
        files: &[PathBuf],
        format: Format,
        longest: u64,
        sender: &Sender<Batch>,
    ) -> std::result::Result<(), String> {
        let told = |name: &str, done: io::Result<bool>| match done {
            Err(e) if is_closed(&e) => Ok(false),
            Err(e) => Err(format!("{name}: {e}")),
            Ok(more) => Ok(more),
        };
        if files.is_empty() {
            let done = self.read_one(stdin().lock(), format, longest, sender);
            return told("standard input", done).map(drop);
        }
        for file in files {
            let done =
                File::open(file).and_then(|input| self.read_one(input, format, longest, sender));
            if !told(&file.display().to_string(), done)? {
                break;
            }
        }
        Ok(())
    }

    /// Whether more is wanted.
    fn read_one(
        &self,
        input: impl Read,
        format: Format,
        longest: u64,
        sender: &Sender<Batch>,
    ) -> io::Result<bool> {
        let input = Gated {
            gate: &self.gate,
            input,
        };
        let mut records = Records::new(input, format, longest);
        while let Some((batch, bytes)) = records.next_batch()? {
            let count = batch.len() as u64;
            self.read.fetch_add(count, Relaxed);
            if sender.send(batch).is_err() {
                return Ok(false); // the queue has ended: drain tells why
            }
            self.accepted.fetch_add(count, Relaxed);
            self.bytes.fetch_add(bytes, Relaxed);
        }
        Ok(true)
    }

    fn moved(&self, push: &Push<Batch>) -> Moved {
        let stats = push.stats();
        Moved {
            // Without the record that tells the end.
            records: stats.sent.min(self.read.load(Relaxed)),
            bytes: stats.bytes.min(self.bytes.load(Relaxed)),
            depth: self.read.load(Relaxed).saturating_sub(stats.sent),
        }
    }
}
