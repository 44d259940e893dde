//! What every test stands on: time limits, addresses, waiting for a fact,
//! measured promptness, and processes of their own.

use std::{
    any::type_name_of_val,
    cell::Cell,
    env,
    io::Write as _,
    panic::{catch_unwind, resume_unwind, AssertUnwindSafe},
    process::{Child, Command, Output, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc, PoisonError, RwLock,
    },
    thread,
    time::{Duration, Instant},
};

use pushpull::{Config, Message, OpenErrorKind, Pull, Push};
use tempfile::TempDir;

/// For waits that end at once unless something is broken.
pub const LONG: Duration = Duration::from_secs(10);

/// What every ending promises.
pub const PROMPT: Duration = Duration::from_millis(50);

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// How many times slower than it is this machine only pretends to be: 1, unless a script
/// that runs the tests on an emulated processor says otherwise.
pub fn patience() -> u32 {
    env::var("PUSHPULL_TEST_PATIENCE").map_or(1, |factor| factor.parse().unwrap())
}

/// How often what promises milliseconds is tried: enough for a percentile, and a multiple
/// of the ways to end. An emulated processor has time for a quarter of that, of which then
/// not one may be late.
pub fn tries() -> usize {
    if patience() == 1 {
        102
    } else {
        27
    }
}

/// How often something that goes wrong by chance is tried, if so often on a processor that
/// is none: an emulated one has time for a quarter.
pub fn rounds(often: u64) -> u64 {
    if patience() == 1 {
        often
    } else {
        often / 4
    }
}

/// Measuring tests run alone: they take the write side, all others the read
/// side.
static MACHINE: RwLock<()> = RwLock::new(());

/// Runs a test with a limit of so many seconds. Exceeding it ends the process,
/// since a hanging thread can't be ended by itself, with what is known of all
/// threads.
pub fn within<F: FnOnce()>(seconds: u64, test: F) {
    let name = name_of(&test);
    let _shared = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    limited(&name, seconds, test);
}

/// The same for a test that measures time: no other one runs meanwhile.
pub fn undisturbed<F: FnOnce()>(seconds: u64, test: F) {
    let name = name_of(&test);
    let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    limited(&name, seconds, test);
}

/// [`within`], once for each transport.
pub fn over_ipc_and_tcp<F: Fn(&Wire)>(seconds: u64, test: F) {
    let name = name_of(&test);
    let _shared = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    limited(&name, seconds, || each_wire(transports(), test));
}

/// [`undisturbed`], once for each transport.
pub fn undisturbed_over_ipc_and_tcp<F: Fn(&Wire)>(seconds: u64, test: F) {
    let name = name_of(&test);
    let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    limited(&name, seconds, || each_wire(transports(), test));
}

/// Runs a test in a process of its own, where nothing else opens descriptors,
/// starts threads or burns time.
pub fn in_own_process<F: FnOnce()>(seconds: u64, test: F) {
    let name = name_of(&test);
    if role().as_deref() == Some("alone") {
        return limited(&name, seconds, test);
    }
    let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    limited(&name, seconds + 10, || {
        succeeded(play(&name, "alone", &[]).wait_with_output());
    });
}

/// [`within`], once for each transport that std can speak as well.
pub fn over_bare_streams<F: Fn(&Wire)>(seconds: u64, test: F) {
    let name = name_of(&test);
    let _shared = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    limited(&name, seconds, || each_wire(bare_streams(), test));
}

/// [`undisturbed`], once for each of those.
pub fn undisturbed_over_bare_streams<F: Fn(&Wire)>(seconds: u64, test: F) {
    let name = name_of(&test);
    let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    limited(&name, seconds, || each_wire(bare_streams(), test));
}

fn bare_streams() -> &'static [&'static str] {
    if cfg!(unix) {
        &["ipc", "tcp"]
    } else {
        &["tcp"]
    }
}

/// Unix everywhere has Unix sockets, Windows from 10 version 1803 on, Wine not yet.
pub fn transports() -> &'static [&'static str] {
    match Pull::bind("ipc://*") {
        Err(e) if cfg!(windows) && e.kind() == OpenErrorKind::Unsupported => &["tcp"],
        _ => &["ipc", "tcp"],
    }
}

fn each_wire(transports: &[&'static str], test: impl Fn(&Wire)) {
    for transport in transports {
        let wire = Wire::new(transport);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(&wire))) {
            eprintln!("... over {transport}");
            resume_unwind(panic);
        }
    }
}

