//! The socket file of an ipc endpoint: whose it is, what it may be, and that
//! it goes away. (What a path may be is in `ipc_paths`.)

use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixDatagram, UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::Barrier,
    thread,
};

use pushpull::{Config, OpenErrorKind, Pull, Push};
use tempfile::{tempdir, TempDir};

use crate::harness::{at, eventually, play, role, rounds, succeeded, within, LONG};

struct Place {
    _dir: TempDir,
    path: PathBuf,
    endpoint: String,
}

fn place() -> Place {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.sock");
    Place {
        endpoint: format!("ipc://{}", path.display()),
        path,
        _dir: dir,
    }
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket())
}

/// A socket file that nobody listens at, as a killed process leaves it.
fn leave_dead(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
    assert!(is_socket(path));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn works(endpoint: &str, pull: &Pull) {
    let push = Push::connect(endpoint).unwrap();
    push.send("hello").unwrap();
    assert_eq!(pull.recv_timeout(LONG).unwrap(), "hello".into());
    push.drain(LONG).unwrap();
}

#[test]
fn one_path_has_one_listener() {
    within(20, || {
        let place = place();
        let pull = Pull::bind(&place.endpoint).unwrap();
        for _ in 0..20 {
            for error in [
                Pull::bind(&place.endpoint).map(drop).unwrap_err(),
                Push::bind(&place.endpoint).map(drop).unwrap_err(),
            ] {
                assert_eq!(error.kind(), OpenErrorKind::AddressInUse);
                assert_eq!(error.subject(), place.endpoint);
            }
        }
        works(&place.endpoint, &pull);
    });
}

#[test]
fn a_foreign_listener_of_any_kind_is_not_pushed_aside() {
    within(20, || {
        let place = place();
        let foreign = UnixListener::bind(&place.path).unwrap();
        let error = Pull::bind(&place.endpoint).unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::AddressInUse);
        drop(foreign);
        fs::remove_file(&place.path).unwrap();
        let _foreign = UnixDatagram::bind(&place.path).unwrap();
        let error = Pull::bind(&place.endpoint).unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::AddressInUse);
        assert!(is_socket(&place.path));
    });
}

#[test]
fn a_dead_socket_file_is_taken_over() {
    within(20, || {
        let place = place();
        leave_dead(&place.path);
        let pull = Pull::bind(&place.endpoint).unwrap();
        works(&place.endpoint, &pull);
    });
}

#[test]
fn of_eight_threads_that_find_a_dead_file_one_takes_it_over() {
    within(60, || {
        for _ in 0..rounds(50) {
            let place = place();
            leave_dead(&place.path);
            let start = Barrier::new(8);
            let opened: Vec<_> = thread::scope(|scope| {
                let threads: Vec<_> = (0..8)
                    .map(|_| {
                        scope.spawn(|| {
                            start.wait();
                            Pull::bind(&place.endpoint)
                        })
                    })
                    .collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect()
            });
            let (mut won, lost): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
            assert_eq!((won.len(), lost.len()), (1, 7));
            for error in lost {
                assert_eq!(error.unwrap_err().kind(), OpenErrorKind::AddressInUse);
            }
            works(&place.endpoint, &won.pop().unwrap().unwrap());
        }
    });
}

const RACE: &str = "ipc_file::of_eight_processes_that_find_a_dead_file_one_takes_it_over";

#[test]
fn of_eight_processes_that_find_a_dead_file_one_takes_it_over() {
    if let Some(role) = role() {
        return racer(Path::new(&role));
    }
    within(60, || {
        for _ in 0..3 {
            let place = place();
            let dir = place.path.parent().unwrap();
            leave_dead(&place.path);
            let racers: Vec<_> = (0..8)
                .map(|_| play(RACE, dir.to_str().unwrap(), &[]))
                .collect();
            let said = |word: &str| {
                let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name());
                names
                    .filter(|n| n.to_str().unwrap().starts_with(word))
                    .count()
            };
            eventually("all are at the start", || said("ready") == 8);
            fs::write(dir.join("go"), "").unwrap();
            eventually("all have tried", || said("won") + said("lost") == 8);
            assert_eq!((said("won"), said("lost")), (1, 7));
            fs::write(dir.join("end"), "").unwrap();
            for racer in racers {
                succeeded(racer.wait_with_output());
            }
            assert!(!place.path.exists());
        }
    });
}

fn racer(dir: &Path) {
    let say = |word: &str| {
        fs::write(dir.join(format!("{word}-{}", std::process::id())), "").unwrap();
    };
    say("ready");
    while !dir.join("go").exists() {
        std::hint::spin_loop();
    }
    let pull = Pull::bind(&format!("ipc://{}/a.sock", dir.display()));
    match &pull {
        Ok(_) => say("won"),
        Err(e) if e.kind() == OpenErrorKind::AddressInUse => say("lost"),
        Err(e) => panic!("{e}"),
    }
    eventually("the race is over", || dir.join("end").exists());
}

