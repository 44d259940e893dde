//! A forked child has copies of its parent's queues and none of their
//! threads: whatever it does with them harms no one.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use pushpull::{Config, Context, OpenErrorKind, Push};

use crate::{
    harness::{at, in_own_process, number, numbered, rounds, timed, Wire, LONG},
    stranger::Stranger,
};

/// Forks, runs `child` there, and tells whether it came to its end in time.
fn forked(child: impl FnOnce()) -> bool {
    // SAFETY: the child runs on the only thread that it has, and leaves by
    // _exit; what it calls takes no lock that another thread of the parent
    // could have held, but libc's own, which fork takes care of.
    match unsafe { libc::fork() } {
        -1 => panic!("{}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: a call that hangs ends the child, as a signal.
            unsafe { libc::alarm(10) };
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            // SAFETY: ends the child without running the parent's exit code.
            unsafe { libc::_exit(i32::from(ended.is_err())) }
        }
        child => {
            let mut status = 0;
            // SAFETY: waits for the child that is there, and writes one int.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
        }
    }
}

fn works(push: &Push, pull: &pushpull::Pull, n: u64) {
    push.send(numbered(n, 100)).unwrap();
    assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
}

#[test]
fn a_forked_child_opens_nothing_on_the_context_of_its_parent() {
    in_own_process(30, || {
        let wire = Wire::new("tcp");
        let context = Context::new().unwrap();
        let config = Config::bind(&wire.address()).context(&context);
        let push = Push::open(config.clone()).unwrap();
        let ended = forked(|| {
            let refused = Push::open(config.clone()).unwrap_err();
            assert_eq!(refused.kind(), OpenErrorKind::ContextTerminated);
            let _ = Push::open(Config::bind(&wire.address())).unwrap().abort();
        });
        assert!(ended, "the child hangs or panics");
        let _ = push.abort();
    });
}

#[test]
fn a_forked_child_that_lets_go_of_its_queues_harms_no_one() {
    in_own_process(60, || {
        for (n, transport) in ["ipc", "tcp", "ipc", "tcp"].into_iter().enumerate() {
            let wire = Wire::new(transport);
            let (push, pull) = wire.pair(|c| c, |c| c);
            let (mut push, mut pull) = (Some(push), Some(pull));
            let stopper = push.as_ref().unwrap().stopper();
            let ended = forked(|| {
                stopper.stop();
                let (push, pull) = (push.take().unwrap(), pull.take().unwrap());
                let (took, ()) = timed(|| {
                    if n < 2 {
                        drop((push, pull));
                    } else {
                        push.abort().for_each(drop);
                        let _ = pull.close();
                    }
                });
                assert!(took < Duration::from_secs(1), "{took:?}");
            });
            assert!(ended, "the child hangs or panics");
            let (push, pull) = (push.unwrap(), pull.unwrap());
            if let Some(path) = at(&pull).strip_prefix("ipc://") {
                assert!(Path::new(path).exists(), "the child removed the file");
            }
            works(&push, &pull, 1);
            push.drain(LONG).unwrap();
            assert!(pull.close().unwrap().is_empty());
            assert_eq!(fs::read_dir(wire.dir.path()).unwrap().count(), 0);
        }
    });
}

#[test]
fn a_forked_child_may_open_queues_of_its_own() {
    in_own_process(60, || {
        let wire = Wire::new("ipc");
        let (push, pull) = wire.pair(|c| c, |c| c);
        let address = at(&pull);
        let ended = forked(|| {
            let own = Push::open(Config::connect(&address)).unwrap();
            own.send(numbered(7, 100)).unwrap();
            own.drain(LONG).unwrap();
        });
        assert!(ended);
        assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), 7);
        works(&push, &pull, 8);
    });
}

/// A child that only goes on living must not keep connections or paths.
#[test]
fn a_program_that_is_started_inherits_no_descriptor() {
    in_own_process(60, || {
        let wires = [Wire::new("ipc"), Wire::new("tcp")];
        let pairs = wires.each_ref().map(|wire| wire.pair(|c| c, |c| c));
        let list = std::process::Command::new("ls")
            .arg("-l")
            .arg("/proc/self/fd")
            .output();
        let list = String::from_utf8(list.unwrap().stdout).unwrap();
        for kind in ["socket:", "eventfd", "eventpoll", "anon_inode"] {
            assert!(!list.contains(kind), "{list}");
        }
        for (push, pull) in &pairs {
            works(push, pull, 1);
        }
    });
}

#[test]
fn a_drain_in_a_forked_child_does_not_call_the_parents_messages_sent() {
    in_own_process(60, || {
        let push = Push::bind("tcp://127.0.0.1:0").unwrap();
        push.send("for nobody yet").unwrap();
        let mut push = Some(push);
        let ended = forked(|| {
            let error = push.take().unwrap().drain(LONG).unwrap_err();
            assert!(error.to_string().contains("forked"), "{error}");
        });
        assert!(ended, "the child hangs or panics");
        assert_eq!(push.unwrap().abort().count(), 1);
    });
}

#[test]
fn a_child_forked_amid_comings_and_goings_opens_queues_of_its_own() {
    in_own_process(60, || {
        let wire = Wire::new("ipc");
        let pull = pushpull::Pull::bind(&wire.address()).unwrap();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !over.load(Relaxed) {
                        drop(Stranger::call(&at(&pull)));
                    }
                });
            }
            let opens = || drop(Push::open(Config::bind(&wire.address())).unwrap().abort());
            let all_ended = (0..rounds(300)).all(|_| forked(opens));
            over.store(true, Relaxed);
            assert!(all_ended, "a child hangs or panics");
        });
    });
}