fn limited(name: &str, seconds: u64, test: impl FnOnce()) {
    let (done, watch) = mpsc::channel::<()>();
    let seconds = seconds * u64::from(patience());
    let watched = name.to_owned();
    thread::spawn(move || {
        if watch.recv_timeout(Duration::from_secs(seconds)) == Err(mpsc::RecvTimeoutError::Timeout)
        {
            // Not eprintln: what that prints is kept for a report that never comes.
            let told = format!(
                "\n{watched} took longer than {seconds} s\n{}\n",
                threads(std::process::id())
            );
            let _ = std::io::stderr().write_all(told.as_bytes());
            std::process::abort();
        }
    });
    let (took, ()) = timed(test);
    println!("{name} took {took:.1?}");
    drop(done);
}

/// `stop::stop_wakes_a_sender` from the closure that is its body.
fn name_of<T>(test: &T) -> String {
    let path = type_name_of_val(test).replace("::{{closure}}", "");
    path.split_once("::")
        .map_or(path.clone(), |(_, p)| p.into())
}

/// What each thread of a process is doing, as far as the system tells.
pub fn threads(process: u32) -> String {
    let mut all = String::new();
    let tasks = std::fs::read_dir(format!("/proc/{process}/task"));
    for task in tasks.into_iter().flatten() {
        let Ok(task) = task else { continue };
        let read = |f: &str| std::fs::read_to_string(task.path().join(f)).unwrap_or_default();
        let (comm, wchan) = (read("comm"), read("wchan"));
        let (syscall, stack) = (read("syscall"), read("stack"));
        all += &format!("{}: {wchan} {syscall}{stack}", comm.trim());
    }
    all
}

/// Waits for a fact, and fails with its name if it does not come true.
#[track_caller]
pub fn eventually(what: &str, mut fact: impl FnMut() -> bool) {
    let until = Instant::now() + LONG * patience();
    while !fact() {
        assert!(Instant::now() < until, "never came true: {what}");
        thread::sleep(Duration::from_micros(200));
    }
}

/// Asserts that all but one in a hundred took no longer than promised.
#[track_caller]
pub fn assert_prompt(what: &str, promised: Duration, mut took: Vec<Duration>) {
    assert!(
        took.len() >= tries(),
        "too few tries to speak of a percentile"
    );
    took.sort();
    let p99 = took[took.len() - 1 - took.len() / 100];
    let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
    println!("{what}: p50 {median:?}, p99 {p99:?}, max {longest:?}");
    let promised = promised * patience();
    assert!(p99 <= promised, "{what}: p99 {p99:?}, max {longest:?}");
}

pub fn timed<R>(f: impl FnOnce() -> R) -> (Duration, R) {
    let since = Instant::now();
    let result = f();
    (since.elapsed(), result)
}

/// Fresh addresses of one transport.
pub struct Wire {
    pub transport: &'static str,
    pub dir: TempDir,
    number: Cell<u32>,
}

impl Wire {
    pub fn new(transport: &'static str) -> Self {
        Self {
            transport,
            dir: tempfile::tempdir().unwrap(),
            number: Cell::new(0),
        }
    }

    /// An address to bind.
    pub fn address(&self) -> String {
        if self.transport == "tcp" {
            return "tcp://127.0.0.1:0".to_owned();
        }
        let number = self.number.replace(self.number.get() + 1);
        format!("ipc://{}/{number}.sock", self.dir.path().display())
    }

    /// An address to bind again and again, or that is called while nobody is there: a tcp
    /// port that the system gives to nobody who asks for any, nor this to another test.
    pub fn lasting_address(&self) -> String {
        static GIVEN: AtomicU32 = AtomicU32::new(0);
        if self.transport == "ipc" {
            return self.address();
        }
        let first = std::process::id().wrapping_mul(64);
        let next = || {
            let number = first.wrapping_add(GIVEN.fetch_add(1, Relaxed));
            10_000 + (number % 22_000) as u16
        };
        let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = std::iter::repeat_with(next).find(is_free).unwrap();
        format!("tcp://127.0.0.1:{port}")
    }

    /// An address to call where nobody answers, and never will while the
    /// second value lives.
    pub fn nobody(&self) -> (String, Reserved) {
        // A bound socket that does not listen refuses connections, and keeps
        // the port from everybody else.
        let socket = Reserved::new();
        if self.transport == "ipc" {
            return (self.address(), socket);
        }
        (format!("tcp://127.0.0.1:{}", socket.port), socket)
    }

    pub fn pull(&self) -> Pull {
        Pull::bind(&self.address()).unwrap()
    }

    /// A Push and a Pull that have shaken hands.
    pub fn pair(
        &self,
        push: impl FnOnce(Config) -> Config,
        pull: impl FnOnce(Config) -> Config,
    ) -> (Push, Pull) {
        let pull = Pull::open(pull(Config::bind(&self.address()))).unwrap();
        let push = Push::open(push(Config::connect(&at(&pull)))).unwrap();
        push.send("are you there?").unwrap();
        assert_eq!(pull.recv_timeout(LONG).unwrap(), "are you there?".into());
        (push, pull)
    }
}

