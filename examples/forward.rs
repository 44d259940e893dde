//! A forwarder: from a Pull to a Push, until Ctrl-C.
//!
//! ```sh
//! cargo run --release --example forward -- tcp://*:5555 ipc:///tmp/jobs.sock
//! ```
//!
//! `pushpull forward` is the same with a progress line.

// A program talks to its user; the library has `log`.
#![allow(clippy::print_stdout)]

use std::{env, error::Error, time::Duration, time::Instant};

use pushpull::{
    crossbeam_channel::{bounded, select, Receiver},
    Batch, Config, Pull, Push,
};

/// Forwards until `stop` says so. Then nothing more is taken, and what is here has
/// `patience` to go out. Returns what did not, oldest first.
///
/// What is under way to a Pull that closes is lost, here as anywhere: let the
/// senders end first if you can.
pub fn forward(
    from: Config,
    to: Config,
    stop: &Receiver<()>,
    patience: Duration,
) -> Result<Batch, Box<dyn Error + Send + Sync>> {
    // The far side first: whatever comes in has somewhere to go.
    let push = Push::open_batched(to)?;
    let pull = Pull::open_batched(from)?;

    // One batch in hand at most. While the far side takes none, nothing is taken
    // from the near side, whose senders wait: back-pressure passes through.
    let mut in_hand = None;
    while in_hand.is_none() {
        let batch = select! {
            recv(pull.receiver()) -> batch => batch,
            recv(stop) -> _ => break,
        };
        let Ok(batch) = batch else { break }; // it has ended: close tells why
        select! {
            send(push.sender(), batch) -> sent => {
                in_hand = sent.err().map(|back| back.into_inner()); // drain tells why
            }
            recv(stop) -> _ => in_hand = Some(batch),
        }
    }

    // In the order of the flow: the near side closes, and what it still had goes
    // out behind what is in hand, as long as there is time.
    let until = Instant::now() + patience;
    let (left, closed) = match pull.close() {
        Ok(left) => (left, Ok(())),
        Err(error) => (error.into_leftover(), Err("the near side ended by itself")),
    };
    let mut late = Batch::new();
    for batch in in_hand.into_iter().chain(left) {
        if let Err(back) = push.sender().send_deadline(batch, until) {
            late.extend(back.into_inner());
        }
    }
    let mut unsent = Batch::new();
    if let Err(error) = push.drain(until.saturating_duration_since(Instant::now())) {
        println!("{error}"); // with how many are in doubt, if any
        unsent.extend(error.into_unsent().flatten());
    }
    unsent.extend(late);
    closed?;
    Ok(unsent)
}

#[allow(dead_code, reason = "a test takes the rest of this file")]
fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut args = env::args().skip(1);
    let (Some(from), Some(to)) = (args.next(), args.next()) else {
        return Err("usage: forward FROM TO".into());
    };
    let (tell, stop) = bounded(1);
    ctrlc::set_handler(move || {
        let _ = tell.try_send(()); // full: it has been told
    })?;
    let (from, to) = (Config::bind(&from), Config::connect(&to));
    let unsent = forward(from, to, &stop, Duration::from_secs(5))?;
    println!("{} left over", unsent.len());
    Ok(())
}
