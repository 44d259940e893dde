//! What can be said on the command line.

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

/// ZeroMQ PUSH/PULL queues in shell pipelines.
///
/// Moves records from one process or machine to another, with back-pressure the
/// whole way and nothing lost in silence. The other end can be any program that
/// speaks ZeroMQ.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, after_long_help = AFTER, max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,

    /// Log more: -v what the queue does, -vv and -vvv for its makers. RUST_LOG
    /// overrides it
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

const EXAMPLES: &str = "\
Examples:
  pushpull pull ipc:///tmp/jobs.sock > jobs.txt
  pushpull push ipc:///tmp/jobs.sock < jobs.txt
  pushpull push --help";

const AFTER: &str = "\
Endpoints:
  ipc:///path/to.sock       a socket file: processes of one machine and user
  ipc://@name               the same without a file (Linux), open to every user
  tcp://host:port           tcp://*:5555 or tcp://127.0.0.1:0 (any free port) to bind

  Options of the queue can stand behind the endpoint, as in a URL, or in -o:
    'tcp://*:5555?high_water_mark=100&heartbeat=3s'
    -o high_water_mark=100 -o heartbeat=3s
  A wrong name is told with all that there are, a wrong value with what is allowed.

Exit status:
  0    all done
  1    something failed: a file, a socket, the queue
  2    wrong use: an option, an endpoint, a configuration
  3    records went nowhere; how many stands on standard error
  130  interrupted (Ctrl-C, SIGTERM) before all was done
  141  standard output was closed

Examples:
  Lines from one process to another:
    pushpull pull ipc:///tmp/jobs.sock > jobs.txt
    pushpull push ipc:///tmp/jobs.sock < jobs.txt
  A whole stream, and both end when it ends:
    pushpull pull --eof tcp://*:5555 | zstd > log.zst
    zcat log.gz | pushpull push --eof tcp://other.example:5555
  Deal jobs out to workers on this machine, at most ten ahead for each:
    pushpull push --bind ipc:///tmp/jobs.sock -o high_water_mark=10 < jobs.txt
    pushpull pull --connect ipc:///tmp/jobs.sock | xargs -n1 worker";

#[derive(Debug, Subcommand)]
pub enum Command {
    Push(PushArgs),
    Pull(PullArgs),
    Forward(ForwardArgs),
    Bench(BenchArgs),
    Monitor(MonitorArgs),
    Info(InfoArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// How to reach the peers.
#[derive(Debug, Default, clap::Args)]
pub struct QueueArgs {
    /// Listen at the endpoint
    #[arg(long, conflicts_with = "connect")]
    pub bind: bool,

    /// Call the endpoint, and call again when the connection breaks
    #[arg(long)]
    pub connect: bool,

    /// Set an option of the queue, such as high_water_mark=100 or linger=3s.
    /// Can be given several times
    #[arg(short, long = "option", value_name = "NAME=VALUE")]
    pub options: Vec<String>,
}

/// What to tell.
#[derive(Debug, clap::Args)]
pub struct TellArgs {
    /// Tell progress and the end as JSON, one object a line, on standard error
    #[arg(long)]
    pub json: bool,

    /// Tell what happens to the queue as well, on standard error: peers that join
    /// and leave, stalls
    #[arg(long)]
    pub events: bool,

    /// No progress line, also on a terminal
    #[arg(short, long, conflicts_with = "json")]
    pub quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A record is a line. The newline is not part of it
    Lines,
    /// A record is a whole file (push), or is written as it is (pull)
    Whole,
    /// In front of each record its length: four bytes, the highest first
    Length,
}

/// Send records from standard input or files.
///
/// Sends each record as one message, waiting while the receivers are slow or not
/// there yet, and ends when all is handed over. The first Ctrl-C ends the input
/// and hands over what was read; a second one gives up, and tells how many
/// records went nowhere.
///
/// On a terminal a line shows the rate, how many records wait, and for how long
/// nothing has moved.
#[derive(Debug, clap::Args)]
pub struct PushArgs {
    /// Where the receivers are, such as ipc:///tmp/jobs.sock or tcp://host:5555.
    /// It is called, unless --bind is given
    pub endpoint: String,

    /// Files to read, one after the other, instead of standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,

    /// What a record is
    #[arg(short, long, value_enum, default_value_t = Format::Lines)]
    pub format: Format,

    /// After the last record, tell the receiver how many there were, so that a
    /// `pull --eof` ends. For one receiver. Others see a message of three frames:
    /// "pushpull", "eof", and the number in decimal
    #[arg(long)]
    pub eof: bool,

    /// The longest record that is read; a longer one is an error
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size)]
    pub max_record: u64,

