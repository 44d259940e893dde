//! Whatever is wrong with an endpoint or an option is told by `open`, typed
//! and by name.

use std::{error::Error, time::Duration};

use pushpull::{Config, Context, OpenError, OpenErrorKind, Pull, Push};

use crate::harness::{at, eventually, ms, within, LONG};

use OpenErrorKind::{
    AddressInUse, AddressNotAvailable, InvalidEndpoint, InvalidOption, PathTooLong, Unsupported,
};

/// Opens a Push and a Pull, which must both refuse it, and in the same way.
#[track_caller]
fn refused(config: Config, kind: OpenErrorKind, subject: &str) {
    let push = Push::open(config.clone()).map(drop);
    let pull = Pull::open(config.clone()).map(drop);
    let batched = Push::open_batched(config).map(drop);
    for error in [push, pull, batched].map(Result::unwrap_err) {
        assert_eq!(error.kind(), kind, "{subject:?}: {error}");
        assert_eq!(error.subject(), subject, "{error}");
        let text = error.to_string();
        assert!(
            text.starts_with(subject),
            "{text:?} does not name {subject:?}"
        );
        assert!(text.len() > subject.len() + 4, "{text:?} says nothing more");
    }
}

#[test]
fn every_wrong_endpoint_is_refused_by_name() {
    let long = format!("ipc:///{}", "x".repeat(107));
    let long_host = format!("tcp://{}:1", "x".repeat(100));
    let long_name = format!("inproc://{}", "x".repeat(256));
    within(60, || {
        for (endpoint, bind, connect) in [
            ("", Some(InvalidEndpoint), Some(InvalidEndpoint)),
            (
                "ipc:///tmp/jobs.sock?high_water_mark=1",
                Some(InvalidEndpoint),
                Some(InvalidEndpoint),
            ),
            (
                "tcp://127.0.0.1:5?role=connect",
                Some(InvalidEndpoint),
                Some(InvalidEndpoint),
            ),
            ("nonsense", Some(InvalidEndpoint), Some(InvalidEndpoint)),
            ("tcp", Some(InvalidEndpoint), Some(InvalidEndpoint)),
            ("tcp:", Some(InvalidEndpoint), Some(InvalidEndpoint)),
            (
                "tcp:/127.0.0.1:5",
                Some(InvalidEndpoint),
                Some(InvalidEndpoint),
            ),
            ("://127.0.0.1:5", Some(Unsupported), Some(Unsupported)),
            ("tcp://", Some(InvalidEndpoint), Some(InvalidEndpoint)),
            (
                "tcp://127.0.0.1",
                Some(InvalidEndpoint),
                Some(InvalidEndpoint),
            ),
            (
                "tcp://127.0.0.1:",
                Some(InvalidEndpoint),
                Some(InvalidEndpoint),
            ),
            (
                "tcp://127.0.0.1:65536",
                Some(InvalidEndpoint),
                Some(InvalidEndpoint),
            ),
            (
                "tcp://127.0.0.1:-1",
                Some(InvalidEndpoint),
                Some(InvalidEndpoint),
            ),
            (
                "tcp://127.0.0.1:+1",
                Some(InvalidEndpoint),
                Some(InvalidEndpoint),
            ),
            (
                "tcp://127.0.0.1: 1",
                Some(InvalidEndpoint),
                Some(InvalidEndpoint),
            ),
            (
                "tcp://127.0.0.1:1x",
                Some(InvalidEndpoint),
                Some(InvalidEndpoint),
            ),
            (
                "tcp://127.0.0.1:5/path",
                Some(InvalidEndpoint),
                Some(InvalidEndpoint),
            ),
            ("tcp://:5", Some(InvalidEndpoint), Some(InvalidEndpoint)),
            ("tcp://::1:5", Some(InvalidEndpoint), Some(InvalidEndpoint)),
            ("tcp://[]:5", Some(InvalidEndpoint), Some(InvalidEndpoint)),
            ("tcp://[::1:5", Some(InvalidEndpoint), Some(InvalidEndpoint)),
            ("tcp://a b:5", Some(InvalidEndpoint), Some(InvalidEndpoint)),
            (
                "tcp://user@host:5",
                Some(InvalidEndpoint),
                Some(InvalidEndpoint),
            ),
            ("tcp://*:5", None, Some(InvalidEndpoint)),
            ("tcp://127.0.0.1:0", None, Some(InvalidEndpoint)),
            ("tcp://127.0.0.1:*", None, Some(InvalidEndpoint)),
            ("tcp://127.0.0.1:0;127.0.0.1:5", Some(InvalidEndpoint), None),
            (
                "tcp://127.0.0.1\0:5",
                Some(InvalidEndpoint),
                Some(InvalidEndpoint),
            ),
            (
                "tcp://127.0.0.1:5\0",
                Some(InvalidEndpoint),
                Some(InvalidEndpoint),
            ),
            ("\0", Some(InvalidEndpoint), Some(InvalidEndpoint)),
            ("TCP://127.0.0.1:5", Some(Unsupported), Some(Unsupported)),
            (" tcp://127.0.0.1:5", Some(Unsupported), Some(Unsupported)),
            ("udp://127.0.0.1:5", Some(Unsupported), Some(Unsupported)),
            ("ws://127.0.0.1:5", Some(Unsupported), Some(Unsupported)),
            ("wss://127.0.0.1:5", Some(Unsupported), Some(Unsupported)),
            (
                "pgm://eth0;239.0.0.1:5",
                Some(Unsupported),
                Some(Unsupported),
            ),
            (
                "epgm://eth0;239.0.0.1:5",
                Some(Unsupported),
                Some(Unsupported),
            ),
            ("norm://239.0.0.1:5", Some(Unsupported), Some(Unsupported)),
            ("tipc://{5560,0,0}", Some(Unsupported), Some(Unsupported)),
            ("vmci://1:5", Some(Unsupported), Some(Unsupported)),
            (
                "hvsocket://loopback:5",
                Some(Unsupported),
                Some(Unsupported),
            ),
            ("http://127.0.0.1:5", Some(Unsupported), Some(Unsupported)),
            ("ipc://", Some(InvalidEndpoint), Some(InvalidEndpoint)),
            ("ipc://@", Some(InvalidEndpoint), Some(InvalidEndpoint)),
            (
                "ipc:///tmp/a\0b",
                Some(InvalidEndpoint),
                Some(InvalidEndpoint),
            ),
            ("ipc://*", None, Some(InvalidEndpoint)),
            (&long, Some(PathTooLong), Some(PathTooLong)),
            (&long_host, None, None),
            (&long_name, Some(InvalidEndpoint), Some(InvalidEndpoint)),
            ("inproc://", Some(InvalidEndpoint), Some(InvalidEndpoint)),
            ("inproc://name", Some(InvalidOption), Some(InvalidOption)),
        ] {
            if let Some(kind) = bind {
                refused(Config::bind(endpoint), kind, endpoint);
                // A good one in front makes no difference.
                let second = Config::bind("tcp://127.0.0.1:0").also_bind(endpoint);
                refused(second, kind, endpoint);
            }
            if let Some(kind) = connect {
                refused(Config::connect(endpoint), kind, endpoint);
                let second = Config::bind("tcp://127.0.0.1:0").also_connect(endpoint);
                refused(second, kind, endpoint);
            }
        }
    });
}

