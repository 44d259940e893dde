//! What a Pull gives back that closes: all that had arrived.

use std::net::TcpListener;

#[cfg(target_os = "linux")]
use log::LevelFilter;
use pushpull::{Config, Pull, Push};

use crate::{
    harness::*,
    stranger::{Line, Stranger},
};
#[cfg(target_os = "linux")]
use crate::{
    logs::{level, listen},
    stranger::{greeting, ready},
};

#[test]
fn a_close_gives_back_all_that_many_peers_left_behind() {
    const PEERS: u64 = 200;
    const EACH: u64 = 1000;
    over_ipc_and_tcp(60, |wire| {
        let pull = Pull::open(Config::bind(&wire.address()).capacity(1)).unwrap();
        let context = pushpull::Context::new().unwrap();
        for peer in 0..PEERS {
            let push = Push::open(Config::connect(&at(&pull)).context(&context)).unwrap();
            for n in 0..EACH {
                push.send(numbered(peer * EACH + n, 8)).unwrap();
            }
            push.drain(LONG).unwrap();
        }
        // One that has left may not have joined yet, as seen from here.
        eventually("all have left", || pull.stats().peers_left == PEERS);
        let mut last = [None; PEERS as usize];
        let mut count = 0;
        for message in pull.close().unwrap() {
            let n = number(&message);
            let last = &mut last[(n / EACH) as usize];
            assert!(last.is_none_or(|last| n == last + 1), "{n} after {last:?}");
            *last = Some(n);
            count += 1;
        }
        assert_eq!(count, PEERS * EACH);
    });
}

/// More than there is time for, to read and then to take out.
#[test]
#[cfg(target_os = "linux")]
fn a_pull_with_a_crowd_of_full_senders_closes_in_time() {
    in_own_process(60, || {
        let wire = Wire::new("ipc");
        let context = pushpull::Context::new().unwrap();
        listen(LevelFilter::Warn);
        let closes = (0..5).map(|turn| {
            let name = format!("crowd {turn}");
            let pull = Pull::open(Config::bind(&wire.address()).name(&name)).unwrap();
            let config = Config::connect(&at(&pull)).context(&context);
            let open = || Push::open(config.clone()).unwrap();
            let crowd: Vec<_> = (0..40).map(|_| open()).collect();
            for push in &crowd {
                fill_a_peer(push, 64);
            }
            let (took, left) = timed(|| pull.close().unwrap());
            let told = format!("{name}: number of peers with more than there was time");
            assert!(level(&told).is_some());
            crowd.into_iter().for_each(|push| drop(push.abort()));
            (took, left.count())
        });
        let (mut took, mut counts): (Vec<_>, Vec<_>) = closes.unzip();
        println!("{took:?} for {counts:?} messages");
        took.sort();
        counts.sort_unstable();
        assert!(took[2] <= PROMPT * patience(), "{took:?}");
        // And one read more; fewer where even those took too long.
        assert!(counts[4] < 130_000, "{counts:?}");
        assert!(counts[3] > 100_000 || patience() > 1, "{counts:?}");
    });
}

/// libzmq's threads hear of what was received once in half a high-water mark: of so many
/// peers that is more than a close reads beside.
#[test]
#[cfg(target_os = "linux")]
fn a_close_has_time_for_one_sender_beside_many_that_were_received() {
    in_own_process(60, || {
        const PEERS: u64 = 250;
        const EACH: u64 = 499;
        descriptors_for(8 * PEERS);
        let wire = Wire::new("ipc");
        let context = pushpull::Context::new().unwrap();
        listen(LevelFilter::Warn);
        let has_time = |turn| {
            let name = format!("received {turn}");
            let pull = Pull::open(Config::bind(&wire.address()).name(&name)).unwrap();
            let config = Config::connect(&at(&pull)).context(&context);
            let open = || Push::open(config.clone()).unwrap();
            let many: Vec<_> = (0..PEERS).map(|_| open()).collect();
            for push in &many {
                (0..EACH).for_each(|n| push.send(numbered(n, 8)).unwrap());
            }
            for _ in 0..PEERS * EACH {
                pull.recv_timeout(LONG).unwrap();
            }
            let last = open();
            fill_a_peer(&last, 64);
            let left = pull.close().unwrap();
            let told = format!("{name}: number of peers with more than there was time");
            level(&told).is_none() && left.cut_short() == 0
        };
        // It has milliseconds, and may be kept from its processor; under an emulator it is.
        assert!((0..3).any(has_time) || patience() > 1);
    });
}