    /// How long handing over may take after the end of the input. Unless given,
    /// as long as it takes
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub deadline: Option<Duration>,

    #[command(flatten)]
    pub queue: QueueArgs,

    #[command(flatten)]
    pub tell: TellArgs,
}

/// Receive records and write them to standard output.
///
/// Listens until Ctrl-C or SIGTERM, or as --count, --idle or --eof say, and then
/// writes what it has. What has not reached it by then is not lost as long as it
/// waits at a sender, but what is on the way through the kernel is: end the
/// senders first.
///
/// When standard output is closed it ends at once, as a filter does. Records that
/// had come by then and could not be written are counted on standard error.
#[derive(Debug, clap::Args)]
pub struct PullArgs {
    /// Where to receive, such as ipc:///tmp/jobs.sock or tcp://*:5555. It is
    /// listened at, unless --connect is given
    pub endpoint: String,

    /// How to write a record. The frames of a multipart message are joined
    #[arg(short, long, value_enum, default_value_t = Format::Lines)]
    pub format: Format,

    /// End after so many records. Those that have come by then and are more are
    /// lost, and counted on standard error
    #[arg(short = 'n', long, value_name = "RECORDS")]
    pub count: Option<u64>,

    /// End when nothing has come for so long
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub idle: Option<Duration>,

    /// End when so many senders have told their end (see push --eof), and check
    /// that as many records came as they sent
    #[arg(long, value_name = "SENDERS", num_args = 0..=1, require_equals = true,
          default_missing_value = "1", value_parser = clap::value_parser!(u64).range(1..))]
    pub eof: Option<u64>,

    #[command(flatten)]
    pub queue: QueueArgs,

    #[command(flatten)]
    pub tell: TellArgs,
}

/// Receive at one endpoint and send to another.
///
/// A record is taken only when there is room for it at the other side, so
/// back-pressure passes through. The first Ctrl-C or SIGTERM takes no more and
/// hands over what is there; a second one gives up.
#[derive(Debug, clap::Args)]
pub struct ForwardArgs {
    /// Where to receive. It is listened at, unless it has ?role=connect
    pub from: String,

    /// Where to send. It is called, unless it has ?role=bind
    pub to: String,

    #[command(flatten)]
    pub tell: TellArgs,
}

/// Measure how fast records of a size go from one process to another.
///
/// Starts a second process of itself on this machine, the same way push and pull
/// do it, and counts what comes through. No file is read or written.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// How long a record is
    #[arg(short, long, default_value = "1KiB", value_parser = size)]
    pub size: u64,

    /// How long to measure
    #[arg(short, long, value_name = "TIME", default_value = "2s",
          value_parser = humantime::parse_duration)]
    pub time: Duration,

    /// What the records go through
    #[arg(long, value_enum, default_value_t = Transport::Ipc)]
    pub transport: Transport,

    /// Tell the result as JSON, on standard output
    #[arg(long)]
    pub json: bool,

    /// The sending process: where to
    #[arg(long, hide = true)]
    pub push: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    Ipc,
    Tcp,
}

/// Tell what happens to connections at an endpoint.
///
/// Calls the endpoint as a sender with nothing to send (or listens there, with
/// --bind) and writes a line for each event: connected, peer_joined, disconnected,
/// handshake_failed and so on. It takes no messages from anybody. Where a sender
/// listens, the handshake fails, which tells as much. For the events of a queue at
/// work see --events of push, pull and forward.
#[derive(Debug, clap::Args)]
pub struct MonitorArgs {
    /// What to call, such as ipc:///tmp/jobs.sock or tcp://host:5555
    pub endpoint: String,

    /// End after this time
    #[arg(short, long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub time: Option<Duration>,

    /// Write the events as JSON, one object a line
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub queue: QueueArgs,
}

/// Tell the version, the platform, and which libzmq is inside.
#[derive(Debug, clap::Args)]
pub struct InfoArgs {
    /// Tell it as JSON
    #[arg(long)]
    pub json: bool,
}

/// Write completions for a shell to standard output.
///
/// For bash: `pushpull completions bash > ~/.local/share/bash-completion/completions/pushpull`
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    pub shell: Shell,
}

/// Write the man page to standard output, or all pages into a folder.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// A folder for pushpull.1 and a page for each command, such as
    /// /usr/local/share/man/man1
    #[arg(value_hint = ValueHint::DirPath)]
    pub folder: Option<PathBuf>,
}

fn size(text: &str) -> Result<u64, String> {
    text.parse::<bytesize::ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| "a size is spelt 1000, 64KiB or 1MB".to_owned())
}
