//! What the crate promises, tried from outside. One file per behaviour; all of
//! them stand on `harness`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that meets what it did not expect fails right there, and says what it saw"
)]

mod harness;

mod accounting;
mod api;
mod back_pressure;
mod bad_bytes;
mod bad_input;
mod channels;
mod closes;
mod config;
mod crowd;
mod delivery;
mod drop_order;
mod events;
mod frames;
mod logs;
mod nine_faults;
mod outcomes;
mod pauses;
mod peers_leave;
mod prometheus;
mod prompt;
mod receipts;
mod stalls;
mod stats;
mod worker_failure;

#[cfg(target_os = "linux")]
mod chance;
#[cfg(target_os = "linux")]
mod history;
#[cfg(target_os = "linux")]
mod meter;
#[cfg(target_os = "linux")]
mod players;
#[cfg(target_os = "linux")]
mod proxy;
#[cfg(target_os = "linux")]
mod stamp;
mod stranger;

#[cfg(target_os = "linux")]
mod costs;
#[cfg(target_os = "linux")]
mod fork;
#[cfg(unix)]
mod forward;
#[cfg(unix)]
mod ipc_file;
#[cfg(target_os = "linux")]
mod ipc_paths;
#[cfg(target_os = "linux")]
mod limits;
#[cfg(target_os = "linux")]
mod monkey;
#[cfg(target_os = "linux")]
mod peers_die;
#[cfg(target_os = "linux")]
mod peers_return;
#[cfg(target_os = "linux")]
mod rogues;
#[cfg(target_os = "linux")]
mod signals;
#[cfg(windows)]
mod windows;
#[cfg(target_os = "linux")]
mod wire;
