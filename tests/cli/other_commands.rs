//! forward, bench, info, completions and man.

use pushpull::{Pull, Push};
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    harness::{within, LONG},
    program::{a_while, start, Place},
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