/// A process that is killed leaves its file behind, and it is taken over.
#[test]
fn the_file_of_a_killed_process_is_taken_over() {
    if let Some(role) = role() {
        let _pull = Pull::bind(&role).unwrap();
        loop {
            thread::park();
        }
    }
    within(30, || {
        let place = place();
        let test = "ipc_file::the_file_of_a_killed_process_is_taken_over";
        let mut child = play(test, &place.endpoint, &[]);
        eventually("it listens", || UnixStream::connect(&place.path).is_ok());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_socket(&place.path));
        let pull = Pull::bind(&place.endpoint).unwrap();
        works(&place.endpoint, &pull);
    });
}

#[test]
fn the_file_is_for_its_owner_alone_unless_told_otherwise() {
    within(20, || {
        let place = place();
        let pull = Pull::bind(&place.endpoint).unwrap();
        assert!(is_socket(&place.path));
        assert_eq!(mode(&place.path), 0o600);
        drop(pull);
        // More than any umask leaves by itself.
        for wanted in [0o600, 0o660, 0o666, 0o777, 0o622] {
            let pull = Pull::open(Config::bind(&place.endpoint).mode(wanted)).unwrap();
            assert_eq!(mode(&place.path), wanted, "{wanted:o}");
            works(&place.endpoint, &pull);
        }
    });
}

/// Watches from outside: a file that is open to others for only a moment is
/// caught sooner or later.
#[test]
fn the_file_is_never_open_to_others_not_for_a_moment() {
    within(30, || {
        let place = place();
        let done = std::sync::atomic::AtomicBool::new(false);
        use std::sync::atomic::Ordering::Relaxed;
        thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut seen = 0;
                while !done.load(Relaxed) {
                    if let Ok(file) = fs::metadata(&place.path) {
                        assert_eq!(file.permissions().mode() & 0o077, 0);
                        seen += 1;
                    }
                }
                seen
            });
            for _ in 0..100 {
                drop(Pull::bind(&place.endpoint).unwrap());
            }
            done.store(true, Relaxed);
            assert!(watcher.join().unwrap() > 0);
        });
    });
}

#[test]
fn the_file_goes_away_with_its_queue_however_that_ends() {
    within(20, || {
        let place = place();
        let gone = |how: &str| assert!(!place.path.exists(), "still there after {how}");
        let pull = || Pull::bind(&place.endpoint).unwrap();
        let push = || Push::bind(&place.endpoint).unwrap();
        drop(pull());
        gone("drop");
        pull().close().unwrap().for_each(drop);
        gone("close");
        drop(push());
        gone("drop of a push");
        push().abort().for_each(drop);
        gone("abort");
        push().drain(LONG).unwrap();
        gone("drain");
        let stopped = pull();
        stopped.stopper().stop();
        eventually("a stopped pull removes its file", || !place.path.exists());
        drop(stopped);
        let panic = thread::scope(|scope| {
            let held = pull();
            let panicking = scope.spawn(move || {
                let _held = held;
                std::panic::resume_unwind(Box::new(()));
            });
            panicking.join().is_err()
        });
        assert!(panic);
        gone("a panic");
    });
}

#[test]
fn a_file_that_somebody_else_put_there_stays() {
    within(20, || {
        let place = place();
        let pull = Pull::bind(&place.endpoint).unwrap();
        fs::remove_file(&place.path).unwrap();
        let other = UnixListener::bind(&place.path).unwrap();
        drop(pull);
        assert!(is_socket(&place.path));
        drop(other);

        fs::remove_file(&place.path).unwrap();
        let pull = Pull::bind(&place.endpoint).unwrap();
        fs::remove_file(&place.path).unwrap();
        fs::write(&place.path, "precious").unwrap();
        drop(pull);
        assert_eq!(fs::read(&place.path).unwrap(), b"precious");

        fs::remove_file(&place.path).unwrap();
        let pull = Pull::bind(&place.endpoint).unwrap();
        fs::remove_file(&place.path).unwrap();
        drop(pull);
        assert!(!place.path.exists());
    });
}

#[test]
fn a_queue_whose_path_was_taken_over_does_not_remove_its_successors_file() {
    within(20, || {
        let place = place();
        let first = Pull::bind(&place.endpoint).unwrap();
        fs::remove_file(&place.path).unwrap();
        let second = Pull::bind(&place.endpoint).unwrap();
        drop(first);
        assert!(is_socket(&place.path));
        works(&place.endpoint, &second);
        drop(second);
        assert!(!place.path.exists());
    });
}

#[test]
fn a_failed_open_leaves_no_file_behind() {
    within(20, || {
        let place = place();
        let config = Config::bind(&place.endpoint).also_bind("tcp://192.0.2.1:0");
        let error = Pull::open(config).unwrap_err();
        assert_eq!(error.subject(), "tcp://192.0.2.1:0");
        assert!(!place.path.exists());
        let _again = Pull::bind(&place.endpoint).unwrap();
    });
}

#[test]
fn the_system_may_choose_a_path() {
    within(20, || {
        let (one, two) = (
            Pull::bind("ipc://*").unwrap(),
            Pull::bind("ipc://*").unwrap(),
        );
        assert_ne!(at(&one), at(&two));
        for pull in [one, two] {
            let endpoint = at(&pull);
            let path = PathBuf::from(endpoint.strip_prefix("ipc://").unwrap());
            assert_eq!(mode(&path), 0o600);
            works(&endpoint, &pull);
            drop(pull);
            assert!(!path.exists());
        }
    });
}
