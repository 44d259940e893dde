//! What an operator reads in the log: enough, with the queue's name in each line, and
//! never a line per message.

use std::{sync::Mutex, thread};

use log::{Level, LevelFilter, Log, Metadata, Record};
use pushpull::{Config, Overflow, Pull, Push};

#[cfg(target_os = "linux")]
use crate::harness::patience;
use crate::harness::{at, eventually, in_own_process, ms, number, numbered, Wire, LONG};
use crate::stranger::Stranger;

struct Kept(Mutex<Vec<(Level, String)>>);

impl Log for Kept {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.target().starts_with("pushpull") {
            let line = (record.level(), record.args().to_string());
            self.0.lock().unwrap().push(line);
        }
    }

    fn flush(&self) {}
}

/// All that this crate says, in a process whose logger it is.
static LOG: Kept = Kept(Mutex::new(Vec::new()));

/// From here on it keeps what is said at that level and above.
pub fn listen(level: LevelFilter) {
    log::set_logger(&LOG).unwrap();
    log::set_max_level(level);
}

/// The level of a line with that beginning, if there is one.
pub fn level(beginning: &str) -> Option<Level> {
    let lines = LOG.0.lock().unwrap();
    let fits = |line: &&(Level, String)| line.1.starts_with(beginning);
    lines.iter().find(fits).map(|line| line.0)
}

#[track_caller]
fn logged(level_due: Level, beginning: &str) {
    eventually(beginning, || level(beginning).is_some());
    assert_eq!(level(beginning), Some(level_due), "{beginning}");
}

fn count() -> usize {
    LOG.0.lock().unwrap().len()
}

/// What comes while a queue closes has nowhere to go; that there was some is told.
#[test]
fn the_log_tells_of_peers_that_were_still_sending_when_a_pull_closed() {
    in_own_process(60, || {
        listen(LevelFilter::Warn);
        // Over ipc the sender hears of it at once, on Linux.
        let wire = Wire::new("tcp");
        let name = "closing";
        let told = format!("{name}: number of peers with more on its way");
        // A sender may just have stood still.
        for _ in 0..50 {
            let config = Config::bind(&wire.address()).capacity(1).name(name);
            let pull = Pull::open(config).unwrap();
            let push = Push::connect(&at(&pull)).unwrap();
            let stopper = push.stopper();
            let sending = thread::spawn(move || {
                while push.send(numbered(0, 1000)).is_ok() {}
                push.abort().len()
            });
            pull.recv_timeout(LONG).unwrap();
            drop(pull.close().unwrap());
            stopper.stop();
            sending.join().unwrap();
            if level(&told).is_some() {
                break;
            }
        }
        logged(Level::Warn, &told);
    });
}

/// It may have sent something right behind its last word.
#[test]
fn the_log_tells_of_who_had_not_shaken_hands_when_a_pull_closed() {
    in_own_process(60, || {
        listen(LevelFilter::Warn);
        let wire = Wire::new("tcp");
        let config = Config::bind(&wire.address()).name("closing").events(10);
        let pull = Pull::open(config).unwrap();
        let _stranger = Stranger::call(&at(&pull));
        let events = pull.events().unwrap().clone();
        let accepted = |event| matches!(event, pushpull::Event::Accepted { .. });
        eventually("it has called", || events.try_recv().is_ok_and(accepted));
        drop(pull.close().unwrap());
        logged(
            Level::Warn,
            "closing: number of peers that came at the last moment",
        );
    });
}

