//! The worker of a [`Pull`](super::Pull): from the socket to the channel.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::Sender;

use crate::{
    attach::Attached,
    context::{Events, RawFrame},
    control::{Lookout, Order, Woken, CARE},
    error::WorkerError,
    message::{Item, Message},
    monitor::WaitingFor,
    native,
    say::say,
    stall::Stall,
    stats::Counters,
    worker::{guarded, Failed},
};

/// What a worker leaves behind.
pub(super) struct Ended<T> {
    pub(super) leftover: Vec<T>,
    pub(super) cut_short: u64,
    pub(super) cause: Option<WorkerError>,
}

/// The worker: it owns the socket, and holds no message while it waits.
pub(super) struct Carrier<T: Item> {
    name: Arc<str>,
    attached: Attached,
    out: Sender<T>,
    /// The frames so far of a message of several.
    parts: Vec<RawFrame>,
    /// What was just received, each list empty whenever the worker waits.
    frames: Vec<RawFrame>,
    messages: Vec<Message>,
    held: Vec<T>,
    /// Peers of which something may be lost.
    cut_short: u64,
    waits: native::Waits,
    stall: Stall,
    counters: Arc<Counters>,
}

/// What was just taken from libzmq.
struct Came {
    frames: usize,
    bytes: usize,
}

/// How long closing waits for libzmq's threads: they answer in microseconds,
/// unless one is resolving a name.
const PATIENCE: Duration = Duration::from_millis(20);

/// When nothing has come for so long, what a sender's kernel had over tcp has
/// come. Within one machine that takes microseconds.
const QUIET: Duration = Duration::from_millis(5);

/// How long it looks elsewhere meanwhile.
const MOMENT: Duration = Duration::from_micros(200);

/// The most messages that make one batch.
const BATCH: usize = 128;

/// The most messages that are taken from libzmq at once, otherwise.
const RUN: usize = 512;

/// Messages of so many bytes take longer to come than it is worth looking out
/// for the next one, at the few gigabytes a second that a connection moves:
/// see [`Lookout`].
const SLOW: usize = 64 << 10;

impl<T: Item> Carrier<T> {
    pub(super) fn new(
        name: Arc<str>,
        attached: Attached,
        out: Sender<T>,
        stall_after: Duration,
    ) -> Self {
        Self {
            stall: Stall::new(&name, &attached.monitor, stall_after),
            name,
            attached,
            out,
            parts: Vec::new(),
            frames: Vec::new(),
            messages: Vec::new(),
            held: Vec::new(),
            cut_short: 0,
            waits: native::Waits::default(),
            counters: Arc::default(),
        }
    }

    pub(super) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    pub(super) fn carry(mut self) -> Ended<T> {
        let name = Arc::clone(&self.name);
        let cause = guarded(&name, || self.run()).err();
        if let Some(cause) = &cause {
            say(|| log::error!("{cause}"));
        }
        self.end(cause)
    }

    fn run(&mut self) -> Result<(), Failed> {
        let mut lookout = Lookout::new();
        while self.attached.listener.order() == Order::Run {
            #[cfg(test)]
            crate::worker::fault::point(&self.name);
            if self.attached.listener.is_paused() {
                self.stall.flows();
                self.attached.listener.rest();
                self.care()?;
                continue;
            }
            let room = self.room();
            if room == 0 {
                // Full for a while, or an order came: peers may have left.
                self.care()?;
                continue;
            }
            let Came { frames, bytes } = self.receive(room)?;
            // The rest of a message may be here already.
            if self.messages.is_empty() && (frames > 0 || lookout.goes_on()) {
                continue;
            }
            lookout = if bytes > SLOW * self.messages.len() {
                Lookout::default()
            } else {
                Lookout::new()
            };
            if self.messages.is_empty() {
                let until = self.waits.any().then(|| Instant::now() + CARE);
                self.attached
                    .listener
                    .poll(&self.attached.socket, Events::IN, until)
                    .map_err(|f| Failed("wait for its socket", f))?;
                continue;
            }
            if self.hand_over() == Woken::Gone {
                say(|| log::info!("{}: the last receiver is gone, ending", self.name));
                return Ok(());
            }
        }
        Ok(())
    }

