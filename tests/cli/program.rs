//! The program as a child: started, fed, interrupted, and gone with its test.

use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
    time::Instant,
};

use rustix::process::{kill_process, Pid, Signal};
use tempfile::TempDir;

use crate::harness::{eventually, ms, patience, LONG};

pub struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

/// How it ended, and what it said.
pub struct End {
    pub code: Option<i32>,
    pub out: Vec<u8>,
    pub err: String,
}

pub fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pushpull"));
    command
        .args(words)
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub fn start(words: &[&str]) -> Program {
    let mut program = start_unread(words);
    let stdout = program.child.stdout.take().unwrap();
    program.stdout = Some(collect(stdout));
    program
}

/// One whose standard output is the test's to read.
pub fn start_unread(words: &[&str]) -> Program {
    let mut child = command(words).spawn().unwrap();
    let stderr = collect(child.stderr.take().unwrap());
    Program {
        stdin: child.stdin.take(),
        child,
        stdout: None,
        stderr: Some(stderr),
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        all
    })
}

impl Program {
    /// Takes standard output away from a program that nobody reads.
    pub fn take_stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }

    pub fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    pub fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap()
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> End {
        let mut status: Option<ExitStatus> = None;
        eventually("the program ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let text = |handle: Option<JoinHandle<Vec<u8>>>| handle.map(|h| h.join().unwrap());
        let out = text(self.stdout.take()).unwrap_or_default();
        let err = text(self.stderr.take()).unwrap_or_default();
        End {
            code: status.unwrap().code(),
            out,
            err: String::from_utf8(err).unwrap(),
        }
    }

    /// Gives it all of its input, and waits for its end.
    #[track_caller]
    pub fn fed(mut self, input: &[u8]) -> End {
        let mut stdin = self.stdin.take().unwrap();
        let input = input.to_vec();
        let feeder = thread::spawn(move || drop(stdin.write_all(&input)));
        let end = self.end();
        feeder.join().unwrap();
        end
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail when it has ended long ago, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl End {
    /// It ended well and had nothing to say about it.
    #[track_caller]
    pub fn silent(self) -> Vec<u8> {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""));
        self.out
    }

    #[track_caller]
    pub fn with(self, code: i32, said: &str) -> Vec<u8> {
        assert_eq!(self.code, Some(code), "{}", self.err);
        assert!(self.err.contains(said), "{}: no {said}", self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self.out
    }
}

/// A socket file in a folder of its own.
pub struct Place {
    folder: TempDir,
    pub endpoint: String,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = format!("ipc://{}/s", folder.path().display());
        Self { folder, endpoint }
    }

    /// Where another one could be.
    pub fn beside(&self) -> String {
        format!("{}2", self.endpoint)
    }

    pub fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn is_bound(&self) -> bool {
        self.folder.path().join("s").exists()
    }

    /// Waits until somebody listens there.
    pub fn wait(&self) {
        eventually("somebody listens", || self.is_bound());
    }
}

/// Reads exactly so many bytes, or fails when they don't come.
pub fn read(from: &mut impl Read, count: usize) -> Vec<u8> {
    let since = Instant::now();
    let mut bytes = vec![0; count];
    from.read_exact(&mut bytes).unwrap();
    assert!(since.elapsed() < LONG);
    bytes
}

/// Long enough that whoever would have ended has.
pub fn a_while() -> std::time::Duration {
    ms(100) * patience()
}
