//! The shapes that other programs compile against.

use std::{error::Error, fmt::Display, time::Duration};

use pushpull::{
    Batch, CloseError, Config, Context, DrainError, DrainFailure, Drained, Endpoint, Event,
    Leftover, Libzmq, Message, OpenError, Outcome, OutcomeError, Pull, Push, Receiver, RecvError,
    RecvTimeoutError, Role, SendError, SendTimeoutError, Sender, Stats, Stopper, Transport,
    TryRecvError, TrySendError, Unsent, WorkerError,
};

use crate::harness::{at, eventually, within, LONG};

fn moves_and_is_shared<T: Send + Sync + 'static>() {}
fn is_an_error<T: Error + Display + Send + Sync + 'static>() {}
fn gives<T, I: Iterator<Item = T>>() {}

#[test]
fn everything_may_move_to_another_thread_and_be_shared() {
    moves_and_is_shared::<(Push, Push<Batch>, Pull, Pull<Batch>)>();
    moves_and_is_shared::<(Config, Context, Endpoint, Stopper, Stats, Message)>();
    moves_and_is_shared::<(Drained, Drained<Batch>, Outcome<Message>)>();
    moves_and_is_shared::<(Unsent, Unsent<Batch>, Leftover, Leftover<Batch>, Libzmq)>();
}

#[test]
fn every_error_is_a_proper_one() {
    is_an_error::<OpenError>();
    is_an_error::<DrainError>();
    is_an_error::<DrainError<Batch>>();
    is_an_error::<DrainFailure>();
    is_an_error::<CloseError>();
    is_an_error::<CloseError<Batch>>();
    is_an_error::<WorkerError>();
    is_an_error::<OutcomeError<Message>>();
}

#[test]
fn what_comes_back_is_an_iterator() {
    gives::<Message, Unsent>();
    gives::<Batch, Unsent<Batch>>();
    gives::<Message, Leftover>();
    gives::<Batch, Leftover<Batch>>();
}

#[test]
fn messages_are_values() {
    fn value<T: Send + Clone + std::fmt::Debug + PartialEq + Default>() {}
    value::<Message>();
    let made: [Message; 5] = [
        "bytes".into(),
        String::from("bytes").into(),
        b"bytes".as_slice().into(),
        b"bytes".to_vec().into(),
        b"bytes".to_vec().into_boxed_slice().into(),
    ];
    for message in made {
        assert_eq!(message, Message::from("bytes"));
        assert_eq!(message.clone(), message);
        assert_eq!((message.len(), message.as_bytes()), (5, &b"bytes"[..]));
        assert_eq!(message.frames().collect::<Vec<&[u8]>>(), [b"bytes"]);
        assert!(format!("{message:?}").contains("bytes"));
        assert_eq!(message.into_vec(), b"bytes");
    }
    let parts = Message::multipart(["a", "", "bc"]);
    assert_eq!(parts.as_bytes(), b"a");
    assert_eq!(parts.frames().collect::<Vec<_>>(), [&b"a"[..], b"", b"bc"]);
    assert_ne!(parts, Message::from("abc"));
    assert_eq!(parts.into_vec(), b"abc");
    assert_eq!(Message::multipart(Vec::<Message>::new()), Message::from(""));
}

#[test]
fn an_owned_vector_is_taken_over_without_a_copy() {
    let bytes = vec![7; 100_000];
    let at = bytes.as_ptr();
    let message = Message::from(bytes);
    assert_eq!(message.as_bytes().as_ptr(), at);
    let back = message.into_vec();
    assert_eq!(back.as_ptr(), at);
}

