//! What the programs say about themselves, and where.

use serde_json::Value;

use crate::{
    harness::within,
    program::{start, Place},
};

#[test]
fn machines_are_told_in_json() {
    within(20, || {
        let place = Place::new();
        let pull = start(&["pull", "--eof", "--json", &place.endpoint]);
        let push = start(&["push", "--eof", "--json", &place.endpoint]);
        let told = [push.fed(b"one\ntwo\n"), pull.end()];
        for (command, end) in ["push", "pull"].iter().zip(&told) {
            assert_eq!(end.code, Some(0));
            let lines: Vec<Value> = end
                .err
                .lines()
                .map(|l| serde_json::from_str(l).unwrap())
                .collect();
            let (open, end) = (&lines[0], &lines[lines.len() - 1]);
            assert_eq!(open["type"], "open");
            assert_eq!(open["endpoints"][0], *place.endpoint);
            assert_eq!(end["type"], "end");
            assert_eq!(end["command"], *command);
            assert_eq!(end["records"], 2);
            assert_eq!(end["bytes"], 6);
            assert_eq!(end["lost"], 0);
            // The record that tells the end is nobody's.
            for line in lines.iter().filter(|l| l["type"] == "progress") {
                assert!(line["records"].as_u64() <= Some(2), "{line}");
                assert!(line["bytes"].as_u64() <= Some(6), "{line}");
            }
        }
        assert_eq!(told[1].out, b"one\ntwo\n");
    });
}

#[test]
fn a_port_of_the_systems_choice_is_told() {
    within(20, || {
        let end = start(&["pull", "--idle=10ms", "tcp://127.0.0.1:0"]).end();
        end.with(0, "at tcp://127.0.0.1:");
    });
}

#[test]
fn the_log_says_more_when_asked() {
    within(20, || {
        let place = Place::new();
        let quiet = start(&["pull", "--idle=10ms", &place.endpoint]);
        quiet.end().silent();
        let verbose = start(&["pull", "-v", "--idle=10ms", &place.endpoint]);
        verbose.end().with(0, "listening at");
    });
}

#[test]
fn help_is_there_for_every_command() {
    within(20, || {
        let help = String::from_utf8(start(&["--help"]).end().silent()).unwrap();
        for command in [
            "push",
            "pull",
            "forward",
            "bench",
            "monitor",
            "info",
            "completions",
            "man",
        ] {
            assert!(help.contains(&format!("\n  {command} ")), "{help}");
            let long = String::from_utf8(start(&[command, "--help"]).end().silent()).unwrap();
            assert!(long.contains("Usage: pushpull"), "{long}");
        }
        for status in ["  0 ", "  1 ", "  2 ", "  3 ", "  130 ", "  141 "] {
            assert!(help.contains(status), "{help}");
        }
    });
}
