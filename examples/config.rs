//! One queue's configuration by every route: TOML, JSON, the environment, a URL.
//!
//! ```sh
//! cargo run --features serde --example config
//! JOBS_CAPACITY=7 JOBS_LINGER=250ms cargo run --features serde --example config
//! JOBS_LINGER=250 cargo run --features serde --example config   # 250 what?
//! ```

// A program talks to its user; the library has `log`.
#![allow(clippy::print_stdout)]

use std::{env, error::Error};

use pushpull::{Config, Push};
use serde::{
    de::value::{Error as ValueError, MapDeserializer},
    Deserialize,
};

/// A program's own configuration, with a queue in it.
#[derive(Deserialize)]
struct Settings {
    workers: usize,
    jobs: Config,
}

const TOML: &str = r#"
workers = 4

[jobs]
connect = "tcp://127.0.0.1:5555"
high_water_mark = 100
linger = "0s"
reconnect = ["100ms", "3s"]
max_message_size = "64MiB"
"#;

const JSON: &str = r#"{
    "workers": 4,
    "jobs": {"connect": "tcp://127.0.0.1:5555", "high_water_mark": 100, "linger": "0s"}
}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let settings: Settings = toml::from_str(TOML)?;
    println!(
        "TOML:        {} workers, {}",
        settings.workers,
        settings.jobs.to_url()
    );

    let settings: Settings = serde_json::from_str(JSON)?;
    println!(
        "JSON:        {} workers, {}",
        settings.workers,
        settings.jobs.to_url()
    );

    let config = from_environment("JOBS_")?;
    println!("environment: {}", config.to_url());

    // Every way leads to a URL and from there: one argument for another process.
    let config = Config::from_url(&config.to_url())?;
    let push = Push::open(config)?;
    println!("{} is open", push.name());
    push.abort().for_each(drop);
    Ok(())
}

/// `JOBS_CAPACITY=7` sets `capacity`, and so on. Texts are enough for every option.
fn from_environment(prefix: &str) -> Result<Config, ValueError> {
    let mut options = vec![("connect".to_owned(), "tcp://127.0.0.1:5555".to_owned())];
    for (key, value) in env::vars() {
        if let Some(name) = key.strip_prefix(prefix) {
            options.push((name.to_lowercase(), value));
        }
    }
    Config::deserialize(MapDeserializer::new(options.into_iter()))
}
