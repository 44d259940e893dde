//! What a program gets that knows nothing of our zmq-sys.

use std::{sync::Mutex, time::Duration};

use pushpull::{Message, Pull, Push};

const LONG: Duration = Duration::from_secs(10);

static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Keep;

impl log::Log for Keep {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        if record.level() <= log::Level::Warn {
            WARNINGS.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

fn round_trip(address: &str) {
    let pull = Pull::bind(address).unwrap();
    let push = Push::connect(&pull.endpoints()[0].to_string()).unwrap();
    for n in 0..1000_u64 {
        push.send(Message::multipart([n.to_le_bytes().to_vec(), vec![0; 8]]))
            .unwrap();
    }
    for n in 0..1000_u64 {
        let message = pull.recv_timeout(LONG).unwrap();
        assert_eq!(message.as_bytes(), n.to_le_bytes());
        assert_eq!(message.frames().count(), 2);
    }
    push.drain(LONG).unwrap();
    assert_eq!(pull.close().unwrap().count(), 0);
}

#[test]
fn the_stock_build_works_and_its_log_says_once_what_it_lacks() {
    log::set_logger(&Keep).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let zmq = pushpull::libzmq();
    assert!(zmq.mends.is_empty() && !zmq.lossless_ipc);

    round_trip("tcp://127.0.0.1:*");
    assert_eq!(WARNINGS.lock().unwrap().len(), 0);

    let folder = tempfile::tempdir().unwrap();
    for n in 0..2 {
        round_trip(&format!("ipc://{}/{n}", folder.path().display()));
    }
    let warnings = WARNINGS.lock().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("issue 4660"), "{warnings:?}");
}