#[test]
fn a_close_gives_back_all_that_a_drained_sender_had_sent() {
    over_ipc_and_tcp(60, |wire| {
        // A buffer full of small ones, and all that the kernel takes of large ones; over
        // tcp that of the sender, too.
        for (count, size) in [(9_000, 8), (40, 100_000)] {
            let config = Config::bind(&wire.address()).capacity(8);
            let pull = Pull::open(config.high_water_mark(10)).unwrap();
            let push = Push::connect(&at(&pull)).unwrap();
            let sender = std::thread::spawn(move || {
                for i in 0..count {
                    push.send(numbered(i, size)).unwrap();
                }
                push.drain(LONG).unwrap();
            });
            // A little at a time, as long as the sender waits for that.
            let mut next = 0;
            while !sender.is_finished() {
                if let Ok(message) = pull.recv_timeout(ms(1)) {
                    assert_eq!(number(&message), next);
                    next += 1;
                }
            }
            sender.join().unwrap();
            for message in pull.close().unwrap() {
                assert_eq!(number(&message), next);
                next += 1;
            }
            assert_eq!(next, count, "of {size} bytes");
        }
    });
}

/// It has read a part, and found room for less; the rest is in its kernel. Over tcp
/// what it has not read may still be in the sender's. Alone, as there are 25 ms for it.
#[test]
fn a_close_gives_back_all_that_had_come_from_a_sender_that_stays() {
    undisturbed_over_bare_streams(60, |wire| {
        let count = match (wire.transport, cfg!(target_os = "linux")) {
            ("ipc", true) => 1_600,
            ("ipc", false) => 60,
            _ => 600,
        };
        let message = |n: u64| [&[0, 98][..], numbered(n, 98).as_bytes()].concat();
        let said: Vec<_> = (0..count).flat_map(message).collect();
        let comes_back = |pull: Pull, mut sender: Stranger| {
            sender.shakes_hands("PUSH").say(&said);
            eventually("the channel is full", || pull.stats().depth == 1);
            let back: Vec<_> = pull.close().unwrap().map(|m| number(&m)).collect();
            assert!(back.iter().copied().eq(0..count), "{} came", back.len());
        };
        let small = |config: Config| Pull::open(config.capacity(1).high_water_mark(10)).unwrap();

        let pull = small(Config::bind(&wire.address()));
        let sender = Stranger::call(&at(&pull));
        comes_back(pull, sender);

        if wire.transport == "tcp" {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = format!("tcp://{}", listener.local_addr().unwrap());
            let pull = small(Config::connect(&address));
            let line = Line::Tcp(listener.accept().unwrap().0);
            line.patience(LONG);
            comes_back(pull, Stranger(line));
        }
    });
}

/// Of messages that are about as large as a read, too.
#[test]
#[cfg(target_os = "linux")]
fn a_close_gives_back_all_that_the_kernel_took_of_a_sender_that_stays() {
    undisturbed(60, || {
        for size in [100, 20_000, 70_000, 130_000, 200_000] {
            let wire = Wire::new("ipc");
            let config = Config::bind(&wire.address()).capacity(1).high_water_mark(2);
            let pull = Pull::open(config).unwrap();
            let sender = Stranger::call(&at(&pull));
            sender.0.buffers(1 << 20);
            let mut sender = sender;
            sender.shakes_hands("PUSH");
            let message = |n: u64| {
                let header = [&[2][..], &(size as u64).to_be_bytes()].concat();
                [&header, numbered(n, size).as_bytes()].concat()
            };
            let count = (4 << 20) / size as u64;
            let said: Vec<_> = (0..count).flat_map(message).collect();
            let taken = sender.0.crams(&said) / message(0).len();
            assert!(taken < count as usize, "it took all of {size} bytes");
            let back: Vec<_> = pull.close().unwrap().map(|m| number(&m)).collect();
            assert!(
                back.iter().copied().eq(0..taken as u64),
                "{} of {taken} of {size}",
                back.len()
            );
        }
    });
}

#[cfg(target_os = "linux")]
const SIZE: u64 = 100;

/// Says whole messages, and calls again when it is hung up on, until nobody answers. Tells
/// how many its kernel took.
#[cfg(target_os = "linux")]
fn goes_on(address: &str) -> u64 {
    let run = 1000;
    let message = |n: u64| [&[0, SIZE as u8][..], numbered(n, SIZE as usize).as_bytes()].concat();
    let whole = SIZE as usize + 2;
    let mut accepted = 0;
    while let Ok(line) = Line::to(address) {
        let mut sender = Stranger(line);
        if sender.tries_to_shake_hands("PUSH").is_err() {
            break;
        }
        loop {
            let said: Vec<_> = (accepted..accepted + run).flat_map(message).collect();
            let taken = sender.0.takes(&said);
            accepted += (taken / whole) as u64;
            if taken < said.len() {
                break;
            }
        }
    }
    accepted
}

