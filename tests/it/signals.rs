//! Signals are the program's own affair: they interrupt nothing here, and no
//! worker handles one.

use std::{
    fs, ptr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
};

use pushpull::{Config, Push};

use crate::harness::{at, in_own_process, ms, number, numbered, raw_pull, Wire, LONG};

static CAUGHT: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: libc::c_int) {
    CAUGHT.fetch_add(1, Relaxed);
}

/// A thousand signals a second, which make system calls return EINTR.
fn rain() {
    // SAFETY: a zeroed sigaction is a valid one, without SA_RESTART; the
    // handler touches one atomic.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as extern "C" fn(libc::c_int) as usize;
        libc::sigaction(libc::SIGALRM, &action, ptr::null_mut());
    }
    let period = libc::timeval {
        tv_sec: 0,
        tv_usec: 1000,
    };
    let timer = libc::itimerval {
        it_interval: period,
        it_value: period,
    };
    // SAFETY: reads one struct.
    let set = unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, ptr::null_mut()) };
    assert_eq!(set, 0);
}

#[test]
fn a_rain_of_signals_interrupts_nothing() {
    in_own_process(100, || {
        rain();
        for transport in ["ipc", "tcp"] {
            const ALL: u64 = 100_000;
            let wire = Wire::new(transport);
            let (push, pull) = wire.pair(|c| c, |c| c);
            thread::scope(|scope| {
                scope.spawn(|| {
                    for n in 0..ALL {
                        push.send(numbered(n, 8)).unwrap();
                    }
                    push.drain(LONG).unwrap();
                });
                for n in 0..ALL {
                    assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
                }
            });
            assert!(pull.close().unwrap().is_empty());
            // Also the calls that wait, and those of the beginning and the end.
            for _ in 0..20 {
                let push = Push::open(Config::bind(&wire.address())).unwrap();
                push.send("for nobody").unwrap();
                let error = push.drain(ms(20)).unwrap_err();
                assert_eq!(error.into_unsent().count(), 1);
            }
        }
        assert!(CAUGHT.load(Relaxed) > 100, "it did not rain");
    });
}

/// The lowest signals, by the bits of the mask of each worker.
#[test]
fn workers_block_every_signal_but_those_of_their_own_faults() {
    in_own_process(20, || {
        let wire = Wire::new("tcp");
        let (push, pull) = wire.pair(|c| c.name("w"), |c| c.name("w"));
        let mut seen = 0;
        for task in fs::read_dir("/proc/self/task").unwrap() {
            let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let field = |name: &str| {
                let line = status.lines().find(|l| l.starts_with(name)).unwrap();
                line.split_once(':').unwrap().1.trim().to_owned()
            };
            let name = field("Name");
            let blocked = u64::from_str_radix(&field("SigBlk"), 16).unwrap();
            let is_blocked = |signal: i32| blocked >> (signal - 1) & 1 == 1;
            if name == "push w" || name == "pull w" || name.starts_with("ZMQbg") {
                seen += 1;
                for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGALRM, libc::SIGCHLD] {
                    assert!(is_blocked(signal), "{name} handles {signal}");
                }
            }
            if name == "push w" || name == "pull w" {
                assert!(
                    !is_blocked(libc::SIGSEGV) && !is_blocked(libc::SIGBUS),
                    "{name}"
                );
            }
        }
        assert_eq!(seen, 2 + 2 * 2, "a worker and two threads of libzmq each");
        drop((push, pull));
    });
}

/// A program that was not started by Rust may have it so: whoever writes to a
/// connection whose reader is gone is killed.
#[test]
fn a_peer_that_leaves_kills_nobody_with_a_sigpipe() {
    in_own_process(60, || {
        // SAFETY: the default, which is what a C program begins with.
        let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        assert_eq!(before, libc::SIG_IGN, "Rust has it so");
        for transport in ["ipc", "tcp"] {
            let wire = Wire::new(transport);
            let push = Push::open(Config::bind(&wire.address()).high_water_mark(5)).unwrap();
            let context = zmq::Context::new();
            let mut met = 0;
            for _ in 0..100 {
                let peer = raw_pull(&context);
                peer.set_rcvtimeo(30).unwrap();
                peer.connect(&at(&push)).unwrap();
                for n in 0..20 {
                    let _ = push.send_timeout(numbered(n, 9000), ms(1));
                }
                // What was sent may have gone to the one before, who has left.
                met += usize::from(peer.recv_bytes(0).is_ok());
            }
            assert!(met > 10, "{met} of 100 peers got something");
            push.abort().for_each(drop);
        }
    });
}
