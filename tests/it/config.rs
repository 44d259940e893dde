//! Every option by every route: setter, URL, and with serde JSON, TOML and the
//! environment; and what each says to a value that can't be.

use std::time::Duration;

use pushpull::{Config, OpenErrorKind, Pull, Push};

use crate::harness::{ms, within};

/// An option: its name, a value as a URL has it, the same by its setter, and a
/// value that is wrong with what the error must tell beside the name.
struct Case {
    name: &'static str,
    text: &'static str,
    set: fn(Config) -> Config,
    wrong: &'static [(&'static str, &'static str)],
}

const A_PERIOD: &str = "with its unit";
const MILLIS: &str = "0s, or from 1ms to 24days";

const CASES: &[Case] = &[
    Case {
        name: "name",
        text: "jobs & co. #1, 100 %",
        set: |c| c.name("jobs & co. #1, 100 %"),
        wrong: &[],
    },
    Case {
        name: "capacity",
        text: "7",
        set: |c| c.capacity(7),
        wrong: &[
            ("7s", "whole number"),
            ("-1", "whole number"),
            ("16777217", "0 to 16777216 items"),
        ],
    },
    Case {
        name: "high_water_mark",
        text: "9",
        set: |c| c.high_water_mark(9),
        wrong: &[
            ("9kB", "whole number"),
            ("1.5", "whole number"),
            ("0", "1 to 2147483647 messages"),
            ("2147483648", "1 to 2147483647 messages"),
            ("99999999999999999999", "1 to 2147483647 messages"),
        ],
    },
    Case {
        name: "linger",
        text: "1m30s",
        set: |c| c.linger(Duration::from_secs(90)),
        wrong: &[("3", A_PERIOD), ("3MiB", A_PERIOD), ("-3s", A_PERIOD)],
    },
    Case {
        name: "send_deadline",
        text: "250ms",
        set: |c| c.send_deadline(ms(250)),
        wrong: &[("250", A_PERIOD), ("", A_PERIOD)],
    },
    Case {
        name: "reconnect",
        text: "20ms,7s",
        set: |c| c.reconnect(ms(20), ms(7000)),
        wrong: &[
            ("20ms", "two lengths of time"),
            ("20,30", "two lengths of time"),
            ("20ms,7s,9s", "two lengths of time"),
            ("7s,20ms", "the longest not below the first"),
            ("0s,7s", "from 1ms to 24days"),
            ("1s,25days", "from 1ms to 24days"),
        ],
    },
    Case {
        name: "connect_timeout",
        text: "2s",
        set: |c| c.connect_timeout(ms(2000)),
        wrong: &[("2", A_PERIOD), ("25days", MILLIS), ("1us", MILLIS)],
    },
    Case {
        name: "handshake_timeout",
        text: "0s",
        set: |c| c.handshake_timeout(Duration::ZERO),
        wrong: &[("2", A_PERIOD), ("25days", MILLIS), ("1us", MILLIS)],
    },
    Case {
        name: "heartbeat",
        text: "1500ms",
        set: |c| c.heartbeat(ms(1500)),
        wrong: &[("2", A_PERIOD), ("25days", MILLIS), ("1us", MILLIS)],
    },
    Case {
        name: "keepalive",
        text: "false",
        set: |c| c.keepalive(false),
        wrong: &[("no", "true or false"), ("0", "true or false")],
    },
    Case {
        name: "max_message_size",
        text: "64KiB",
        set: |c| c.max_message_size(64 << 10),
        wrong: &[
            ("64s", "a size"),
            ("-1", "a size"),
            ("9223372036854775808", "1 to 9223372036854775807 bytes"),
            ("9000000000GiB", "1 to 9223372036854775807 bytes"),
        ],
    },
    Case {
        name: "only_connected_peers",
        text: "true",
        set: |c| c.only_connected_peers(true),
        wrong: &[("yes", "true or false")],
    },
    Case {
        name: "legacy_peers",
        text: "true",
        set: |c| c.legacy_peers(true),
        wrong: &[("1", "true or false")],
    },
    Case {
        name: "mode",
        text: "0660",
        set: |c| c.mode(0o660),
        wrong: &[
            ("rw-rw----", "octal"),
            ("0689", "octal"),
            ("0400", "0600 to 0777"),
            ("1777", "0600 to 0777"),
        ],
    },
    Case {
        name: "outcomes",
        text: "5",
        set: |c| c.outcomes(5),
        wrong: &[("5s", "whole number"), ("16777217", "16777216 outcomes")],
    },
    Case {
        name: "events",
        text: "7",
        set: |c| c.events(7),
        wrong: &[("many", "whole number"), ("16777217", "16777216 events")],
    },
    Case {
        name: "stall_after",
        text: "500ms",
        set: |c| c.stall_after(Duration::from_millis(500)),
        wrong: &[
            ("5", "with its unit"),
            ("9ms", "from 10ms"),
            ("25days", "24days"),
        ],
    },
    Case {
        name: "overflow",
        text: "drop_oldest",
        set: |c| c.overflow(pushpull::Overflow::DropOldest),
        wrong: &[("drop", "reject_newest"), ("", "block")],
    },
];

