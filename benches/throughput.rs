//! Throughput of ours alone: two processes, ipc and tcp, single messages and
//! batches. Half a minute. `cargo bench --bench throughput`
//!
//! Beside other crates: `ci/bench.sh`.

#[path = "common/ours.rs"]
mod ours;
#[path = "common/pair.rs"]
#[allow(dead_code)]
mod pair;
#[path = "common/protocol.rs"]
mod protocol;

use std::io::{self, Write};

const SIZES: [usize; 4] = [64, 1024, 16 * 1024, 1024 * 1024];
const ROUNDS: usize = 3;
const SCALE: f64 = 0.3;

fn main() -> io::Result<()> {
    if let Some(job) = protocol::Job::from_args() {
        ours::play(&job);
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let mut out = io::stdout();
    writeln!(
        out,
        "transport     bytes  as           kmsg/s      MB/s  cpu ns/msg push   pull  peak MB push   pull"
    )?;
    for transport in ["ipc", "tcp"] {
        for size in SIZES {
            for (name, label) in [("ours", "single"), ("ours-batch", "batched")] {
                let test = pair::Test::Size(size);
                let middle = pair::middle(ROUNDS, &program, name, transport, test, SCALE)?;
                writeln!(
                    out,
                    "{transport:<9} {size:>9}  {label:<8} {:>10.1} {:>9.0} {:>16.0} {:>6.0} {:>13.1} {:>6.1}",
                    middle.rate / 1e3,
                    middle.rate * size as f64 / 1e6,
                    middle.cpu[0],
                    middle.cpu[1],
                    middle.peak[0],
                    middle.peak[1],
                )?;
            }
        }
    }
    Ok(())
}
