//! Feature `curve`: a round trip under CURVE, and none without the right key.
#![cfg(feature = "curve")]

mod common;

use common::*;
use zmq_sys::*;

fn keys() -> (Vec<u8>, Vec<u8>) {
    let (mut public, mut secret) = (vec![0u8; 41], vec![0u8; 41]);
    let done = unsafe { zmq_curve_keypair(public.as_mut_ptr().cast(), secret.as_mut_ptr().cast()) };
    assert_eq!(done, 0);
    (public, secret)
}

fn set(socket: &Socket, option: u32, key: &[u8]) {
    // Without the closing zero.
    let done = unsafe { zmq_setsockopt(socket.0, option as i32, key.as_ptr().cast(), 40) };
    assert_eq!(done, 0, "{}", last_error());
}

#[test]
fn messages_pass_with_the_right_key_only() {
    assert_eq!(unsafe { zmq_has(c"curve".as_ptr()) }, 1);
    let server = keys();
    for (server_key, passes) in [(&server.0, true), (&keys().0, false)] {
        let context = Context::new();
        let pull = context.pull();
        pull.set(ZMQ_CURVE_SERVER, 1);
        set(&pull, ZMQ_CURVE_SECRETKEY, &server.1);
        let address = pull.bind("tcp://127.0.0.1:*");
        let push = context.push();
        let client = keys();
        set(&push, ZMQ_CURVE_SERVERKEY, server_key);
        set(&push, ZMQ_CURVE_PUBLICKEY, &client.0);
        set(&push, ZMQ_CURVE_SECRETKEY, &client.1);
        push.connect(&address);
        push.send(b"secret", 0);
        pull.set(ZMQ_RCVTIMEO, if passes { 5000 } else { 500 });
        assert_eq!(pull.recv(0).is_some(), passes);
    }
}
