//! Peers that leave while messages wait for them.

use std::time::Duration;

use pushpull::{Config, DrainFailure, Message, Pull, Push};

use crate::{
    harness::*,
    stranger::{greeting, Stranger},
};

/// What the connection of a peer that reads nothing swallows: both ends'
/// kernel buffers, and one message in libzmq.
const SWALLOWED: usize = 8 << 20;
/// Of one that is not heavy, so that libzmq holds as many as the high-water mark says.
const SIZE: usize = 7 << 10;
/// The most bytes of small messages that one write to a peer holds.
const WRITE: usize = 256 << 10;

struct Waiting {
    push: Push,
    accepted: u64,
    deaf: zmq::Socket,
    address: String,
    _context: zmq::Context,
}

/// Messages that wait in a Push for a peer that reads none.
fn for_a_deaf_peer(wire: &Wire, push_calls: bool) -> Waiting {
    of_size_for_a_deaf_peer(SIZE, wire, push_calls)
}

fn of_size_for_a_deaf_peer(size: usize, wire: &Wire, push_calls: bool) -> Waiting {
    let context = zmq::Context::new();
    let deaf = raw_pull(&context);
    deaf.set_rcvhwm(1).unwrap();
    deaf.set_linger(0).unwrap();
    let (push, address) = if push_calls {
        deaf.bind(&wire.lasting_address()).unwrap();
        let address = deaf.get_last_endpoint().unwrap().unwrap();
        let config = Config::connect(&address).only_connected_peers(true);
        (Push::open(config.high_water_mark(4000)).unwrap(), address)
    } else {
        let push = Push::open(Config::bind(&wire.address()).high_water_mark(4000)).unwrap();
        let address = at(&push);
        deaf.connect(&address).unwrap();
        (push, address)
    };
    // After an empty message the bytes of a write tell little of how many are in it.
    push.send("").unwrap();
    assert_eq!(deaf.recv_bytes(0).unwrap(), b"");
    Waiting {
        accepted: fill_a_peer(&push, size),
        push,
        deaf,
        address,
        _context: context,
    }
}

impl Waiting {
    /// The peer is gone, and the Push has noticed: a next one that came before that would
    /// get newer messages first. Returns the Push, how many it had accepted, and where.
    fn deserted(self) -> (Push, u64, String) {
        drop(self.deaf);
        eventually("the push has noticed", || {
            self.push.stats().sent < self.accepted / 4
        });
        (self.push, self.accepted, self.address)
    }
}

fn comes_back(wire: &Wire, push_calls: bool) {
    let (push, accepted, _) = for_a_deaf_peer(wire, push_calls).deserted();
    all_but_the_first_come_back(SIZE, push, accepted);
}

fn all_but_the_first_come_back(size: usize, push: Push, accepted: u64) {
    let unsent = push.abort();
    let back: Vec<_> = unsent.map(|m| number(&m)).collect();
    let missing = accepted - back.len() as u64;
    assert!(
        missing as usize <= SWALLOWED / size,
        "{missing} of {accepted} are gone"
    );
    assert!(
        back.iter().copied().eq(missing..accepted),
        "not the last ones, in order"
    );
}

fn goes_to_the_next(wire: &Wire, push_calls: bool) {
    let (push, accepted, address) = for_a_deaf_peer(wire, push_calls).deserted();
    let pull = match push_calls {
        true => Pull::bind(&address).unwrap(),
        false => Pull::connect(&address).unwrap(),
    };
    let first = number(&pull.recv_timeout(LONG).unwrap());
    assert!(
        first as usize <= SWALLOWED / SIZE,
        "{first} of {accepted} are gone"
    );
    for n in first + 1..accepted {
        assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
    }
    push.drain(Duration::from_secs(10)).unwrap();
}

