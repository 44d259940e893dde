//! Many senders into one Pull, and one Push to many Pulls, each with a thread of
//! its own.

use crate::{
    pair::{Places, Process},
    protocol::{await_word, cpu, now, result, say, Job},
    queues::{Queues, Role},
    SIZE,
};
use std::{
    io::{self, Write},
    path::Path,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc, Arc, Barrier,
    },
    thread,
    time::Duration,
};

/// Some seconds, since turns grow with what has gone before.
const MESSAGES: u64 = 4_000_000;
const MANY: [usize; 3] = [1, 10, 100];
/// The best of three is the more too good, the less each of them is sure.
const ROUNDS: usize = 11;

pub fn report(program: &Path, kind: &str, what: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{what}, ipc, {SIZE} B\n  number     kmsg/s  of best  cpu ns/msg push   pull   \
         bare kmsg/s  of best  ours to bare"
    )?;
    // By turns, so that all have the same machine.
    let mut runs = MANY.map(|number| (number, Vec::new(), Vec::new()));
    for _ in 0..ROUNDS {
        for (number, ours, bare) in &mut runs {
            ours.push(fan(program, kind, *number).map_err(io::Error::other)?);
            let kind = format!("{kind}-bare");
            bare.push(fan(program, &kind, *number).map_err(io::Error::other)?);
        }
    }
    let rows = runs.map(|(number, ours, bare)| (number, middle(ours), middle(bare)));
    let best = |rates: &mut dyn Iterator<Item = f64>| rates.fold(0.0, f64::max);
    let best_ours = best(&mut rows.iter().map(|r| r.1[0]));
    let best_bare = best(&mut rows.iter().map(|r| r.2[0]));
    for (number, [rate, push, pull], [bare, ..]) in rows {
        writeln!(
            out,
            "{number:>8} {:>10.1} {:>7.0}% {push:>16.0} {pull:>6.0} {:>13.1} {:>7.0}% {:>13.2}",
            rate / 1e3,
            rate / best_ours * 100.0,
            bare / 1e3,
            bare / best_bare * 100.0,
            rate / bare
        )?;
    }
    Ok(())
}

fn middle(mut runs: Vec<[f64; 3]>) -> [f64; 3] {
    runs.sort_by(|a, b| a[0].total_cmp(&b[0]));
    runs[runs.len() / 2]
}

/// Messages a second, and processor time a message of the pushing and of the
/// pulling process.
fn fan(program: &Path, kind: &str, number: usize) -> Result<[f64; 3], String> {
    let places = Places::new("ipc");
    let job = |role: &str| Job {
        implementation: kind.to_owned(),
        role: role.to_owned(),
        endpoint: places.at[0].clone(),
        back: "none".to_owned(),
        size: number,
        count: MESSAGES,
    };
    let (mut push, pull);
    if kind.starts_with("fan-in") {
        pull = Process::start(program, &job("pull"))?;
        pull.hear("bound")?;
        push = Process::start(program, &job("push"))?;
    } else {
        push = Process::start(program, &job("push"))?;
        push.hear("bound")?;
        pull = Process::start(program, &job("pull"))?;
    }
    pull.hear("met")?;
    push.tell("go")?;
    let back = pull.result()?;
    push.tell("end")?;
    let front = push.result()?;
    pull.leave()?;
    push.leave()?;
    let count = MESSAGES as f64;
    Ok([
        count * 1e9 / (back["last"] - front["begin"]) as f64,
        front["cpu"] as f64 / count,
        back["cpu"] as f64 / count,
    ])
}

/// One process of a fan. It ends without closing its queues: that is not
/// what is measured.
pub fn play(job: &Job) {
    let queues = Queues::new(job.implementation.ends_with("bare"));
    match (job.implementation.starts_with("fan-in"), job.role.as_str()) {
        (true, "push") => many_push(job, &queues),
        (true, _) => one_pulls(job, &queues),
        (false, "push") => one_pushes(job, &queues),
        (false, _) => many_pull(job, &queues),
    }
    std::process::exit(0);
}

