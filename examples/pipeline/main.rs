//! The main job: a file, line by line, or a generated million of messages, from
//! one process to another, with nothing lost on the way.
//!
//! ```sh
//! cargo run --release --example pipeline             # a generated million
//! cargo run --release --example pipeline -- FILE     # a file, line by line
//! ```
//!
//! It starts itself twice, as a pulling and as a pushing process. Each can be
//! run alone, on two machines if you like:
//!
//! ```sh
//! pipeline pull tcp://0.0.0.0:5555
//! pipeline push tcp://other.example:5555 FILE
//! ```
//!
//! `push.rs` and `pull.rs` are the parts to learn from.

// A program talks to its user; the library has `log`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod input;
mod progress;
mod pull;
mod push;
mod tally;

use std::{
    env,
    error::Error,
    ffi::OsString,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use pushpull::{
    crossbeam_channel::{bounded, Receiver},
    Pull,
};

const USAGE: &str = "\
usage: pipeline [FILE]                  both sides; without FILE a generated million
       pipeline push ENDPOINT [FILE]    the sending side alone
       pipeline pull ENDPOINT [--quiet] the receiving side alone, until the sender's
                                        end or Ctrl-C";

type Outcome = Result<ExitCode, Box<dyn Error>>;

/// What a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("warn"));
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    let words: Vec<&str> = args.iter().map(|a| a.to_str().unwrap_or("")).collect();
    let file = |at: usize| args.get(at).map(Path::new);

    let outcome = match words.as_slice() {
        ["push", endpoint] | ["push", endpoint, _] => push::run(endpoint, file(2)),
        ["pull", endpoint] => pull::run(endpoint, false),
        ["pull", endpoint, "--quiet"] => pull::run(endpoint, true),
        ["-h" | "--help"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        [] => both(None),
        [only] if !only.starts_with('-') && !matches!(*only, "push" | "pull") => both(file(0)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("pipeline: {error}");
        ExitCode::FAILURE
    })
}

/// Starts the two sides, and sees to it that neither outlives the other.
fn both(file: Option<&Path>) -> Outcome {
    input::Input::open(file)?; // no process for a file that is not there
    let folder = tempfile::tempdir()?;
    // Ctrl-C reaches the children as well; this one only waits for them.
    let _interrupts = interrupts()?;

    let mut pull = Side::start(&["pull", &meeting_point(folder.path()), "--quiet"], None)?;
    let Some(endpoint) = pull.read_endpoint()? else {
        pull.child.wait()?;
        return Ok(ExitCode::FAILURE); // it has said why
    };
    println!("from one process to another over {endpoint}");
    let mut push = Side::start(&["push", &endpoint], file)?;

    let [pushed, pulled] = wait_for_both(&mut push.child, &mut pull.child)?;
    for side in [&mut push, &mut pull] {
        side.end();
        print!("{}", side.read_rest()?);
    }
    match (pushed, pulled) {
        (Some(pushed), Some(pulled)) if pushed.success() && pulled.success() => {
            println!("nothing lost");
            Ok(ExitCode::SUCCESS)
        }
        (Some(pushed), Some(pulled)) if is_interrupted(pushed) && pulled.success() => {
            println!("interrupted; nothing lost of what was pushed");
            Ok(ExitCode::from(INTERRUPTED))
        }
        _ => Err(format!(
            "the pushing process {}, the pulling process {}",
            how(pushed),
            how(pulled)
        )
        .into()),
    }
}

/// How the two ended; `None` for one that goes on although the other is gone.
fn wait_for_both(push: &mut Child, pull: &mut Child) -> io::Result<[Option<ExitStatus>; 2]> {
    let mut until = None;
    loop {
        let ends = [push.try_wait()?, pull.try_wait()?];
        let patience = match ends {
            [Some(_), Some(_)] => return Ok(ends),
            [None, None] => None,
            // Its end is on the way to the other one.
            [Some(pushed), None] if pushed.success() || is_interrupted(pushed) => Some(10),
            _ => Some(2),
        };
        if let Some(seconds) = patience.map(Duration::from_secs) {
            if Instant::now() > *until.get_or_insert(Instant::now() + seconds) {
                return Ok(ends);
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn is_interrupted(status: ExitStatus) -> bool {
    status.code() == Some(INTERRUPTED.into())
}

fn how(status: Option<ExitStatus>) -> String {
    status.map_or("had to be ended".to_owned(), |s| format!("ended with {s}"))
}

/// A socket file in `folder`, or tcp within this machine where there is no ipc,
/// or no room for the path in a socket address.
fn meeting_point(folder: &Path) -> String {
    let ipc = format!("ipc://{}", folder.join("pipeline.sock").display());
    match Pull::bind(&ipc) {
        Ok(_) => ipc,
        Err(error) => {
            eprintln!("pipeline: tcp instead of ipc: {error}");
            "tcp://127.0.0.1:0".to_owned()
        }
    }
}

/// One of the two processes; it ends with this value at the latest.
struct Side {
    child: Child,
    stdout: BufReader<Box<dyn Read>>,
}

impl Side {
    fn start(words: &[&str], file: Option<&Path>) -> io::Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(words)
            .args(file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout: Box<dyn Read> = match child.stdout.take() {
            Some(pipe) => Box::new(pipe),
            None => Box::new(io::empty()),
        };
        Ok(Self {
            child,
            stdout: BufReader::new(stdout),
        })
    }

    /// Where the pulling side listens: the first thing that it says.
    fn read_endpoint(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line.trim().strip_prefix(pull::LISTENING).map(str::to_owned))
    }

    /// The rest of what it said, once it has ended.
    fn read_rest(&mut self) -> io::Result<String> {
        let mut text = String::new();
        self.stdout.read_to_string(&mut text)?;
        Ok(text)
    }

    fn end(&mut self) {
        // Both fail when it has ended long ago, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.end();
    }
}

/// One message for each Ctrl-C (and each SIGTERM), to be used in a `select!`.
fn interrupts() -> Result<Receiver<()>, ctrlc::Error> {
    let (tell, interrupts) = bounded(8);
    ctrlc::set_handler(move || {
        let _ = tell.try_send(()); // full: everybody has been told
    })?;
    Ok(interrupts)
}
