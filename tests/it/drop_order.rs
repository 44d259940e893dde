//! A queue ends well in whatever order its parts are let go.

use std::{
    any::Any,
    panic::{catch_unwind, AssertUnwindSafe},
    time::Duration,
};

use pushpull::{Config, Message, Pull, Push};

use crate::harness::{at, fill, over_ipc_and_tcp, patience, timed, LONG, PROMPT};

/// All orders of four things.
fn orders() -> Vec<[usize; 4]> {
    let mut all = Vec::new();
    for code in 0..256usize {
        let order = [code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6];
        if (0..4).all(|n| order.contains(&n)) {
            all.push(order);
        }
    }
    assert_eq!(all.len(), 24);
    all
}

/// Lets go of the parts in every order, and checks that none takes long, not
/// even the slowest of 24.
fn in_every_order(make: impl Fn() -> [Box<dyn Any>; 4]) {
    for order in orders() {
        let mut parts = make().map(Some);
        for part in order {
            let (took, ()) = timed(|| drop(parts[part].take()));
            assert!(
                took < 10 * PROMPT * patience(),
                "{order:?}: {part} took {took:?}"
            );
        }
    }
}

#[test]
fn a_push_its_senders_and_its_stoppers_may_go_in_any_order() {
    over_ipc_and_tcp(60, |wire| {
        in_every_order(|| {
            // A message that may find its peer gone is waited for that long.
            let (push, pull) = wire.pair(|c| c.linger(PROMPT), |c| c);
            push.send("left in the other's channel").unwrap();
            let parts = (push.sender().clone(), push.stopper());
            [
                Box::new(push),
                Box::new(parts.0),
                Box::new(parts.1),
                Box::new(pull),
            ]
        });
    });
}

#[test]
fn a_pull_its_receivers_and_its_stoppers_may_go_in_any_order() {
    over_ipc_and_tcp(60, |wire| {
        in_every_order(|| {
            let (push, pull) = wire.pair(|c| c.linger(PROMPT), |c| c.capacity(1));
            for _ in 0..5 {
                push.send("more than the channel holds").unwrap();
            }
            let parts = (pull.receiver().clone(), pull.stopper());
            [
                Box::new(pull),
                Box::new(parts.0),
                Box::new(parts.1),
                Box::new(push),
            ]
        });
    });
}

#[test]
fn a_full_push_may_go_in_any_order() {
    over_ipc_and_tcp(60, |wire| {
        in_every_order(|| {
            let small = |c: Config| c.capacity(2).high_water_mark(1).linger(Duration::ZERO);
            let (push, pull) = wire.pair(small, small);
            fill(&push, 256 << 10);
            let parts = (push.sender().clone(), push.stopper());
            [
                Box::new(push),
                Box::new(parts.0),
                Box::new(parts.1),
                Box::new(pull),
            ]
        });
    });
}

#[test]
fn a_sender_that_outlives_its_queue_gives_every_message_back() {
    over_ipc_and_tcp(20, |wire| {
        let (push, pull) = wire.pair(|c| c, |c| c);
        let (sender, stopper) = (push.sender().clone(), push.stopper());
        push.drain(LONG).unwrap();
        stopper.stop();
        assert_eq!(
            sender.send("late".into()).unwrap_err().into_inner(),
            "late".into()
        );
        assert!(sender
            .try_send("late".into())
            .unwrap_err()
            .is_disconnected());
        assert!(pull.close().unwrap().is_empty());
    });
}

#[test]
fn a_receiver_that_outlives_its_queue_gets_what_is_inside_and_then_the_end() {
    over_ipc_and_tcp(20, |wire| {
        let (push, pull) = wire.pair(|c| c, |c| c);
        let receiver = pull.receiver().clone();
        for text in ["1", "2"] {
            push.send(text).unwrap();
        }
        push.drain(LONG).unwrap();
        while receiver.len() < 2 {
            std::thread::yield_now();
        }
        drop(pull);
        let got: Vec<Message> = receiver.iter().collect();
        assert_eq!(got, ["1".into(), "2".into()]);
    });
}

#[test]
fn a_panic_of_the_caller_ends_its_queues_and_goes_on() {
    over_ipc_and_tcp(20, |wire| {
        let address = wire.address();
        let mut reached = String::new();
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let pull = Pull::bind(&address).unwrap();
            reached = at(&pull);
            let push = Push::connect(&reached).unwrap();
            push.send("on its way").unwrap();
            std::panic::resume_unwind(Box::new("the caller's own"));
        }));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"the caller's own"));
        // Both are gone: the place is free again.
        let _again = Pull::bind(&reached).unwrap();
    });
}
