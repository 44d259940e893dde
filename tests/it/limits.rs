//! The limits of the system and of libzmq: whoever reaches one is told by
//! `open`, and nothing that is open suffers.

use std::fs;

use pushpull::{Config, Context, OpenErrorKind, Pull, Push};
use rustix::process::{getrlimit, setrlimit, Resource};

use crate::{
    harness::{at, in_own_process, Wire, LONG},
    meter::{descriptors, Holdings},
};

fn works(push: &Push, pull: &Pull) {
    push.send("unharmed").unwrap();
    assert_eq!(pull.recv_timeout(LONG).unwrap(), "unharmed".into());
}

fn limited(what: Resource, to: u64) -> bool {
    let mut limit = getrlimit(what);
    limit.current = Some(to);
    setrlimit(what, limit).is_ok()
}

#[test]
fn running_out_of_descriptors_is_an_error_and_not_the_end() {
    in_own_process(60, || {
        let used = descriptors().values().sum::<u32>();
        let wire = Wire::new("ipc");
        let (push, pull) = wire.pair(|c| c, |c| c);
        assert!(limited(Resource::Nofile, u64::from(used) + 60));
        let mut queues = Vec::new();
        let error = loop {
            match Pull::bind(&wire.address()) {
                Ok(queue) => queues.push(queue),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), OpenErrorKind::Resources, "{error}");
        // Those that are open work on.
        works(&push, &pull);
        queues.clear();
        let _again = wire.pull();
    });
}

/// How many threads of this process count as that user's. Those of an emulator don't: what
/// it emulates can't change their user.
fn threads_of(user: u32) -> usize {
    let counts = |task: &fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let uids = status.lines().find(|line| line.starts_with("Uid:"));
        uids.and_then(|line| line.split_whitespace().nth(1)) == Some(user.to_string().as_str())
    };
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks.map(|task| task.unwrap()).filter(counts).count()
}

/// A queue has a worker and, on a context of its own, two threads of libzmq's.
#[test]
fn a_thread_that_can_not_start_is_an_error_of_open() {
    in_own_process(60, || {
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: only root can become a user without processes");
        }
        const BIND: &str = "tcp://127.0.0.1:0";
        let shared = Context::new().unwrap();
        let pull = Pull::open(Config::bind(BIND).context(&shared)).unwrap();
        let push = Push::open(Config::connect(&at(&pull)).context(&shared)).unwrap();
        works(&push, &pull);
        // The limit counts all processes of a user, and does not bind root.
        let nobody_else = 61_000_000 + std::process::id();
        // SAFETY: it takes a number and changes this process alone.
        assert_eq!(unsafe { libc::setuid(nobody_else) }, 0);
        let before = Holdings::now();
        let room = |for_threads: usize, context: Option<&Context>| {
            let limit = threads_of(nobody_else) + for_threads;
            assert!(limited(Resource::Nproc, limit as u64));
            let mut config = Config::bind(BIND);
            if let Some(context) = context {
                config = config.context(context);
            }
            let (one, other) = (Push::open(config.clone()).map(drop), Pull::open(config));
            if let Err(error) = &one {
                assert_eq!(error.kind(), OpenErrorKind::Resources, "{error}");
                println!("room for {for_threads}: {error}");
            }
            assert_eq!(one.is_ok(), other.is_ok());
            drop(other);
            before.are_unchanged("after an open without threads");
            works(&push, &pull);
            one.is_ok()
        };
        assert_eq!(
            [0, 1, 2, 3].map(|n| room(n, None)),
            [false, false, false, true]
        );
        assert_eq!([0, 1].map(|n| room(n, Some(&shared))), [false, true]);
    });
}

#[test]
#[ignore = "takes five thousand threads: ci/soak.sh runs it. `src/context.rs` has a small one"]
fn a_context_that_is_full_of_sockets_tells_and_goes_on() {
    in_own_process(500, || {
        let context = Context::new().unwrap();
        let wire = Wire::new("tcp");
        // Once, or some are always at it.
        let config = Config::connect("tcp://127.0.0.1:1").reconnect(10 * LONG, 10 * LONG);
        let queue = || Push::open(config.clone().context(&context));
        let pull = Pull::open(Config::bind(&wire.address()).context(&context)).unwrap();
        let push = Push::open(Config::connect(&at(&pull)).context(&context)).unwrap();
        let allowed = getrlimit(Resource::Nofile).maximum.unwrap_or(60_000);
        assert!(limited(Resource::Nofile, allowed));
        let mut queues = Vec::new();
        let error = loop {
            match queue() {
                Ok(queue) => queues.push(queue),
                Err(error) => break error,
            }
        };
        let used = descriptors().values().sum::<u32>();
        println!("{} queues, {used} descriptors: {error}", queues.len());
        assert_eq!(error.kind(), OpenErrorKind::Resources, "{error}");
        if u64::from(used) + 20 > allowed {
            return println!("skipped: descriptors ran out before sockets did");
        }
        assert!(queues.len() > 5000, "{}", queues.len());
        let before = Holdings::now();
        for _ in 0..20 {
            queue().unwrap_err();
        }
        before.are_unchanged("after twenty that were refused");
        works(&push, &pull);
        queues.pop();
        drop(queue().unwrap());
        works(&push, &pull);
        for queue in &queues {
            queue.stopper().stop();
        }
    });
}
