use crate::{
    pair::Process,
    protocol::{cpu, result, Job},
};
use pushpull::{Config, Context, Pull, Push};
use std::{fs, path::Path, thread, time::Duration};

/// Memory in KiB, threads, descriptors, wake-ups and microseconds of processor
/// time in a second, of a process with so many idle queues.
pub fn costs(program: &Path, how: &str, number: usize) -> Result<[f64; 5], String> {
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
pub fn play(how: &str, number: usize) {
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