/// A port that is taken and refuses everybody.
pub struct Reserved {
    port: u16,
    #[cfg(unix)]
    _socket: std::os::fd::OwnedFd,
}

impl Reserved {
    #[cfg(unix)]
    fn new() -> Self {
        use rustix::net;
        use std::net::{Ipv4Addr, SocketAddrV4};
        let socket = net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None).unwrap();
        net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let name = net::getsockname(&socket).unwrap();
        Self {
            port: SocketAddrV4::try_from(name).unwrap().port(),
            _socket: socket,
        }
    }

    #[cfg(not(unix))]
    fn new() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            port: listener.local_addr().unwrap().port(),
        }
    }
}

/// Where a queue can be reached.
pub trait Reachable {
    fn first(&self) -> String;
}

impl<T: pushpull::Item> Reachable for Push<T> {
    fn first(&self) -> String {
        self.endpoints()[0].to_string()
    }
}

impl<T: pushpull::Item> Reachable for Pull<T> {
    fn first(&self) -> String {
        self.endpoints()[0].to_string()
    }
}

pub fn at(queue: &impl Reachable) -> String {
    queue.first()
}

/// Sees to it that the process may have so many descriptors.
#[cfg(target_os = "linux")]
pub fn descriptors_for(wanted: u64) {
    use rustix::process::{getrlimit, setrlimit, Resource};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|now| now < wanted) {
        limit.current = Some(wanted);
        setrlimit(Resource::Nofile, limit).expect("the hard limit has room");
    }
}

/// The number that a message of [`numbered`] carries.
pub fn number(message: &Message) -> u64 {
    let bytes = message.as_bytes();
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

/// A message of `size` bytes that begins with its number.
pub fn numbered(number: u64, size: usize) -> Message {
    let mut bytes = vec![0; size.max(8)];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes.into()
}

/// Fills a queue until nothing more goes in and its worker waits; returns how
/// many it accepted.
pub fn fill(push: &Push, size: usize) -> u64 {
    // The kernel's buffers take more for a while; large messages are for them.
    let pause = Duration::from_micros(if size > 1000 { 1000 } else { 500 });
    let mut accepted = 0;
    let mut stalls = 0;
    loop {
        match push.try_send(numbered(accepted, size)) {
            Ok(()) => accepted += 1,
            // Full for now; full for good when the worker waits and still
            // nothing moves.
            Err(_) => {
                let now = push.stats();
                thread::sleep(pause);
                if push.stats() == now && now.stalls > 0 {
                    stalls += 1;
                    if stalls == 5 {
                        return accepted;
                    }
                } else {
                    stalls = 0;
                }
            }
        }
    }
}

/// [`fill`] for a Push whose peer is there, or about to be: until then no more goes in
/// than without one.
pub fn fill_a_peer(push: &Push, size: usize) -> u64 {
    assert!(push.wait_for_peer(LONG));
    fill(push, size)
}

/// A plain ZeroMQ PULL socket that never waits long, for a peer that is not
/// ours.
pub fn raw_pull(context: &zmq::Context) -> zmq::Socket {
    let socket = context.socket(zmq::PULL).unwrap();
    socket.set_linger(0).unwrap();
    socket.set_rcvtimeo(10_000).unwrap();
    socket
}

pub fn raw_push(context: &zmq::Context) -> zmq::Socket {
    let socket = context.socket(zmq::PUSH).unwrap();
    socket.set_linger(0).unwrap();
    socket.set_sndtimeo(10_000).unwrap();
    socket
}

/// Where a raw socket was bound.
pub fn bound(socket: &zmq::Socket, address: &str) -> String {
    socket.bind(address).unwrap();
    socket.get_last_endpoint().unwrap().unwrap()
}

const ROLE: &str = "PUSHPULL_TEST_ROLE";

/// Inside a process that [`play`] started for `test`: which role it has.
pub fn role() -> Option<String> {
    env::var(ROLE).ok()
}

/// Starts this program again, to run the test of that name with a role.
pub fn play(test: &str, role: &str, more: &[(&str, &str)]) -> Child {
    Command::new(env::current_exe().unwrap())
        .args([
            test,
            "--exact",
            "--nocapture",
            "--test-threads=1",
            "--include-ignored",
        ])
        .env(ROLE, role)
        .envs(more.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[track_caller]
pub fn succeeded(output: std::io::Result<Output>) -> String {
    let output = output.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success() && out.contains("1 passed"),
        "the process failed ({}):\n{out}\n{err}",
        output.status
    );
    println!("{out}");
    out
}
