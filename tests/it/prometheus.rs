//! The example that serves counters says what the queues say.

#[path = "../../examples/prometheus.rs"]
mod example;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use crate::harness::{eventually, within, Wire};

#[test]
fn counters_come_as_prometheus_reads_them() {
    within(20, || {
        let (push, pull) = Wire::new("tcp").pair(|c| c.name("jobs"), |c| c.name("work"));
        push.send("hello").unwrap();
        pull.recv().unwrap();
        eventually("both have counted", || {
            (push.stats().sent, pull.stats().delivered) == (2, 2)
        });

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut scraper = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        write!(scraper, "GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
        let queues = [
            (push.name(), "push", push.stats()),
            (pull.name(), "pull", pull.stats()),
        ];
        let text = example::text(&queues);
        let server = {
            let text = text.clone();
            thread::spawn(move || example::answer(listener.accept().unwrap().0, &text))
        };
        let mut answer = String::new();
        scraper.read_to_string(&mut answer).unwrap();
        server.join().unwrap().unwrap();

        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, text);
        for line in [
            "# TYPE pushpull_sent_messages counter",
            r#"pushpull_sent_messages_total{queue="jobs",kind="push"} 2"#,
            r#"pushpull_delivered_messages_total{queue="work",kind="pull"} 2"#,
            r#"pushpull_in_bytes_total{queue="jobs",kind="push"} 19"#,
            r#"pushpull_out_bytes_total{queue="jobs",kind="push"} 19"#,
            r#"pushpull_backlog_messages{queue="jobs",kind="push"} 0"#,
            r#"pushpull_peers{queue="jobs",kind="push"} 1"#,
        ] {
            assert!(body.lines().any(|l| l == line), "{body}: no {line}");
        }
        assert!(body.ends_with("# EOF\n"), "{body}");
        // Each family once, with all of its queues.
        assert_eq!(body.matches("# HELP pushpull_peers ").count(), 1);
    });
}