fn plain() -> Config {
    Config::connect("tcp://127.0.0.1:5555")
}

fn encoded(text: &str) -> String {
    ["%", "&", "#", " "]
        .iter()
        .fold(text.to_owned(), |text, sign| {
            text.replace(sign, &format!("%{:02X}", sign.as_bytes()[0]))
        })
}

fn url(name: &str, text: &str) -> String {
    format!("tcp://127.0.0.1:5555?role=connect&{name}={}", encoded(text))
}

/// `Config` has no equality (a context has none), so its Debug form stands in.
fn debug(config: &Config) -> String {
    format!("{config:?}")
}

#[test]
fn every_option_goes_into_a_url_and_comes_back() {
    within(10, || {
        let error = Config::from_url(&url("no_such_option", "1")).unwrap_err();
        let told = error.to_string();
        let (_, names) = told.split_once("also_connect, ").unwrap();
        let tested: Vec<_> = CASES.iter().map(|c| c.name).collect();
        assert_eq!(names.split(", ").collect::<Vec<_>>(), tested);

        for case in CASES {
            let wanted = (case.set)(plain());
            assert_ne!(debug(&wanted), debug(&plain()), "{}", case.name);
            let read = Config::from_url(&url(case.name, case.text)).unwrap();
            assert_eq!(debug(&read), debug(&wanted), "{}", case.name);
            let again = Config::from_url(&wanted.to_url()).unwrap();
            assert_eq!(debug(&again), debug(&wanted), "{}", wanted.to_url());
        }
        let all = CASES
            .iter()
            .fold(plain(), |config, case| (case.set)(config));
        let again = Config::from_url(&all.to_url()).unwrap();
        assert_eq!(debug(&again), debug(&all));
    });
}

#[test]
fn a_wrong_value_in_a_url_is_told_with_its_key_and_what_is_allowed() {
    within(10, || {
        for case in CASES {
            for (wrong, told) in case.wrong {
                let error = Config::from_url(&url(case.name, wrong)).unwrap_err();
                assert_eq!(error.kind(), OpenErrorKind::InvalidOption, "{error}");
                assert_eq!(error.subject(), case.name, "{error}");
                assert!(error.to_string().contains(told), "{error}: no {told}");
            }
        }
    });
}

#[test]
fn a_url_that_contradicts_itself_is_refused() {
    within(10, || {
        for (url, subject) in [
            ("tcp://127.0.0.1:5555", "role"),
            ("tcp://127.0.0.1:5555?", "role"),
            ("tcp://127.0.0.1:5555?role=listen", "role"),
            ("tcp://127.0.0.1:5555?role=bind&role=connect", "role"),
            (
                "tcp://127.0.0.1:5555?role=bind&linger=1s&linger=1s",
                "linger",
            ),
            ("tcp://127.0.0.1:5555?role=bind&Linger=1s", "Linger"),
            ("tcp://127.0.0.1:5555?role=bind&bind=x", "bind"),
            ("tcp://127.0.0.1:5555?role=bind&context=1", "context"),
            ("tcp://127.0.0.1:5555?role=bind&linger", "linger"),
            ("tcp://127.0.0.1:5555?role=bind&name=%zz", "name"),
            ("tcp://127.0.0.1:5555?role=bind&name=%ff", "name"),
            ("tcp://127.0.0.1:5555?role=bind&name=%2", "name"),
            ("tcp://127.0.0.1:5555?role=bind#top", "role"),
        ] {
            let error = Config::from_url(url).unwrap_err();
            assert_eq!(error.kind(), OpenErrorKind::InvalidOption, "{url}: {error}");
            assert_eq!(error.subject(), subject, "{url}: {error}");
        }
        for (url, kind) in [
            ("", OpenErrorKind::InvalidOption),
            ("?role=bind", OpenErrorKind::InvalidEndpoint),
            ("nowhere?role=bind", OpenErrorKind::InvalidEndpoint),
            ("http://a?role=bind", OpenErrorKind::Unsupported),
            ("tcp://*:1?role=connect", OpenErrorKind::InvalidEndpoint),
            (
                "tcp://*:1?role=bind&also_connect=tcp://*:1",
                OpenErrorKind::InvalidEndpoint,
            ),
            ("ipc:///a%00b?role=bind", OpenErrorKind::InvalidEndpoint),
        ] {
            assert_eq!(Config::from_url(url).unwrap_err().kind(), kind, "{url}");
        }
    });
}

