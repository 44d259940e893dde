//! The counters say what is, in numbers and in a line.

use pushpull::{Config, Pull, Push};

use crate::harness::{at, eventually, fill, numbered, over_ipc_and_tcp, LONG};

#[test]
fn the_counters_tell_what_goes_in_what_comes_out_and_what_waits() {
    over_ipc_and_tcp(30, |wire| {
        let pull = Pull::open(Config::bind(&wire.address()).capacity(7)).unwrap();
        let push = Push::connect(&at(&pull)).unwrap();
        assert!(push.wait_for_peer(LONG) && pull.wait_for_peer(LONG));
        for n in 0..20 {
            push.send(numbered(n, 100)).unwrap();
        }
        eventually("its channel is full", || pull.stats().depth == 7);
        eventually("it knows that it waits", || pull.stats().stalls > 0);
        assert_eq!(pull.stats().delivered, 7);
        for _ in 0..20 {
            pull.recv_timeout(LONG).unwrap();
        }
        eventually("all is counted", || {
            (push.stats().sent, pull.stats().delivered) == (20, 20)
        });
        let (out, back) = (push.stats(), pull.stats());
        assert_eq!((out.accepted, out.sent, back.received), (20, 20, 20));
        assert_eq!((out.bytes, out.bytes_out), (2000, 2000));
        assert_eq!((back.bytes, back.bytes_out, back.depth), (2000, 2000, 0));
        assert_eq!((out.peers, back.peers), (1, 1));
        assert!(!back.blocked.is_zero());
        let line = out.to_string();
        assert_eq!(
            line.split(", stalls").next(),
            Some("20 accepted, 20 sent, 2000 bytes in, 2000 bytes out, 1 peers"),
            "{line}"
        );
        assert!(!back.to_string().contains('\n'));
        push.drain(LONG).unwrap();
    });
}

#[test]
fn the_time_blocked_at_high_water_adds_up() {
    over_ipc_and_tcp(30, |wire| {
        let config = Config::bind(&wire.address()).capacity(10);
        let push = Push::open(config).unwrap();
        assert_eq!(push.stats().to_string(), "nothing yet");
        let accepted = fill(&push, 8);
        // One or a few are in the worker's hand.
        let depth = push.stats().depth;
        assert!(depth == 10 && accepted > 10, "{depth} of {accepted}");
        // Brought up to date once a second, and at the end.
        std::thread::sleep(crate::harness::ms(100));
        let unsent = push.abort();
        let blocked = unsent.stats().blocked;
        assert!(blocked >= crate::harness::ms(100), "{blocked:?}");
        // What comes back has not gone out.
        let end = unsent.stats();
        assert_eq!((end.sent, end.bytes_out), (0, 0));
        assert_eq!(unsent.count() as u64, accepted);
    });
}

#[cfg(feature = "serde")]
#[test]
fn the_counters_serialise_under_their_names() {
    let map = serde_json::to_value(pushpull::Stats::default()).unwrap();
    let map = map.as_object().unwrap();
    assert_eq!(map["accepted"], 0);
    assert_eq!(map["blocked"], 0.0);
    assert!(map["last_error"].is_null());
    // Every field of the struct is there: its Debug names them all.
    let debug = format!("{:?}", pushpull::Stats::default());
    assert_eq!(map.len(), debug.matches(':').count());
}
