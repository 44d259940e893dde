//! A whole configuration in one line.

use super::{
    options::{invalid, is_option, unknown, OPTIONS},
    value::Given,
    Config,
};
use crate::{endpoint::Role, error::OpenError};

impl Config {
    /// A configuration from a URL: the endpoint, then the role and any options.
    ///
    /// ```
    /// use pushpull::Config;
    /// use std::time::Duration;
    ///
    /// let url = "ipc:///run/x.sock?role=connect&high_water_mark=100&linger=3s";
    /// let config = Config::from_url(url)?;
    /// assert_eq!(
    ///     config.to_url(),
    ///     Config::connect("ipc:///run/x.sock")
    ///         .high_water_mark(100)
    ///         .linger(Duration::from_secs(3))
    ///         .to_url()
    /// );
    ///
    /// let error = Config::from_url("tcp://*:5555?role=bind&linger=3").unwrap_err();
    /// assert_eq!(error.subject(), "linger"); // 3 what?
    /// # Ok::<(), pushpull::OpenError>(())
    /// ```
    ///
    /// `role` is `bind` or `connect`. Every other key is the name of a setter of
    /// this type: lengths of time have a unit (`3s`, `250ms`, `1m30s`), sizes may
    /// have one (`64MiB`), switches are `true` or `false`, `mode` is octal, and
    /// `reconnect` is `100ms,3s`. `also_bind` and `also_connect` can come several
    /// times. A [`context`](Self::context) can't be written as text; set it on
    /// what this returns.
    ///
    /// As in any URL, `%`, `?` and `#` in an endpoint or a value, and `&` in a
    /// value, are spelt `%25`, `%3F`, `%23` and `%26`.
    ///
    /// # Errors
    /// An unknown key, one that is given twice, a value that can't be read or is
    /// out of its range, all named by [`OpenError::subject`]; or an endpoint that
    /// can't be one.
    pub fn from_url(url: &str) -> Result<Self, OpenError> {
        let (endpoint, query) = url.split_once('?').unwrap_or((url, ""));
        let endpoint = decoded(endpoint).map_err(|reason| invalid(url, reason))?;
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| invalid(pair, "there is no value: an option is key=value"))?;
            let value = decoded(value).map_err(|reason| invalid(key, reason))?;
            let many = matches!(key, "also_bind" | "also_connect");
            if !many && pairs.iter().any(|(k, _)| *k == key) {
                return Err(invalid(key, "it is given twice"));
            }
            pairs.push((key, value));
        }

        let mut config = match pairs.iter().find(|(key, _)| *key == "role") {
            Some((_, role)) if role == "bind" => Self::bind(&endpoint),
            Some((_, role)) if role == "connect" => Self::connect(&endpoint),
            Some((_, other)) => {
                return Err(invalid(
                    "role",
                    format!("{other:?} is not a role; allowed: bind or connect"),
                ))
            }
            None => {
                // It may be there, misspelt.
                let strange = pairs.iter().find(|(key, _)| !is_option(key));
                if let Some((key, _)) = strange {
                    return Err(unknown(key));
                }
                return Err(invalid(
                    "role",
                    "it is missing: ?role=bind or ?role=connect",
                ));
            }
        };
        for (key, value) in pairs {
            match key {
                "role" => {}
                "also_bind" => config = config.also_bind(&value),
                "also_connect" => config = config.also_connect(&value),
                _ => config.set(key, &Given::Text(value))?,
            }
        }
        config.parsed_endpoints()?;
        Ok(config)
    }

    /// The URL from which [`from_url`](Self::from_url) makes the same
    /// configuration, to be given to another process, say. Options that have
    /// their default are not in it, and a [`context`](Self::context) can't be.
    pub fn to_url(&self) -> String {
        let mut endpoints = self.endpoints.iter();
        let mut url = String::new();
        let plain = Self::bind("");
        if let Some((role, endpoint)) = endpoints.next() {
            let role = match role {
                Role::Bind => "bind",
                Role::Connect => "connect",
            };
            url += &format!("{}?role={role}", encoded(endpoint));
        }
        for (role, endpoint) in endpoints {
            let key = match role {
                Role::Bind => "also_bind",
                Role::Connect => "also_connect",
            };
            url += &format!("&{key}={}", encoded(endpoint));
        }
        for row in OPTIONS {
            match (row.get)(self) {
                Some(value) if Some(&value) != (row.get)(&plain).as_ref() => {
                    url += &format!("&{}={}", row.name, encoded(&value.to_string()));
                }
                _ => {}
            }
        }
        url
    }
}

/// Undoes percent-encoding (RFC 3986, 2.1). A sign that would have to be encoded
/// and isn't is an error, not a guess.
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|d| d.unwrap_or(b' ') as char);
                match digits.map(|d| d.to_digit(16)) {
                    [Some(high), Some(low)] => (high * 16 + low) as u8,
                    _ => return Err("a % that stands for itself is spelt %25 in a URL".into()),
                }
            }
            b'#' => return Err("a # is spelt %23 in a URL".into()),
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| "what the % signs stand for is not UTF-8".into())
}

fn encoded(text: &str) -> String {
    let mut url = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/@[]*;,!$'()".contains(&byte) {
            url.push(byte as char);
        } else {
            url += &format!("%{byte:02X}");
        }
    }
    url
}
