//! A bad line: stands between two peers and stalls, trickles, or cuts.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::net::UnixListener,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        Arc, Mutex, Weak,
    },
    thread,
};

use crate::{
    harness::{ms, Wire},
    stranger::Line,
};

pub struct Proxy {
    /// Where to call it.
    pub address: String,
    line: Arc<BadLine>,
    acceptor: Option<thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct BadLine {
    upstream: Mutex<String>,
    /// Bytes that may pass now, and how many more there are each millisecond.
    credit: AtomicU64,
    trickle: AtomicU64,
    passed: AtomicU64,
    /// Caller and called.
    connections: Mutex<Vec<Weak<[Line; 2]>>>,
    over: AtomicBool,
}

const PIECE: usize = 16 << 10;

impl Proxy {
    /// In front of `upstream`, over the same transport.
    pub fn before(upstream: &str, wire: &Wire) -> Self {
        let line = Arc::new(BadLine {
            upstream: Mutex::new(upstream.to_owned()),
            credit: AtomicU64::new(u64::MAX),
            trickle: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            connections: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let own = wire.address();
        let (address, accept): (_, Box<dyn Fn() -> Line + Send>) = match own.strip_prefix("ipc://")
        {
            Some(path) => {
                let listener = UnixListener::bind(path).unwrap();
                (
                    own,
                    Box::new(move || Line::Ipc(listener.accept().unwrap().0)),
                )
            }
            None => {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let address = format!("tcp://{}", listener.local_addr().unwrap());
                (
                    address,
                    Box::new(move || Line::Tcp(listener.accept().unwrap().0)),
                )
            }
        };
        let shared = Arc::clone(&line);
        let acceptor = thread::spawn(move || loop {
            let caller = accept();
            if shared.over.load(SeqCst) {
                return;
            }
            shared.join(caller);
        });
        Self {
            address,
            line,
            acceptor: Some(acceptor),
        }
    }

    /// Later connections lead there.
    pub fn leads_to(&self, upstream: &str) {
        upstream.clone_into(&mut self.line.upstream.lock().unwrap());
    }

    /// So many more bytes pass, both directions together.
    pub fn lets_pass(&self, bytes: u64) {
        self.line.trickle.store(0, SeqCst);
        self.line.credit.store(bytes, SeqCst);
    }

    pub fn stalls(&self) {
        self.lets_pass(0);
    }

    pub fn flows(&self) {
        self.lets_pass(u64::MAX);
    }

    /// So many bytes pass each millisecond.
    pub fn trickles(&self, bytes: u64) {
        self.line.credit.store(0, SeqCst);
        self.line.trickle.store(bytes, SeqCst);
    }

    /// Ends every connection, with what is inside.
    pub fn cuts(&self) {
        self.line.hang_up();
    }

    /// Tells the callers that it is over; what they have said goes on to the other end.
    pub fn turns_away(&self) {
        let connections = self.line.connections.lock().unwrap();
        let callers = connections.iter().filter_map(Weak::upgrade);
        callers.for_each(|ends| ends[0].is_silent());
    }

    /// How many bytes have passed.
    pub fn passed(&self) -> u64 {
        self.line.passed.load(SeqCst)
    }
}

impl BadLine {
    fn join(self: &Arc<Self>, caller: Line) {
        let upstream = self.upstream.lock().unwrap().clone();
        // Nobody there: the caller is hung up on, and calls again.
        let Ok(called) = Line::to(&upstream) else {
            return;
        };
        let ends = Arc::new([caller, called]);
        for from in [0, 1] {
            let (line, ends) = (Arc::clone(self), Arc::clone(&ends));
            thread::spawn(move || line.carries(&ends[from], &ends[1 - from]));
        }
        let mut connections = self.connections.lock().unwrap();
        connections.retain(|ends| ends.strong_count() > 0);
        connections.push(Arc::downgrade(&ends));
    }

    fn carries(&self, from: &Line, to: &Line) {
        let (mut reader, mut writer) = (from, to);
        let mut piece = [0; PIECE];
        while let Ok(size @ 1..) = reader.read(&mut piece) {
            let mut rest = &piece[..size];
            while !rest.is_empty() {
                let now = self.may_pass(rest.len());
                if self.over.load(SeqCst) || writer.write_all(&rest[..now]).is_err() {
                    rest = &[];
                    from.cut();
                } else {
                    rest = &rest[now..];
                    self.passed.fetch_add(now as u64, SeqCst);
                }
            }
        }
        // The other end hears of it as it would without us, after the last byte.
        to.cut();
    }

    /// How much of that may pass now; waits a little if nothing may.
    fn may_pass(&self, wanted: usize) -> usize {
        let credit = self.credit.load(SeqCst);
        if credit == u64::MAX {
            return wanted;
        }
        let now = credit.min(wanted as u64);
        let spent = self
            .credit
            .compare_exchange(credit, credit - now, SeqCst, SeqCst);
        if spent.is_ok() && now > 0 {
            return now as usize;
        }
        thread::sleep(ms(1));
        match self.trickle.load(SeqCst) {
            0 => 0,
            some => wanted.min(some as usize),
        }
    }

    fn hang_up(&self) {
        let connections = std::mem::take(&mut *self.connections.lock().unwrap());
        for line in connections.iter().filter_map(Weak::upgrade) {
            line.iter().for_each(Line::cut);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.line.over.store(true, SeqCst);
        self.line.hang_up();
        // The acceptor sees it with the next caller, who is this one.
        let woken = Line::to(&self.address).is_ok();
        if let (Some(acceptor), true) = (self.acceptor.take(), woken) {
            acceptor.join().unwrap();
        }
        if let Some(path) = self.address.strip_prefix("ipc://") {
            let _ = std::fs::remove_file(path);
        }
    }
}
