//! Whatever comes over the wire costs the one who sent it the connection, and
//! nobody else anything.

use std::{io::Write, time::Duration};

use pushpull::{Config, Message, Pull, Push};

use crate::{
    harness::{at, eventually, ms, number, numbered, over_bare_streams, within, Wire, LONG},
    stranger::{greeting, greeting_of_zmtp_2, shaken_hands, Stranger},
};

/// A long frame that announces more than it brings.
fn announcing(bytes: u64) -> Vec<u8> {
    [
        &[2][..],
        &bytes.to_be_bytes(),
        b"and here is the first of it",
    ]
    .concat()
}

fn garbage() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..100_000).map(|_| next()).collect()
}

/// Things to say to a Pull, each of which ends the connection by itself or
/// when it has been given time enough to shake hands.
fn insults() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("nothing at all", vec![]),
        (
            "text",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        ),
        ("zeros", vec![0; 5000]),
        ("ones", vec![0xff; 5000]),
        ("garbage", garbage()),
        ("half a greeting", greeting(b"NULL")[..30].to_vec()),
        ("ZMTP 1", [&[1, 0][..], b"\x06\x00hello"].concat()),
        (
            "ZMTP 2",
            [&greeting_of_zmtp_2()[..], b"\x00\x05hello"].concat(),
        ),
        ("no such mechanism", greeting(b"NONE")),
        ("a mechanism that we don't speak", greeting(b"PLAIN")),
        (
            "garbage after the greeting",
            [greeting(b"NULL"), garbage()].concat(),
        ),
        ("the wrong socket type", shaken_hands("SUB")),
        ("no such socket type", shaken_hands("NONSENSE")),
    ]
}

/// The same for one who has shaken hands.
fn insults_of_a_peer() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a frame that is too large", announcing((1 << 20) + 1)),
        ("a frame of all there is", announcing(u64::MAX)),
        ("a negative frame", announcing(1 << 63)),
        ("half a frame", b"\x00\x05hel".to_vec()),
        ("half a message", b"\x01\x05hello".to_vec()),
        ("half a size", b"\x02\x00\x00".to_vec()),
    ]
}

fn open_pull(wire: &Wire) -> Pull {
    let config = Config::bind(&wire.address())
        .handshake_timeout(ms(100))
        .max_message_size(1 << 20);
    Pull::open(config).unwrap()
}

#[test]
fn strangers_are_hung_up_on_and_harm_nobody() {
    over_bare_streams(60, |wire| {
        let pull = open_pull(wire);
        let push = Push::connect(&at(&pull)).unwrap();
        let mut sent = 0;
        // A good peer's messages flow on meanwhile and afterwards.
        let mut flows_on = |what: &str| {
            push.send(numbered(sent, 100)).unwrap();
            assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), sent, "{what}");
            sent += 1;
        };
        for (what, bytes) in insults() {
            println!("{what}");
            let mut stranger = Stranger::call(&at(&pull));
            stranger.say(&bytes);
            flows_on(what);
            stranger.is_hung_up_on();
            flows_on(what);
        }
        for (what, bytes) in insults_of_a_peer() {
            println!("{what}");
            let mut stranger = Stranger::call(&at(&pull));
            stranger.shakes_hands("PUSH").say(&bytes);
            flows_on(what);
            if what.starts_with("half") {
                // It could still say the rest, so it is the one to hang up.
                drop(stranger);
            } else {
                stranger.is_hung_up_on();
            }
            flows_on(what);
        }
        push.drain(LONG).unwrap();
        assert!(pull.close().unwrap().is_empty(), "nothing came of all that");
    });
}

#[test]
fn strangers_take_no_message_from_a_push() {
    over_bare_streams(60, |wire| {
        let config = Config::bind(&wire.address()).handshake_timeout(ms(100));
        let push = Push::open(config).unwrap();
        for n in 0..100 {
            push.send(numbered(n, 100)).unwrap();
        }
        for (what, bytes) in insults() {
            println!("{what}");
            let mut stranger = Stranger::call(&at(&push));
            let heard = stranger.say(&bytes).is_hung_up_on();
            assert!(heard.len() < 200, "{what} got {} bytes", heard.len());
        }
        // A PUSH can't call a PUSH either.
        Stranger::call(&at(&push))
            .say(&shaken_hands("PUSH"))
            .is_hung_up_on();
        let pull = Pull::connect(&at(&push)).unwrap();
        for n in 0..100 {
            assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
        }
    });
}