    fn care(&self) -> Result<(), Failed> {
        native::care(&self.attached.socket).map_err(|f| Failed("look after its socket", f))
    }

    /// The channel is full: tells how long to wait for room.
    fn patience(&mut self) -> Duration {
        // Where nothing can be in the channel, it may be full and nothing wait.
        if self.out.is_empty() && native::waiting(&self.attached.socket) == 0 {
            self.stall.flows();
            return CARE;
        }
        let delivered = self.counters.delivered.get();
        self.stall.waits(delivered, || WaitingFor::Receiver)
    }

    /// How many messages to take from libzmq, so that all find room; waits for
    /// it up to `CARE`.
    fn room(&mut self) -> usize {
        let free = self
            .out
            .capacity()
            .map_or(usize::MAX, |c| c - self.out.len());
        let items = if free > 0 {
            self.stall.flows();
            free
        } else {
            // A channel that nobody receives from has room for one: the
            // hand-over finds out that it is gone.
            self.counters.stalls.add(1);
            let patience = self.patience();
            let since = Instant::now();
            let woken = self.attached.listener.room(&self.out, patience);
            let blocked = since.elapsed().as_nanos();
            self.counters.blocked.add(blocked as usize);
            usize::from(woken == Woken::Ready)
        };
        if T::IS_BATCH && items > 0 {
            BATCH
        } else {
            items.min(RUN)
        }
    }

    /// Takes what is at hand, `most` messages at the most.
    fn receive(&mut self, most: usize) -> Result<Came, Failed> {
        native::receive(
            &self.attached.socket,
            &mut self.frames,
            most,
            &mut self.waits,
        )
        .map_err(|f| Failed("receive", f))?;
        let before = self.messages.len();
        let frames = self.frames.len();
        let mut bytes = 0;
        for frame in self.frames.drain(..) {
            let length = frame.len();
            bytes += length;
            if frame.more() {
                self.parts.push(frame);
            } else if self.parts.is_empty() {
                let native = frame.into_native_of(length);
                self.messages.push(Message::from_native(native));
            } else {
                self.parts.push(frame);
                let parts = std::mem::take(&mut self.parts);
                self.messages.push(Message::from_raws(parts));
            }
        }
        self.counters.bytes.add(bytes);
        self.counters.received.add(self.messages.len() - before);
        Ok(Came { frames, bytes })
    }

    /// Puts what was received into the channel; what finds no room there after
    /// all, since the channel is shared and an order came, is `held`.
    fn hand_over(&mut self) -> Woken {
        let mut woken = Woken::Ready;
        T::each(&mut self.messages, |mut item| {
            while woken == Woken::Ready {
                let (count, size) = (item.count(), item.size());
                let delivered = self.counters.delivered.get();
                let waits = || self.stall.waits(delivered, || WaitingFor::Receiver);
                match self.attached.listener.hand_over(&self.out, item, waits) {
                    Ok(()) => {
                        self.counters.delivered.add(count);
                        self.counters.bytes_out.add(size);
                        return;
                    }
                    Err((Woken::Late, back)) => item = back,
                    Err((why, back)) => {
                        woken = why;
                        item = back;
                    }
                }
            }
            self.held.push(item);
        });
        woken
    }