#[test]
fn heavy_messages_come_back_from_a_peer_that_leaves() {
    const HEAVY: usize = 32 << 10;
    over_ipc_and_tcp(60, |wire| {
        for push_calls in [false, true] {
            let waiting = of_size_for_a_deaf_peer(HEAVY, wire, push_calls);
            drop(waiting.deaf);
            let push = waiting.push;
            eventually("the push has noticed", || push.stats().peers_left == 1);
            all_but_the_first_come_back(HEAVY, push, waiting.accepted);
        }
    });
}

#[test]
fn who_is_there_when_a_queue_ends_has_not_left() {
    over_ipc_and_tcp(60, |wire| {
        let (push, pull) = wire.pair(|c| c, |c| c);
        assert!(push.wait_for_peer(LONG) && pull.wait_for_peer(LONG));
        let stats = push.abort().stats();
        assert_eq!((stats.peers, stats.peers_left), (0, 0));
        eventually("the other end sees one", || pull.stats().peers_left == 1);
    });
}

#[test]
fn the_counters_tell_how_often_a_peer_left() {
    over_ipc_and_tcp(30, |wire| {
        for push_calls in [false, true] {
            let waiting = for_a_deaf_peer(wire, push_calls);
            let push = waiting.push;
            assert_eq!((push.stats().peers, push.stats().peers_left), (1, 0));
            drop(waiting.deaf);
            eventually("it has left", || push.stats().peers_left == 1);
            if push_calls {
                eventually("the push calls", || push.stats().reconnects > 0);
            }
            assert_eq!(push.stats().peers, 0);
            drop(push.abort());
        }
    });
}

/// What is in the kernel nobody can tell, but what never got there can be counted.
#[test]
fn what_was_being_written_to_a_peer_that_left_is_in_doubt() {
    over_ipc_and_tcp(60, |wire| {
        for push_calls in [false, true] {
            let (push, accepted, address) = for_a_deaf_peer(wire, push_calls).deserted();
            let doubt = push.stats().in_doubt as usize;
            assert!((1..=WRITE / SIZE + 2).contains(&doubt), "{doubt}");
            let pull = match push_calls {
                true => Pull::bind(&address).unwrap(),
                false => Pull::connect(&address).unwrap(),
            };
            let first = number(&pull.recv_timeout(LONG).unwrap());
            for n in first + 1..accepted {
                assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
            }
            let drained = push.drain(LONG).unwrap();
            assert_eq!(drained.stats().in_doubt as usize, doubt, "a clean leave");
            assert_eq!(drained.in_doubt() as usize, doubt);
        }
    });
}

/// How many wait for a peer's first write.
const FIRST: usize = 2000;

/// With messages that waited for it, an empty one first, which it has received and no more:
/// the rest of the first write is under way, over ipc.
fn first_write(
    wire: &Wire,
    size: usize,
    push_calls: bool,
    context: &zmq::Context,
) -> (Push, zmq::Socket) {
    let deaf = raw_pull(context);
    deaf.set_rcvhwm(1).unwrap();
    let of = |config: Config| Push::open(config.capacity(FIRST).high_water_mark(4000)).unwrap();
    let fill = |push: &Push| {
        push.send("").unwrap();
        (1..FIRST as u64).for_each(|n| push.send(numbered(n, size)).unwrap());
    };
    let push = if push_calls {
        let address = wire.lasting_address();
        let push = of(Config::connect(&address).only_connected_peers(true));
        fill(&push);
        deaf.bind(&address).unwrap();
        push
    } else {
        let push = of(Config::bind(&wire.address()));
        fill(&push);
        deaf.connect(&at(&push)).unwrap();
        push
    };
    assert_eq!(deaf.recv_bytes(0).unwrap(), b"");
    (push, deaf)
}

#[test]
fn in_doubt_of_the_first_write_to_a_peer_is_no_more_than_it_holds() {
    over_ipc_and_tcp(60, |wire| {
        let context = zmq::Context::new();
        for n in 0..20 {
            let (push, deaf) = first_write(wire, SIZE, n % 2 == 0, &context);
            drop(deaf);
            eventually("it has left", || push.stats().peers_left == 1);
            let doubt = push.abort().stats().in_doubt as usize;
            assert!(doubt <= WRITE / SIZE + 3, "{doubt}");
        }
    });
}

