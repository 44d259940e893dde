//! The baseline: a loop over the stock `zmq` crate, and nothing between it and
//! the socket.

use crate::protocol::{Echoing, Job, Pinging, Receiving, Sending, HIGH_WATER};
use zmq::{Context, Message, Socket, SocketType};

pub fn socket(context: &Context, kind: SocketType) -> Socket {
    let socket = context.socket(kind).expect("a socket");
    socket.set_sndhwm(HIGH_WATER as i32).expect("an option");
    socket.set_rcvhwm(HIGH_WATER as i32).expect("an option");
    socket.set_linger(0).expect("an option");
    socket
}

pub fn push(job: &Job) {
    let socket = socket(&Context::new(), zmq::PUSH);
    socket.connect(&job.endpoint).expect("connects");
    let mut run = Sending::new(job);
    socket.send(run.greeting(), 0).expect("sent");
    run.go();
    while let Some(message) = run.next() {
        socket.send(message, 0).expect("sent");
    }
    run.end();
}

pub fn pull(job: &Job) {
    let socket = socket(&Context::new(), zmq::PULL);
    socket.bind(&job.endpoint).expect("binds");
    let mut run = Receiving::new(job);
    run.bound();
    let mut message = Message::new();
    loop {
        socket.recv(&mut message, 0).expect("received");
        if !run.take(&message) {
            break;
        }
    }
    run.end();
}

pub fn ping(job: &Job) {
    let context = Context::new();
    let pull = socket(&context, zmq::PULL);
    pull.bind(&job.endpoint).expect("binds");
    let mut run = Pinging::new(job);
    run.bound();
    let push = socket(&context, zmq::PUSH);
    push.connect(&job.back).expect("connects");
    let mut answer = Message::new();
    while let Some(message) = run.next() {
        push.send(message, 0).expect("sent");
        pull.recv(&mut answer, 0).expect("received");
        run.back(&answer);
    }
    run.end();
}

pub fn echo(job: &Job) {
    let context = Context::new();
    let pull = socket(&context, zmq::PULL);
    pull.bind(&job.endpoint).expect("binds");
    let mut run = Echoing::new(job);
    run.bound();
    let push = socket(&context, zmq::PUSH);
    push.connect(&job.back).expect("connects");
    loop {
        let message = pull.recv_msg(0).expect("received");
        push.send(message, 0).expect("sent");
        if !run.answered() {
            break;
        }
    }
    run.end();
}