const GREETING: u64 = u32::MAX as u64;

/// Who sent it, and its number there.
fn message(who: usize, number: u64) -> [u8; SIZE] {
    let mut bytes = [b'x'; SIZE];
    bytes[..8].copy_from_slice(&((who as u64) << 32 | number).to_le_bytes());
    bytes
}

fn read(bytes: &[u8]) -> (usize, u64) {
    let both = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
    ((both >> 32) as usize, both & GREETING)
}

fn many_push(job: &Job, queues: &Queues) {
    let (senders, each) = (job.size, job.count / job.size as u64);
    let start = Arc::new(Barrier::new(senders + 1));
    for who in 0..senders {
        let send = queues.push(&job.endpoint, Role::Connect);
        let start = Arc::clone(&start);
        thread::spawn(move || {
            send(&message(who, GREETING));
            start.wait();
            for number in 0..each {
                send(&message(who, number));
            }
            thread::park();
        });
    }
    await_word("go");
    let (since, begin) = (cpu(), now());
    start.wait();
    await_word("end");
    result(since, &format!("begin={begin}"));
}

fn one_pulls(job: &Job, queues: &Queues) {
    let (senders, each) = (job.size, job.count / job.size as u64);
    let receive = queues.pull(&job.endpoint, Role::Bind);
    say("bound");
    let mut expected = vec![0; senders];
    let (mut greeted, mut left, mut since) = (0, each * senders as u64, 0);
    while left > 0 {
        let (who, number) = read(&receive(true).expect("a message"));
        if number == GREETING {
            greeted += 1;
            if greeted == senders {
                since = cpu();
                say("met");
            }
            continue;
        }
        assert_eq!(number, expected[who], "the order of one sender");
        expected[who] += 1;
        left -= 1;
    }
    result(since, &format!("last={}", now()));
}

fn one_pushes(job: &Job, queues: &Queues) {
    let send = queues.push(&job.endpoint, Role::Bind);
    say("bound");
    let go = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            await_word("go");
            go.store(true, SeqCst);
        });
        // Until all are connected and have heard from us.
        while !go.load(SeqCst) {
            send(&message(0, GREETING));
            thread::sleep(Duration::from_micros(100));
        }
    });
    let (since, begin) = (cpu(), now());
    for number in 0..job.count {
        send(&message(0, number));
    }
    await_word("end");
    result(since, &format!("begin={begin}"));
}

fn many_pull(job: &Job, queues: &Queues) {
    let (pulls, messages) = (job.size as u64, job.count);
    let (greeted, received) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let since = Arc::new(AtomicU64::new(0));
    let (done, end) = mpsc::channel();
    for _ in 0..pulls {
        let receive = queues.pull(&job.endpoint, Role::Connect);
        let (greeted, received) = (Arc::clone(&greeted), Arc::clone(&received));
        let (since, done) = (Arc::clone(&since), done.clone());
        thread::spawn(move || {
            let (mut met, mut next, mut count) = (false, 0, 0);
            loop {
                let message = receive(false).or_else(|| {
                    // Nothing at hand: the moment to add up.
                    if count > 0 && received.fetch_add(count, SeqCst) + count == messages {
                        let _ = done.send(now());
                    }
                    count = 0;
                    receive(true)
                });
                let (_, number) = read(&message.expect("a message"));
                if number == GREETING {
                    if !met && greeted.fetch_add(1, SeqCst) + 1 == pulls {
                        since.store(cpu(), SeqCst);
                        say("met");
                    }
                    met = true;
                    continue;
                }
                assert!(number >= next, "the order at one receiver");
                next = number + 1;
                count += 1;
            }
        });
    }
    let last = end.recv().expect("the last one");
    result(since.load(SeqCst), &format!("last={last}"));
}
