//! `rzmq`.

use crate::messages::{check, make, Shape};
use ::rzmq::{Context, Msg, MsgFlags, SocketType, ZmqError};
use std::time::Duration;

pub fn play(role: &str, endpoint: &str, count: u64, shape: Shape) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let context = Context::new().expect("a context");
        if role == "push" {
            let socket = context.socket(SocketType::Push).expect("a socket");
            socket.connect(endpoint).await.expect("connects");
            for n in 0..count {
                loop {
                    match socket.send_multipart(frames(n, shape)).await {
                        Ok(()) => break,
                        // No connection yet, or no room.
                        Err(ZmqError::ResourceLimitReached) => tokio::task::yield_now().await,
                        Err(e) => panic!("not sent: {e}"),
                    }
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        } else {
            let socket = context.socket(SocketType::Pull).expect("a socket");
            match endpoint.strip_prefix('@') {
                Some(endpoint) => socket.bind(endpoint).await.expect("binds"),
                None => socket.connect(endpoint).await.expect("connects"),
            }
            for n in 0..count {
                let frames = socket.recv_multipart().await.expect("received");
                let frames: Vec<&[u8]> = frames.iter().map(|f| f.data().unwrap_or(&[])).collect();
                check(n, shape, &frames);
            }
            println!("{count} ok");
        }
    });
    // Its context waits for sockets that are still open.
    std::process::exit(0);
}

fn frames(n: u64, shape: Shape) -> Vec<Msg> {
    let frames = make(n, shape);
    let last = frames.len() - 1;
    let message = |(at, frame): (usize, Vec<u8>)| {
        let mut message = Msg::from_vec(frame);
        if at < last {
            message.set_flags(MsgFlags::MORE);
        }
        message
    };
    frames.into_iter().enumerate().map(message).collect()
}
