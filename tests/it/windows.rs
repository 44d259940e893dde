//! What is Windows' own: systems with and without Unix sockets, how paths are
//! spelt there, and handles.

use std::path::Path;

use pushpull::{Config, OpenErrorKind, Pull, Push};
use tempfile::tempdir;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetProcessHandleCount};

use crate::harness::{at, in_own_process, ms, transports, within, Wire, LONG};

/// A path as Windows' own programs spell it, with letters of all kinds.
fn endpoint(folder: &Path) -> String {
    format!("ipc://{}", folder.join("Jörg €.sock").display())
}

fn has_ipc() -> bool {
    transports().contains(&"ipc")
}

fn works(endpoint: &str) {
    let pull = Pull::bind(endpoint).unwrap();
    let push = Push::connect(&at(&pull)).unwrap();
    push.send("hello").unwrap();
    assert_eq!(pull.recv_timeout(LONG).unwrap(), "hello".into());
    push.drain(LONG).unwrap();
}

#[test]
fn where_there_are_no_unix_sockets_ipc_is_a_typed_error_and_tcp_works() {
    within(30, || {
        if has_ipc() {
            println!("skipped: this system has Unix sockets");
            return;
        }
        let folder = tempdir().unwrap();
        let endpoint = endpoint(folder.path());
        for error in [
            Pull::bind(&endpoint).map(drop).unwrap_err(),
            Push::bind(&endpoint).map(drop).unwrap_err(),
            Pull::connect(&endpoint).map(drop).unwrap_err(),
            Push::connect(&endpoint).map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), OpenErrorKind::Unsupported);
            assert_eq!(error.subject(), endpoint);
            let text = error.to_string();
            println!("{text}");
            assert!(text.contains("ipc is not supported here"), "{text}");
        }
        works("tcp://127.0.0.1:0");
    });
}

#[test]
fn ipc_works_at_a_path_as_windows_spells_it() {
    within(30, || {
        if !has_ipc() {
            println!("skipped: this system has no Unix sockets");
            return;
        }
        let folder = tempdir().unwrap();
        let endpoint = endpoint(folder.path());
        for _ in 0..3 {
            works(&endpoint);
        }
        let _pull = Pull::bind(&endpoint).unwrap();
        let error = Pull::bind(&endpoint.to_uppercase().replace("IPC:", "ipc:")).unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::AddressInUse);
    });
}

#[test]
fn a_socket_file_of_the_dead_is_taken_over_and_others_are_left_alone() {
    within(30, || {
        if !has_ipc() {
            println!("skipped: this system has no Unix sockets");
            return;
        }
        let folder = tempdir().unwrap();
        let endpoint = endpoint(folder.path());
        let path = &endpoint["ipc://".len()..];
        std::fs::write(path, "mine").unwrap();
        for error in [
            Pull::bind(&endpoint).map(drop).unwrap_err(),
            Push::connect(&endpoint).map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), OpenErrorKind::NotASocket);
        }
        std::fs::remove_file(path).unwrap();

        // Without a handle's Drop nobody removes it, as when a process is killed.
        let context = zmq::Context::new();
        let stock = context.socket(zmq::PULL).unwrap();
        stock.bind(&endpoint).unwrap();
        drop(stock);
        drop(context);
        works(&endpoint);
        assert!(!Path::new(path).exists());
    });
}

fn handles() -> u32 {
    let mut count = 0;
    // SAFETY: asks about this process; writes one number.
    unsafe { GetProcessHandleCount(GetCurrentProcess(), &mut count) };
    count
}

#[test]
fn no_handle_outlives_its_queue() {
    in_own_process(60, || {
        let wire = Wire::new("tcp");
        let round = || {
            let (push, pull) = wire.pair(|c| c, |c| c);
            push.drain(LONG).unwrap();
            pull.close().unwrap().for_each(drop);
            drop(Push::open(Config::connect("tcp://127.0.0.1:1").linger(ms(0))).unwrap());
        };
        // What std and the C runtime keep from the first time on.
        (0..5).for_each(|_| round());
        let before = handles();
        (0..30).for_each(|_| round());
        let after = handles();
        assert!(after <= before + 5, "from {before} to {after} handles");
    });
}
