//! Every way to end, and its exit status.

use pushpull::{Message, Pull, Push};
use rustix::process::Signal;

use crate::{
    harness::{within, LONG},
    program::{a_while, read, start, start_unread, Place},
};

#[test]
fn ctrl_c_hands_over_what_push_has_read() {
    within(20, || {
        let place = Place::new();
        let pull = Pull::bind(&place.endpoint).unwrap();
        let mut push = start(&["push", &place.endpoint]);
        push.write(b"one\ntwo\nthree\nhalf a li");
        assert_eq!(pull.recv().unwrap(), "one".into());
        push.signal(Signal::INT);
        push.end().with(130, "interrupted; 3 records handed over");
        assert_eq!(pull.recv().unwrap(), "two".into());
        assert_eq!(pull.recv().unwrap(), "three".into());
        assert_eq!(pull.close().unwrap().count(), 0);
    });
}

#[test]
fn a_second_ctrl_c_gives_up_and_counts() {
    within(20, || {
        let place = Place::new();
        // Nobody listens: not a record can go.
        let lines: Vec<u8> = (0..100_000)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect();
        let mut push = start(&["push", "--bind", "-o", "capacity=1", &place.endpoint]);
        place.wait();
        push.write(&lines[..60]);
        std::thread::sleep(a_while()); // for the records to be read
        push.signal(Signal::INT);
        std::thread::sleep(a_while());
        assert!(push.is_running(), "the first one hands over");
        push.signal(Signal::INT);
        push.end().with(130, "records of ");
        assert!(!place.is_bound(), "the socket file is gone");
    });
}

#[test]
fn a_second_ctrl_c_ends_a_push_that_is_stuck_in_its_input() {
    within(20, || {
        let place = Place::new();
        let mut push = start(&["push", "--bind", "-o", "capacity=1", &place.endpoint]);
        place.wait();
        // More than the channel and libzmq take: the reader waits for room.
        let lines = vec![b'\n'; 400_000];
        let mut stdin = push.take_stdin();
        let feeder = std::thread::spawn(move || {
            let _ = std::io::Write::write_all(&mut stdin, &lines);
        });
        std::thread::sleep(a_while());
        push.signal(Signal::INT);
        std::thread::sleep(a_while());
        assert!(push.is_running(), "the first one hands over");
        push.signal(Signal::INT);
        push.end().with(130, "went nowhere");
        feeder.join().unwrap();
    });
}

#[test]
fn a_deadline_that_passes_is_told_with_the_count() {
    within(20, || {
        let place = Place::new();
        start(&["push", "--deadline=100ms", &place.endpoint])
            .fed(b"one\ntwo\n")
            .with(3, "2 records of 2 went nowhere");
    });
}

#[test]
fn sigterm_ends_a_pull_which_writes_what_it_has() {
    within(20, || {
        for signal in [Signal::TERM, Signal::INT] {
            let place = Place::new();
            let mut pull = start_unread(&["pull", &place.endpoint]);
            let mut out = pull.take_stdout();
            let push = Push::connect(&place.endpoint).unwrap();
            push.send("one").unwrap();
            assert_eq!(read(&mut out, 4), b"one\n");
            pull.signal(signal);
            pull.end().silent();
            assert!(!place.is_bound(), "the socket file is gone");
        }
    });
}

#[test]
fn a_pull_whose_output_blocks_ends_with_the_second_ctrl_c() {
    within(20, || {
        let place = Place::new();
        // Nobody reads its output, which takes what a pipe takes.
        let mut pull = start_unread(&["pull", &place.endpoint]);
        let out = pull.take_stdout();
        let push = Push::connect(&place.endpoint).unwrap();
        let record = vec![b'x'; 10_000];
        while push.send_timeout(record.as_slice(), 3 * a_while()).is_ok() {}
        pull.signal(Signal::INT);
        std::thread::sleep(a_while());
        assert!(pull.is_running(), "the first one writes what has come");
        pull.signal(Signal::INT);
        pull.end().with(130, "that had come were not written");
        drop(out);
        push.abort().for_each(drop);
    });
}

