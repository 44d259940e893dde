//! The file of an `ipc` endpoint: made exclusively, with its mode from the
//! first moment, taken over when its owner is dead, and removed with the queue.
//!
//! libzmq unlinks whatever stands at the path before it binds, so two programs
//! can listen at one path without either noticing. Here a listener of our own
//! goes to libzmq through `ZMQ_USE_FD` instead.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub(crate) use system::{check_connect, leave, listen, number, Listener, SocketFile};

use std::{
    io,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::error::{OpenError, OpenErrorKind};

/// Listens for `ipc://*`: in the system's folder for temporary files, under a
/// name that nobody has.
pub(crate) fn listen_anywhere(mode: u32) -> Result<(String, (Listener, SocketFile)), OpenError> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let mut names = NAMES;
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("pushpull-{}-{number}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let path = path.to_string_lossy().into_owned();
        match listen(&format!("ipc://{path}"), &path, mode) {
            // Containers may share the folder and not their process numbers.
            Err(e) if e.kind() == OpenErrorKind::AddressInUse && names > 0 => names -= 1,
            other => return Ok((path, other?)),
        }
    }
}

/// The names to try for `ipc://*` before something else must be wrong.
const NAMES: u32 = 1000;

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// What is wrong with the folder that a socket file is to be in. The system's text, "no
/// such file", does not tell that from the file.
fn folder_fails(endpoint: &str, folder: &Path, error: impl Into<io::Error>) -> OpenError {
    let error = OpenError::from_io(endpoint, error.into());
    match error.kind() {
        OpenErrorKind::NotFound => {
            error.because(format!("there is no folder {}", folder.display()))
        }
        _ => error,
    }
}

fn in_use(endpoint: &str) -> OpenError {
    OpenError::new(
        OpenErrorKind::AddressInUse,
        endpoint,
        "address in use: somebody listens there",
    )
}

fn not_a_socket(endpoint: &str) -> OpenError {
    OpenError::new(
        OpenErrorKind::NotASocket,
        endpoint,
        "something that is not a socket is at this path; it was left alone",
    )
}
