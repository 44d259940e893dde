//! The memory of messages: see native/pool.cpp.
#![cfg(target_os = "linux")]

mod common;

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::sync::mpsc::{channel, sync_channel, Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use common::*;
use zmq_sys::*;

/// Messages, all of which are closed at the end.
#[derive(Default)]
struct Made(Vec<zmq_msg_t>);

unsafe impl Send for Made {}

impl Made {
    fn make(&mut self, size: usize, byte: u8) {
        let mut made = MaybeUninit::<zmq_msg_t>::uninit();
        unsafe {
            assert_eq!(zmq_msg_init_size(made.as_mut_ptr(), size), 0);
            let mut made = made.assume_init();
            zmq_msg_data(&mut made).cast::<u8>().write_bytes(byte, size);
            self.0.push(made);
        }
    }

    fn some(number: usize, size: usize) -> Self {
        let mut made = Self::default();
        (0..number).for_each(|n| made.make(size, n as u8));
        made
    }

    /// Closes as many of the oldest.
    fn close(&mut self, number: usize) {
        for mut message in self.0.drain(..number) {
            unsafe { zmq_msg_close(&mut message) };
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        self.close(self.0.len());
    }
}

/// Numbers that look random, the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1);
        (self.0 >> 33) as usize % end
    }
}

/// What the tests measure is of the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Not under a sanitizer, whose memory is its own and which goes without the pool; nor where
/// the C library does not tell (musl).
fn measures() -> bool {
    cfg!(target_env = "gnu") && std::env::var_os("PUSHPULL_TEST_NO_MEMORY").is_none()
}

/// Bytes that the C library (glibc 2.33 and later) has given away.
fn given() -> usize {
    #[cfg(target_env = "gnu")]
    let given = unsafe { libc::mallinfo2() };
    #[cfg(target_env = "gnu")]
    return given.uordblks + given.hblkhd;
    #[cfg(not(target_env = "gnu"))]
    0
}

