//! `zeromq`, which is zmq.rs.

use crate::messages::{check, make, Shape};
use bytes::Bytes;
use std::time::Duration;
use zeromq::{PullSocket, PushSocket, Socket, SocketRecv, SocketSend, ZmqMessage};

pub fn play(role: &str, endpoint: &str, count: u64, shape: Shape) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        if role == "push" {
            let mut socket = PushSocket::new();
            socket.connect(endpoint).await.expect("connects");
            for n in 0..count {
                let frames: Vec<Bytes> = make(n, shape).into_iter().map(Bytes::from).collect();
                let message = ZmqMessage::try_from(frames).expect("not empty");
                socket.send(message).await.expect("sent");
            }
            // It has no linger: what its socket still holds needs its runtime.
            tokio::time::sleep(Duration::from_secs(1)).await;
        } else {
            let mut socket = PullSocket::new();
            match endpoint.strip_prefix('@') {
                Some(endpoint) => drop(socket.bind(endpoint).await.expect("binds")),
                None => socket.connect(endpoint).await.expect("connects"),
            }
            for n in 0..count {
                let message = socket.recv().await.expect("received");
                check(n, shape, &message.into_vec());
            }
            println!("{count} ok");
        }
    });
    std::process::exit(0);
}
