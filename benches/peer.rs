//! Our side of the comparison in `benches/peers`, which starts this program
//! and tells it what to do. By itself it does nothing.

#[path = "common/ours.rs"]
mod ours;
#[path = "common/protocol.rs"]
mod protocol;

fn main() {
    if let Some(job) = protocol::Job::from_args() {
        ours::play(&job);
    }
}
