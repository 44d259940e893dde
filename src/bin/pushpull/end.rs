//! The ways to end, and what the shell hears of each.

use std::{fmt, io, process::ExitCode};

use pushpull::{OpenError, OpenErrorKind};

/// Every end but the good one. The exit codes are in `--help` and the man page.
#[derive(Debug)]
pub enum End {
    /// Something failed: files, sockets, a worker.
    Failed(String),
    /// Endpoint or options are not what they can be.
    Usage(String),
    /// Records went nowhere.
    Lost(String),
    /// Ctrl-C or SIGTERM before all was done.
    Interrupted(String),
    /// Nobody reads standard output any more; with what was lost by it, if
    /// anything.
    Closed(Option<String>),
}

pub type Result<T = ()> = std::result::Result<T, End>;

impl End {
    pub fn failed(error: impl fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    /// A failure of standard output.
    pub fn of_output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Closed(None)
        } else {
            Self::Failed(format!("standard output: {error}"))
        }
    }

    pub fn tell(self) -> ExitCode {
        let (code, text) = match self {
            Self::Failed(text) => (1, Some(text)),
            Self::Usage(text) => (2, Some(text)),
            Self::Lost(text) => (3, Some(text)),
            // What a shell reports for a program that SIGINT or SIGPIPE ended.
            Self::Interrupted(text) => (130, Some(text)),
            Self::Closed(text) => (141, text),
        };
        if let Some(text) = text {
            eprintln!("pushpull: {text}");
        }
        ExitCode::from(code)
    }
}

impl From<OpenError> for End {
    fn from(error: OpenError) -> Self {
        use OpenErrorKind::{InvalidEndpoint, InvalidOption, PathTooLong, Unsupported};
        match error.kind() {
            InvalidEndpoint | InvalidOption | PathTooLong | Unsupported => {
                Self::Usage(error.to_string())
            }
            _ => Self::failed(error),
        }
    }
}

/// "1 record", "2 records".
pub fn records(n: u64) -> String {
    format!("{n} record{}", if n == 1 { "" } else { "s" })
}
