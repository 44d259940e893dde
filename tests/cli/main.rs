//! The program `pushpull`, as a shell sees it.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that meets what it did not expect fails right there, and says what it saw"
)]

#[path = "../it/harness.rs"]
#[allow(dead_code)]
mod harness;
mod program;

mod endings;
mod other_commands;
mod records;
mod telling;
