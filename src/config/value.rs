//! How the values of options are written, and read back.

use std::{fmt, str::FromStr, time::Duration};

use crate::push::Overflow;

/// A value as a URL, a file or the environment has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Given {
    Text(String),
    Number(u64),
    Flag(bool),
    List(Vec<Given>),
    /// What no option takes, as its reader calls it.
    #[cfg_attr(not(feature = "serde"), expect(dead_code, reason = "URLs are text"))]
    Other(String),
}

/// The text of a URL or of an error. A list has commas.
impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Given::Text(text) | Given::Other(text) => f.write_str(text),
            Given::Number(n) => n.fmt(f),
            Given::Flag(flag) => flag.fmt(f),
            Given::List(items) => {
                let items: Vec<_> = items.iter().map(Given::to_string).collect();
                f.write_str(&items.join(","))
            }
        }
    }
}

/// One way to spell a value.
pub(super) trait Kind {
    type Value;
    const WANTED: &'static str;

    fn read(given: &Given) -> Option<Self::Value>;
    fn write(value: &Self::Value) -> Given;
}

pub(super) enum Word {}

impl Kind for Word {
    type Value = String;
    const WANTED: &'static str = "a text";

    fn read(given: &Given) -> Option<String> {
        match given {
            Given::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn write(value: &String) -> Given {
        Given::Text(value.clone())
    }
}

pub(super) struct Count<N>(std::marker::PhantomData<N>);

impl<N: FromStr + TryFrom<u64> + Copy> Kind for Count<N>
where
    u64: TryFrom<N>,
{
    type Value = N;
    const WANTED: &'static str = "a whole number, without a unit";

    fn read(given: &Given) -> Option<N> {
        match given {
            Given::Text(text) => text.parse().ok(),
            Given::Number(n) => N::try_from(*n).ok(),
            _ => None,
        }
    }

    fn write(value: &N) -> Given {
        Given::Number(u64::try_from(*value).unwrap_or(u64::MAX))
    }
}

pub(super) enum Switch {}

impl Kind for Switch {
    type Value = bool;
    const WANTED: &'static str = "a switch";

    fn read(given: &Given) -> Option<bool> {
        match given {
            Given::Text(text) => text.parse().ok(),
            Given::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    fn write(value: &bool) -> Given {
        Given::Flag(*value)
    }
}

pub(super) enum Policy {}

const POLICIES: [(&str, Overflow); 3] = [
    ("block", Overflow::Block),
    ("reject_newest", Overflow::RejectNewest),
    ("drop_oldest", Overflow::DropOldest),
];

impl Kind for Policy {
    type Value = Overflow;
    const WANTED: &'static str = "a policy";

    fn read(given: &Given) -> Option<Overflow> {
        let Given::Text(text) = given else {
            return None;
        };
        POLICIES.iter().find(|(n, _)| n == text).map(|(_, p)| *p)
    }

    fn write(value: &Overflow) -> Given {
        let name = POLICIES.iter().find(|(_, p)| p == value);
        Given::Text(name.map_or("", |(n, _)| n).to_owned())
    }
}

pub(super) enum Period {}

impl Kind for Period {
    type Value = Duration;
    const WANTED: &'static str = r#"a length of time with its unit, such as "3s" or "250ms""#;

    fn read(given: &Given) -> Option<Duration> {
        match given {
            Given::Text(text) => humantime::parse_duration(text).ok(),
            _ => None,
        }
    }

    fn write(value: &Duration) -> Given {
        // "1m 30s" without the space: URLs and command lines like it better.
        let text = humantime::format_duration(*value).to_string();
        Given::Text(text.replace(' ', ""))
    }
}

pub(super) enum Periods {}

impl Kind for Periods {
    type Value = (Duration, Duration);
    const WANTED: &'static str =
        r#"two lengths of time with their units, such as "100ms,3s" or a list of the two"#;

    fn read(given: &Given) -> Option<Self::Value> {
        let two = match given {
            Given::List(items) => items.clone(),
            Given::Text(text) => text
                .split(',')
                .map(|t| Given::Text(t.trim().to_owned()))
                .collect(),
            _ => return None,
        };
        match two.as_slice() {
            [first, longest] => Some((Period::read(first)?, Period::read(longest)?)),
            _ => None,
        }
    }

    fn write((first, longest): &Self::Value) -> Given {
        Given::List(vec![Period::write(first), Period::write(longest)])
    }
}

pub(super) enum Bytes {}

impl Kind for Bytes {
    type Value = u64;
    const WANTED: &'static str = r#"a size, such as "64MiB", "500kB" or a number of bytes"#;

    fn read(given: &Given) -> Option<u64> {
        match given {
            // The whole range exactly; with a unit it may be "1.5GiB".
            Given::Text(text) => text.parse().ok().or_else(|| {
                let size = text.parse::<bytesize::ByteSize>().ok()?.as_u64();
                (size < u64::MAX).then_some(size) // which it makes of larger ones
            }),
            Given::Number(n) => Some(*n),
            _ => None,
        }
    }

    fn write(value: &u64) -> Given {
        let (unit, size) = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
            .into_iter()
            .find(|(_, size)| *value > 0 && value % size == 0)
            .unwrap_or(("B", 1));
        Given::Text(format!("{}{unit}", value / size))
    }
}

/// Permission bits: octal as text, as with chmod(1).
pub(super) enum Mode {}

impl Kind for Mode {
    type Value = u32;
    const WANTED: &'static str = r#"a file mode in octal, such as "0660""#;

    fn read(given: &Given) -> Option<u32> {
        match given {
            Given::Text(text) => {
                let digits = text.strip_prefix("0o").unwrap_or(text);
                u32::from_str_radix(digits, 8).ok()
            }
            // TOML's 0o660.
            Given::Number(n) => u32::try_from(*n).ok(),
            _ => None,
        }
    }

    fn write(value: &u32) -> Given {
        Given::Text(format!("{value:04o}"))
    }
}
