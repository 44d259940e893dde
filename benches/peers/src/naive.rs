//! What everybody writes first: a worker thread with a blocking loop over the
//! stock `zmq` crate, and a crossbeam channel. (It can't be stopped.)

use crate::{
    bare::socket,
    protocol::{Echoing, Job, Pinging, Receiving, Sending, HIGH_WATER},
};
use crossbeam_channel::{bounded, Receiver, Sender};
use std::thread;
use zmq::{Context, Socket};

fn sender(context: &Context, endpoint: &str) -> Sender<Vec<u8>> {
    let socket = socket(context, zmq::PUSH);
    socket.connect(endpoint).expect("connects");
    let (sender, messages) = bounded::<Vec<u8>>(HIGH_WATER);
    thread::spawn(move || {
        for message in messages {
            socket.send(message, 0).expect("sent");
        }
    });
    sender
}

fn receiver(socket: Socket) -> Receiver<Vec<u8>> {
    let (messages, receiver) = bounded(HIGH_WATER);
    thread::spawn(move || {
        while let Ok(message) = socket.recv_bytes(0) {
            if messages.send(message).is_err() {
                break;
            }
        }
    });
    receiver
}

fn bind(context: &Context, endpoint: &str) -> Receiver<Vec<u8>> {
    let socket = socket(context, zmq::PULL);
    socket.bind(endpoint).expect("binds");
    receiver(socket)
}

pub fn push(job: &Job) {
    let sender = sender(&Context::new(), &job.endpoint);
    let mut run = Sending::new(job);
    sender.send(run.greeting().to_vec()).expect("sent");
    run.go();
    while let Some(message) = run.next() {
        sender.send(message.to_vec()).expect("sent");
    }
    run.end();
    leave();
}

pub fn pull(job: &Job) {
    let receiver = bind(&Context::new(), &job.endpoint);
    let mut run = Receiving::new(job);
    run.bound();
    for message in receiver {
        if !run.take(&message) {
            break;
        }
    }
    run.end();
    leave();
}

pub fn ping(job: &Job) {
    let context = Context::new();
    let receiver = bind(&context, &job.endpoint);
    let mut run = Pinging::new(job);
    run.bound();
    let sender = sender(&context, &job.back);
    while let Some(message) = run.next() {
        sender.send(message.to_vec()).expect("sent");
        run.back(&receiver.recv().expect("received"));
    }
    run.end();
    leave();
}

pub fn echo(job: &Job) {
    let context = Context::new();
    let receiver = bind(&context, &job.endpoint);
    let mut run = Echoing::new(job);
    run.bound();
    let sender = sender(&context, &job.back);
    for message in receiver {
        sender.send(message).expect("sent");
        if !run.answered() {
            break;
        }
    }
    run.end();
    leave();
}

/// The worker sits in its socket, so dropping the context would wait for ever.
fn leave() -> ! {
    std::process::exit(0)
}
