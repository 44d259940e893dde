//! `zeromq` (zmq.rs) on a tokio runtime as `#[tokio::main]` makes it. It knows
//! no high-water mark.

use crate::protocol::{Echoing, Job, Pinging, Receiving, Sending};
use bytes::Bytes;
use tokio::runtime::Runtime;
use zeromq::{PullSocket, PushSocket, Socket, SocketRecv, SocketSend, ZmqMessage};

async fn connect(endpoint: &str) -> PushSocket {
    let mut socket = PushSocket::new();
    socket.connect(endpoint).await.expect("connects");
    socket
}

async fn bind(endpoint: &str) -> PullSocket {
    let mut socket = PullSocket::new();
    socket.bind(endpoint).await.expect("binds");
    socket
}

#[inline]
async fn send(socket: &mut PushSocket, message: &[u8]) {
    let message = ZmqMessage::from(Bytes::copy_from_slice(message));
    socket.send(message).await.expect("sent");
}

#[inline]
async fn receive(socket: &mut PullSocket) -> ZmqMessage {
    socket.recv().await.expect("received")
}

#[inline]
fn bytes(message: &ZmqMessage) -> &[u8] {
    message.get(0).map_or(&[], |frame| frame)
}

fn run(part: impl std::future::Future<Output = ()>) {
    Runtime::new().expect("a runtime").block_on(part);
    std::process::exit(0);
}

pub fn push(job: &Job) {
    run(async {
        let mut socket = connect(&job.endpoint).await;
        let mut run = Sending::new(job);
        send(&mut socket, run.greeting()).await;
        run.go();
        while let Some(message) = run.next() {
            send(&mut socket, message).await;
        }
        run.end();
    });
}

pub fn pull(job: &Job) {
    run(async {
        let mut socket = bind(&job.endpoint).await;
        let mut run = Receiving::new(job);
        run.bound();
        while run.take(bytes(&receive(&mut socket).await)) {}
        run.end();
    });
}

pub fn ping(job: &Job) {
    run(async {
        let mut pull = bind(&job.endpoint).await;
        let mut run = Pinging::new(job);
        run.bound();
        let mut push = connect(&job.back).await;
        while let Some(message) = run.next() {
            send(&mut push, message).await;
            run.back(bytes(&receive(&mut pull).await));
        }
        run.end();
    });
}

pub fn echo(job: &Job) {
    run(async {
        let mut pull = bind(&job.endpoint).await;
        let mut run = Echoing::new(job);
        run.bound();
        let mut push = connect(&job.back).await;
        loop {
            let message = receive(&mut pull).await;
            push.send(message).await.expect("sent");
            if !run.answered() {
                break;
            }
        }
        run.end();
    });
}
