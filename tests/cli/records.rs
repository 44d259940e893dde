//! What goes in comes out.

use std::iter;

use pushpull::{Message, Push};

use crate::{
    harness::{within, LONG},
    program::{read, start, start_unread, Place},
};

/// One pair of programs with a format, from input to output.
fn through(format: &str, input: &[u8], files: &[&str]) -> Vec<u8> {
    let place = Place::new();
    let pull = start(&["pull", "--eof", "-f", format, &place.endpoint]);
    let words = ["push", "--eof", "-f", format, &place.endpoint];
    let words: Vec<_> = words.iter().chain(files).copied().collect();
    start(&words).fed(input).silent();
    pull.end().silent()
}

#[test]
fn lines_come_out_as_they_went_in() {
    within(30, || {
        let mut lines = Vec::new();
        for n in 0..50_000_u32 {
            lines.extend(iter::repeat_n((n % 256) as u8, n as usize % 300).filter(|b| *b != b'\n'));
            lines.push(b'\n');
        }
        lines.extend_from_slice(&[b'x'; 3 << 20]); // longer than any block
        lines.push(b'\n');
        assert!(through("lines", &lines, &[]) == lines);
    });
}

#[test]
fn a_last_line_gets_its_newline() {
    within(20, || {
        assert_eq!(through("lines", b"one\n\ntwo", &[]), b"one\n\ntwo\n");
        assert_eq!(through("lines", b"", &[]), b"");
    });
}

#[test]
fn records_with_lengths_may_hold_anything() {
    within(20, || {
        let mut records = Vec::new();
        for length in [0_u32, 1, 10, 0, 70_000, 300_000, 3] {
            records.extend(length.to_be_bytes());
            records.extend((0..length).map(|n| n as u8));
        }
        assert!(through("length", &records, &[]) == records);
    });
}

#[test]
fn a_file_is_one_record() {
    within(20, || {
        let place = Place::new();
        let one = place.file("one", b"first\nfile\n");
        let two = place.file("two", b"second");
        let empty = place.file("empty", b"");
        let pull = start(&["pull", "-n3", "-f", "length", &place.endpoint]);
        start(&["push", "-f", "whole", &place.endpoint, &one, &empty, &two])
            .end()
            .silent();
        let out = pull.end().silent();
        assert_eq!(out, b"\0\0\0\x0bfirst\nfile\n\0\0\0\0\0\0\0\x06second");
        assert_eq!(through("whole", b"", &[&one, &two]), b"first\nfile\nsecond");
        assert_eq!(through("whole", b"from\nthe pipe", &[]), b"from\nthe pipe");
        assert_eq!(
            through("lines", b"", &[&two, &one]),
            b"second\nfirst\nfile\n"
        );
    });
}

#[test]
fn a_line_goes_at_once() {
    within(20, || {
        let place = Place::new();
        let mut pull = start_unread(&["pull", &place.endpoint]);
        let mut out = pull.take_stdout();
        let mut push = start(&["push", &place.endpoint]);
        for line in [&b"one\n"[..], b"two\n"] {
            push.write(line);
            assert_eq!(read(&mut out, line.len()), line);
        }
        push.close_stdin();
        push.end().silent();
    });
}

#[test]
fn the_other_end_may_be_any_program() {
    within(20, || {
        let place = Place::new();
        let pull = start(&["pull", "-n", "3", &place.endpoint]);
        let push = Push::connect(&place.endpoint).unwrap();
        push.send("one").unwrap();
        push.send(Message::multipart(["t", "w", "o"])).unwrap();
        push.send("three").unwrap();
        push.drain(LONG).unwrap();
        assert_eq!(pull.end().silent(), b"one\ntwo\nthree\n");
    });
}

#[test]
fn a_record_that_is_too_long_is_told_and_those_before_it_go() {
    within(20, || {
        for (format, input) in [
            ("lines", &b"one\ntwo\n123456789\nfour\n"[..]),
            ("lines", b"one\ntwo\n123456789"),
            ("length", b"\0\0\0\x03one\0\0\0\x03two\0\0\0\x09123456789"),
        ] {
            let place = Place::new();
            let pull = start(&["pull", "-n2", &place.endpoint]);
            start(&["push", "--max-record=8B", "-f", format, &place.endpoint])
                .fed(input)
                .with(1, "standard input: record 3 is longer than 8 bytes");
            assert_eq!(pull.end().silent(), b"one\ntwo\n");
        }
    });
}

#[test]
fn a_record_that_is_cut_off_is_told() {
    within(20, || {
        for input in [&b"\0\0\0\x03one\0\0\0\x03tw"[..], b"\0\0\0\x03one\0\0"] {
            let place = Place::new();
            let pull = start(&["pull", "-n1", &place.endpoint]);
            start(&["push", "-f", "length", &place.endpoint])
                .fed(input)
                .with(1, "standard input: record 2 is cut off");
            assert_eq!(pull.end().silent(), b"one\n");
        }
    });
}
