//! Measures `pushpull` beside the stock crates: two processes for each run,
//! the implementations in turn, round after round, so that whatever else the
//! machine does meanwhile hits all of them alike.
//!
//! ```text
//! cargo run --release -- --only bare,ours --sizes 64,1024,rtt --transports ipc --rounds 3
//! cargo run --release -- --help
//! ```

mod bare;
mod document;
mod measure;
mod naive;
mod options;
#[path = "../../common/pair.rs"]
#[allow(dead_code)]
mod pair;
#[path = "../../common/protocol.rs"]
mod protocol;
mod report;
mod rzmq;
mod stream;
mod zmqrs;

use measure::Measurements;
use options::Options;
use protocol::Job;
use std::path::Path;

fn main() {
    if let Some(job) = Job::from_args() {
        return play(&job);
    }
    let options = match Options::from_args() {
        Ok(Some(options)) => options,
        Ok(None) => return,
        Err(why) => {
            eprintln!("{why}\n\n{}", options::HELP);
            std::process::exit(2);
        }
    };
    let mut all = Measurements::default();
    for transport in &options.transports {
        for test in &options.tests {
            measure::rounds(&options, transport, *test, &mut all);
            print!("{}", report::text(&all, transport, *test));
        }
    }
    if let Some(path) = &options.raw {
        std::fs::write(path, report::raw(&all)).expect("the raw results are written");
    }
    if let Some(docs) = &options.docs {
        if let Err(why) = document(&all, &options, docs) {
            eprintln!("{why}");
            all.failures += 1;
        }
    }
    if all.failures > 0 {
        eprintln!("{} runs failed", all.failures);
        std::process::exit(1);
    }
}

fn document(all: &Measurements, options: &Options, docs: &Path) -> Result<(), String> {
    let page = docs.join("performance.md");
    document::insert(&page, "measured", &document::markdown(all, options))?;
    if let Some(scale) = &options.scale_text {
        let text = std::fs::read_to_string(scale).map_err(|e| e.to_string())?;
        let text = format!("```text\n{}\n```", text.trim_end());
        document::insert(&page, "scale", &text)?;
    }
    let plot = docs.join("throughput.svg");
    std::fs::write(plot, document::plot(all, options)).map_err(|e| e.to_string())
}

/// What a process does that the runner started.
fn play(job: &Job) {
    let (push, pull, ping, echo): (Part, Part, Part, Part) = match job.implementation.as_str() {
        "bare" => (bare::push, bare::pull, bare::ping, bare::echo),
        "naive" => (naive::push, naive::pull, naive::ping, naive::echo),
        "rzmq" => (rzmq::push, rzmq::pull, rzmq::ping, rzmq::echo),
        "zmq.rs" => (zmqrs::push, zmqrs::pull, zmqrs::ping, zmqrs::echo),
        "socket" => (stream::push, stream::pull, stream::ping, stream::echo),
        other => panic!("no such implementation: {other}"),
    };
    match job.role.as_str() {
        "push" => push(job),
        "pull" => pull(job),
        "ping" => ping(job),
        "echo" => echo(job),
        other => panic!("no such role: {other}"),
    }
}

type Part = fn(&Job);