#[test]
fn in_doubt_of_the_first_write_to_a_peer_are_all_that_it_does_not_get() {
    over_ipc_and_tcp(60, |wire| {
        let context = zmq::Context::new();
        for n in 0..6 {
            let (push, deaf) = first_write(wire, 148, n % 2 == 0, &context);
            let unsent = push.abort();
            let doubt = unsent.in_doubt() as usize;
            let back = unsent.count();
            deaf.set_rcvtimeo(300 * patience() as i32).unwrap();
            let arrived = 1 + std::iter::from_fn(|| deaf.recv_bytes(0).ok()).count();
            let missing = FIRST - back - arrived;
            assert!(missing <= doubt, "{missing} are gone, {doubt} in doubt");
        }
    });
}

/// libzmq counts a message when it has its last frame: here that is never.
#[test]
fn a_first_message_of_many_frames_that_was_being_written_is_in_doubt() {
    const FRAMES: [&[u8]; 4] = [&[7; 8 << 20]; 4];
    over_bare_streams(60, |wire| {
        let push = Push::bind(&wire.address()).unwrap();
        let mut stranger = Stranger::call(&at(&push));
        stranger.shakes_hands("PULL");
        push.send(Message::multipart(FRAMES)).unwrap();
        stranger.hears(100);
        drop(stranger);
        eventually("it is in doubt", || push.stats().in_doubt == 1);
        push.send("another").unwrap();
        let error = push.drain(Duration::ZERO).unwrap_err();
        let told = error.to_string();
        assert!(
            told.ends_with("1 unsent, 0 in doubt, 1 before that"),
            "{told}"
        );
        assert!(error.into_unsent().eq(["another".into()]));
    });
}

/// One peer dies in the middle of a write while the rest goes to another.
#[test]
fn a_drain_is_not_ok_when_a_peer_leaves_in_the_middle_of_a_write() {
    over_ipc_and_tcp(60, |wire| {
        let Waiting {
            push,
            accepted,
            deaf,
            address,
            _context,
        } = for_a_deaf_peer(wire, false);
        let sender = push.sender().clone();
        let drain = std::thread::spawn(move || push.drain(LONG));
        // What was in the channel is the worker's then.
        eventually("the drain is under way", || sender.is_empty());
        let pull = Pull::connect(&address).unwrap();
        drop(deaf);
        let arrived = || {
            pull.recv_timeout(LONG)
                .is_ok_and(|m| number(&m) + 1 < accepted)
        };
        while arrived() {}
        let error = drain.join().unwrap().unwrap_err();
        assert_eq!(error.failure(), &DrainFailure::PeerLeft);
        assert!((1..=WRITE / SIZE + 2).contains(&(error.into_unsent().in_doubt() as usize)));
    });
}

/// All is libzmq's, which has room for more.
#[test]
fn a_drain_that_waits_for_libzmq_hears_of_a_peer_that_leaves() {
    over_ipc_and_tcp(60, |wire| {
        let push = Push::open(Config::bind(&wire.address()).high_water_mark(4000)).unwrap();
        let context = zmq::Context::new();
        let deaf = raw_pull(&context);
        deaf.set_rcvhwm(1).unwrap();
        deaf.connect(&at(&push)).unwrap();
        let mut count = 2 * (SWALLOWED / SIZE) as u64;
        for n in 0..count {
            push.send(numbered(n, SIZE)).unwrap();
        }
        eventually("libzmq has them", || push.stats().sent == count);
        let (sender, address) = (push.sender().clone(), at(&push));
        let drain = std::thread::spawn(move || push.drain(LONG));
        eventually("the drain is under way", || {
            let sent = sender.try_send(numbered(count, SIZE));
            count += u64::from(sent.is_ok());
            sent.is_err_and(|e| e.is_disconnected())
        });
        drop(deaf);
        let pull = Pull::connect(&address).unwrap();
        while number(&pull.recv_timeout(LONG).unwrap()) + 1 < count {}
        let failure = drain.join().unwrap().err().map(|e| e.failure().clone());
        // Not Ok if something was just being written to it.
        assert!(matches!(failure, None | Some(DrainFailure::PeerLeft)));
    });
}

