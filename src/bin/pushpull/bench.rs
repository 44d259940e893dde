//! `pushpull bench`: two processes, and nothing but the queues between them.

use std::{
    env,
    process::{Child, Command},
    time::{Duration, Instant},
};

use indicatif::HumanCount;
use pushpull::{Batch, Message, Pull, Push};
use serde_json::json;

use crate::{
    args::{BenchArgs, QueueArgs, Transport},
    end::{End, Result},
    info::print,
    input::{BATCH_BYTES, BATCH_RECORDS},
    output,
};

/// For what takes no time unless something is broken.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn run(args: &BenchArgs) -> Result {
    if let Some(endpoint) = &args.push {
        return push(args, endpoint);
    }
    let endpoint = match args.transport {
        Transport::Ipc => "ipc://*",
        Transport::Tcp => "tcp://127.0.0.1:0",
    };
    let mut config = QueueArgs::default().config(endpoint, "bind")?;
    config = config.max_message_size(args.size.max(64 << 20));
    let pull = Pull::open_batched(config)?;
    let endpoint = pull.endpoints()[0].to_string();
    let mut pusher = Pusher::start(args, &endpoint)?;

    let gone = || End::Failed("the sending process said nothing more".to_owned());
    let (mut began, mut records, mut bytes) = (None, 0_u64, 0_u64);
    'receive: loop {
        let batch = pull.receiver().recv_timeout(PATIENCE).map_err(|_| gone())?;
        let began = began.get_or_insert_with(Instant::now);
        for message in &batch {
            if output::from_eof(message).is_some() {
                break 'receive;
            }
            records += 1;
            bytes += message.len() as u64;
        }
        // Should the sender never end.
        if began.elapsed() > args.time + PATIENCE {
            return Err(gone());
        }
    }
    let seconds = began.map_or(0.0, |b| b.elapsed().as_secs_f64()).max(1e-6);
    pusher.0.wait().map_err(End::failed)?;

    let (rate, speed) = (records as f64 / seconds, bytes as f64 / seconds / 1e6);
    let transport = format!("{:?}", args.transport).to_lowercase();
    let text = if args.json {
        let result = json!({
            "type": "bench",
            "transport": transport,
            "size": args.size,
            "records": records,
            "seconds": (seconds * 1e3).round() / 1e3,
            "records_per_second": rate.round(),
            "bytes_per_second": (bytes as f64 / seconds).round(),
        });
        format!("{result}\n")
    } else {
        format!(
            "{transport}, {} bytes: {} records/s, {speed:.0} MB/s ({} in {seconds:.2} s)\n",
            args.size,
            HumanCount(rate.round() as u64),
            HumanCount(records),
        )
    };
    print(text.as_bytes())
}

/// The other process; gone when this is.
struct Pusher(Child);

impl Pusher {
    fn start(args: &BenchArgs, endpoint: &str) -> Result<Self> {
        Command::new(env::current_exe().map_err(End::failed)?)
            .args(["bench", "--push", endpoint])
            .args(["--size", &args.size.to_string()])
            .args(["--time", &humantime::format_duration(args.time).to_string()])
            .spawn()
            .map(Self)
            .map_err(End::failed)
    }
}

impl Drop for Pusher {
    fn drop(&mut self) {
        // Both fail when it has ended long ago, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn push(args: &BenchArgs, endpoint: &str) -> Result {
    let push = Push::open_batched(QueueArgs::default().config(endpoint, "connect")?)?;
    let size = usize::try_from(args.size).map_err(End::failed)?;
    let record = vec![b'x'; size];
    let many = BATCH_RECORDS.min(BATCH_BYTES / size.max(1)).max(1);
    let batch = || -> Batch { (0..many).map(|_| Message::from(&record[..])).collect() };

    push.send_timeout(batch(), PATIENCE).map_err(End::failed)?;
    let until = Instant::now() + args.time;
    let mut records = many as u64;
    while Instant::now() < until {
        push.send_timeout(batch(), PATIENCE).map_err(End::failed)?;
        records += many as u64;
    }
    push.send_timeout(vec![output::eof(records)], PATIENCE)
        .map_err(End::failed)?;
    push.drain(PATIENCE).map_err(End::failed)?;
    Ok(())
}
