//! What happens with many: senders, receivers, queues in a process, messages.
//! Two processes; where there are many of them, beside bare loops over the same
//! libzmq. About four minutes. `cargo bench --bench scale`

#[path = "../common/ours.rs"]
mod ours;
#[path = "../common/pair.rs"]
#[allow(dead_code)]
mod pair;
#[path = "../common/protocol.rs"]
mod protocol;

mod fan;
mod idle;
mod queues;

use pair::Test;
use protocol::Job;
use std::io::{self, Write};

/// Bytes of a message.
const SIZE: usize = 64;
const ROUNDS: usize = 5;

fn main() -> io::Result<()> {
    if let Some(job) = Job::from_args() {
        match job.implementation.as_str() {
            "idle" => idle::play(&job.role, job.size),
            fan if fan.starts_with("fan") => fan::play(&job),
            _ => ours::play(&job),
        }
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let mut out = io::stdout();

    for (kind, what) in [
        ("fan-in", "senders into one Pull"),
        ("fan-out", "Pulls at one Push"),
    ] {
        fan::report(&program, kind, what, &mut out)?;
    }

    writeln!(
        out,
        "an idle queue\n  queues  context    KiB each  threads each  fds each  wake-ups/s each  cpu us/s each"
    )?;
    let empty = idle::costs(&program, "alone", 0).map_err(io::Error::other)?;
    for (how, number) in [
        ("alone", 2),
        ("alone", 50),
        ("shared", 2),
        ("shared", 50),
        ("shared", 500),
    ] {
        let found = idle::costs(&program, how, number).map_err(io::Error::other)?;
        let each = |i: usize| (found[i] - empty[i]).max(0.0) / number as f64;
        writeln!(
            out,
            "{number:>8}  {how:<8} {:>10.0} {:>13.2} {:>9.2} {:>16.2} {:>14.1}",
            each(0),
            each(1),
            each(2),
            each(3),
            each(4),
        )?;
    }

    writeln!(
        out,
        "cost of a message, ipc, {SIZE} B\n    messages    ns/msg  cpu ns/msg push   pull  peak MB push   pull"
    )?;
    let usual = pair::count(SIZE) as f64;
    for messages in [1e4, 1e5, 1e6, 1e7] {
        let (test, scale) = (Test::Size(SIZE), messages / usual);
        let middle = pair::middle(ROUNDS, &program, "ours", "ipc", test, scale)?;
        writeln!(
            out,
            "{messages:>12} {:>9.0} {:>16.0} {:>6.0} {:>13.1} {:>6.1}",
            1e9 / middle.rate,
            middle.cpu[0],
            middle.cpu[1],
            middle.peak[0],
            middle.peak[1],
        )?;
    }
    Ok(())
}
