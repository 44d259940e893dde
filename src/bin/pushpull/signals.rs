//! Ctrl-C and SIGTERM: the first one ends the input, the second one gives up.

use std::{
    io::{stderr, IsTerminal},
    sync::{
        atomic::{AtomicU32, Ordering::Relaxed},
        Arc,
    },
    thread,
};

use pushpull::{
    crossbeam_channel::{bounded, Receiver},
    Stopper,
};

use crate::end::{End, Result};

/// One message for each Ctrl-C, SIGTERM or SIGHUP.
pub fn interrupts() -> Result<Receiver<()>> {
    let (tell, interrupts) = bounded(8);
    ctrlc::set_handler(move || {
        let _ = tell.try_send(()); // full: it has been told
    })
    .map_err(End::failed)?;
    Ok(interrupts)
}

/// What a user who sits there hears with the first one.
pub const DRAINING: &str = "handing over what was taken; Ctrl-C once more gives up";

/// Counts them, and gives up with the second.
#[derive(Clone)]
pub struct Heard {
    count: Arc<AtomicU32>,
    stopper: Stopper,
}

impl Heard {
    pub fn new(stopper: Stopper) -> Self {
        Self {
            count: Arc::default(),
            stopper,
        }
    }

    /// Another one came; whether it is the first.
    pub fn another(&self) -> bool {
        if self.count.fetch_add(1, Relaxed) == 0 {
            return true;
        }
        self.stopper.stop();
        false
    }

    pub fn any(&self) -> bool {
        self.count.load(Relaxed) > 0
    }

    pub fn twice(&self) -> bool {
        self.count.load(Relaxed) > 1
    }

    /// Goes on listening while the caller waits for something else.
    pub fn listen(self, interrupts: Receiver<()>) {
        thread::spawn(move || {
            for () in interrupts {
                if self.another() && stderr().is_terminal() {
                    eprintln!("pushpull: {DRAINING}");
                }
            }
        });
    }
}