/// Every call with the types written out, so that a change of any is noticed.
#[test]
fn the_calls_have_the_shapes_on_the_design_page() {
    within(20, || {
        let pull: Result<Pull, OpenError> = Pull::bind("tcp://127.0.0.1:0");
        let pull: Pull = pull.unwrap();
        let endpoints: &[Endpoint] = pull.endpoints();
        let address: String = endpoints[0].to_string();
        assert_eq!(endpoints[0].role(), Role::Bind);
        assert_eq!(endpoints[0].transport(), Transport::Tcp);
        assert_eq!(address, format!("tcp://{}", endpoints[0].address()));

        let config: Config = Config::connect(&address)
            .name("all options")
            .capacity(10_usize)
            .high_water_mark(10_u32)
            .linger(Duration::ZERO)
            .send_deadline(LONG)
            .reconnect(Duration::from_millis(1), Duration::from_secs(1))
            .connect_timeout(LONG)
            .handshake_timeout(LONG)
            .heartbeat(Duration::ZERO)
            .keepalive(true)
            .max_message_size(1_u64 << 20)
            .only_connected_peers(false)
            .legacy_peers(false)
            .mode(0o600_u32)
            .outcomes(10_usize)
            .events(10_usize)
            .stall_after(LONG)
            .context(Context::new().unwrap());
        let push: Push = Push::open(config).unwrap();
        assert_eq!(push.name(), "all options");

        let sent: Result<(), SendError<Message>> = push.send("1");
        sent.unwrap();
        let sent: Result<(), TrySendError<Message>> = push.try_send("2");
        sent.unwrap();
        let sent: Result<(), SendTimeoutError<Message>> = push.send_timeout("3", LONG);
        sent.unwrap();
        let sender: &Sender<Message> = push.sender();
        for text in ["4", "5"] {
            sender.send(text.into()).unwrap();
        }
        let got: Result<Message, RecvError> = pull.recv();
        assert_eq!(got.unwrap(), "1".into());
        let got: Result<Message, RecvTimeoutError> = pull.recv_timeout(LONG);
        assert_eq!(got.unwrap(), "2".into());
        let receiver: &Receiver<Message> = pull.receiver();
        assert_eq!(receiver.recv().unwrap(), "3".into());
        for (due, item) in ["4"].into_iter().zip(&pull) {
            let message: Message = item;
            assert_eq!(message, due.into());
        }
        assert_eq!(pull.iter().next(), Some("5".into()));
        let got: Result<Message, TryRecvError> = pull.try_recv();
        assert_eq!(got, Err(TryRecvError::Empty));

        let outcomes: Option<&Receiver<Outcome<Message>>> = push.outcomes();
        eventually("all is told", || outcomes.unwrap().len() == 5);
        let stats: Stats = push.stats();
        assert_eq!((stats.accepted, stats.backlog()), (5, 0));
        let events: Option<&Receiver<Event>> = push.events();
        assert!(!events.unwrap().is_empty() && pull.events().is_none());
        let there: bool = push.wait_for_peer(LONG) && pull.wait_for_peer(LONG);
        let peers: (usize, usize) = (push.peers(), pull.peers());
        assert_eq!((there, peers), (true, (1, 1)));
        let stopper: Stopper = push.stopper().clone();
        let drained: Result<Drained, DrainError> = push.drain(LONG);
        assert_eq!(drained.unwrap().sent(), 5);
        stopper.stop();
        let left: Result<Leftover, CloseError> = pull.close();
        assert!(left.unwrap().is_empty());
    });
}

#[test]
fn a_bound_port_of_the_systems_choice_is_told() {
    for any in ["tcp://127.0.0.1:0", "tcp://127.0.0.1:*"] {
        let (push, pull) = (Push::bind(any).unwrap(), Pull::bind(any).unwrap());
        for address in [at(&push), at(&pull)] {
            let port = address.strip_prefix("tcp://127.0.0.1:").unwrap();
            assert_ne!(port.parse::<u16>().unwrap(), 0);
        }
    }
}

#[test]
fn several_endpoints_are_told_in_their_order() {
    within(20, || {
        let config = Config::bind("tcp://127.0.0.1:0").also_connect("tcp://127.0.0.1:9");
        let push = Push::open(config.also_bind("tcp://localhost:0")).unwrap();
        let told: Vec<_> = push.endpoints().iter().map(|e| e.to_string()).collect();
        assert!(told[0].starts_with("tcp://127.0.0.1:"), "{told:?}");
        assert_eq!(told[1], "tcp://127.0.0.1:9");
        assert!(told[2].starts_with("tcp://127.0.0.1:"), "{told:?}");
        drop(push.abort());
    });
}

#[test]
fn ipv6_and_ipv4_share_a_queue() {
    within(20, || {
        let config = Config::bind("tcp://127.0.0.1:0").also_bind("tcp://[::1]:0");
        let Ok(pull) = Pull::open(config) else {
            println!("skipped: this machine has no IPv6");
            return;
        };
        for endpoint in pull.endpoints() {
            let push = Push::connect(&endpoint.to_string()).unwrap();
            push.send("through").unwrap();
            assert_eq!(pull.recv_timeout(LONG).unwrap(), "through".into());
        }
    });
}

#[test]
fn the_libzmq_inside_is_told() {
    let zmq = pushpull::libzmq();
    assert_eq!(zmq.version.0, 4);
    assert!(zmq.ipc);
    assert!(
        zmq.mends.contains(&"reconnect-after-error"),
        "these tests are for our own build"
    );
    assert_eq!(zmq.curve, cfg!(feature = "curve"));
    // Claimed where it was seen to hold.
    assert_eq!(zmq.lossless_ipc, cfg!(target_os = "linux"));
}