#[test]
fn what_is_in_doubt_at_an_abort_is_counted_for_each_peer() {
    over_ipc_and_tcp(60, |wire| {
        // On a busy machine the kernels may have had room for all when it ended.
        let any_gone = (0..20).any(|_| gone_with_an_abort(wire) > 0);
        assert!(any_gone, "no write was under way");
    });
}

/// Aborts a Push with deaf peers, and tells how many messages neither came nor came back.
fn gone_with_an_abort(wire: &Wire) -> u64 {
    const DEAF: u64 = 8;
    let config = Config::bind(&wire.address()).capacity(8);
    let push = Push::open(config.high_water_mark(4)).unwrap();
    let context = zmq::Context::new();
    let deaf = || {
        let peer = raw_pull(&context);
        peer.set_rcvhwm(1).unwrap();
        peer.set_rcvbuf(64 << 10).unwrap();
        peer.connect(&at(&push)).unwrap();
        peer
    };
    let peers: Vec<_> = (0..DEAF).map(|_| deaf()).collect();
    eventually("all are there", || push.peers() as u64 == DEAF);
    let mut accepted = 0;
    // The kernels' buffers take their time.
    loop {
        match fill(&push, 3 << 20) {
            0 => break,
            more => accepted += more,
        }
        std::thread::sleep(ms(100));
    }
    let unsent = push.abort();
    let in_doubt = unsent.in_doubt();
    let back = unsent.count() as u64;
    let mut arrived = 0;
    let silence = i64::from(300 * patience());
    let mut items: Vec<_> = peers.iter().map(|p| p.as_poll_item(zmq::POLLIN)).collect();
    while zmq::poll(&mut items, silence).unwrap() > 0 {
        for peer in &peers {
            while peer.recv_msg(zmq::DONTWAIT).is_ok() {
                arrived += 1;
            }
        }
    }
    let missing = accepted - back - arrived;
    assert!(
        missing <= in_doubt,
        "{missing} are gone, {in_doubt} in doubt"
    );
    assert!(in_doubt <= 3 * DEAF, "{in_doubt}");
    missing
}

#[test]
fn nothing_is_in_doubt_of_a_peer_that_had_all() {
    over_bare_streams(60, |wire| {
        for heartbeat in [0, 20] {
            let config = Config::bind(&wire.address()).heartbeat(ms(heartbeat));
            let push = Push::open(config).unwrap();
            let mut stranger = Stranger::call(&at(&push));
            stranger.shakes_hands("PULL");
            says_hello(&push, &mut stranger);
            drop(stranger);
            eventually("it has left", || push.stats().peers_left == 1);
            // It hangs up where the Push would say more of itself.
            for said in [0, 10, 12, 64] {
                Stranger::call(&at(&push)).say(&greeting(b"NULL")[..said]);
            }
            let pull = Pull::connect(&at(&push)).unwrap();
            push.send("hello").unwrap();
            pull.recv_timeout(LONG).unwrap();
            assert_eq!(push.drain(LONG).unwrap().stats().in_doubt, 0);
        }
    });
}

fn says_hello(push: &Push, stranger: &mut Stranger) {
    push.send("hello").unwrap();
    let heard = std::iter::repeat_with(|| stranger.hears(1)[0]).take_while(|b| *b != b'o');
    assert!(heard.count() >= 6);
}

