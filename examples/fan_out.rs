//! One Push deals jobs out to three Pulls, and slow ones get fewer.
//!
//! ```sh
//! cargo run --release --example fan_out
//! ```
//!
//! The workers are threads here, joined by `inproc`. As processes or machines
//! they would have an `ipc` or a `tcp` endpoint, and the kernel's buffers would
//! hold some hundred kilobytes for each beside the high-water mark.

// A program talks to its user; the library has `log`.
#![allow(clippy::print_stdout)]

use std::{error::Error, thread, time::Duration};

use pushpull::{crossbeam_channel::unbounded, Config, Context, Pull, Push};

const JOBS: usize = 600;

fn main() -> Result<(), Box<dyn Error>> {
    // A PUSH socket deals its messages out to its peers in turn, and passes over
    // a peer that has no room. So the room decides how fair that is: with the
    // usual thousand a side, the slowest worker would be dealt as many jobs as
    // the fastest.
    let context = Context::new()?;
    let at_work = |config: Config| config.context(&context).high_water_mark(1);
    let boss = Push::open(at_work(Config::bind("inproc://jobs")))?;

    let (done, results) = unbounded();
    let mut workers = Vec::new();
    let mut stoppers = Vec::new();
    for pause in [1, 2, 4].map(Duration::from_millis) {
        let name = format!("worker with {pause:?} a job");
        let config = Config::connect("inproc://jobs").capacity(1).name(&name);
        let jobs = Pull::open(at_work(config))?;
        stoppers.push(jobs.stopper());
        let done = done.clone();
        workers.push(thread::spawn(move || {
            let mut count = 0;
            // Ends when the queue is stopped and its channel is empty.
            for job in &jobs {
                thread::sleep(pause);
                count += 1;
                if done.send(job).is_err() {
                    break; // nobody waits for results any more
                }
            }
            println!("{}: {count} jobs", jobs.name());
            // What it had received and not begun: nothing, as all is done.
            jobs.close().map(|left| left.count())
        }));
    }

    for job in 0..JOBS {
        boss.send(format!("job {job}"))?;
    }
    // Returns when every job is on its way. Whether it was done is not for
    // ZeroMQ to say: it has no acknowledgements. So the workers report, and
    // only when all have, they are stopped.
    boss.drain(Duration::from_secs(10))?;
    for _ in 0..JOBS {
        results.recv_timeout(Duration::from_secs(10))?;
    }
    stoppers.iter().for_each(|s| s.stop());
    for worker in workers {
        let left = worker.join().map_err(|_| "a worker panicked")??;
        assert_eq!(left, 0);
    }
    println!("all {JOBS} jobs are done");
    Ok(())
}
