//! Our part in a measurement.

use super::protocol::{Echoing, Job, Pinging, Receiving, Sending, HIGH_WATER};
use pushpull::{Batch, Config, Item, Message, Pull, Push};

pub fn play(job: &Job) {
    match (job.implementation.as_str(), job.role.as_str()) {
        ("ours", "push") => push(job),
        ("ours", "pull") => pull(job),
        ("ours", "ping") => ping(job),
        ("ours", "echo") => echo(job),
        ("ours-batch", "push") => push_batches(job),
        ("ours-batch", "pull") => pull_batches(job),
        other => panic!("no such job: {other:?}"),
    }
}

fn push(job: &Job) {
    let push = Push::connect(&job.endpoint).expect("a queue");
    let mut run = Sending::new(job);
    push.send(run.greeting()).expect("sent");
    run.go();
    while let Some(message) = run.next() {
        push.send(message).expect("sent");
    }
    finish_push(run, push);
}

fn pull(job: &Job) {
    let pull = Pull::bind(&job.endpoint).expect("a queue");
    let mut run = Receiving::new(job);
    run.bound();
    for message in &pull {
        if !run.take(message.as_bytes()) {
            break;
        }
    }
    finish_pull(run, pull);
}

fn push_batches(job: &Job) {
    let push = Push::open_batched(batched(job, Config::connect(&job.endpoint))).expect("a queue");
    let mut run = Sending::new(job);
    push.send(vec![run.greeting().into()]).expect("sent");
    run.go();
    loop {
        let mut batch = Batch::with_capacity(job.batch());
        while batch.len() < job.batch() {
            match run.next() {
                Some(message) => batch.push(Message::from(message)),
                None => break,
            }
        }
        if batch.is_empty() {
            break;
        }
        push.send(batch).expect("sent");
    }
    finish_push(run, push);
}

fn pull_batches(job: &Job) {
    let pull = Pull::open_batched(batched(job, Config::bind(&job.endpoint))).expect("a queue");
    let mut run = Receiving::new(job);
    run.bound();
    'all: for batch in &pull {
        for message in batch {
            if !run.take(message.as_bytes()) {
                break 'all;
            }
        }
    }
    finish_pull(run, pull);
}

/// As many messages in the channel as everybody else has.
fn batched(job: &Job, config: Config) -> Config {
    config.capacity(HIGH_WATER.div_ceil(job.batch()))
}

fn finish_push<T: Item>(run: Sending, push: Push<T>) {
    run.end();
    let unsent = push.abort();
    assert_eq!(unsent.len(), 0, "messages that came back");
}

fn finish_pull<T: Item>(run: Receiving, pull: Pull<T>) {
    run.end();
    let leftover = pull.close().expect("a clean end");
    assert!(leftover.is_empty(), "messages too many");
}

fn ping(job: &Job) {
    let pull = Pull::bind(&job.endpoint).expect("a queue");
    let mut run = Pinging::new(job);
    run.bound();
    let push = Push::connect(&job.back).expect("a queue");
    while let Some(message) = run.next() {
        push.send(message).expect("sent");
        let answer = pull.recv().expect("an answer");
        run.back(answer.as_bytes());
    }
    run.end();
}

fn echo(job: &Job) {
    let pull = Pull::bind(&job.endpoint).expect("a queue");
    let mut run = Echoing::new(job);
    run.bound();
    let push = Push::connect(&job.back).expect("a queue");
    for message in &pull {
        push.send(message).expect("sent");
        if !run.answered() {
            break;
        }
    }
    run.end();
}