#[test]
fn messages_that_live_share_no_memory_whoever_closes_them() {
    const SIZES: [usize; 12] = [
        34, 64, 72, 73, 300, 1024, 1976, 3000, 9000, 14_000, 19_000, 150_000,
    ];
    let _alone = alone();
    let (ends, mine): (Vec<Sender<Made>>, Vec<Receiver<Made>>) = (0..4).map(|_| channel()).unzip();
    let threads = mine.into_iter().enumerate().map(|(who, mine)| {
        let ends = ends.clone();
        thread::spawn(move || {
            let mut dice = Dice(who as u64);
            let mut kept = Made::default();
            for _ in 0..300 {
                for _ in 0..dice.below(200) {
                    kept.make(SIZES[dice.below(SIZES.len())], dice.below(256) as u8);
                }
                kept.0.extend(
                    mine.try_iter()
                        .flat_map(|mut made| std::mem::take(&mut made.0)),
                );
                for at in (1..kept.0.len()).rev() {
                    kept.0.swap(at, dice.below(at + 1));
                }
                let sent = kept.0.split_off(kept.0.len() / 2);
                // Whoever has ended takes none.
                let _ = ends[dice.below(ends.len())].send(Made(sent));
                for message in &mut kept.0 {
                    let body = bytes(message);
                    assert!(body.iter().all(|byte| *byte == body[0]));
                }
                kept.close(kept.0.len() / 2);
            }
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().unwrap();
    }
}

/// Makes messages on a thread of its own.
fn maker() -> impl FnMut(usize) -> Made {
    let (ask, asked) = channel::<usize>();
    let (give, given) = channel();
    thread::spawn(move || asked.iter().try_for_each(|n| give.send(Made::some(n, 64))));
    move |number| {
        ask.send(number).unwrap();
        given.recv().unwrap()
    }
}

#[test]
fn messages_made_one_after_another_lie_side_by_side_however_they_are_closed() {
    let _alone = alone();
    let mut dice = Dice(1);
    let mut senders: Vec<_> = (0..10).map(|_| (maker(), Made::default())).collect();
    for _ in 0..3000 {
        let (make, queue) = &mut senders[dice.below(10)];
        queue.0.append(&mut make(dice.below(400)).0);
        let most = queue.0.len().min(700);
        queue.close(dice.below(most + 1));
    }
    for (make, _) in &mut senders {
        let mut made = make(1000);
        let page = |m: &mut zmq_msg_t| unsafe { zmq_msg_data(m) } as usize >> 12;
        let pages: Vec<_> = made.0.iter_mut().map(page).collect();
        let turns = pages.windows(2).filter(|two| two[0] != two[1]).count();
        // Thirty fit into one.
        assert!(turns < 80 || !measures(), "another page {turns} times");
    }
}

#[test]
fn what_was_closed_on_another_thread_is_used_again() {
    let _alone = alone();
    let mut make = maker();
    drop(make(10_000));
    let before = given();
    for _ in 0..50 {
        drop(make(10_000));
    }
    let more = given().saturating_sub(before);
    assert!(more < 1 << 20 || !measures(), "{more} bytes more");
}

/// How often this process has touched a page that it did not have yet.
fn faults() -> libc::c_long {
    let mut used = MaybeUninit::<libc::rusage>::uninit();
    assert_eq!(
        unsafe { libc::getrusage(libc::RUSAGE_SELF, used.as_mut_ptr()) },
        0
    );
    unsafe { used.assume_init() }.ru_minflt
}

#[test]
fn heavy_messages_take_no_fresh_memory() {
    const ROUNDS: usize = 200;
    let _alone = alone();
    // As it is in a process that has freed nothing yet, and to stay so.
    #[cfg(target_env = "gnu")]
    unsafe {
        let done = libc::mallopt(libc::M_TRIM_THRESHOLD, 128 << 10);
        assert!(done == 1 || !measures());
    }
    for size in [100 << 10, 200 << 10] {
        // What is made and what is closed meanwhile fit into what may wait.
        let many = (3 << 20) / size;
        let more = || {
            let (give, given) = sync_channel(0);
            let maker = thread::spawn(move || {
                for _ in 0..2 * ROUNDS {
                    give.send(Made::some(many, size)).unwrap();
                }
            });
            (0..ROUNDS).for_each(|_| drop(given.recv().unwrap()));
            let before = faults();
            (0..ROUNDS).for_each(|_| drop(given.recv().unwrap()));
            let more = faults() - before;
            maker.join().unwrap();
            more
        };
        // Who loses its processor with a list in hand has the others ask malloc meanwhile.
        let least = (0..3).map(|_| more()).min().unwrap();
        let touched = (ROUNDS * many * size / 4096) as libc::c_long;
        assert!(
            least < touched / 100 || !measures(),
            "{least} with {size} bytes"
        );
    }
}

#[test]
fn what_is_too_much_to_wait_goes_back() {
    let _alone = alone();
    let before = given();
    let made: Vec<_> = [(64, 100_000), (500, 100_000), (1024, 100_000)]
        .map(|(size, number)| Made::some(number, size))
        .into();
    let most = given().saturating_sub(before);
    drop(made);
    let kept = given().saturating_sub(before);
    // 16 MiB, and what the thread has at hand.
    let kept_most = 17 << 20;
    assert!(
        kept < kept_most || !measures(),
        "{kept} of {most} bytes kept"
    );
}

#[test]
fn of_heavy_messages_512_or_8_mib_wait_and_the_others_go_back() {
    let _alone = alone();
    for (size, number, may_stay) in [
        (8 << 10, 2000, 4 << 20),
        (16 << 10, 2000, 8 << 20),
        (100 << 10, 300, 8 << 20),
        (200 << 10, 100, 8 << 20),
    ] {
        // From then on none of another size waits in that list.
        drop(Made::some(number, size));
        let made = Made::some(number, size);
        let most = given();
        drop(made);
        let went = most.saturating_sub(given());
        let must_go = number * size - may_stay;
        assert!(
            went > must_go - (must_go >> 4) || !measures(),
            "{went} of {must_go} bytes with {size}"
        );
    }
}

#[test]
fn a_thread_that_ends_leaves_nothing_behind() {
    thread_local!(static LATE: RefCell<Made> = RefCell::default());
    let _alone = alone();
    let one_of_each = |made: &mut Made| {
        let sizes = (34..2000).step_by(64);
        sizes.for_each(|size| made.make(size, 0));
    };
    let round = || {
        thread::spawn(move || {
            // Closed after the pool has put away what is this thread's.
            LATE.with_borrow_mut(one_of_each);
            drop(Made::some(1000, 64));
            let mut made = Made::default();
            one_of_each(&mut made);
            one_of_each(&mut made);
            made.close(made.0.len() / 2);
            made
        })
    };
    (0..20).for_each(|_| drop(round().join().unwrap()));
    let before = given();
    (0..200).for_each(|_| drop(round().join().unwrap()));
    let more = given().saturating_sub(before);
    assert!(more < 1 << 20 || !measures(), "{more} bytes more");
}
