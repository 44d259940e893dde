//! `pushpull forward`: one queue to another.

use std::time::{Duration, Instant};

use pushpull::{
    crossbeam_channel::{select, tick, Receiver},
    Batch, DrainFailure, Pull, Push,
};

use crate::{
    args::{ForwardArgs, QueueArgs},
    end::{records, End, Result},
    monitor,
    progress::{Moved, Progress},
    pull::close,
    signals::{interrupts, Heard},
};

pub fn run(args: &ForwardArgs) -> Result {
    let plain = QueueArgs::default();
    let from = plain.config(&args.from, "bind")?;
    let to = plain.config(&args.to, "connect")?;
    let interrupts = interrupts()?;
    let push = Push::open_batched(args.tell.config(to))?;
    let pull = Pull::open_batched(args.tell.config(from))?;
    monitor::beside(push.events(), args.tell.json);
    monitor::beside(pull.events(), args.tell.json);
    let progress = Progress::new("forward", &args.tell, true);
    progress.opened(pull.endpoints(), &args.from);
    progress.opened(push.endpoints(), &args.to);
    let mut way = Way {
        heard: Heard::new(push.stopper()),
        push,
        ticks: tick(progress.period()),
        progress,
        interrupts,
        taken: 0,
    };

    // A batch is taken when the one before is gone, so back-pressure passes through.
    let mut stuck = Vec::new();
    while !way.heard.any() && stuck.is_empty() {
        select! {
            recv(pull.receiver()) -> batch => match batch {
                Ok(batch) => stuck.extend(way.hand_over(batch)),
                Err(_) => break, // the Pull has ended: close tells why
            },
            recv(way.interrupts) -> _ => way.interrupted(),
            recv(way.ticks) -> _ => way.show(),
        }
    }
    // In the order of the flow: no more comes in, then all of it goes out.
    let (left, failed) = close(Some(pull));
    for batch in left {
        let back = match stuck.is_empty() {
            true => way.hand_over(batch),
            false => Some(batch),
        };
        stuck.extend(back);
    }
    way.end(stuck, failed)
}

/// Where it goes.
struct Way {
    push: Push<Batch>,
    progress: Progress,
    interrupts: Receiver<()>,
    ticks: Receiver<Instant>,
    heard: Heard,
    /// Records that came.
    taken: u64,
}

impl Way {
    /// Sends it on, or gives it back when the queue has ended: `end` tells why.
    fn hand_over(&mut self, batch: Batch) -> Option<Batch> {
        self.taken += batch.len() as u64;
        loop {
            select! {
                send(self.push.sender(), batch) -> sent => return sent.err().map(|back| back.0),
                recv(self.interrupts) -> _ => self.interrupted(),
                recv(self.ticks) -> _ => self.show(),
            }
        }
    }

    fn interrupted(&self) {
        if self.heard.another() {
            self.progress.draining();
        }
    }

    fn show(&mut self) {
        let stats = self.push.stats();
        self.progress.show(Moved {
            records: stats.sent,
            bytes: stats.bytes,
            depth: self.taken.saturating_sub(stats.sent),
        });
    }

    fn end(self, stuck: Vec<Batch>, mut failed: Result) -> Result {
        let bytes = self.push.stats().bytes;
        self.heard.clone().listen(self.interrupts);
        let mut lost: u64 = stuck.iter().map(|batch| batch.len() as u64).sum();
        let mut in_doubt = 0;
        if let Err(error) = self.push.drain(Duration::MAX) {
            if let DrainFailure::Worker(cause) = error.failure() {
                failed = failed.and(Err(End::failed(cause)));
            }
            in_doubt = error.unsent().in_doubt();
            lost += error
                .into_unsent()
                .map(|batch| batch.len() as u64)
                .sum::<u64>();
        }
        let records_sent = self.taken - lost.min(self.taken);
        let moved = Moved {
            records: records_sent,
            bytes,
            depth: 0,
        };
        self.progress.end(moved, lost);
        failed?;
        if lost + in_doubt > 0 {
            let mut text = format!("{} of {} went nowhere", records(lost), self.taken);
            if in_doubt > 0 {
                text += &format!(", {in_doubt} more may not have arrived");
            }
            return Err(End::Interrupted(text));
        }
        Ok(())
    }
}