/// The measure of the others: what these bytes would be, were they right.
#[test]
fn a_stranger_who_speaks_zmtp_3_is_a_peer() {
    over_bare_streams(20, |wire| {
        let pull = open_pull(wire);
        let mut peer = Stranger::call(&at(&pull));
        peer.shakes_hands("PUSH")
            .say(b"\x00\x05hello\x01\x02ab\x00\x01c");
        assert_eq!(pull.recv_timeout(LONG).unwrap(), "hello".into());
        assert_eq!(
            pull.recv_timeout(LONG).unwrap(),
            Message::multipart(["ab", "c"])
        );
    });
}

#[test]
fn a_frame_of_the_largest_size_is_let_in_and_the_next_larger_is_not() {
    over_bare_streams(20, |wire| {
        let pull = open_pull(wire);
        let push = Push::connect(&at(&pull)).unwrap();
        push.send(numbered(1, 1 << 20)).unwrap();
        assert_eq!(pull.recv_timeout(LONG).unwrap(), numbered(1, 1 << 20));
        let mut peer = Stranger::call(&at(&pull));
        peer.shakes_hands("PUSH").say(b"\x00\x05hello");
        assert_eq!(pull.recv_timeout(LONG).unwrap(), "hello".into());
        peer.say(&announcing((1 << 20) + 1)).is_hung_up_on();
        push.send("unharmed").unwrap();
        assert_eq!(pull.recv_timeout(LONG).unwrap(), "unharmed".into());
    });
}

#[test]
fn a_message_that_was_begun_and_not_finished_is_not_delivered() {
    over_bare_streams(20, |wire| {
        let pull = open_pull(wire);
        for _ in 0..20 {
            let mut peer = Stranger::call(&at(&pull));
            peer.shakes_hands("PUSH").say(b"\x00\x05whole\x01\x04torn");
            assert_eq!(pull.recv_timeout(LONG).unwrap(), "whole".into());
        }
        let push = Push::connect(&at(&pull)).unwrap();
        push.send(Message::multipart(["also", "whole"])).unwrap();
        assert_eq!(
            pull.recv_timeout(LONG).unwrap(),
            Message::multipart(["also", "whole"])
        );
        push.drain(LONG).unwrap();
        assert!(pull.close().unwrap().is_empty());
    });
}

#[test]
fn a_peer_of_zmtp_2_is_let_in_when_that_is_asked_for() {
    over_bare_streams(20, |wire| {
        let config = Config::bind(&wire.address()).legacy_peers(true);
        let pull = Pull::open(config).unwrap();
        let mut peer = Stranger::call(&at(&pull));
        peer.say(&greeting_of_zmtp_2());
        // Its signature, its version, its socket type PULL, its identity.
        let heard = peer.hears(11);
        assert_eq!((heard[0], heard[9]), (0xff, 0x7f));
        peer.say(b"\x00\x05hello\x01\x02ab\x00\x01c");
        assert_eq!(pull.recv_timeout(LONG).unwrap(), "hello".into());
        assert_eq!(
            pull.recv_timeout(LONG).unwrap(),
            Message::multipart(["ab", "c"])
        );
    });
}

#[test]
fn a_peer_of_zmtp_2_is_shut_out_otherwise() {
    over_bare_streams(20, |wire| {
        let pull = Pull::bind(&wire.address()).unwrap();
        let mut peer = Stranger::call(&at(&pull));
        peer.say(&greeting_of_zmtp_2()).say(b"\x00\x05hello");
        peer.is_hung_up_on();
        assert!(pull.close().unwrap().is_empty());
    });
}

#[test]
fn a_stranger_that_says_nothing_is_hung_up_on_in_time() {
    over_bare_streams(20, |wire| {
        let pull = open_pull(wire);
        let (took, _) = crate::harness::timed(|| Stranger::call(&at(&pull)).is_hung_up_on());
        assert!(took >= ms(90) && took < Duration::from_secs(5), "{took:?}");
    });
}

/// A server that answers with nonsense costs its caller nothing: it calls
/// again, and finds a good one there some day.
#[test]
fn a_push_survives_a_server_that_is_no_zeromq() {
    within(30, || {
        let address = Wire::new("tcp").lasting_address();
        let server = std::net::TcpListener::bind(address.trim_start_matches("tcp://")).unwrap();
        let push = Push::open(Config::connect(&address).reconnect(ms(1), ms(10))).unwrap();
        for n in 0..100 {
            push.send(numbered(n, 100)).unwrap();
        }
        for bytes in [
            garbage(),
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            vec![0; 99],
        ] {
            let (mut caller, _) = server.accept().unwrap();
            let _ = caller.write_all(&bytes);
        }
        drop(server);
        let mut pull = None;
        eventually("the port is free", || {
            pull = Pull::bind(&address).ok();
            pull.is_some()
        });
        for n in 0..100 {
            assert_eq!(
                number(&pull.as_ref().unwrap().recv_timeout(LONG).unwrap()),
                n
            );
        }
    });
}
