//! What happens with many: senders, receivers, queues in a process, messages.
//! Ours alone, two processes. About a minute. `cargo bench --bench scale`

#[path = "common/ours.rs"]
mod ours;
#[path = "common/pair.rs"]
#[allow(dead_code)]
mod pair;
#[path = "common/protocol.rs"]
mod protocol;

use pair::{Places, Process, Test};
use protocol::{await_word, cpu, now, result, say, Job};
use pushpull::{Config, Context, Pull, Push};
use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        Barrier,
    },
    thread,
    time::Duration,
};

const SIZE: usize = 64;
const MESSAGES: u64 = 1_000_000;
const ROUNDS: usize = 3;
const MANY: [usize; 3] = [1, 10, 100];

fn main() -> io::Result<()> {
    if let Some(job) = Job::from_args() {
        match (job.implementation.as_str(), job.role.as_str()) {
            ("fan-in", "push") => fan_in_push(&job),
            ("fan-in", "pull") => fan_in_pull(&job),
            ("fan-out", "push") => fan_out_push(&job),
            ("fan-out", "pull") => fan_out_pull(&job),
            ("idle", how) => idle(how, job.size),
            _ => ours::play(&job),
        }
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let mut out = io::stdout();

    for (kind, what) in [
        ("fan-in", "senders into one Pull"),
        ("fan-out", "Pulls at one Push"),
    ] {
        writeln!(
            out,
            "{what}, ipc, {SIZE} B\n  number     kmsg/s  of best  cpu ns/msg push   pull"
        )?;
        let mut rows = Vec::new();
        for number in MANY {
            let mut runs = (0..ROUNDS)
                .map(|_| fan(&program, kind, number))
                .collect::<Result<Vec<_>, _>>()
                .map_err(io::Error::other)?;
            runs.sort_by(|a, b| a[0].total_cmp(&b[0]));
            rows.push((number, runs[ROUNDS / 2]));
        }
        let best = rows.iter().map(|r| r.1[0]).fold(0.0, f64::max);
        for (number, [rate, push, pull]) in rows {
            writeln!(
                out,
                "{number:>8} {:>10.1} {:>7.0}% {push:>16.0} {pull:>6.0}",
                rate / 1e3,
                rate / best * 100.0
            )?;
        }
    }

    writeln!(
        out,
        "an idle queue\n  queues  context    KiB each  threads each  fds each  wake-ups/s each  cpu us/s each"
    )?;
    let empty = idle_costs(&program, "alone", 0).map_err(io::Error::other)?;
    for (how, number) in [
        ("alone", 2),
        ("alone", 50),
        ("shared", 2),
        ("shared", 50),
        ("shared", 500),
    ] {
        let found = idle_costs(&program, how, number).map_err(io::Error::other)?;
        let each = |i: usize| (found[i] - empty[i]).max(0.0) / number as f64;
        writeln!(
            out,
            "{number:>8}  {how:<8} {:>10.0} {:>13.2} {:>9.2} {:>16.2} {:>14.1}",
            each(0),
            each(1),
            each(2),
            each(3),
            each(4),
        )?;
    }

    writeln!(
        out,
        "cost of a message, ipc, {SIZE} B\n    messages    ns/msg  cpu ns/msg push   pull  peak MB push   pull"
    )?;
    let usual = pair::count(SIZE) as f64;
    for messages in [1e4, 1e5, 1e6, 1e7] {
        let mut runs = (0..ROUNDS)
            .map(|_| pair::run(&program, "ours", "ipc", Test::Size(SIZE), messages / usual))
            .collect::<Result<Vec<_>, _>>()
            .map_err(io::Error::other)?;
        runs.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        let middle = runs[ROUNDS / 2];
        writeln!(
            out,
            "{messages:>12} {:>9.0} {:>16.0} {:>6.0} {:>13.1} {:>6.1}",
            1e9 / middle.rate,
            middle.cpu[0],
            middle.cpu[1],
            middle.peak[0],
            middle.peak[1],
        )?;
    }
    Ok(())
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
    if kind == "fan-in" {
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

fn fan_in_push(job: &Job) {
    let (senders, each) = (job.size, job.count / job.size as u64);
    let context = Context::new().expect("a context");
    let pushes: Vec<_> = (0..senders)
        .map(|_| Push::open(Config::connect(&job.endpoint).context(&context)).expect("a queue"))
        .collect();
    let start = Barrier::new(senders + 1);
    thread::scope(|scope| {
        for (who, push) in pushes.iter().enumerate() {
            let start = &start;
            scope.spawn(move || {
                push.send(&message(who, GREETING)).expect("sent");
                start.wait();
                for number in 0..each {
                    push.send(&message(who, number)).expect("sent");
                }
            });
        }
        await_word("go");
        let (since, begin) = (cpu(), now());
        start.wait();
        await_word("end");
        result(since, &format!("begin={begin}"));
    });
}

fn fan_in_pull(job: &Job) {
    let (senders, each) = (job.size, job.count / job.size as u64);
    let pull = Pull::bind(&job.endpoint).expect("a queue");
    say("bound");
    let mut expected = vec![0; senders];
    let (mut greeted, mut left, mut since) = (0, each * senders as u64, 0);
    for item in &pull {
        let (who, number) = read(item.as_bytes());
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
        if left == 0 {
            break;
        }
    }
    result(since, &format!("last={}", now()));
}

fn fan_out_push(job: &Job) {
    let push = Push::bind(&job.endpoint).expect("a queue");
    say("bound");
    let go = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            await_word("go");
            go.store(true, SeqCst);
        });
        // Until all are connected and have heard from us.
        while !go.load(SeqCst) {
            push.send(&message(0, GREETING)).expect("sent");
            thread::sleep(Duration::from_micros(100));
        }
    });
    let (since, begin) = (cpu(), now());
    for number in 0..job.count {
        push.send(&message(0, number)).expect("sent");
    }
    await_word("end");
    result(since, &format!("begin={begin}"));
}

