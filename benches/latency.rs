//! Round trips of 64 bytes between two processes, each with a Push and a Pull:
//! ours alone. Some seconds. `cargo bench --bench latency`

#[path = "common/ours.rs"]
mod ours;
#[path = "common/pair.rs"]
#[allow(dead_code)]
mod pair;
#[path = "common/protocol.rs"]
mod protocol;

use std::io::{self, Write};

const ROUNDS: usize = 3;
const SCALE: f64 = 0.5;

fn main() -> io::Result<()> {
    if let Some(job) = protocol::Job::from_args() {
        ours::play(&job);
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let mut out = io::stdout();
    writeln!(out, "transport  p50 us  p99 us  cpu us of both")?;
    for transport in ["ipc", "tcp"] {
        let test = pair::Test::RoundTrip;
        let middle = pair::middle(ROUNDS, &program, "ours", transport, test, SCALE)?;
        writeln!(
            out,
            "{transport:<9} {:>7.1} {:>7.1} {:>15.1}",
            middle.p50 / 1e3,
            middle.p99 / 1e3,
            (middle.cpu[0] + middle.cpu[1]) / 1e3,
        )?;
    }
    Ok(())
}