#[test]
fn a_dropped_pull_tells_its_messages_and_its_batches_apart() {
    const ALL: usize = 300;
    in_own_process(60, || {
        listen(LevelFilter::Warn);
        let config = Config::bind("tcp://127.0.0.1:0").name("lots").capacity(1);
        let lots = Pull::open_batched(config).unwrap();
        let push = Push::connect(&lots.endpoints()[0].to_string()).unwrap();
        (0..ALL).for_each(|n| push.send(numbered(n as u64, 8)).unwrap());
        let receiver = lots.receiver().clone();
        eventually("a batch is in the channel", || receiver.is_full());
        push.drain(LONG).unwrap();
        eventually("its end has come", || lots.stats().peers_left == 1);
        drop(lots);
        let lost = ALL - receiver.recv().unwrap().len();
        let line = format!(
            "lots: dropped; lost are {lost} messages that nobody had received, and what no \
             clone of the receiver takes out of its channel (1 batches)"
        );
        logged(Level::Warn, &line);
    });
}

#[test]
fn the_log_tells_the_life_of_a_queue() {
    in_own_process(60, || {
        listen(LevelFilter::Debug);
        let wire = Wire::new("tcp");
        let on = |config: Config, name: &str| config.name(name).stall_after(ms(50));

        let pull = Pull::open(on(Config::bind(&wire.address()), "in").capacity(100)).unwrap();
        logged(Level::Info, "in: listening at tcp://127.0.0.1:");
        let push = Push::open(on(Config::connect(&at(&pull)), "out")).unwrap();
        logged(Level::Info, "out: calling tcp://127.0.0.1:");
        logged(Level::Info, "in: peer joined at tcp://");
        logged(Level::Info, "out: peer joined at tcp://");

        for n in 0..200 {
            push.send(numbered(n, 8)).unwrap();
        }
        logged(Level::Warn, "in: stalled for ");
        for _ in 0..200 {
            pull.recv_timeout(LONG).unwrap();
        }
        logged(Level::Info, "in: resumed");

        let before = count();
        for n in 0..10_000 {
            push.send(numbered(n, 8)).unwrap();
            pull.recv_timeout(LONG).unwrap();
        }
        assert!(count() <= before + 2, "{:?}", LOG.0.lock().unwrap());

        push.drain(LONG).unwrap();
        logged(Level::Info, "out: drained, 10200 sent");
        logged(Level::Info, "in: peer left at tcp://");
        pull.close().unwrap().for_each(drop);
        logged(Level::Info, "in: closed, 10200 received, 0 of them");

        // What is lost is told in few lines, however much it is.
        let config = on(Config::bind(&wire.address()), "late").send_deadline(ms(1));
        let late = Push::open(config).unwrap();
        let before = count();
        for n in 0..100 {
            late.send(numbered(n, 8)).unwrap();
        }
        eventually("all have expired", || late.stats().lost == 100);
        drop(late.abort());
        logged(Level::Warn, "late: lost 1: the send deadline passed");
        logged(Level::Warn, "late: lost 99: the send deadline passed");
        let few = count() - before;
        assert!(few <= 6, "{:?}", LOG.0.lock().unwrap());

        let config = on(Config::bind(&wire.address()), "full").capacity(1);
        let full = Push::open(config.overflow(Overflow::DropOldest).linger(ms(0))).unwrap();
        for n in 0..100 {
            full.send(numbered(n, 8)).unwrap();
        }
        let dropped = full.stats().dropped;
        drop(full);
        logged(
            Level::Warn,
            &format!("full: lost {dropped}: they were the oldest"),
        );
        logged(Level::Warn, "full: dropped with ");

        let names = ["in: ", "out: ", "late: ", "full: "];
        for (_, line) in LOG.0.lock().unwrap().iter() {
            assert!(names.iter().any(|n| line.starts_with(n)), "{line}");
        }
    });
}

