//! What this process has and uses: descriptors, threads, memory, processor time.

use std::{
    collections::BTreeMap,
    fs,
    os::fd::BorrowedFd,
    thread,
    time::{Duration, Instant},
};

use crate::harness::{eventually, ms};

/// Descriptors, by what they are.
pub fn descriptors() -> BTreeMap<String, u32> {
    let mut descriptors = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        // It may be gone since it was listed.
        let Ok(target) = fs::read_link(entry.unwrap().path()) else {
            continue;
        };
        let target = target.to_string_lossy();
        // A number of its own makes each socket another name.
        let kind = target.split('[').next().unwrap().to_owned();
        *descriptors.entry(kind).or_default() += 1;
    }
    descriptors
}

pub fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm"));
    tasks
        .map(|t| name(t.unwrap()).unwrap_or_default())
        .collect()
}

pub struct Holdings(BTreeMap<String, u32>, usize);

impl Holdings {
    pub fn now() -> Self {
        Self(descriptors(), threads().len())
    }

    pub fn is_unchanged(&self) -> bool {
        descriptors() == self.0 && threads().len() == self.1
    }

    /// Whether there is nothing now that there was not then. What was on its
    /// way out then is gone now.
    pub fn covers_now(&self) -> bool {
        self.covers(&descriptors()) && threads().len() <= self.1
    }

    fn covers(&self, descriptors: &BTreeMap<String, u32>) -> bool {
        let had = |kind| self.0.get(kind).copied().unwrap_or(0);
        descriptors.iter().all(|(kind, now)| *now <= had(kind))
    }

    /// The descriptors are gone when the ending returns. The kernel lists a
    /// thread for a moment after it was joined.
    #[track_caller]
    pub fn are_unchanged(&self, when: &str) {
        let now = descriptors();
        assert!(self.covers(&now), "{when}: {now:?} and not {:?}", self.0);
        eventually("the threads are gone", || threads().len() <= self.1);
    }
}

/// How often the threads of this process have waited, and for how long they
/// have run.
pub fn effort() -> (u64, Duration) {
    let mut switches = 0;
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let line = status
            .lines()
            .find(|l| l.starts_with("voluntary_ctxt_switches"));
        switches += line
            .unwrap()
            .split_whitespace()
            .last()
            .unwrap()
            .parse::<u64>()
            .unwrap();
    }
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes one struct.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    (
        switches,
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32),
    )
}

/// Lets peers come and go until that costs less than `most` kilobytes, four times at
/// the most, and tells what was in use before the last time. What leaks is more with
/// every visit; what the C library keeps for the next one, musl's more than glibc's, is
/// not.
pub fn settled(most: u64, mut visit: impl FnMut()) -> u64 {
    let mut before = 0;
    for _ in 0..4 {
        before = resident();
        visit();
        let until = Instant::now() + ms(2000);
        while resident() >= before + most && Instant::now() < until {
            thread::sleep(ms(10));
        }
        if resident() < before + most {
            break;
        }
    }
    before
}

/// Kilobytes of memory in use. Always 0 under a sanitizer, which keeps what was freed, and
/// under an emulator, whose own is counted: see ci/sanitize.sh and ci/arm64.sh.
pub fn resident() -> u64 {
    if std::env::var_os("PUSHPULL_TEST_NO_MEMORY").is_some() {
        return 0;
    }
    // SAFETY: gives free memory back to the system, so that it is not counted.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What the kernel holds at most for a socket of this process.
pub fn largest_send_buffer() -> usize {
    let sizes = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| {
        let number = entry.unwrap().file_name().to_str()?.parse().ok()?;
        // SAFETY: borrowed for one question, which fails if it is gone by then.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        rustix::net::sockopt::socket_send_buffer_size(descriptor).ok()
    });
    sizes.max().unwrap_or(0)
}
