//! From the command line to a `Config`.

use pushpull::Config;

use crate::{
    args::{QueueArgs, TellArgs},
    end::Result,
    monitor,
};

/// A channel of this many batches, unless the user says otherwise: enough that
/// neither side waits for the other's next turn.
const BATCHES: usize = 16;

impl QueueArgs {
    pub fn config(&self, endpoint: &str, role: &str) -> Result<Config> {
        let mut url = endpoint.to_owned();
        let given = |url: &str, key: &str| {
            let query = url.split_once('?').map_or("", |(_, query)| query);
            query.split('&').any(|p| p.split('=').next() == Some(key))
        };
        let add = |url: &mut String, key: &str, value: &str| {
            url.push(if url.contains('?') { '&' } else { '?' });
            *url += &format!("{key}={value}");
        };
        if self.bind || self.connect {
            add(&mut url, "role", if self.bind { "bind" } else { "connect" });
        } else if !given(&url, "role") {
            add(&mut url, "role", role);
        }
        for option in &self.options {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let value = value
                .replace('%', "%25")
                .replace('&', "%26")
                .replace('#', "%23");
            add(&mut url, key, &value);
        }
        let capacity = given(&url, "capacity");
        let config = Config::from_url(&url)?;
        Ok(match capacity {
            true => config,
            false => config.capacity(BATCHES),
        })
    }
}

impl TellArgs {
    /// With the events that are to be told.
    pub fn config(&self, config: Config) -> Config {
        match self.events {
            true => config.events(monitor::ROOM),
            false => config,
        }
    }
}
