#![doc = include_str!("tour.md")]

mod attach;
mod config;
mod context;
mod control;
mod endpoint;
mod error;
mod intake;
mod ipc;
mod message;
mod monitor;
mod native;
mod pull;
mod push;
mod receipt;
mod say;
mod stall;
mod stats;
mod unsent;
mod worker;

pub use crossbeam_channel::{
    self, Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError,
    TrySendError,
};

pub use crate::{
    config::Config,
    context::Context,
    control::Stopper,
    endpoint::{Endpoint, Role, Transport},
    error::{
        CloseError, DrainError, DrainFailure, OpenError, OpenErrorKind, OutcomeError, WorkerError,
    },
    message::{Batch, Item, Message},
    monitor::{Event, HandshakeFailure, LastError, WaitingFor},
    native::{libzmq, Libzmq},
    pull::Pull,
    push::{Outcome, Overflow, Push},
    receipt::{Fate, Receipt, ReturnReason},
    stats::Stats,
    unsent::{Drained, Leftover, Unsent},
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../docs/guide.md")]
struct Guide;
