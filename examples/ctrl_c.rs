//! Runs until Ctrl-C, then ends in the right order and loses nothing.
//!
//! ```sh
//! cargo run --release --example ctrl_c
//! ```

// A program talks to its user; the library has `log`.
#![allow(clippy::print_stdout)]

use std::{error::Error, thread, time::Duration};

use pushpull::{
    crossbeam_channel::{bounded, select, tick},
    Pull, Push,
};

fn main() -> Result<(), Box<dyn Error>> {
    // Both ends in one program, to have the whole in one file.
    let pull = Pull::bind("tcp://127.0.0.1:0")?;
    let push = Push::connect(&pull.endpoints()[0].to_string())?;

    // The handler runs on a thread of ctrlc's, so it may do what it likes; all
    // that it does is to say so in a channel.
    let (tell, interrupted) = bounded(1);
    ctrlc::set_handler(move || {
        let _ = tell.try_send(()); // full: it has been told
    })?;

    // Slower than the producer, so that there is something to wait for.
    let consumer = thread::spawn(move || {
        let mut received = 0;
        for message in &pull {
            if message.is_empty() {
                break; // the producer's last word
            }
            thread::sleep(Duration::from_millis(15));
            received += 1;
        }
        pull.close().map(|left| (received, left.count()))
    });

    println!("Ctrl-C ends it.");
    let beat = tick(Duration::from_millis(10));
    for n in 0_u64.. {
        select! {
            recv(beat) -> _ => push.send(format!("message {n}"))?,
            recv(interrupted) -> _ => break,
        }
    }

    // In the order of the flow. First the source runs dry: the loop above has
    // ended. Then the sending end says its last word and hands over what it has.
    println!("ending");
    push.send("")?;
    let sent = push.drain(Duration::from_secs(30))?.sent() - 1;
    // And only when the last word has come through, the receiving end closes:
    // what is still on its way to a Pull that closes is lost.
    let (received, left) = consumer.join().map_err(|_| "the consumer panicked")??;
    println!("sent {sent}, received {received}, left over {left}");
    Ok(())
}
