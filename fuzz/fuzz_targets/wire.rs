//! Bytes at a Pull, over tcp and over ipc, while a good peer goes on.
//!
//! `ci/fuzz.sh` builds and runs it with a stable toolchain, such that libFuzzer sees its way
//! through libzmq as well, which is where the bytes go.
//!
//! The first byte chooses the Pull and how the rest is said.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pushpull::{Config, Pull, Push};
use std::{
    cell::RefCell,
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    time::Duration,
};

const SOON: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_secs(10);

struct Target {
    pull: Pull,
    push: Push,
    said: u64,
    _dir: tempfile::TempDir,
}

impl Target {
    fn open(ipc: bool, legacy: bool) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let address = match ipc {
            true => format!("ipc://{}/s", dir.path().display()),
            false => "tcp://127.0.0.1:0".to_owned(),
        };
        let config = Config::bind(&address)
            .max_message_size(1 << 20)
            .handshake_timeout(Duration::from_millis(200))
            .legacy_peers(legacy);
        let pull = Pull::open(config).expect("bound");
        let push = Push::connect(&pull.endpoints()[0].to_string()).expect("connecting");
        Self {
            pull,
            push,
            said: 0,
            _dir: dir,
        }
    }

    fn hears(&self, first: &[u8], then: &[u8]) {
        let at = self.pull.endpoints()[0].to_string();
        match at.split_once("://").expect("an endpoint") {
            ("tcp", at) => {
                let stream = TcpStream::connect(at).expect("it listens");
                stream.set_read_timeout(Some(SOON)).expect("an option");
                say(stream, first, then);
            }
            (_, at) => {
                let stream = UnixStream::connect(at).expect("it listens");
                stream.set_read_timeout(Some(SOON)).expect("an option");
                say(stream, first, then);
            }
        }
    }

    /// The good peer's messages come through, in order, whatever else does.
    fn flows(&mut self) {
        self.said += 1;
        let message = format!("good peer, {}", self.said);
        self.push.send(message.as_str()).expect("it is open");
        loop {
            let got = self.pull.recv_timeout(LONG).expect("it flows");
            if got.as_bytes().starts_with(b"good peer, ") {
                assert_eq!(got.as_bytes(), message.as_bytes());
                return;
            }
        }
    }
}

fn say(mut stream: impl Read + Write, first: &[u8], then: &[u8]) {
    let _ = stream.write_all(first);
    if !then.is_empty() {
        // A handshake has turns.
        let _ = stream.read(&mut [0; 64]);
        let _ = stream.write_all(then);
        let _ = stream.read(&mut [0; 64]);
    }
}

thread_local! {
    static TARGETS: RefCell<Vec<Target>> = RefCell::new(
        [(false, false), (true, false), (false, true), (true, true)]
            .map(|(ipc, legacy)| Target::open(ipc, legacy))
            .into(),
    );
}

fuzz_target!(|bytes: &[u8]| {
    let Some((how, said)) = bytes.split_first() else {
        return;
    };
    // After the greeting, somewhere else, or never.
    let turn = match how >> 2 & 3 {
        0 => said.len(),
        1 => usize::from(how >> 4) * said.len() / 16,
        _ => 64,
    };
    let (first, then) = said.split_at(turn.min(said.len()));
    TARGETS.with_borrow_mut(|targets| {
        let target = &mut targets[usize::from(how & 3)];
        target.hears(first, then);
        target.flows();
    });
});