#[test]
fn an_address_of_another_machine_can_not_be_bound() {
    // TEST-NET-1 and a name that no machine has.
    refused(
        Config::bind("tcp://192.0.2.1:0"),
        AddressNotAvailable,
        "tcp://192.0.2.1:0",
    );
    let name = "tcp://no-such-interface.invalid:0";
    refused(Config::bind(name), AddressNotAvailable, name);
}

#[test]
fn a_port_that_is_taken_is_told() {
    within(20, || {
        let pull = Pull::bind("tcp://127.0.0.1:0").unwrap();
        refused(Config::bind(&at(&pull)), AddressInUse, &at(&pull));
        let foreign = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = format!("tcp://{}", foreign.local_addr().unwrap());
        refused(Config::bind(&taken), AddressInUse, &taken);
    });
}

#[test]
fn every_option_out_of_range_is_refused_by_name() {
    let tiny = Duration::from_nanos(1);
    let set = |f: fn(Config, Duration) -> Config, d| f(Config::bind("tcp://127.0.0.1:0"), d);
    within(60, || {
        let good = || Config::bind("tcp://127.0.0.1:0");
        refused(good().capacity(usize::MAX), InvalidOption, "capacity");
        refused(good().outcomes(usize::MAX), InvalidOption, "outcomes");
        refused(good().high_water_mark(0), InvalidOption, "high_water_mark");
        refused(
            good().high_water_mark(u32::MAX),
            InvalidOption,
            "high_water_mark",
        );
        refused(
            good().max_message_size(0),
            InvalidOption,
            "max_message_size",
        );
        refused(
            good().max_message_size(u64::MAX),
            InvalidOption,
            "max_message_size",
        );
        refused(
            good().reconnect(Duration::ZERO, LONG),
            InvalidOption,
            "reconnect",
        );
        refused(good().reconnect(LONG, ms(1)), InvalidOption, "reconnect");
        refused(good().reconnect(tiny, LONG), InvalidOption, "reconnect");
        refused(
            good().reconnect(ms(1), Duration::MAX),
            InvalidOption,
            "reconnect",
        );
        for mode in [0o1777, 0o10600, 0, 0o400, 0o077, u32::MAX] {
            refused(good().mode(mode), InvalidOption, "mode");
        }
        for (name, option) in [
            ("connect_timeout", Config::connect_timeout as fn(_, _) -> _),
            ("handshake_timeout", Config::handshake_timeout),
            ("heartbeat", Config::heartbeat),
        ] {
            refused(set(option, Duration::MAX), InvalidOption, name);
            refused(set(option, tiny), InvalidOption, name);
        }
        // No option of these has a value that is too long.
        Push::open(good().linger(Duration::MAX))
            .unwrap()
            .abort()
            .for_each(drop);
        let push = Push::open(good().send_deadline(Duration::MAX)).unwrap();
        push.send("waits for ever").unwrap();
        eventually("it waits", || push.stats().stalls > 0);
        let unsent = push.abort();
        assert_eq!(unsent.cause(), None);
        assert_eq!(unsent.count(), 1);
    });
}

