//! What happens to a queue, as lines: `pushpull monitor`, and `--events` of the
//! others.

use std::{
    thread,
    time::{Duration, Instant},
};

use pushpull::{
    crossbeam_channel::{after, never, select, Receiver},
    Event, Push,
};
use serde_json::{json, Value};

use crate::{
    args::MonitorArgs,
    end::{End, Result},
    info::print,
    progress::Beside,
    signals::interrupts,
};

/// Events that may wait to be written. More are dropped, and counted.
pub const ROOM: usize = 10_000;

/// A queue at the endpoint that has nothing to send, so it takes nothing from
/// anybody and only sees who is there.
pub fn run(args: &MonitorArgs) -> Result {
    let config = args.queue.config(&args.endpoint, "connect")?;
    let interrupts = interrupts()?;
    let push = Push::open(config.events(ROOM))?;
    let events = push.events().cloned().unwrap_or_else(never);
    let late = args.time.map_or(never(), after);
    let began = Instant::now();
    let mut dropped = 0;
    loop {
        select! {
            recv(events) -> event => match event {
                Ok(event) => print(line(&event, args.json, began.elapsed()).as_bytes())?,
                Err(_) => break, // the queue has ended: drain tells why
            },
            recv(interrupts) -> _ => break,
            recv(late) -> _ => break,
        }
        let now = push.stats().events_dropped;
        if now > dropped {
            eprintln!("pushpull: {} events were dropped", now - dropped);
            dropped = now;
        }
    }
    push.drain(Duration::ZERO).map_err(End::failed)?;
    Ok(())
}

/// Writes the events of a queue to standard error until it has ended.
pub fn beside(events: Option<&Receiver<Event>>, json: bool) {
    let Some(events) = events.cloned() else {
        return; // nobody asked for them
    };
    let began = Instant::now();
    thread::spawn(move || {
        for event in events {
            let _ = std::io::Write::write_all(
                &mut Beside,
                line(&event, json, began.elapsed()).as_bytes(),
            );
        }
    });
}

fn line(event: &Event, json: bool, at: Duration) -> String {
    let (name, fields) = parts(event);
    let seconds = (at.as_secs_f64() * 1000.0).round() / 1000.0;
    if json {
        let mut line = json!({"type": "event", "seconds": seconds, "event": name});
        for (key, value) in fields {
            line[key] = value;
        }
        return format!("{line}\n");
    }
    let mut line = format!("{seconds:>9.3} {name}");
    for (key, value) in fields {
        let value = value.as_str().map_or(value.to_string(), str::to_owned);
        line += &match key {
            "endpoint" => format!(" {value}"),
            _ => format!(" {key}: {value}"),
        };
    }
    line + "\n"
}

/// The name of an event, the same in text and JSON, and what it tells.
fn parts(event: &Event) -> (&'static str, Vec<(&'static str, Value)>) {
    let at = |endpoint: &str| ("endpoint", json!(endpoint));
    match event {
        Event::Listening { endpoint } => ("listening", vec![at(endpoint)]),
        Event::BindFailed { endpoint, reason } => {
            ("bind_failed", vec![at(endpoint), ("reason", json!(reason))])
        }
        Event::Connecting { endpoint } => ("connecting", vec![at(endpoint)]),
        Event::ConnectingAgain { endpoint, pause } => (
            "connecting_again",
            vec![
                at(endpoint),
                (
                    "pause",
                    json!(humantime::format_duration(*pause).to_string()),
                ),
            ],
        ),
        Event::Connected { endpoint } => ("connected", vec![at(endpoint)]),
        Event::Accepted { endpoint } => ("accepted", vec![at(endpoint)]),
        Event::AcceptFailed { endpoint, reason } => (
            "accept_failed",
            vec![at(endpoint), ("reason", json!(reason))],
        ),
        Event::PeerJoined { endpoint } => ("peer_joined", vec![at(endpoint)]),
        Event::HandshakeFailed { endpoint, reason } => (
            "handshake_failed",
            vec![at(endpoint), ("reason", json!(reason.to_string()))],
        ),
        Event::Disconnected { endpoint } => ("disconnected", vec![at(endpoint)]),
        Event::Closed { endpoint } => ("closed", vec![at(endpoint)]),
        Event::CloseFailed { endpoint, reason } => (
            "close_failed",
            vec![at(endpoint), ("reason", json!(reason))],
        ),
        Event::Stalled { since, waiting_for } => (
            "stalled",
            vec![
                ("stalled_seconds", json!(since.elapsed().as_secs())),
                ("waiting_for", json!(waiting_for.to_string())),
            ],
        ),
        Event::Resumed => ("resumed", vec![]),
        Event::Unknown(number) => ("unknown", vec![("number", json!(number))]),
        // A newer library's.
        other => ("other", vec![("text", json!(format!("{other:?}")))]),
    }
}
