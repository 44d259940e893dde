//! One side of an interoperability run:
//! `interop ours|zmqrs|rzmq push|pull ENDPOINT COUNT SHAPE [OPTIONS]`.
//!
//! `ours` prints `bound ENDPOINT` and binds, unless OPTIONS have `role=connect`;
//! everybody else calls, or a receiver binds, if there is an `@` in front. Whoever
//! receives checks order, size and checksum of each message and prints `N ok` at
//! the end. OPTIONS are those of `Config::from_url`.

mod messages;
mod rzmq_peer;
mod zmqrs_peer;

use messages::{check, make, Shape};
use pushpull::{Config, Message, Pull, Push};
use std::time::Duration;

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let (who, role, endpoint) = (args[0].as_str(), args[1].as_str(), args[2].as_str());
    let count: u64 = args[3].parse().expect("a number of messages");
    let shape = Shape::named(&args[4]);
    let options = args.get(5).map_or("", String::as_str);
    match (who, role) {
        ("ours", "push") => push(endpoint, options, count, shape),
        ("ours", "pull") => pull(endpoint, options, count, shape),
        ("zmqrs", _) => zmqrs_peer::play(role, endpoint, count, shape),
        ("rzmq", _) => rzmq_peer::play(role, endpoint, count, shape),
        _ => panic!("nobody is called {who} {role}"),
    }
}

fn config(endpoint: &str, options: &str) -> Config {
    let role = if options.contains("role=") {
        ""
    } else {
        "role=bind&"
    };
    Config::from_url(&format!("{endpoint}?{role}{options}")).expect("options")
}

fn push(endpoint: &str, options: &str, count: u64, shape: Shape) {
    let push = Push::open(config(endpoint, options)).expect("bound");
    println!("bound {}", push.endpoints()[0]);
    for n in 0..count {
        push.send(Message::multipart(make(n, shape))).expect("sent");
    }
    match push.drain(Duration::from_secs(60)) {
        Ok(drained) => println!("drained {}", drained.sent()),
        Err(error) => {
            println!("{error}");
            std::process::exit(1);
        }
    }
}

fn pull(endpoint: &str, options: &str, count: u64, shape: Shape) {
    let pull = Pull::open(config(endpoint, options)).expect("bound");
    println!("bound {}", pull.endpoints()[0]);
    for n in 0..count {
        let message = pull
            .recv_timeout(Duration::from_secs(30))
            .unwrap_or_else(|e| panic!("{n} of {count}: {e}"));
        let frames: Vec<&[u8]> = message.frames().collect();
        check(n, shape, &frames);
    }
    let more = pull.recv_timeout(Duration::from_millis(100));
    assert!(more.is_err(), "more than was sent: {more:?}");
    println!("{count} ok");
}
