//! What the fans are made of: our queues, or bare sockets of the same libzmq.

use crate::SIZE;
use pushpull::{Config, Pull, Push};

pub type Send = Box<dyn Fn(&[u8]) + std::marker::Send>;
/// Waits for a message if told to; nothing else gives none.
pub type Receive = Box<dyn Fn(bool) -> Option<[u8; SIZE]> + std::marker::Send>;

/// Queues of one process, on one context.
pub enum Queues {
    Ours(pushpull::Context),
    Bare(zmq::Context),
}

#[derive(Clone, Copy)]
pub enum Role {
    Bind,
    Connect,
}

impl Queues {
    pub fn new(bare: bool) -> Self {
        if bare {
            Self::Bare(zmq::Context::new())
        } else {
            Self::Ours(pushpull::Context::new().expect("a context"))
        }
    }

    pub fn push(&self, endpoint: &str, role: Role) -> Send {
        match self {
            Self::Ours(context) => {
                let push = Push::open(config(endpoint, role).context(context)).expect("a queue");
                Box::new(move |message| push.send(message).expect("sent"))
            }
            Self::Bare(context) => {
                let socket = socket(context, zmq::PUSH, endpoint, role);
                Box::new(move |message| socket.send(message, 0).expect("sent"))
            }
        }
    }

    pub fn pull(&self, endpoint: &str, role: Role) -> Receive {
        let copy = |bytes: &[u8]| bytes.try_into().expect("a message of ours");
        match self {
            Self::Ours(context) => {
                let pull = Pull::open(config(endpoint, role).context(context)).expect("a queue");
                Box::new(move |waits| match waits {
                    true => Some(copy(pull.recv().expect("received").as_bytes())),
                    false => Some(copy(pull.try_recv().ok()?.as_bytes())),
                })
            }
            Self::Bare(context) => {
                let socket = socket(context, zmq::PULL, endpoint, role);
                Box::new(move |waits| {
                    let flags = if waits { 0 } else { zmq::DONTWAIT };
                    let mut bytes = [0; SIZE];
                    match socket.recv_into(&mut bytes, flags) {
                        Ok(_) => Some(bytes),
                        Err(zmq::Error::EAGAIN) if !waits => None,
                        Err(error) => panic!("received: {error}"),
                    }
                })
            }
        }
    }
}

fn config(endpoint: &str, role: Role) -> Config {
    match role {
        Role::Bind => Config::bind(endpoint),
        Role::Connect => Config::connect(endpoint),
    }
}

/// With libzmq's own high-water mark, 1000, as ours.
fn socket(
    context: &zmq::Context,
    kind: zmq::SocketType,
    endpoint: &str,
    role: Role,
) -> zmq::Socket {
    let socket = context.socket(kind).expect("a socket");
    socket.set_linger(0).expect("an option");
    match role {
        Role::Bind => socket.bind(endpoint).expect("binds"),
        Role::Connect => socket.connect(endpoint).expect("connects"),
    }
    socket
}