#[test]
fn a_drain_may_have_all_the_time_in_the_world() {
    within(20, || {
        let pull = Pull::bind("tcp://127.0.0.1:0").unwrap();
        let push = Push::connect(&at(&pull)).unwrap();
        push.send("arrives").unwrap();
        push.drain(Duration::MAX).unwrap();
        assert_eq!(pull.recv_timeout(LONG).unwrap(), "arrives".into());
    });
}

#[test]
fn a_name_may_be_anything() {
    within(20, || {
        for name in ["", "\0", "a\0b", "{}%s\n", &"x".repeat(10_000), "çα🦀"] {
            let push = Push::open(Config::bind("tcp://127.0.0.1:0").name(name)).unwrap();
            assert_eq!(push.name(), name);
            assert!(push.abort().is_empty());
        }
    });
}

#[test]
fn inproc_joins_two_queues_of_one_context() {
    within(20, || {
        let context = Context::new().unwrap();
        let pull = Pull::open(Config::bind("inproc://here").context(&context)).unwrap();
        let push = Push::open(Config::connect("inproc://here").context(&context)).unwrap();
        for n in 0..1000_u32 {
            push.send(n.to_string()).unwrap();
        }
        let drain = std::thread::spawn(move || push.drain(LONG).unwrap().sent());
        for n in 0..1000_u32 {
            assert_eq!(pull.recv_timeout(LONG).unwrap(), n.to_string().into());
        }
        assert_eq!(drain.join().unwrap(), 1000);
        let again = Pull::open(Config::bind("inproc://here").context(&context)).unwrap_err();
        assert_eq!(again.kind(), AddressInUse);
        pull.close().unwrap().for_each(drop);
        // Another context knows nothing of it, and the name is free again.
        let other = Context::new().unwrap();
        let lonely = Push::open(Config::connect("inproc://here").context(other)).unwrap();
        let _again = Pull::open(Config::bind("inproc://here").context(&context)).unwrap();
        drop(lonely);
    });
}

#[test]
fn a_context_that_was_shut_down_opens_nothing() {
    within(20, || {
        let context = Context::new().unwrap();
        context.shutdown();
        let config = Config::bind("tcp://127.0.0.1:0").context(&context);
        let error = Push::open(config).unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::ContextTerminated);
        for count in [0, 65, usize::MAX] {
            let error = Context::with_io_threads(count).unwrap_err();
            assert_eq!(
                (error.kind(), error.subject()),
                (InvalidOption, "io_threads")
            );
        }
        Context::with_io_threads(3).unwrap();
    });
}

#[test]
fn the_systems_own_error_is_the_source() {
    let pull = Pull::bind("tcp://127.0.0.1:0").unwrap();
    let error: OpenError = Pull::bind(&at(&pull)).unwrap_err();
    let source = error.source().unwrap().downcast_ref::<std::io::Error>();
    assert_eq!(source.unwrap().kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn what_is_wrong_is_told_so_that_it_can_be_mended() {
    let told = |error: OpenError, words: &[&str]| {
        let text = error.to_string();
        for word in words {
            assert!(text.contains(word), "{text:?} does not say {word:?}");
        }
    };
    within(10, || {
        let bind = |endpoint: &str| Pull::bind(endpoint).unwrap_err();
        told(bind("/tmp/jobs.sock"), &["ipc:///tmp/", "tcp://"]);
        assert!(!bind("").to_string().starts_with(':'));
        told(bind("ipc:///tmp/x?capacity=1"), &["Config::from_url"]);
        told(bind("tcp://nobody.invalid:5555"), &["host", "this machine"]);
        let url = |url: &str| Config::from_url(url).unwrap_err();
        told(url("ipc:///tmp/x?Role=bind"), &["Role", "role"]);
        told(
            url("ipc:///tmp/x?role=bind&hwm=5"),
            &["hwm", "role", "high_water_mark"],
        );
        told(
            url("ipc:///tmp/x?role=listen"),
            &["listen", "; allowed: bind or connect"],
        );
        told(
            url("ipc:///tmp/x?role=bind&linger=-1s"),
            &["-1s", "allowed: 0s or longer"],
        );
    });
}
