//! A forwarder: from a Pull to a Push, until Ctrl-C. `pushpull forward` has more around it.
//! `cargo run --release --example forward -- 'tcp://*:5555' ipc:///tmp/jobs.sock`
#![allow(clippy::print_stdout)] // a program talks to its user; the library has `log`

use pushpull::crossbeam_channel::{bounded, select, Receiver};
use pushpull::{Batch, Config, Pull, Push};
use std::{env, error::Error, time::Duration, time::Instant};

/// Forwards until `stop` says so; then what is here has `last` to go out. Returns what did not,
/// oldest first. What is under way to a Pull that closes is lost: let the senders end first.
pub fn forward(from: Pull<Batch>, to: Push<Batch>, stop: &Receiver<()>, last: Duration) -> Batch {
    // One batch in hand at most: while the far side takes none, the near side's senders wait.
    let mut in_hand = None;
    while in_hand.is_none() {
        let batch = select! {
            recv(from.receiver()) -> batch => batch,
            recv(stop) -> _ => break,
        };
        let Ok(batch) = batch else { break }; // it has ended: close tells why
        select! {
            send(to.sender(), batch) -> sent => in_hand = sent.err().map(|back| back.0),
            recv(stop) -> _ => in_hand = Some(batch),
        }
    }
    // In the order of the flow: the near side closes, and what it had goes out after the rest.
    let until = Instant::now() + last;
    let left = from.close().unwrap_or_else(|error| {
        println!("{error}");
        error.into_leftover()
    });
    let mut late = Batch::new();
    for batch in in_hand.into_iter().chain(left) {
        if late.is_empty() {
            let sent = to.sender().send_deadline(batch, until);
            late.extend(sent.err().into_iter().flat_map(|back| back.into_inner()));
        } else {
            late.extend(batch); // behind one that did not go, nothing overtakes
        }
    }
    let drained = to.drain(until.saturating_duration_since(Instant::now()));
    let unsent = drained.err().into_iter().flat_map(|error| {
        println!("{error}"); // with how many are in doubt, if any
        error.into_unsent().flatten()
    });
    unsent.chain(late).collect()
}

#[allow(dead_code, reason = "a test takes the rest of this file")]
fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut args = env::args().skip(1);
    let mut next = || args.next().ok_or("usage: forward FROM TO");
    let (from, to) = (Config::bind(&next()?), Config::connect(&next()?));
    let to = Push::open_batched(to)?; // first, so that what comes in has somewhere to go
    let from = Pull::open_batched(from)?;
    let (tell, stop) = bounded(1);
    ctrlc::set_handler(move || tell.try_send(()).unwrap_or(()))?; // full: it has been told
    let unsent = forward(from, to, &stop, Duration::from_secs(5));
    println!("{} left over", unsent.len());
    Ok(())
}