/// Only of ipc on Linux the kernel tells what the other end has yet to read.
#[cfg(target_os = "linux")]
#[test]
fn a_drain_whose_time_ran_out_tells_what_peers_have_yet_to_read() {
    in_own_process(60, || {
        listen(LevelFilter::Info);
        let wire = Wire::new("ipc");
        // More than the Pull reads ahead, and no more than the kernel takes.
        let count = 40;
        for (name, deadline) in [("late", ms(300) * patience()), ("patient", LONG)] {
            let pull = Config::bind(&wire.address()).capacity(1).high_water_mark(1);
            let pull = Pull::open(pull).unwrap();
            let push = Push::open(Config::connect(&at(&pull)).name(name)).unwrap();
            for n in 0..count {
                push.send(numbered(n, 3000)).unwrap();
            }
            eventually("libzmq has all", || push.stats().sent == count);
            assert!(push.wait_for_peer(LONG));
            let drain = thread::spawn(move || push.drain(deadline).unwrap());
            if name == "late" {
                eventually("its time ran out", || drain.is_finished());
            }
            for n in 0..count {
                assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
            }
            assert_eq!(drain.join().unwrap().sent(), count);
        }
        let late = "late: drained, 40 sent; waited no longer for peers to read what fills ";
        logged(Level::Info, late);
        logged(Level::Info, "patient: drained, 40 sent");
        assert_eq!(level("patient: drained, 40 sent;"), None);
    });
}

/// Some ten times as much as can be read in the time that a close takes.
#[cfg(target_os = "linux")]
#[test]
fn a_close_that_has_no_time_for_all_that_came_says_so() {
    const PEERS: usize = 300;
    const EACH: u64 = 15_000;
    in_own_process(60, || {
        listen(LevelFilter::Warn);
        let wire = Wire::new("ipc");
        let config = Config::bind(&wire.address()).name("in").capacity(1);
        let pull = Pull::open(config.high_water_mark(1).stall_after(LONG)).unwrap();
        let message = |n: u64| [vec![0, 8], n.to_le_bytes().into()].concat();
        let said: Vec<_> = (0..EACH).flat_map(message).collect();
        let strangers: Vec<_> = (0..PEERS)
            .map(|_| {
                let mut stranger = Stranger::call(&at(&pull));
                stranger.shakes_hands("PUSH").say(&said);
                stranger
            })
            .collect();
        let left = pull.close().unwrap();
        let cut_short = left.cut_short();
        let back = left.count();
        let warned = LOG.0.lock().unwrap().iter().any(|(level, line)| {
            *level == Level::Warn && line.contains(" peers ") && line.contains(", it is lost: ")
        });
        let lost = back < PEERS * EACH as usize;
        assert_eq!((warned, cut_short > 0), (lost, lost), "{back} came back");
        drop(strangers);
    });
}

/// Panics in whatever a worker says.
struct Broken;

impl Log for Broken {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let thread = thread::current();
        let works = |kind| thread.name().is_some_and(|name| name.starts_with(kind));
        assert!(!works("push ") && !works("pull "), "{}", record.args());
    }

    fn flush(&self) {}
}

#[test]
fn a_logger_that_panics_costs_no_message() {
    in_own_process(60, || {
        log::set_logger(&Broken).unwrap();
        log::set_max_level(LevelFilter::Debug);
        let wire = Wire::new("tcp");
        let pull = Config::bind(&wire.address()).capacity(1).events(100);
        let pull = Pull::open(pull.stall_after(ms(20))).unwrap();
        let push = Push::connect(&at(&pull)).unwrap();
        for n in 0..50 {
            push.send(numbered(n, 8)).unwrap();
        }
        let events = pull.events().unwrap().clone();
        eventually("it has stalled", || {
            let next = events.recv_timeout(LONG).unwrap();
            matches!(next, pushpull::Event::Stalled { .. })
        });
        push.drain(LONG).unwrap();
        let mut numbers = vec![number(&pull.recv_timeout(LONG).unwrap())];
        numbers.extend(pull.close().unwrap().map(|m| number(&m)));
        assert_eq!(numbers, (0..50).collect::<Vec<_>>());

        let (nobody, _reserved) = wire.nobody();
        let push = Push::open(Config::connect(&nobody).stall_after(ms(20))).unwrap();
        push.send(numbered(0, 8)).unwrap();
        assert_eq!(push.abort().count(), 1);
    });
}
