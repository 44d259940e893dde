//! The sending side: read, send, drain.

use std::{
    path::Path,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use pushpull::{
    crossbeam_channel::{select, tick, Receiver},
    Push, Stopper,
};

use crate::{
    input::Input,
    interrupts,
    progress::{self, Progress},
    tally::Tally,
    Outcome, INTERRUPTED,
};

/// How long handing over may still take after Ctrl-C.
const PATIENCE: Duration = Duration::from_secs(3);

pub fn run(endpoint: &str, file: Option<&Path>) -> Outcome {
    let input = Input::open(file)?;
    let interrupts = interrupts()?;
    let push = Push::connect(endpoint)?;

    let mut progress = Progress::new("pushed", input.total());
    let ticks = tick(progress::PERIOD);
    let began = Instant::now();
    let mut tally = Tally::new();
    let mut unread = Ok(());
    let mut interrupted = false;

    'input: for next in input {
        let message = match next {
            Ok(message) => message,
            Err(error) => {
                unread = Err(error);
                break;
            }
        };
        let after = tally.with(&message);
        loop {
            // While the far end is slow, or not there yet, the send waits. It
            // is a channel's, so Ctrl-C and the clock can be waited for too.
            select! {
                send(push.sender(), message) -> sent => match sent {
                    Ok(()) => {
                        tally = after;
                        break;
                    }
                    Err(_) => break 'input, // the queue has ended: drain tells why
                },
                recv(interrupts) -> _ => {
                    interrupted = true;
                    break 'input;
                }
                recv(ticks) -> _ => progress.show(&tally, push.stats().stalls),
            }
        }
    }

    // What was accepted is handed over, however long that takes, and the end
    // with it. Only then is it safe to leave.
    end_on_interrupt(interrupts, interrupted, push.stopper());
    let _ = push.send(tally.to_end()); // fails when the queue has ended, as above
    let drained = push.drain(Duration::MAX);
    progress.clear();
    let stats = drained
        .map_err(|e| format!("{e}; accepted: {tally}"))?
        .stats();
    println!("{}", tally.summary("pushed", began.elapsed(), stats.stalls));
    unread?;
    Ok(ExitCode::from(if interrupted { INTERRUPTED } else { 0 }))
}

/// Lets the queue go on for [`PATIENCE`] after Ctrl-C, or until the next one.
fn end_on_interrupt(interrupts: Receiver<()>, interrupted: bool, stopper: Stopper) {
    thread::spawn(move || {
        if interrupted || interrupts.recv().is_ok() {
            eprintln!("ending: handing over what is left; Ctrl-C once more to leave it");
            let _ = interrupts.recv_timeout(PATIENCE);
            stopper.stop();
        }
    });
}
