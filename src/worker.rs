//! A thread that owns a socket: spawned with a name, always joined, and never
//! silent about how it ended.

use std::{
    any::Any,
    panic::{catch_unwind, AssertUnwindSafe},
    sync::Arc,
    thread::{self, JoinHandle},
};

use crate::{
    context::Failure,
    control::Control,
    error::{OpenError, OpenErrorKind, WorkerError},
};

/// The join end of a worker. Whoever drops it must have joined it.
#[derive(Debug)]
pub(crate) struct Worker<R> {
    thread: Option<JoinHandle<R>>,
    control: Arc<Control>,
}

impl<R: Send + 'static> Worker<R> {
    /// Starts `body` on a thread of its own. When no thread can be had, `body`
    /// is dropped, and with it all that it owns.
    pub(crate) fn spawn(
        name: &str,
        control: Arc<Control>,
        body: impl FnOnce() -> R + Send + 'static,
    ) -> Result<Self, OpenError> {
        // std panics on a NUL in a thread's name.
        let thread = thread::Builder::new()
            .name(name.replace('\0', " "))
            .spawn(move || {
                block_signals();
                body()
            })
            .map_err(|e| OpenError::io(OpenErrorKind::Resources, name, e))?;
        Ok(Self {
            thread: Some(thread),
            control,
        })
    }

    /// Waits for the worker's last word. There is none in a forked child, which
    /// has no such thread, or if its closing panicked (its loop can't: see
    /// `guarded`).
    pub(crate) fn join(&mut self, name: &str) -> Result<R, WorkerError> {
        let name = name.to_owned();
        let thread = match self.thread.take() {
            Some(thread) if !self.control.is_foreign() => thread,
            gone => {
                std::mem::forget(gone);
                return Err(WorkerError::Forked { name });
            }
        };
        thread.join().map_err(|payload| WorkerError::Panicked {
            name,
            message: panic_text(payload.as_ref()),
        })
    }
}

/// Runs a worker's loop and turns a panic into an error, so that what follows
/// can still save the messages and close the socket.
pub(crate) fn guarded<R>(
    name: &str,
    run: impl FnOnce() -> Result<R, Failed>,
) -> Result<R, WorkerError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(end)) => Ok(end),
        Ok(Err(failed)) => Err(failed.of(name)),
        Err(payload) => Err(WorkerError::Panicked {
            name: name.to_owned(),
            message: panic_text(payload.as_ref()),
        }),
    }
}

/// An operation that failed, and what it was.
#[derive(Debug)]
pub(crate) struct Failed(pub &'static str, pub Failure);

impl Failed {
    fn of(self, name: &str) -> WorkerError {
        let name = name.to_owned();
        if self.1.is_terminated() {
            WorkerError::ContextTerminated { name }
        } else {
            WorkerError::Libzmq {
                name,
                operation: self.0,
                reason: self.1.to_string(),
            }
        }
    }
}

/// Where a test makes a worker panic: in the queue of that name, once.
#[cfg(test)]
pub(crate) mod fault {
    use std::sync::Mutex;

    static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());

    pub(crate) fn inject(name: &str) {
        NAMES
            .lock()
            .expect("no test panics here")
            .push(name.to_owned());
    }

    pub(crate) fn point(name: &str) {
        let due = {
            let mut names = NAMES.lock().expect("no test panics here");
            let at = names.iter().position(|n| n == name);
            at.map(|at| names.swap_remove(at)).is_some()
        };
        assert!(!due, "injected");
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no text".to_owned())
}

/// Signals belong to the program's own threads: a worker that ran a handler
/// would do so with a stack and a timing that nobody expects.
#[cfg(unix)]
fn block_signals() {
    // SAFETY: the set is initialised by sigfillset before it is used; the
    // calls touch this thread's mask alone.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&mut set);
        // Faults of this very thread must keep their handlers: std reports a
        // stack overflow from there.
        for fault in [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGFPE,
            libc::SIGILL,
            libc::SIGTRAP,
        ] {
            libc::sigdelset(&mut set, fault);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
}

#[cfg(not(unix))]
fn block_signals() {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::fault;
    use crate::{Config, DrainFailure, Pull, Push, WorkerError};

    fn is_injected(cause: &WorkerError) -> bool {
        matches!(cause, WorkerError::Panicked { message, .. } if message == "injected")
    }

    #[test]
    fn a_push_whose_worker_panics_gives_every_message_back() {
        let config = Config::bind("tcp://127.0.0.1:0").name("panicking push");
        fault::inject("panicking push");
        let push = Push::open(config).expect("loopback is there");
        let mut accepted = 0u32;
        while push.send(accepted.to_string()).is_ok() {
            accepted += 1;
        }
        let error = push.drain(Duration::from_secs(5)).expect_err("it panicked");
        assert!(matches!(error.failure(), DrainFailure::Worker(cause) if is_injected(cause)));
        let back: Vec<_> = error.into_unsent().map(|m| m.into_vec()).collect();
        let all: Vec<_> = (0..accepted).map(|n| n.to_string().into_bytes()).collect();
        assert_eq!(back, all);
    }

    #[test]
    fn a_pull_whose_worker_panics_gives_every_message_back() {
        let config = Config::bind("tcp://127.0.0.1:0")
            .name("panicking pull")
            .capacity(1);
        let pull = Pull::open(config).expect("loopback is there");
        let push = Push::connect(&pull.endpoints()[0].to_string()).expect("loopback is there");
        for n in ["1", "2", "3"] {
            push.send(n).expect("the queue is open");
        }
        push.drain(Duration::from_secs(5))
            .expect("the pull is there");
        while pull.stats().stalls == 0 {
            std::thread::yield_now();
        }
        fault::inject("panicking pull");
        let mut all = vec![pull.recv().expect("it is there")];
        while let Ok(message) = pull.recv() {
            all.push(message);
        }
        let error = pull.close().expect_err("it panicked");
        assert!(is_injected(error.cause()));
        all.extend(error.into_leftover());
        assert_eq!(all, ["1", "2", "3"].map(crate::Message::from));
    }
}
