//! Many peers at one queue.

use pushpull::{Config, Message, Pull, Push};

use crate::harness::{at, eventually, number, numbered, over_ipc_and_tcp, LONG};

/// Batches of a size that no row divides, to a number of peers that they would always meet
/// the same ones of with what is left.
#[test]
fn nobody_in_a_crowd_is_ahead_by_more_than_an_eighth() {
    const PEERS: u64 = 10;
    const BATCHES: u64 = 400;
    const EACH: u64 = 600;
    over_ipc_and_tcp(60, |wire| {
        // So much that nobody is passed over for want of room.
        let roomy = |c: Config| c.high_water_mark(1_000_000).capacity(1_000_000);
        let push = Push::open_batched(roomy(Config::bind(&wire.address())).capacity(8)).unwrap();
        let pulls: Vec<_> = (0..PEERS)
            .map(|_| Pull::open(roomy(Config::connect(&at(&push)))).unwrap())
            .collect();
        eventually("all are there", || push.peers() as u64 == PEERS);
        for batch in 0..BATCHES {
            let numbers = batch * EACH..(batch + 1) * EACH;
            push.send(numbers.map(|n| numbered(n, 8)).collect::<Vec<Message>>())
                .unwrap();
        }
        push.drain(LONG).unwrap();
        let received = || pulls.iter().map(|p| p.stats().received);
        eventually("all has come", || received().sum::<u64>() == BATCHES * EACH);
        let (least, most) = (received().min().unwrap(), received().max().unwrap());
        assert!(
            most - least <= least / 8,
            "{:?}",
            received().collect::<Vec<_>>()
        );
    });
}

/// Which is read in rows of each.
#[test]
fn a_crowd_of_senders_keeps_the_order_of_each() {
    const PEERS: u64 = 40;
    const EACH: u64 = 2_000;
    over_ipc_and_tcp(60, |wire| {
        let pull = Pull::bind(&wire.address()).unwrap();
        let context = pushpull::Context::new().unwrap();
        let senders: Vec<_> = (0..PEERS)
            .map(|peer| {
                let push = Push::open(Config::connect(&at(&pull)).context(&context)).unwrap();
                std::thread::spawn(move || {
                    for n in peer * EACH..(peer + 1) * EACH {
                        // Some of several frames, between which no other peer's come.
                        let message = numbered(n, 8);
                        match n % 7 {
                            0 => push.send(Message::multipart([message, numbered(n, 8)])),
                            _ => push.send(message),
                        }
                        .unwrap();
                    }
                    push.drain(LONG).unwrap();
                })
            })
            .collect();
        let mut next: Vec<_> = (0..PEERS).map(|peer| peer * EACH).collect();
        for _ in 0..PEERS * EACH {
            let message = pull.recv_timeout(LONG).unwrap();
            let n = number(&message);
            let next = &mut next[(n / EACH) as usize];
            assert_eq!(n, *next);
            assert_eq!(message.frames().count(), if n % 7 == 0 { 2 } else { 1 });
            *next += 1;
        }
        for sender in senders {
            sender.join().unwrap();
        }
    });
}
