//! `rzmq` on a tokio runtime as `#[tokio::main]` makes it.

use crate::protocol::{Echoing, Job, Pinging, Receiving, Sending, HIGH_WATER};
use ::rzmq::{
    socket::options::{RCVHWM, SNDHWM},
    Context, Msg, Socket, SocketType, ZmqError,
};
use tokio::runtime::Runtime;

async fn socket(context: &Context, kind: SocketType) -> Socket {
    let socket = context.socket(kind).expect("a socket");
    for option in [SNDHWM, RCVHWM] {
        let value = (HIGH_WATER as i32).to_ne_bytes();
        socket.set_option(option, &value).await.expect("an option");
    }
    socket
}

async fn connect(context: &Context, endpoint: &str) -> Socket {
    let socket = socket(context, SocketType::Push).await;
    socket.connect(endpoint).await.expect("connects");
    socket
}

async fn bind(context: &Context, endpoint: &str) -> Socket {
    let socket = socket(context, SocketType::Pull).await;
    socket.bind(endpoint).await.expect("binds");
    socket
}

#[inline]
async fn send(socket: &Socket, message: &[u8]) {
    loop {
        match socket.send(Msg::from_vec(message.to_vec())).await {
            Ok(()) => return,
            // No connection yet, or no room.
            Err(ZmqError::ResourceLimitReached) => tokio::task::yield_now().await,
            Err(e) => panic!("not sent: {e}"),
        }
    }
}

#[inline]
async fn receive(socket: &Socket) -> Msg {
    socket.recv().await.expect("received")
}

fn run(part: impl std::future::Future<Output = ()>) {
    Runtime::new().expect("a runtime").block_on(part);
    // Its context waits for sockets that are still open.
    std::process::exit(0);
}

pub fn push(job: &Job) {
    run(async {
        let context = Context::new().expect("a context");
        let socket = connect(&context, &job.endpoint).await;
        let mut run = Sending::new(job);
        send(&socket, run.greeting()).await;
        run.go();
        while let Some(message) = run.next() {
            send(&socket, message).await;
        }
        run.end();
    });
}

pub fn pull(job: &Job) {
    run(async {
        let context = Context::new().expect("a context");
        let socket = bind(&context, &job.endpoint).await;
        let mut run = Receiving::new(job);
        run.bound();
        while run.take(receive(&socket).await.data().unwrap_or_default()) {}
        run.end();
    });
}

pub fn ping(job: &Job) {
    run(async {
        let context = Context::new().expect("a context");
        let pull = bind(&context, &job.endpoint).await;
        let mut run = Pinging::new(job);
        run.bound();
        let push = connect(&context, &job.back).await;
        while let Some(message) = run.next() {
            send(&push, message).await;
            run.back(receive(&pull).await.data().unwrap_or_default());
        }
        run.end();
    });
}

pub fn echo(job: &Job) {
    run(async {
        let context = Context::new().expect("a context");
        let pull = bind(&context, &job.endpoint).await;
        let mut run = Echoing::new(job);
        run.bound();
        let push = connect(&context, &job.back).await;
        loop {
            let message = receive(&pull).await;
            push.send(message).await.expect("sent");
            if !run.answered() {
                break;
            }
        }
        run.end();
    });
}
