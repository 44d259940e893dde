//! Peers that leave or misbehave where a queue calls: its pipe outlives its connections.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    sync::mpsc,
    thread,
    time::Duration,
};

use pushpull::{Config, Message, Pull, Push};

use crate::harness::{
    at, eventually, in_own_process, ms, number, numbered, over_ipc_and_tcp, Wire, LONG,
};

/// What a ZMTP 3.0 peer says first, without security.
fn greeting() -> Vec<u8> {
    let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0];
    greeting.extend_from_slice(b"NULL");
    greeting.resize(64, 0);
    greeting
}

fn ready_to_pull() -> Vec<u8> {
    let mut ready = vec![4, 26, 5];
    ready.extend_from_slice(b"READY\x0bSocket-Type\0\0\0\x04PULL");
    ready
}

/// Takes a call as a Pull would, and says whether hands were shaken.
fn answer(line: &mut TcpStream) -> bool {
    line.set_read_timeout(Some(LONG)).unwrap();
    let (mut theirs, mut ready) = ([0; 64], [0; 64]);
    line.write_all(&greeting()).is_ok()
        && line.read_exact(&mut theirs).is_ok()
        && line.write_all(&ready_to_pull()).is_ok()
        && matches!(line.read(&mut ready), Ok(n) if n > 0)
}

#[test]
fn a_calling_pull_goes_on_with_its_other_peers_when_one_leaves_behind_a_full_pipe() {
    over_ipc_and_tcp(60, |wire| {
        let stays = Push::bind(&wire.address()).unwrap();
        let leaves = Push::bind(&wire.address()).unwrap();
        let config = Config::connect(&at(&leaves)).also_connect(&at(&stays));
        let pull = Pull::open(config.high_water_mark(10).capacity(1)).unwrap();
        eventually("both are there", || pull.peers() == 2);
        for n in 0..200 {
            leaves.send(numbered(n, 100)).unwrap();
        }
        eventually("its channel is full", || pull.stats().depth == 1);
        drop(leaves.abort());
        // That it has left is told when all that it sent was read; its end is seen before.
        thread::sleep(ms(100));
        let got = (0..200).take_while(|n| {
            let message = pull.recv_timeout(ms(500));
            message.is_ok_and(|m| number(&m) == *n)
        });
        assert!(got.count() > 0);
        for n in 0..5 {
            stays.send(numbered(n, 100)).unwrap();
        }
        for n in 0..5 {
            assert_eq!(number(&pull.recv_timeout(LONG).unwrap()), n);
        }
    });
}

#[test]
fn a_message_to_a_calling_push_costs_its_sender_the_connection_and_the_next_peer_nothing() {
    crate::harness::within(60, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let config = Config::connect(&address).reconnect(ms(10), ms(20));
        let push = Push::open(config).unwrap();
        let mut rogue = listener.accept().unwrap().0;
        assert!(answer(&mut rogue));
        // It is thrown out for what it says.
        let _ = (0..2).try_for_each(|_| {
            thread::sleep(ms(50));
            rogue.write_all(&[0, 3, b'b', b'a', b'd'])
        });
        let mut rest = Vec::new();
        let _ = rogue.read_to_end(&mut rest);
        drop(rogue);
        let mut good = listener.accept().unwrap().0;
        assert!(answer(&mut good), "the next peer is thrown out as well");
        drop((good, listener));
        let pull = Pull::bind(&address).unwrap();
        push.send("hello").unwrap();
        // What went to the good one that left is gone with it.
        eventually("it arrives", || {
            let _ = push.try_send("hello");
            pull.recv_timeout(ms(100)).is_ok()
        });
    });
}

/// The peer leaves in the middle of a message of many frames while its bound Push ends.
#[test]
fn an_end_beside_a_peer_that_leaves_in_mid_message_does_not_abort_the_process() {
    in_own_process(100, || {
        let wire = Wire::new("ipc");
        for round in 0..40 {
            let push = Push::bind(&wire.address()).unwrap();
            let path = at(&push).strip_prefix("ipc://").unwrap().to_owned();
            let (tell, told) = mpsc::channel::<()>();
            let peer = thread::spawn(move || {
                let mut line = UnixStream::connect(path).unwrap();
                line.write_all(&greeting()).unwrap();
                line.write_all(&ready_to_pull()).unwrap();
                told.recv().unwrap();
                thread::sleep(Duration::from_micros(round * 25));
            });
            assert!(push.wait_for_peer(LONG));
            push.send(Message::multipart((0..100).map(|_| vec![7; 100_000])))
                .unwrap();
            eventually("it is on its way", || push.stats().sent == 1);
            thread::sleep(ms(20));
            tell.send(()).unwrap();
            push.abort().for_each(drop);
            peer.join().unwrap();
        }
    });
}
