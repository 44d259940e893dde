//! The counters of queues, as text for Prometheus.
//!
//! ```sh
//! cargo run --release --example prometheus &
//! curl http://127.0.0.1:9184/metrics
//! ```
//!
//! What is counted costs the queues nothing that could be measured, so it always
//! is; reading it is for whoever scrapes.

// A program talks to its user; the library has `log`.
#![allow(clippy::print_stdout)]

use std::{
    env,
    error::Error,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use pushpull::{Pull, Push, Stats};

/// Which queue, and "push" or "pull".
type Labels = Vec<(&'static str, String)>;

type Row = (&'static str, &'static str, fn(&Stats) -> u64);

/// These only grow.
const COUNTERS: &[Row] = &[
    ("accepted_messages", "Taken into a Push's channel", |s| {
        s.accepted
    }),
    ("sent_messages", "Handed to libzmq", |s| s.sent),
    ("received_messages", "Taken from libzmq", |s| s.received),
    ("delivered_messages", "Handed into a Pull's channel", |s| {
        s.delivered
    }),
    ("returned_messages", "Given back to the program", |s| {
        s.returned
    }),
    (
        "lost_messages",
        "Expired with nobody to take them back",
        |s| s.lost,
    ),
    ("in_doubt_messages", "Possibly lost with a peer", |s| {
        s.in_doubt
    }),
    ("in_bytes", "Bytes of the messages that came in", |s| {
        s.bytes
    }),
    ("out_bytes", "Bytes of those that went out", |s| s.bytes_out),
    ("stalls", "Waits for room", |s| s.stalls),
    ("blocked_milliseconds", "Time in these waits", |s| {
        s.blocked.as_millis() as u64
    }),
    ("left_peers", "Peers that left", |s| s.peers_left),
    ("reconnects", "Calls after the first", |s| s.reconnects),
];

/// These go up and down.
const GAUGES: &[Row] = &[
    (
        "backlog_messages",
        "Accepted and not sent yet",
        Stats::backlog,
    ),
    ("channel_depth", "Items in the channel", |s| s.depth),
    ("peers", "Peers that are connected", |s| s.peers),
];

/// What Prometheus reads: everything about all queues, as it is now.
pub fn text(queues: &[(&str, &str, Stats)]) -> String {
    let mut registry = Registry::with_prefix("pushpull");
    let labels = |name: &str, kind: &str| -> Labels {
        vec![("queue", name.to_owned()), ("kind", kind.to_owned())]
    };
    for (metric, help, value) in COUNTERS {
        let family = Family::<Labels, Counter>::default();
        for (name, kind, stats) in queues {
            family
                .get_or_create(&labels(name, kind))
                .inc_by(value(stats));
        }
        registry.register(*metric, *help, family);
    }
    for (metric, help, value) in GAUGES {
        let family = Family::<Labels, Gauge>::default();
        for (name, kind, stats) in queues {
            family
                .get_or_create(&labels(name, kind))
                .set(value(stats) as i64);
        }
        registry.register(*metric, *help, family);
    }
    let mut text = String::new();
    encode(&mut text, &registry).expect("a String takes all");
    text
}

/// Answers one scraper. Prometheus says nothing that would have to be understood.
pub fn answer(mut stream: TcpStream, text: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let request = BufReader::new(stream.try_clone()?);
    for line in request.lines().take(100) {
        if line?.is_empty() {
            break;
        }
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\n\
         Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
         Content-Length: {}\r\n\
         Connection: close\r\n\r\n{text}",
        text.len()
    )
}

#[allow(dead_code, reason = "a test takes the rest of this file")]
fn main() -> Result<(), Box<dyn Error>> {
    let at = env::args().nth(1).unwrap_or("127.0.0.1:9184".to_owned());
    let listener = TcpListener::bind(&at)?;
    let pull = Pull::bind("tcp://127.0.0.1:0")?;
    let push = Push::connect(&pull.endpoints()[0].to_string())?;
    println!("http://{}/metrics", listener.local_addr()?);

    // Something to count: a thousand a second.
    let (sender, receiver) = (push.sender().clone(), pull.receiver().clone());
    thread::spawn(move || {
        for n in 0_u64.. {
            thread::sleep(Duration::from_millis(1));
            if sender.send(format!("message {n}").into()).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || receiver.iter().for_each(drop));

    for stream in listener.incoming() {
        let queues = [
            (push.name(), "push", push.stats()),
            (pull.name(), "pull", pull.stats()),
        ];
        // A scraper that goes away is no concern of ours.
        if let Err(error) = stream.and_then(|s| answer(s, &text(&queues))) {
            println!("{error}");
        }
    }
    Ok(())
}
