//! Several channels into one Push, and several Pulls into one channel.
//!
//! ```sh
//! cargo run --release --example fan_in
//! ```
//!
//! Three stations put what they measure into channels of their own. One Push sends
//! all of it, and three Pulls, as in three places, feed one channel.

// A program talks to its user; the library has `log`.
#![allow(clippy::print_stdout)]

use std::{error::Error, thread, time::Duration};

use pushpull::{
    crossbeam_channel::{bounded, Receiver, Select},
    Config, Message, Pull, Push,
};

const STATIONS: usize = 3;
const EACH: usize = 1000;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    // Several Pulls, one channel. Its room is shared: while it is full, all wait.
    let (sender, all) = bounded::<Message>(100);
    let pulls = (0..3)
        .map(|_| Pull::into_sender(Config::bind("tcp://127.0.0.1:0"), sender.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    drop(sender); // the Pulls have the others: with the last one the channel ends

    // One Push that deals out among them.
    let mut config = Config::connect(&pulls[0].endpoints()[0].to_string());
    for pull in &pulls[1..] {
        config = config.also_connect(&pull.endpoints()[0].to_string());
    }
    let push = Push::open(config)?;

    let stations: Vec<_> = (0..STATIONS).map(station).collect();
    let feeder = thread::spawn(move || -> Outcome<u64> {
        feed(&push, &stations)?;
        Ok(push.drain(Duration::from_secs(10))?.sent())
    });

    let mut counts = [0; STATIONS];
    for message in all.iter().take(STATIONS * EACH) {
        counts[usize::from(message.as_bytes()[0])] += 1;
    }
    let sent = feeder.join().map_err(|_| "the feeder panicked")??;
    let mut left = 0;
    for pull in pulls {
        left += pull.close()?.count();
    }
    println!("sent {sent}, received {counts:?}, left over {left}");
    Ok(())
}

/// Sends whatever comes out of any of the channels, until all of them have ended.
fn feed(push: &Push, sources: &[Receiver<Message>]) -> Outcome {
    // Several senders of one channel need none of this: `push.sender().clone()`
    // for each. This is for channels that are there already.
    let mut open: Vec<_> = sources.iter().collect();
    while !open.is_empty() {
        let mut select = Select::new();
        for source in &open {
            select.recv(source);
        }
        // One that is ready, by chance if there are several: none can starve.
        let ready = select.select();
        let index = ready.index();
        match ready.recv(open[index]) {
            Ok(message) => push.send(message)?, // waits: so do all the sources
            Err(_) => {
                open.remove(index);
            }
        }
    }
    Ok(())
}

fn station(number: usize) -> Receiver<Message> {
    let (sender, receiver) = bounded(10);
    thread::spawn(move || {
        for n in 0..EACH {
            let measured = [vec![number as u8], n.to_le_bytes().to_vec()].concat();
            if sender.send(measured.into()).is_err() {
                break; // nobody wants it any more
            }
        }
    });
    receiver
}