#[test]
fn closed_output_ends_a_pull_as_sigpipe_would() {
    within(20, || {
        // With something to write, and with nothing at all.
        for busy in [true, false] {
            let place = Place::new();
            let mut pull = start_unread(&["pull", &place.endpoint]);
            drop(pull.take_stdout());
            place.wait();
            let push = Push::connect(&place.endpoint).unwrap();
            if busy {
                push.send("nobody reads this").unwrap();
            }
            let end = pull.end();
            let said = if busy { "1 record that had come" } else { "" };
            assert!(busy || end.err.is_empty(), "{}", end.err);
            end.with(141, said);
            assert!(!place.is_bound(), "the socket file is gone");
            push.abort().for_each(drop);
        }
    });
}

#[test]
fn closed_output_is_no_panic_anywhere() {
    within(20, || {
        for words in [
            &["info"][..],
            &["man"],
            &["completions", "bash"],
            &["info", "--json"],
        ] {
            let mut program = start_unread(words);
            drop(program.take_stdout());
            let end = program.end();
            assert!(end.err.is_empty(), "{}", end.err);
            assert!(matches!(end.code, Some(141 | 0)), "{:?}", end.code);
        }
    });
}

#[test]
fn a_count_ends_a_pull_and_tells_what_is_lost() {
    within(20, || {
        let place = Place::new();
        let pull = start(&["pull", "-n2", &place.endpoint]);
        let push = Push::open_batched(pushpull::Config::connect(&place.endpoint)).unwrap();
        let all = ["one", "two", "three"].map(Message::from).to_vec();
        push.send(all).unwrap();
        let out = pull.end().with(0, "1 record that had come");
        assert_eq!(out, b"one\ntwo\n");
        push.abort().for_each(drop);
    });
}

#[test]
fn silence_ends_a_pull() {
    within(20, || {
        let place = Place::new();
        let pull = start(&["pull", "--idle=100ms", &place.endpoint]);
        assert_eq!(pull.end().silent(), b"");
    });
}

#[test]
fn ends_that_do_not_match_what_came_are_told() {
    within(20, || {
        let end = |n: &str| Message::multipart(["pushpull", "eof", n]);
        for (senders, ends, code, said) in [
            ("--eof", &["1"][..], 0, ""),
            (
                "--eof",
                &["2"],
                3,
                "the senders told of 2 records, and 1 came",
            ),
            ("--eof=2", &["0", "1"], 0, ""),
            (
                "--eof=2",
                &["1"],
                3,
                "ended after 1 record, before all had come",
            ),
        ] {
            let place = Place::new();
            let pull = start(&["pull", senders, "--idle=1s", &place.endpoint]);
            let push = Push::connect(&place.endpoint).unwrap();
            push.send("one").unwrap();
            for n in ends {
                push.send(end(n)).unwrap();
            }
            push.drain(LONG).unwrap();
            assert_eq!(pull.end().with(code, said), b"one\n");
        }
    });
}

#[test]
fn what_can_not_start_says_why() {
    within(20, || {
        let place = Place::new();
        let taken = Pull::bind(&place.endpoint).unwrap();
        let at = place.endpoint.as_str();
        for (words, code, said) in [
            (&["push"][..], 2, "<ENDPOINT>"),
            (&["shove", at], 2, "shove"),
            (&["push", "nowhere"], 2, "nowhere: an endpoint is spelt"),
            (
                &["push", at, "-o", "hwm=1"],
                2,
                "hwm: there is no such option",
            ),
            (
                &["push", at, "-o", "linger=3"],
                2,
                "linger: 3 is not a length of time",
            ),
            (
                &["push", at, "-o", "capacity=1", "-o", "capacity=2"],
                2,
                "capacity: it is given twice",
            ),
            (
                &["push", &format!("{at}?high_water_mark=0")],
                2,
                "1 to 2147483647 messages",
            ),
            (
                &["push", at, "--bind", "--connect"],
                2,
                "cannot be used with",
            ),
            (
                &["push", &format!("{at}?role=bind"), "--bind"],
                2,
                "role: it is given twice",
            ),
            (&["push", at, "--deadline=3"], 2, "--deadline"),
            (
                &["push", at, "/no/such/file"],
                1,
                "/no/such/file: No such file",
            ),
            (&["pull", at], 1, at),
            (&["pull", at, "-f", "csv"], 2, "lines, whole, length"),
            (&["pull", at, "--eof=0"], 2, "--eof"),
            (&["man", "/dev/null/no"], 1, "/dev/null/no"),
        ] {
            start(words).end().with(code, said);
        }
        assert_eq!(taken.close().unwrap().count(), 0);
    });
}