/// The answer to its ping is written when it is gone already.
#[test]
fn nothing_is_in_doubt_of_a_peer_that_pings_and_leaves() {
    over_bare_streams(60, |wire| {
        let push = Push::bind(&wire.address()).unwrap();
        for left in 1..=50 {
            let mut stranger = Stranger::call(&at(&push));
            stranger.shakes_hands("PULL");
            says_hello(&push, &mut stranger);
            stranger.say(b"\x04\x07\x04PING\0\0");
            drop(stranger);
            eventually("it has left", || push.stats().peers_left == left);
        }
        assert_eq!(push.drain(LONG).unwrap().stats().in_doubt, 0);
    });
}

/// And not when the Push looks after its socket, up to a second later.
#[test]
fn what_is_sent_after_a_peer_left_goes_to_the_next_at_once() {
    undisturbed_over_bare_streams(60, |wire| {
        let push = Push::bind(&wire.address()).unwrap();
        let mut slow = 0;
        for left in 1..=20 {
            let mut stranger = Stranger::call(&at(&push));
            stranger.shakes_hands("PULL");
            let (took, ()) = timed(|| says_hello(&push, &mut stranger));
            slow += u64::from(took > ms(200));
            drop(stranger);
            eventually("it has left", || push.stats().peers_left == left);
        }
        // Its own end of the connection may be behind what the counters tell.
        assert!(slow <= 2, "{slow} of 20 took long");
    });
}

#[test]
fn what_waited_for_a_peer_that_left_a_bound_push_comes_back() {
    over_ipc_and_tcp(60, |wire| comes_back(wire, false));
}

#[test]
fn what_waited_for_a_peer_that_left_a_bound_push_goes_to_the_next_in_order() {
    over_ipc_and_tcp(60, |wire| goes_to_the_next(wire, false));
}

#[test]
fn what_waited_for_the_only_connected_peer_comes_back_when_it_leaves() {
    over_ipc_and_tcp(60, |wire| comes_back(wire, true));
}

#[test]
fn what_waited_for_the_only_connected_peer_goes_to_the_next_in_order() {
    over_ipc_and_tcp(60, |wire| goes_to_the_next(wire, true));
}

/// Its own end of the connection is that of the socket, which is told to let go of what it
/// holds, too.
#[test]
fn what_a_calling_pull_has_of_a_peer_that_left_is_received() {
    const COUNT: u64 = 500;
    over_ipc_and_tcp(60, |wire| {
        let push = Push::bind(&wire.address()).unwrap();
        let config = Config::connect(&at(&push)).only_connected_peers(true);
        let pull = Pull::open(config.capacity(1)).unwrap();
        for n in 0..COUNT {
            push.send(numbered(n, 100)).unwrap();
        }
        push.drain(LONG).unwrap();
        eventually("it has left", || pull.peers() == 0);
        for n in 0..COUNT {
            assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
        }
    });
}

/// Where there are many peers, nobody looks after each before each send. A tcp connection
/// swallows too much to have messages wait in seventy.
#[cfg(unix)]
#[test]
fn a_push_that_is_never_idle_looks_after_many_peers_that_leave() {
    const PEERS: usize = 70;
    const EACH: u64 = 20;
    within(60, || {
        let wire = Wire::new("ipc");
        let push = Push::bind(&wire.address()).unwrap();
        let context = zmq::Context::new();
        let mut peers: Vec<_> = (0..PEERS)
            .map(|_| {
                let deaf = raw_pull(&context);
                deaf.set_rcvhwm(1).unwrap();
                deaf.connect(&at(&push)).unwrap();
                deaf
            })
            .collect();
        eventually("all are there", || push.peers() == PEERS);
        let count = PEERS as u64 * EACH;
        for n in 0..count {
            push.send(numbered(n, 64 << 10)).unwrap();
        }
        eventually("libzmq has them", || push.stats().sent == count);
        peers.truncate(1);
        let mut more = 0;
        eventually("they are taken back", || {
            push.send(numbered(0, 8)).unwrap();
            more += 1;
            std::thread::sleep(ms(50));
            push.stats().sent < count / 2
        });
        assert!(push.abort().count() as u64 > count / 2);
    });
}