    /// Lets in what has come and found no room. Returns how long to wait for
    /// libzmq's threads from here on.
    fn let_in(&mut self) -> Duration {
        let until = Instant::now() + PATIENCE;
        let mut quiet_at = Instant::now();
        loop {
            let joined = self.attached.monitor.joined();
            // Connections that have just come in count, too. It fails only when
            // the context has ended.
            let _ = self.care();
            let come = native::let_in(&self.attached.socket);
            let now = Instant::now();
            // Who is shaking hands may have sent something right behind that. It is
            // asked first: who has done it meanwhile has joined.
            let monitor = &self.attached.monitor;
            let shaking = monitor.shaking();
            let late = monitor.joined() - joined + shaking;
            if come.coming > 0 {
                quiet_at = now + QUIET;
            }
            let quiet = now >= quiet_at && late == 0;
            let over = come.cut + come.unasked > 0 || quiet || now >= until;
            let name = &self.name;
            for (count, what) in [
                (come.cut, "with more than there was time to read, it is"),
                (
                    come.unasked,
                    "that could not be asked for what they sent, it is",
                ),
                (
                    late * u64::from(over),
                    "that came at the last moment, what they sent may be",
                ),
                (
                    come.sending.max(come.coming) * u64::from(over),
                    "with more on its way, what came since the last look may be",
                ),
            ] {
                if count > 0 {
                    say(|| log::warn!("{name}: number of peers {what} lost: {count}"));
                }
            }
            if over {
                // Of one peer the first and the last may be said.
                let cut = come.cut.max(come.sending).max(come.coming);
                self.cut_short = cut + come.unasked + late;
            }
            if !come.listened {
                self.attached.be_impatient();
                return Duration::ZERO;
            }
            if over {
                return PATIENCE;
            }
            thread::sleep(MOMENT);
        }
    }

    /// Empties libzmq's pipes: all of those that came in, and of those that
    /// are still connected what was there at first.
    fn take_rest(&mut self, waiting: usize, patience: Duration) {
        let before = self.messages.len();
        // A crowd leaves tens of megabytes behind, to be moved each time it grows.
        self.messages.reserve(waiting);
        let calling = self.attached.calling();
        let mut until = Instant::now() + patience;
        let mut in_order = true;
        let mut doubted = patience == Duration::ZERO;
        loop {
            let had = (self.messages.len(), self.parts.len());
            if self.receive(BATCH).is_err() {
                return;
            }
            let taken = self.messages.len() - before;
            let late = Instant::now() >= until;
            let complete = self.parts.is_empty() && taken >= waiting;
            let had_more = (self.messages.len(), self.parts.len()) != had;
            if had_more && !(late && complete) {
                continue;
            }
            // Time limits the waiting, and what came in meanwhile; not what was
            // there.
            let open = native::pipes(&self.attached.socket).saturating_sub(calling);
            // They may be kept from running, and have nothing more to say.
            if late && complete && open > 0 && !doubted {
                doubted = true;
                if self.attached.is_served() {
                    until = Instant::now() + patience;
                    continue;
                }
                self.attached.be_impatient();
            }
            if late && (complete || !in_order) {
                // A stock libzmq does not tell how many there are.
                let missing = match cfg!(pushpull_native) {
                    true => waiting.saturating_sub(taken),
                    false => 0,
                };
                let of_peers = open.max(usize::from(missing > 0)) as u64;
                self.cut_short = self.cut_short.max(of_peers);
                for (count, what) in [(missing, "messages"), (open, "peers' last words")] {
                    if count > 0 {
                        let name = &self.name;
                        say(|| log::warn!("{name}: libzmq was too slow, lost {what}: {count}"));
                    }
                }
                return;
            }
            if complete && open == 0 {
                return;
            }
            if late {
                // Something holds up what was to come first.
                in_order = false;
                self.waits.end();
                until = Instant::now() + patience;
            }
            // What is missing is a word from the I/O thread.
            thread::yield_now();
        }
    }

    fn end(mut self, cause: Option<WorkerError>) -> Ended<T> {
        // Or who is told here that nobody reads any more would call again.
        self.attached.hide();
        let patience = self.let_in();
        let waiting = native::waiting(&self.attached.socket);
        // This ends the connections that came in. What they had received whole
        // can still be taken, and then their pipes are gone.
        self.attached.stop_listening();
        self.take_rest(waiting, patience);
        let mut leftover = T::pack(self.messages);
        leftover.splice(..0, self.held);
        let count = leftover.iter().map(|i| i.count()).sum();
        self.counters.returned.add(count);
        say(|| {
            log::info!(
                "{}: closed, {} received, {count} of them not handed over",
                self.name,
                self.counters.received.get()
            );
        });
        self.attached.close();
        Ended {
            leftover,
            cut_short: self.cut_short,
            cause,
        }
    }
}