fn fan_out_pull(job: &Job) {
    let context = Context::new().expect("a context");
    let pulls: Vec<_> = (0..job.size)
        .map(|_| Pull::open(Config::connect(&job.endpoint).context(&context)).expect("a queue"))
        .collect();
    let (greeted, received) = (AtomicU64::new(0), AtomicU64::new(0));
    let (since, last) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for pull in &pulls {
            let (pulls, greeted, received) = (&pulls, &greeted, &received);
            let (since, last) = (&since, &last);
            scope.spawn(move || {
                let (mut met, mut next, mut count) = (false, 0, 0);
                loop {
                    let item = match pull.try_recv() {
                        Ok(item) => item,
                        Err(_) => {
                            // Nothing at hand: the moment to add up.
                            if count > 0 && received.fetch_add(count, SeqCst) + count == job.count {
                                last.store(now(), SeqCst);
                                pulls.iter().for_each(|p| p.stopper().stop());
                            }
                            count = 0;
                            match pull.recv() {
                                Ok(item) => item,
                                Err(_) => return,
                            }
                        }
                    };
                    let (_, number) = read(item.as_bytes());
                    if number == GREETING {
                        if !met && greeted.fetch_add(1, SeqCst) + 1 == pulls.len() as u64 {
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
    });
    let last = last.into_inner();
    result(since.into_inner(), &format!("last={last}"));
}

/// Memory in KiB, threads, descriptors, wake-ups and microseconds of processor
/// time in a second, of a process with so many idle queues.
fn idle_costs(program: &Path, how: &str, number: usize) -> Result<[f64; 5], String> {
    let process = Process::start(
        program,
        &Job {
            implementation: "idle".to_owned(),
            role: how.to_owned(),
            endpoint: "none".to_owned(),
            back: "none".to_owned(),
            size: number,
            count: 0,
        },
    )?;
    let found = process.result()?;
    process.leave()?;
    Ok(["rss", "threads", "fds", "wakes", "busy"].map(|key| found[key] as f64))
}

/// How long idle queues are watched.
const WATCH: Duration = Duration::from_secs(3);

/// Half of the queues pull and half push to one of them; each pair has moved a
/// message when the watch begins.
fn idle(how: &str, number: usize) {
    let shared = Context::new().expect("a context");
    let folder = std::env::temp_dir().join(format!("pushpull-idle-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for sockets");
    let config = |config: Config| match how {
        "shared" => config.context(&shared),
        _ => config,
    };
    let pairs: Vec<_> = (0..number / 2)
        .map(|i| {
            let endpoint = format!("ipc://{}", folder.join(i.to_string()).display());
            let pull = Pull::open(config(Config::bind(&endpoint))).expect("a queue");
            let push = Push::open(config(Config::connect(&endpoint))).expect("a queue");
            push.send("hello").expect("sent");
            pull.recv().expect("received");
            (pull, push)
        })
        .collect();
    thread::sleep(Duration::from_millis(1100));
    let (woken, since) = (wake_ups(), cpu());
    thread::sleep(WATCH);
    let seconds = WATCH.as_secs();
    let (woken, busy) = (
        (wake_ups() - woken) / seconds,
        (cpu() - since) / 1000 / seconds,
    );
    let fds = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    result(
        since,
        &format!(
            "rss={} threads={} fds={fds} wakes={woken} busy={busy}",
            status("/proc/self", "VmRSS:"),
            status("/proc/self", "Threads:"),
        ),
    );
    drop(pairs);
    let _ = fs::remove_dir_all(folder);
}

fn wake_ups() -> u64 {
    let tasks = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    tasks
        .map(|task| {
            status(
                &task.path().display().to_string(),
                "voluntary_ctxt_switches:",
            )
        })
        .sum()
}

fn status(of: &str, key: &str) -> u64 {
    let text = fs::read_to_string(format!("{of}/status")).unwrap_or_default();
    text.lines()
        .find_map(|line| {
            line.strip_prefix(key)?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0)
}
