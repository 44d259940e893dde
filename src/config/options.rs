//! The table of options: the one place that knows what an option is called, how
//! its value is spelt, what is allowed and how it is set. The URL, serde and the
//! checks of `open` all go through it.

use std::time::Duration;

use super::{
    value::{Bytes, Count, Given, Kind, Mode, Period, Periods, Policy, Switch, Word},
    Config,
};
use crate::error::{OpenError, OpenErrorKind};

/// One option that can be written as text.
pub(super) struct OptionRow {
    /// The name of its setter.
    pub name: &'static str,
    /// How a value is spelt, and what is allowed.
    wanted: &'static str,
    range: &'static str,
    /// `None` if the value can't be read.
    set: fn(&mut Config, &Given) -> Option<()>,
    /// `None` if it is not set, and has no default.
    pub get: fn(&Config) -> Option<Given>,
    fits: fn(&Config) -> bool,
}

/// `name[value => arguments of the setter]: kind, "range", test of the range;`
macro_rules! options {
    ($($name:ident[$value:ident => $($argument:expr),+]: $kind:ty, $range:literal, $fits:expr;)*) => {
        /// What can be written as text, in the order of the documentation.
        pub(super) static OPTIONS: &[OptionRow] = &[$(OptionRow {
            name: stringify!($name),
            wanted: <$kind>::WANTED,
            range: $range,
            set: |config, given| {
                let $value = <$kind>::read(given)?;
                *config = config.clone().$name($($argument),+);
                Some(())
            },
            get: |config| config.$name.value().map(<$kind>::write),
            fits: |config| {
                let fits: fn(&<$kind as Kind>::Value) -> bool = $fits;
                config.$name.value().is_none_or(fits)
            },
        }),*];

        /// Every key of a map.
        #[cfg(feature = "serde")]
        pub(super) static KEYS: &[&str] =
            &["bind", "connect", "also_bind", "also_connect", $(stringify!($name)),*];

        // A field that is neither in the table nor here does not compile.
        const _: fn(Config) = |Config { endpoints: _, context: _, $($name: _),* }| ();
    };
}

options! {
    name[v => &v]: Word, "any text", |_| true;
    capacity[v => v]: Count<usize>, "0 to 16777216 items", |n| *n <= CAPACITY_MAX;
    high_water_mark[v => v]: Count<u32>, "1 to 2147483647 messages",
        |n| *n > 0 && i32::try_from(*n).is_ok();
    linger[v => v]: Period, "0s or longer", |_| true;
    send_deadline[v => v]: Period, "0s or longer", |_| true;
    reconnect[v => v.0, v.1]: Periods, "from 1ms to 24days, the longest not below the first",
        |(first, longest)| !first.is_zero() && in_millis(first) && in_millis(longest) && first <= longest;
    connect_timeout[v => v]: Period, "0s, or from 1ms to 24days", in_millis;
    handshake_timeout[v => v]: Period, "0s, or from 1ms to 24days", in_millis;
    heartbeat[v => v]: Period, "0s, or from 1ms to 24days", in_millis;
    keepalive[v => v]: Switch, "true or false", |_| true;
    max_message_size[v => v]: Bytes, "1 to 9223372036854775807 bytes",
        |n| *n > 0 && i64::try_from(*n).is_ok();
    only_connected_peers[v => v]: Switch, "true or false", |_| true;
    legacy_peers[v => v]: Switch, "true or false", |_| true;
    mode[v => v]: Mode, "0600 to 0777, with read and write for the owner",
        |m| m & !0o777 == 0 && m & 0o600 == 0o600;
    outcomes[v => v]: Count<usize>, "0 to 16777216 outcomes", |n| *n <= CAPACITY_MAX;
    events[v => v]: Count<usize>, "0 to 16777216 events", |n| *n <= CAPACITY_MAX;
    stall_after[v => v]: Period, "0s, or from 10ms to 24days",
        |time| time.is_zero() || (*time >= Duration::from_millis(10) && in_millis(time));
    overflow[v => v]: Policy, "block, reject_newest or drop_oldest", |_| true;
}

/// More than any program needs, and little enough that the channel's memory
/// (80 bytes an item, allocated when it is opened) can be had.
const CAPACITY_MAX: usize = 1 << 24;

/// libzmq counts in milliseconds that fit into a C int.
const MILLIS_MAX: Duration = Duration::from_secs(24 * 24 * 3600);

fn in_millis(period: &Duration) -> bool {
    period.is_zero() || (Duration::from_millis(1)..=MILLIS_MAX).contains(period)
}

/// A field of [`Config`], which may be one that is not set.
trait Field<V> {
    fn value(&self) -> Option<&V>;
}

impl<V> Field<V> for V {
    fn value(&self) -> Option<&V> {
        Some(self)
    }
}

impl<V> Field<V> for Option<V> {
    fn value(&self) -> Option<&V> {
        self.as_ref()
    }
}

impl Config {
    /// Sets the option of that name.
    pub(super) fn set(&mut self, name: &str, given: &Given) -> Result<(), OpenError> {
        let Some(row) = OPTIONS.iter().find(|row| row.name == name) else {
            return Err(unknown(name));
        };
        (row.set)(self, given).ok_or_else(|| {
            invalid(
                name,
                format!("{given} is not {}; allowed: {}", row.wanted, row.range),
            )
        })?;
        row.check(self, Some(given))
    }

    pub(super) fn check_ranges(&self) -> Result<(), OpenError> {
        OPTIONS.iter().try_for_each(|row| row.check(self, None))
    }
}

impl OptionRow {
    /// `given` is how the value was spelt, if it was.
    fn check(&self, config: &Config, given: Option<&Given>) -> Result<(), OpenError> {
        if (self.fits)(config) {
            return Ok(());
        }
        let value = given.cloned().or_else(|| (self.get)(config));
        let value = value.map_or(String::new(), |v| v.to_string());
        Err(invalid(
            self.name,
            format!("{value} is out of range: {}", self.range),
        ))
    }
}

/// Those that every URL knows besides the table.
const ENDPOINTS: [&str; 3] = ["role", "also_bind", "also_connect"];

/// Whether a URL may have that key.
pub(crate) fn is_option(key: &str) -> bool {
    let names = OPTIONS.iter().map(|row| row.name);
    names.chain(ENDPOINTS).any(|name| name == key)
}

pub(super) fn unknown(key: &str) -> OpenError {
    let names: Vec<_> = OPTIONS.iter().map(|row| row.name).collect();
    let (all, more) = (ENDPOINTS.join(", "), names.join(", "));
    let reason = format!("there is no such option; there are {all}, {more}");
    invalid(key, reason)
}

pub(super) fn invalid(name: &str, reason: impl Into<String>) -> OpenError {
    OpenError::new(OpenErrorKind::InvalidOption, name, reason)
}