#[test]
fn endpoints_keep_their_order_and_their_signs_in_a_url() {
    within(10, || {
        let config = Config::bind("ipc:///tmp/50 %?#&.sock")
            .also_connect("tcp://[fe80::1%eth0]:1")
            .also_bind("tcp://*:*")
            .also_connect("tcp://127.0.0.1:0;10.0.0.1:2");
        let again = Config::from_url(&config.to_url()).unwrap();
        assert_eq!(debug(&again), debug(&config), "{}", config.to_url());
    });
}

#[test]
fn a_queue_opens_from_urls() {
    within(10, || {
        let config = Config::from_url("tcp://127.0.0.1:*?role=bind&name=jobs").unwrap();
        let pull = Pull::open(config).unwrap();
        assert_eq!(pull.name(), "jobs");
        let push = format!("{}?role=connect&linger=0s", pull.endpoints()[0]);
        let push = Push::open(Config::from_url(&push).unwrap()).unwrap();
        push.send("hello").unwrap();
        assert_eq!(pull.recv().unwrap(), "hello".into());
        push.drain(ms(5000)).unwrap();

        // inproc needs a context, which a URL can't have.
        let inproc = Config::from_url("inproc://jobs?role=bind").unwrap();
        let context = pushpull::Context::new().unwrap();
        drop(Pull::open(inproc.context(context)).unwrap());
    });
}

#[cfg(feature = "serde")]
mod by_serde {
    use serde::de::{value::MapDeserializer, Deserialize};
    use serde_json::{json, Value};

    use super::*;

    type Pairs<'a> = Vec<(&'a str, &'a str)>;

    /// As examples/config.rs does it.
    fn from_environment(pairs: Pairs<'_>) -> Result<Config, String> {
        let pairs = MapDeserializer::<_, serde::de::value::Error>::new(pairs.into_iter());
        Config::deserialize(pairs).map_err(|e| e.to_string())
    }

    fn from_json(text: &str) -> Result<Config, String> {
        serde_json::from_str(text).map_err(|e| e.to_string())
    }

    fn from_toml(text: &str) -> Result<Config, String> {
        toml::from_str(text).map_err(|e| e.to_string())
    }

    const CONNECT: (&str, &str) = ("connect", "tcp://127.0.0.1:5555");

    #[test]
    fn every_option_goes_through_json_toml_and_the_environment() {
        within(10, || {
            for case in CASES {
                let wanted = (case.set)(plain());
                let json = serde_json::to_string(&wanted).unwrap();
                let toml = toml::to_string(&wanted).unwrap();
                for read in [
                    from_json(&json),
                    from_toml(&toml),
                    from_environment(vec![CONNECT, (case.name, case.text)]),
                ] {
                    assert_eq!(debug(&read.unwrap()), debug(&wanted), "{json} {toml}");
                }
            }
            let all = CASES
                .iter()
                .fold(plain(), |config, case| (case.set)(config));
            let Value::Object(written) = serde_json::to_value(&all).unwrap() else {
                panic!("no table");
            };
            let mut names: Vec<_> = CASES.iter().map(|c| c.name).chain(["connect"]).collect();
            names.sort();
            let mut keys: Vec<_> = written.keys().collect();
            keys.sort();
            assert_eq!(keys, names);
        });
    }

