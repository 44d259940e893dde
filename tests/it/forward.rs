//! The forwarder of the examples keeps what it promises.

#[path = "../../examples/forward.rs"]
mod example;

use std::{thread, time::Duration};

use pushpull::{crossbeam_channel::bounded, Batch, Config, Context, Pull, Push};

use crate::harness::{
    at, eventually, fill_a_peer, ms, number, numbered, timed, within, Wire, LONG,
};

/// A forwarder and the word that ends it. All that its sender drains fits into its
/// near side's libzmq; what is under way to a Pull that closes is lost anywhere.
struct Forwarder {
    stop: pushpull::Sender<()>,
    thread: thread::JoinHandle<Batch>,
}

impl Forwarder {
    fn start(from: &str, to: &str, near: u32, patience: Duration) -> Self {
        let to = Push::open_batched(Config::connect(to).capacity(2).high_water_mark(10)).unwrap();
        let from = Config::bind(from).capacity(2).high_water_mark(near);
        let from = Pull::open_batched(from).unwrap();
        let (stop, stopped) = bounded(1);
        let run = move || example::forward(from, to, &stopped, patience);
        Self {
            stop,
            thread: thread::spawn(run),
        }
    }

    fn end(self) -> Batch {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap()
    }
}

#[test]
fn a_forwarder_that_is_stopped_in_the_flow_loses_nothing() {
    within(60, || {
        // Over ipc a sender that has drained knows that its peer has all of it.
        let wire = Wire::new("ipc");
        for round in 0..10 {
            let sent = 2_000;
            let near = wire.address();
            let pull = Pull::open(Config::bind(&wire.address()).high_water_mark(10)).unwrap();
            let forwarder = Forwarder::start(&near, &at(&pull), 10_000, LONG);
            let push = Push::connect(&near).unwrap();
            for n in 0..sent {
                push.send(numbered(n, 100)).unwrap();
            }
            push.drain(LONG).unwrap();
            let receive = |from, to| {
                (from..to).for_each(|n| assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n));
            };
            receive(0, round * 100);
            thread::scope(|scope| {
                scope.spawn(|| receive(round * 100, sent));
                assert_eq!(forwarder.end(), Batch::new());
            });
        }
    });
}

#[test]
fn a_forwarder_passes_back_pressure_through() {
    within(60, || {
        let wire = Wire::new("ipc");
        let near = wire.address();
        let far = Config::bind(&wire.address()).capacity(1);
        let pull = Pull::open(far.high_water_mark(1)).unwrap();
        let forwarder = Forwarder::start(&near, &at(&pull), 10, LONG);
        let push = Push::open(Config::connect(&near).high_water_mark(10)).unwrap();
        // Nobody receives, so at last nothing goes in any more: it ends.
        let accepted = fill_a_peer(&push, 100_000);
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..accepted {
                    assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
                }
            });
            push.drain(LONG).unwrap();
        });
        assert_eq!(forwarder.end(), Batch::new());
    });
}

#[test]
fn a_forwarder_to_nobody_stops_in_its_time_and_gives_all_back() {
    within(30, || {
        let wire = Wire::new("ipc");
        let (nobody, _reserved) = wire.nobody();
        let near = wire.address();
        let forwarder = Forwarder::start(&near, &nobody, 10_000, ms(100));
        let push = Push::connect(&near).unwrap();
        for n in 0..500 {
            push.send(numbered(n, 8)).unwrap();
        }
        push.drain(LONG).unwrap();
        let (took, back) = timed(|| forwarder.end());
        assert!(took < ms(1000), "{took:?}");
        let numbers: Vec<_> = back.iter().map(number).collect();
        assert_eq!(numbers, (0..500).collect::<Vec<_>>());
    });
}

#[test]
fn a_forwarder_whose_near_side_ends_by_itself_gives_back_what_it_had() {
    within(30, || {
        let wire = Wire::new("ipc");
        let context = Context::new().unwrap();
        let near = Config::bind(&wire.address()).context(&context).capacity(2);
        let from = Pull::open_batched(near).unwrap();
        let push = Push::connect(&at(&from)).unwrap();
        let (address, _nobody) = wire.nobody();
        let to = Config::connect(&address).capacity(2).high_water_mark(10);
        let to = Push::open_batched(to).unwrap();
        let waiting = to.sender().clone();
        let (stop, stopped) = bounded(1);
        let forwarder = thread::spawn(move || example::forward(from, to, &stopped, ms(100)));
        let mut sent = 0;
        while waiting.len() < 2 {
            // It waits when all is full, and may have to look again then.
            sent += u64::from(push.send_timeout(numbered(sent, 100), ms(10)).is_ok());
        }
        context.shutdown();
        // It waits for the far side, with a batch in hand: the near side is over before it stops.
        eventually("the near side is over", || push.peers() == 0);
        stop.send(()).unwrap();
        let back = forwarder.join().unwrap();
        let numbers: Vec<_> = back.iter().map(number).collect();
        assert!(numbers.len() > 10, "{numbers:?}");
        assert!(
            numbers.iter().copied().eq(0..numbers.len() as u64),
            "{numbers:?}"
        );
        drop(push.abort());
    });
}