/// One Pull after the other, which the test closes; it tells what is missing. That may be
/// where there was not enough time to read all that had come, which the log tells.
#[cfg(target_os = "linux")]
fn again_and_again(closes: impl Fn(Config) -> Option<String>) {
    listen(LevelFilter::Warn);
    let mut counted = 0;
    for n in 0..tries() {
        let wire = Wire::new("ipc");
        let name = format!("pull {n}");
        let missing = closes(Config::bind(&wire.address()).capacity(1).name(&name));
        let told = |what| level(&format!("{name}: number of peers {what}")).is_some();
        if !(told("with more than there was time") || told("that could not be asked")) {
            assert_eq!(missing, None);
            counted += 1;
        }
    }
    // An emulated processor may never have enough.
    assert!(counted > tries() / 2 || patience() > 1, "only {counted}");
}

/// All of it, and nothing twice.
#[cfg(target_os = "linux")]
fn gives_all_back(pull: Pull, peers: usize, address: &str) -> Option<String> {
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| goes_on(address));
        eventually("it sends", || {
            pull.peers() == peers && pull.stats().depth == 1
        });
        let mut back: Vec<_> = pull.close().unwrap().map(|m| number(&m)).collect();
        let accepted = sender.join().unwrap();
        back.retain(|n| *n != OF_ANOTHER);
        let came = back.len() as u64;
        // Of two connections one may be behind the other.
        back.sort_unstable();
        back.dedup();
        assert_eq!(back.len() as u64, came, "some came twice");
        assert!(back.last().is_none_or(|last| *last < accepted));
        (came < accepted).then(|| format!("{came} of {accepted}"))
    })
}

#[cfg(target_os = "linux")]
const OF_ANOTHER: u64 = u64::MAX;

/// Its kernel takes nothing more from the moment of the last look on.
#[cfg(target_os = "linux")]
#[test]
fn a_close_over_ipc_gives_back_all_that_the_kernel_took_of_a_sender_that_goes_on() {
    in_own_process(60, || {
        again_and_again(|config| {
            let pull = Pull::open(config).unwrap();
            let address = at(&pull);
            gives_all_back(pull, 1, &address)
        })
    });
}

/// And what was being written the sender counts.
#[cfg(target_os = "linux")]
#[test]
fn a_close_over_ipc_loses_nothing_uncounted_of_a_sender_that_goes_on() {
    in_own_process(60, || {
        again_and_again(|config| {
            let pull = Pull::open(config).unwrap();
            let push = Push::connect(&at(&pull)).unwrap();
            let stopper = push.stopper();
            let sending = std::thread::spawn(move || {
                let mut accepted = 0;
                while push.send(numbered(accepted, 100)).is_ok() {
                    accepted += 1;
                }
                let unsent = push.abort();
                let in_doubt = unsent.stats().in_doubt;
                (accepted, unsent.count() as u64 + in_doubt)
            });
            pull.recv_timeout(LONG).unwrap();
            let received = 1 + pull.close().unwrap().count() as u64;
            stopper.stop();
            let (accepted, told) = sending.join().unwrap();
            let lost = accepted - received.min(accepted);
            (lost > told).then(|| format!("{lost} neither came nor are told of, but {told}"))
        })
    });
}

/// And nobody is let in again while a sender over tcp is waited for.
#[cfg(target_os = "linux")]
#[test]
fn a_close_over_both_gives_back_all_that_the_kernel_took_of_a_sender_that_calls_again() {
    in_own_process(60, || {
        again_and_again(|config| {
            let pull = Pull::open(config.also_bind("tcp://127.0.0.1:*")).unwrap();
            let [ipc, tcp] = pull.endpoints() else {
                panic!("two endpoints")
            };
            let (ipc, tcp) = (ipc.to_string(), tcp.to_string());
            let mut other = Stranger::call(&tcp);
            other.shakes_hands("PUSH");
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    let message = [&[0, 8][..], &OF_ANOTHER.to_le_bytes()].concat();
                    while other.0.takes(&message) == message.len() {}
                });
                gives_all_back(pull, 2, &ipc)
            })
        })
    });
}

/// It has answered all but the last word when the file is gone, and sends right behind that.
#[cfg(target_os = "linux")]
#[test]
fn a_close_waits_for_who_is_just_shaking_hands() {
    undisturbed(60, || {
        let came = (0..20).filter(|_| {
            let wire = Wire::new("ipc");
            let pull = Pull::bind(&wire.address()).unwrap();
            let address = at(&pull);
            let file = address.strip_prefix("ipc://").unwrap();
            let mut sender = Stranger::call(&address);
            sender.say(&greeting(b"NULL")).hears(64);
            let size = sender.hears(2)[1];
            sender.hears(size.into());
            let mut words = ready(&[("Socket-Type", "PUSH")]);
            words.extend([0, 8]);
            words.extend(numbered(7, 8).as_bytes());
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while std::fs::exists(file).unwrap() {}
                    sender.say(&words);
                });
                pull.close().unwrap().map(|m| number(&m)).eq([7])
            })
        });
        let came = came.count();
        assert!(came > 15 || patience() > 1, "{came} of 20");
    });
}
