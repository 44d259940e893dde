//! A worker that can't go on disconnects its channels, and its handle tells
//! why. (A panic of a worker is injected by the unit tests in the crate.)

use pushpull::{Config, Context, DrainFailure, Pull, Push, WorkerError};

use crate::harness::{
    assert_prompt, at, fill, over_ipc_and_tcp, timed, tries, undisturbed, LONG, PROMPT,
};

#[test]
fn a_context_that_is_shut_down_ends_its_queues_and_is_their_cause() {
    over_ipc_and_tcp(30, |wire| {
        for _ in 0..20 {
            let context = Context::new().unwrap();
            let on = |c: Config, name| c.context(&context).name(name);
            let pull = Pull::open(on(Config::bind(&wire.address()), "pull")).unwrap();
            let push = Push::open(on(Config::connect(&at(&pull)), "push")).unwrap();
            let waiting = Push::open(on(Config::bind(&wire.address()), "full")).unwrap();
            let accepted = fill(&waiting, 8);
            push.send("here").unwrap();
            pull.recv_timeout(LONG).unwrap();

            context.shutdown();
            assert!(pull.recv_timeout(LONG).is_err_and(|e| e.is_disconnected()));
            while push
                .send("an idle worker finds out at the next message")
                .is_ok()
            {}
            while waiting.send("refused").is_ok() {}

            let cause = |name: &str| WorkerError::ContextTerminated { name: name.into() };
            let error = pull.close().unwrap_err();
            assert_eq!(error.cause(), &cause("pull"));
            assert!(error.to_string().contains("pull"));
            let unsent = push.abort();
            assert_eq!(unsent.cause(), Some(&cause("push")));
            let error = waiting.drain(LONG).unwrap_err();
            assert_eq!(error.failure(), &DrainFailure::Worker(cause("full")));
            assert!(error.to_string().contains("its context was shut down"));
            assert!(error.into_unsent().count() as u64 >= accepted);
        }
    });
}

#[test]
fn what_libzmq_held_when_its_context_ended_is_counted() {
    over_ipc_and_tcp(30, |wire| {
        let context = Context::new().unwrap();
        let (address, _nobody) = wire.nobody();
        let push = Push::open(Config::connect(&address).capacity(10).context(&context)).unwrap();
        let accepted = fill(&push, 8);
        context.shutdown();
        let mut late = 0;
        while push.send("late").is_ok() {
            late += 1;
        }
        let unsent = push.abort();
        let doubt = unsent.in_doubt();
        assert_eq!(unsent.count() as u64 + doubt, accepted + late);
    });
}

/// Also with one that waits idle in its channel, where libzmq can't wake it.
#[test]
fn queues_on_a_dead_context_end_at_once() {
    undisturbed(60, || {
        let took = (0..tries()).map(|_| {
            let context = Context::new().unwrap();
            let push = Push::open(Config::bind("tcp://127.0.0.1:0").context(&context)).unwrap();
            let pull = Pull::open(Config::bind("tcp://127.0.0.1:0").context(&context)).unwrap();
            context.shutdown();
            timed(|| {
                drop(push.abort());
                drop(pull.close());
                drop(context);
            })
            .0
        });
        assert_prompt("on a dead context", 2 * PROMPT, took.collect());
    });
}
