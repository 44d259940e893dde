use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How often a worker that has nothing to do gives its processor away and looks
/// again before it sleeps: some 10 us. To be woken costs both sides more than
/// that, and a sender that is busy would pay for it with every message.
const LOOKS: usize = 32;

/// Who gives its processor away and gets it back so late looks once more, and then
/// sleeps: to look again and again keeps others from what it waits for.
const BUSY: Duration = Duration::from_micros(60);

/// How many workers of this process have given theirs away just now. (A forked
/// child may count some of its parent's for ever, and sleep earlier for it.)
static LOOKING: AtomicUsize = AtomicUsize::new(0);

/// More of them than processors would only let one another run. Asked without a
/// lock: a forked child may find one taken for ever.
fn most() -> usize {
    static MOST: AtomicUsize = AtomicUsize::new(0);
    match MOST.load(Ordering::Relaxed) {
        0 => {
            let found = thread::available_parallelism().map_or(1, usize::from);
            MOST.store(found, Ordering::Relaxed);
            found
        }
        known => known,
    }
}

/// The time before a worker sleeps.
#[derive(Default)]
pub(crate) struct Lookout {
    left: usize,
}

impl Lookout {
    pub(crate) fn new() -> Self {
        Self { left: LOOKS }
    }

    /// Lets others run, and tells whether to look again.
    pub(crate) fn goes_on(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let free = LOOKING.fetch_add(1, Ordering::Relaxed) < most();
        if free {
            let since = Instant::now();
            thread::yield_now();
            // Others have work for the processor.
            if since.elapsed() >= BUSY {
                self.left = 0;
            }
        } else {
            self.left = 0;
        }
        LOOKING.fetch_sub(1, Ordering::Relaxed);
        free
    }
}
