//! The receiving side: receive, check, close.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use pushpull::{
    crossbeam_channel::{after, never, select, tick},
    Pull,
};

use crate::{
    input::Total,
    interrupts,
    progress::{self, Progress},
    tally::Tally,
    Outcome,
};

/// What stands in front of the endpoint in the first line that this prints.
pub const LISTENING: &str = "listening at ";

/// How long to wait for the sender's end after Ctrl-C.
const PATIENCE: Duration = Duration::from_secs(1);

pub fn run(endpoint: &str, quiet: bool) -> Outcome {
    let interrupts = interrupts()?;
    let pull = Pull::bind(endpoint)?;
    println!("{LISTENING}{}", pull.endpoints()[0]);

    let mut progress = match quiet {
        true => Progress::None,
        false => Progress::new("pulled", Total::Unknown),
    };
    let ticks = tick(progress::PERIOD);
    let mut began = None;
    let mut tally = Tally::new();
    let mut told = None;
    let mut enough = never();
    let mut interrupted = false;

    while told.is_none() {
        select! {
            recv(pull.receiver()) -> message => match message {
                Ok(message) => {
                    began.get_or_insert_with(Instant::now);
                    told = Tally::from_end(&message);
                    if told.is_none() {
                        tally = tally.with(&message);
                    }
                }
                Err(_) => break, // the queue has ended: close tells why
            },
            recv(interrupts) -> _ => {
                if interrupted {
                    break;
                }
                // The sender may have heard Ctrl-C too, and be handing over
                // what it has.
                interrupted = true;
                enough = after(PATIENCE);
            }
            recv(enough) -> _ => break,
            recv(ticks) -> _ => progress.show(&tally, pull.stats().stalls),
        }
    }

    progress.clear();
    let took = began.map_or(Duration::ZERO, |b| b.elapsed());
    println!("{}", tally.summary("pulled", took, pull.stats().stalls));
    let untaken = pull.close()?.count();
    if untaken > 0 {
        println!("{untaken} more had come and were not looked at");
    }
    match told {
        None => println!("no sender told its end: nothing to check against"),
        Some(sent) if sent == tally => println!("order and content are as sent"),
        Some(sent) => return Err(format!("not what was sent: {sent}").into()),
    }
    Ok(ExitCode::SUCCESS)
}
