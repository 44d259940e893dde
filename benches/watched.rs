//! What it costs to watch a queue: the same million messages of 1 KiB over ipc, once with
//! nothing on, and with events, outcomes and stats together. Rounds take turns, and the
//! medians are compared. `cargo bench --bench watched`

use std::{
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use pushpull::{Config, Pull, Push};

const SIZE: usize = 1024;
const COUNT: usize = 400_000;
const ROUNDS: usize = 31;

#[derive(Clone, Copy, PartialEq)]
enum Watch {
    Nothing,
    /// Events, outcomes that nobody reads, and stats a hundred times a second.
    Unread,
    /// The same, and everything is read.
    Read,
    /// A receipt for every message.
    Receipts,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = io::stdout();
    let kinds = [
        (Watch::Nothing, "nothing"),
        (Watch::Unread, "all, unread"),
        (Watch::Read, "all, read"),
        (Watch::Receipts, "receipts, unread"),
    ];
    let mut rates = kinds.map(|_| Vec::new());
    for round in 0..=ROUNDS {
        for turn in 0..kinds.len() {
            let at = (round + turn) % kinds.len();
            let rate = run(kinds[at].0)?;
            // The first round is for the caches.
            if round > 0 {
                rates[at].push(rate);
            }
        }
    }
    let median = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let medians = rates.each_mut().map(median);
    for (i, (_, name)) in kinds.iter().enumerate() {
        let cost = 100.0 * (1.0 - medians[i] / medians[0]);
        writeln!(
            out,
            "{name:<18} {:>8.1} kmsg/s  ({:.1} to {:.1})  costs {cost:>5.1} %",
            medians[i] / 1e3,
            rates[i][0] / 1e3,
            rates[i][ROUNDS - 1] / 1e3,
        )?;
    }
    Ok(())
}

fn run(watch: Watch) -> Result<f64, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let address = format!("ipc://{}/watched", folder.path().display());
    let on = |config: Config| match watch {
        Watch::Unread | Watch::Read => config.events(100).outcomes(1000),
        _ => config,
    };
    let pull = Pull::open(on(Config::bind(&address)))?;
    let push = Push::open(on(Config::connect(&address)))?;
    assert!(push.wait_for_peer(Duration::from_secs(5)));
    let payload = vec![b'x'; SIZE];
    let done = AtomicBool::new(false);
    let seconds = thread::scope(|scope| {
        let looking = matches!(watch, Watch::Unread | Watch::Read);
        if looking {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    std::hint::black_box((push.stats(), pull.stats()));
                    thread::sleep(Duration::from_millis(10));
                }
            });
        }
        if let (Watch::Read, Some(outcomes)) = (watch, push.outcomes()) {
            let outcomes = outcomes.clone();
            let done = &done;
            scope.spawn(move || {
                while !done.load(Relaxed) {
                    let _ = outcomes.recv_timeout(Duration::from_millis(10));
                }
            });
        }
        let begin = Instant::now();
        scope.spawn(|| {
            for _ in 0..COUNT {
                let sent = match watch {
                    Watch::Receipts => push.send_tracked(payload.as_slice()).map(drop),
                    _ => push.send(payload.as_slice()),
                };
                sent.expect("the queue is open");
            }
        });
        assert_eq!(pull.iter().take(COUNT).count(), COUNT);
        let seconds = begin.elapsed().as_secs_f64();
        done.store(true, Relaxed);
        seconds
    });
    push.drain(Duration::from_secs(5))?;
    Ok(COUNT as f64 / seconds)
}
