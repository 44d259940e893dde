//! forward, bench, info, completions and man.

use std::io::{BufRead, BufReader};

use pushpull::{Pull, Push};
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    harness::{within, LONG},
    program::{a_while, start, start_unread, Place},
};

#[test]
fn a_forwarder_passes_everything_on_until_it_is_told_to_end() {
    within(20, || {
        for signal in [Signal::INT, Signal::TERM] {
            let (place, to) = (Place::new(), Place::new());
            let pull = Pull::bind(&to.endpoint).unwrap();
            let forward = start(&["forward", &place.endpoint, &to.endpoint]);
            place.wait();
            let push = Push::connect(&place.endpoint).unwrap();
            for n in 0..1000 {
                push.send(n.to_string()).unwrap();
            }
            push.drain(LONG).unwrap();
            // The sender is through, but the receiver has yet to read: nothing of what
            // the forwarder had may be lost.
            forward.signal(signal);
            forward.end().silent();
            for n in 0..1000 {
                assert_eq!(pull.recv_timeout(LONG).unwrap(), n.to_string().into());
            }
        }
    });
}

#[test]
fn a_forwarder_to_nobody_ends_with_the_second_ctrl_c_and_counts() {
    within(20, || {
        let place = Place::new();
        let to = place.beside();
        let mut forward = start(&["forward", &place.endpoint, &to]);
        place.wait();
        let push = Push::connect(&place.endpoint).unwrap();
        push.send("one").unwrap();
        push.drain(LONG).unwrap();
        forward.signal(Signal::INT);
        std::thread::sleep(a_while());
        assert!(forward.is_running(), "the first one hands over");
        forward.signal(Signal::INT);
        forward.end().with(130, "1 record of 1 went nowhere");
    });
}

#[test]
fn bench_measures_what_came_through() {
    within(30, || {
        for transport in ["ipc", "tcp"] {
            let bench = start(&[
                "bench",
                "-s",
                "100",
                "-t",
                "100ms",
                "--json",
                "--transport",
                transport,
            ]);
            let told: Value = serde_json::from_slice(&bench.end().silent()).unwrap();
            assert_eq!(told["transport"], transport);
            assert_eq!(told["size"], 100);
            assert!(told["records_per_second"].as_f64().unwrap() > 0.0);
        }
    });
}

#[test]
fn info_tells_what_is_inside() {
    within(20, || {
        let told: Value =
            serde_json::from_slice(&start(&["info", "--json"]).end().silent()).unwrap();
        let zmq = pushpull::libzmq();
        let (major, minor, patch) = zmq.version;
        assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(
            told["libzmq"]["version"],
            format!("{major}.{minor}.{patch}")
        );
        assert_eq!(told["libzmq"]["lossless_ipc"], zmq.lossless_ipc);
        let text = String::from_utf8(start(&["info"]).end().silent()).unwrap();
        for mend in zmq.mends {
            assert!(text.contains(mend), "{text}");
        }
    });
}

#[test]
fn completions_and_man_pages_know_every_command() {
    within(20, || {
        for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
            let script = start(&["completions", shell]).end().silent();
            let script = String::from_utf8(script).unwrap();
            for word in ["forward", "max-record", "idle"] {
                assert!(script.contains(word), "{shell}: no {word}");
            }
        }
        let page = String::from_utf8(start(&["man"]).end().silent()).unwrap();
        assert!(page.contains(".TH pushpull 1"), "{page}");

        let folder = tempfile::tempdir().unwrap();
        start(&["man", folder.path().to_str().unwrap()])
            .end()
            .silent();
        for page in ["pushpull.1", "pushpull-push.1", "pushpull-forward.1"] {
            assert!(folder.path().join(page).exists(), "{page}");
        }
    });
}

#[test]
fn monitor_tells_who_comes_and_goes_and_takes_nothing() {
    within(20, || {
        let place = Place::new();
        let mut monitor = start_unread(&["monitor", "--json", &place.endpoint]);
        let mut lines = BufReader::new(monitor.take_stdout()).lines();
        let mut hears = |event: &str| {
            let heard = lines
                .by_ref()
                .map(|line| -> Value { serde_json::from_str(&line.unwrap()).unwrap() });
            heard
                .take(10_000)
                .find(|told| told["event"] == event)
                .unwrap()
        };
        let pull = Pull::bind(&place.endpoint).unwrap();
        assert_eq!(hears("peer_joined")["endpoint"], *place.endpoint);
        // With somebody to send, it still is one that sends nothing.
        let push = Push::connect(&place.endpoint).unwrap();
        push.send("one").unwrap();
        assert_eq!(pull.recv().unwrap(), "one".into());
        assert_eq!(pull.close().unwrap().count(), 0);
        hears("disconnected");
        hears("connecting_again");
        monitor.signal(Signal::INT);
        monitor.end().silent();
        push.abort().for_each(drop);
    });
}

#[test]
fn push_and_pull_tell_their_events_when_asked() {
    within(20, || {
        let place = Place::new();
        let pull = start(&["pull", "--eof", "--events", &place.endpoint]);
        start(&["push", "--eof", "--events", &place.endpoint])
            .fed(b"one\n")
            .with(0, "peer_joined");
        let told = pull.end();
        assert!(told.err.contains("listening"), "{}", told.err);
        assert_eq!(told.with(0, "peer_joined"), b"one\n");
    });
}