    #[test]
    fn values_are_spelt_as_their_format_would() {
        within(10, || {
            let config = from_toml(
                r#"
                bind = "ipc:///tmp/a.sock"
                also_bind = ["tcp://*:1", "tcp://*:2"]
                also_connect = "tcp://127.0.0.1:3"
                high_water_mark = 100
                keepalive = false
                linger = "3s"
                reconnect = ["20ms", "7s"]
                max_message_size = 1000
                mode = 0o660
                "#,
            );
            let wanted = Config::bind("ipc:///tmp/a.sock")
                .also_bind("tcp://*:1")
                .also_bind("tcp://*:2")
                .also_connect("tcp://127.0.0.1:3")
                .high_water_mark(100)
                .keepalive(false)
                .linger(ms(3000))
                .reconnect(ms(20), ms(7000))
                .max_message_size(1000)
                .mode(0o660);
            assert_eq!(debug(&config.unwrap()), debug(&wanted));
            let json = serde_json::to_value(&wanted).unwrap();
            assert_eq!(json["also_bind"], json!(["tcp://*:1", "tcp://*:2"]));
            assert_eq!(json["reconnect"], json!(["20ms", "7s"]));
            assert_eq!(json["max_message_size"], json!("1000B"));
            assert_eq!(json["mode"], json!("0660"));
            assert_eq!(json["high_water_mark"], json!(100));
            assert_eq!(
                debug(&serde_json::from_value(json).unwrap()),
                debug(&wanted)
            );
        });
    }

    #[test]
    fn a_wrong_value_is_told_with_its_key_and_what_is_allowed() {
        within(10, || {
            for case in CASES {
                for (wrong, told) in case.wrong {
                    let json = json!({"connect": CONNECT.1, (case.name): wrong});
                    let toml = format!("connect = {:?}\n{} = {wrong:?}", CONNECT.1, case.name);
                    for error in [
                        from_json(&json.to_string()),
                        from_toml(&toml),
                        from_environment(vec![CONNECT, (case.name, wrong)]),
                    ] {
                        let error = error.unwrap_err();
                        assert!(error.contains(case.name), "{error}: no {}", case.name);
                        assert!(error.contains(told), "{error}: no {told}");
                    }
                }
            }
        });
    }

    #[test]
    fn a_value_of_another_type_is_told_with_its_key() {
        within(10, || {
            for (name, wrong, told) in [
                ("linger", json!(3), A_PERIOD),
                ("linger", json!(3.5), A_PERIOD),
                ("linger", json!(null), A_PERIOD),
                ("capacity", json!(1.5), "whole number"),
                ("capacity", json!(-1), "whole number"),
                ("capacity", json!({"of": 1}), "whole number"),
                (
                    "high_water_mark",
                    json!(5_000_000_000_u64),
                    "1 to 2147483647",
                ),
                ("keepalive", json!(1), "true or false"),
                ("name", json!(1), "a text"),
                ("mode", json!(660), "0600 to 0777"),
                ("mode", json!(true), "octal"),
                ("max_message_size", json!([1]), "a size"),
                ("reconnect", json!(["1s"]), "two lengths"),
                ("reconnect", json!([1, 2]), "two lengths"),
                ("also_bind", json!(1), "not an endpoint"),
                ("also_bind", json!([["a"]]), "not an endpoint"),
            ] {
                let json = json!({"connect": CONNECT.1, (name): wrong}).to_string();
                let error = from_json(&json).unwrap_err();
                assert!(error.contains(name) && error.contains(told), "{error}");
            }
        });
    }

    #[test]
    fn a_table_that_contradicts_itself_is_refused() {
        within(10, || {
            for (json, told) in [
                (r#"{}"#, "bind, connect: one of them is missing"),
                (r#"{"linger": "3s"}"#, "bind, connect: one of them"),
                (
                    r#"{"bind": "tcp://*:1", "connect": "tcp://a:1"}"#,
                    "bind, connect: only one",
                ),
                (r#"{"bind": "tcp://*:1", "bind": "tcp://*:2"}"#, "twice"),
                (
                    r#"{"bind": "tcp://*:1", "linger": "1s", "linger": "2s"}"#,
                    "linger: it is given twice",
                ),
                (r#"{"bind": "tcp://*:1", "hwm": 3}"#, "`hwm`"),
                (r#"{"bind": "tcp://*:1", "role": "bind"}"#, "`role`"),
                (r#"{"bind": "tcp://*:1", "context": 3}"#, "`context`"),
                (r#"{"bind": "http://a"}"#, "http://a"),
                (r#"{"connect": "tcp://*:1"}"#, "tcp://*:1"),
            ] {
                let error = from_json(json).unwrap_err();
                assert!(error.contains(told), "{json}: {error}");
            }
        });
    }
}
