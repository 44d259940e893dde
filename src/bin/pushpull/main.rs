//! The command line: ZeroMQ PUSH/PULL queues in shell pipelines.

// A program talks to its user; the library has `log`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod bench;
mod end;
mod forward;
mod info;
mod input;
mod monitor;
mod output;
mod progress;
mod pull;
mod push;
mod queue;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    let level = match args.verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level))
        .target(env_logger::Target::Pipe(Box::new(progress::Beside)))
        .init();

    let result = match &args.command {
        Command::Push(args) => push::run(args),
        Command::Pull(args) => pull::run(args),
        Command::Forward(args) => forward::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Monitor(args) => monitor::run(args),
        Command::Info(args) => info::run(args),
        Command::Completions(args) => info::completions(args.shell),
        Command::Man(args) => info::man(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(end) => end.tell(),
    }
}
