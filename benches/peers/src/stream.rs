//! The floor: a bare Unix or TCP socket, with a length before each message and
//! 64 KiB per system call. No threads, no high water but the kernel's.

use crate::protocol::{Echoing, Job, Pinging, Receiving, Sending};
use std::{
    io::{BufReader, BufWriter, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
};

const BUFFER: usize = 64 * 1024;

type Out = BufWriter<Box<dyn Write>>;
type In = BufReader<Box<dyn Read>>;

fn connect(endpoint: &str) -> Out {
    let stream: Box<dyn Write> = match endpoint.split_once("://") {
        Some(("ipc", path)) => Box::new(UnixStream::connect(path).expect("connects")),
        Some(("tcp", address)) => {
            let stream = TcpStream::connect(address).expect("connects");
            stream.set_nodelay(true).expect("an option");
            Box::new(stream)
        }
        _ => panic!("no such endpoint: {endpoint}"),
    };
    BufWriter::with_capacity(BUFFER, stream)
}

enum Listener {
    Ipc(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    fn bind(endpoint: &str) -> Self {
        match endpoint.split_once("://") {
            Some(("ipc", path)) => Self::Ipc(UnixListener::bind(path).expect("binds")),
            Some(("tcp", address)) => Self::Tcp(TcpListener::bind(address).expect("binds")),
            _ => panic!("no such endpoint: {endpoint}"),
        }
    }

    fn accept(self) -> In {
        let stream: Box<dyn Read> = match self {
            Self::Ipc(listener) => Box::new(listener.accept().expect("accepts").0),
            Self::Tcp(listener) => Box::new(listener.accept().expect("accepts").0),
        };
        BufReader::with_capacity(BUFFER, stream)
    }
}

#[inline]
fn put(out: &mut Out, message: &[u8]) {
    out.write_all(&(message.len() as u32).to_le_bytes())
        .and_then(|()| out.write_all(message))
        .expect("sent");
}

#[inline]
fn get<'a>(from: &mut In, message: &'a mut Vec<u8>) -> &'a [u8] {
    let mut length = [0; 4];
    from.read_exact(&mut length).expect("received");
    message.resize(u32::from_le_bytes(length) as usize, 0);
    from.read_exact(message).expect("received");
    message
}

pub fn push(job: &Job) {
    let mut out = connect(&job.endpoint);
    let mut run = Sending::new(job);
    put(&mut out, run.greeting());
    out.flush().expect("sent");
    run.go();
    while let Some(message) = run.next() {
        put(&mut out, message);
    }
    out.flush().expect("sent");
    run.end();
}

pub fn pull(job: &Job) {
    let listener = Listener::bind(&job.endpoint);
    let mut run = Receiving::new(job);
    run.bound();
    let (mut from, mut message) = (listener.accept(), Vec::new());
    while run.take(get(&mut from, &mut message)) {}
    run.end();
}

pub fn ping(job: &Job) {
    let listener = Listener::bind(&job.endpoint);
    let mut run = Pinging::new(job);
    run.bound();
    let mut out = connect(&job.back);
    let (mut from, mut answer) = (listener.accept(), Vec::new());
    while let Some(message) = run.next() {
        put(&mut out, message);
        out.flush().expect("sent");
        run.back(get(&mut from, &mut answer));
    }
    run.end();
}

pub fn echo(job: &Job) {
    let listener = Listener::bind(&job.endpoint);
    let mut run = Echoing::new(job);
    run.bound();
    let mut out = connect(&job.back);
    let (mut from, mut message) = (listener.accept(), Vec::new());
    loop {
        put(&mut out, get(&mut from, &mut message));
        out.flush().expect("sent");
        if !run.answered() {
            break;
        }
    }
    run.end();
}
