//! What goes wrong with the stock zmq-sys and must not with ours. Only libzmq's public
//! interface is used, so that `ci/stock.sh` can run the same file against the stock
//! crate, where these tests fail.
#![cfg(target_os = "linux")]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::raw::c_void;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use common::*;
use zmq_sys::*;

/// Runs a test's body in a process of its own, because a broken libzmq takes its process
/// down or never comes back.
fn in_child(name: &str, patience: u64, body: impl FnOnce()) {
    const MARK: &str = "PUSHPULL_TEST_CHILD";
    if std::env::var(MARK).as_deref() == Ok(name) {
        body();
        return;
    }
    let said = tempfile::NamedTempFile::new().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(MARK, name)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said.reopen().unwrap())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.to_string();
        }
        if started.elapsed() > Duration::from_secs(patience) {
            child.kill().unwrap();
            child.wait().unwrap();
            break format!("did not end within {patience} s");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let said = std::fs::read_to_string(said.path()).unwrap_or_default();
    assert!(status == "exit status: 0", "{name}: {status}\n{said}");
}

fn runs(usual: usize) -> usize {
    std::env::var("PUSHPULL_RUNS").map_or(usual, |runs| runs.parse().unwrap())
}

/// A cheap source of variety that is the same in every run.
fn vary(seed: usize) -> impl FnMut(usize) -> usize {
    let mut state = seed as u64 * 2 + 1;
    move |bound| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as usize % bound
    }
}

/// Sends `count` messages and leaves with infinite linger.
fn send_and_leave(address: &str, count: usize, size: usize) {
    let context = Context::new();
    let push = context.push();
    push.connect(address);
    let body = vec![b'x'; size];
    for _ in 0..count {
        assert!(push.send(&body, 0));
    }
    push.close_lingering();
}

// lossless-ipc --------------------------------------------------------------------------

/// How many runs lost something, and how many messages were lost in all.
fn ipc_losses(run: impl Fn(usize, &str) -> usize) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let (mut losers, mut lost) = (0, 0);
    for n in 0..runs(100) {
        let missing = run(
            n,
            &format!("ipc://{}", folder.path().join(n.to_string()).display()),
        );
        losers += usize::from(missing > 0);
        lost += missing;
    }
    (losers, lost)
}

#[test]
fn ipc_slow_receiver_gets_all() {
    let losses = ipc_losses(|n, address| {
        let mut vary = vary(n);
        let (size, hwm) = ([1, 64, 500, 4000][vary(4)], 1 + vary(1000));
        let count = hwm + 500 + vary(400_000 / (size + 40));
        let (stride, pause) = (1 + vary(300), vary(1500) as u64);
        let context = Context::new();
        let pull = context.pull();
        pull.set(ZMQ_RCVHWM, hwm as i32).set(ZMQ_RCVTIMEO, 2000);
        pull.bind(address);
        let sender = {
            let address = address.to_owned();
            std::thread::spawn(move || send_and_leave(&address, count, size))
        };
        let mut received = 0;
        let mut pauses = 0;
        while received < count && pull.recv(0).is_some() {
            received += 1;
            // Slow for a while, then as fast as it goes: the sender leaves in between.
            if received % stride == 0 && pauses < 40 {
                std::thread::sleep(Duration::from_micros(pause));
                pauses += 1;
            }
        }
        sender.join().unwrap();
        count - received
    });
    assert_eq!(losses, (0, 0), "(runs that lost something, messages lost)");
}

#[test]
fn ipc_early_leavers_lose_nothing() {
    let losses = ipc_losses(|n, address| {
        let mut vary = vary(1000 + n);
        let hwm = 1 + vary(100);
        let plan: Vec<_> = (0..3).map(|_| (300 + vary(1200), 1 + vary(3000))).collect();
        let context = Context::new();
        let pull = context.pull();
        pull.set(ZMQ_RCVHWM, hwm as i32).set(ZMQ_RCVTIMEO, 2000);
        pull.bind(address);
        let count: usize = plan.iter().map(|(count, _)| count).sum();
        let senders: Vec<_> = plan
            .into_iter()
            .map(|(count, size)| {
                let address = address.to_owned();
                std::thread::spawn(move || send_and_leave(&address, count, size))
            })
            .collect();
        // Nobody reads until the senders are about to leave, or have left.
        std::thread::sleep(Duration::from_millis(5 + vary(20) as u64));
        let mut received = 0;
        while received < count && pull.recv(0).is_some() {
            received += 1;
        }
        for sender in senders {
            sender.join().unwrap();
        }
        count - received
    });
    assert_eq!(losses, (0, 0), "(runs that lost something, messages lost)");
}

#[test]
fn a_hang_up_that_must_wait_costs_nothing() {
    in_child("a_hang_up_that_must_wait_costs_nothing", 30, || {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("ipc://{}", folder.path().join("s").display());
        let context = Context::new();
        let pull = context.pull();
        pull.set(ZMQ_RCVHWM, 1).set(ZMQ_RCVTIMEO, 5000);
        pull.bind(&address);
        // Little enough for the kernel, however it is cut up: nobody reads it before.
        send_and_leave(&address, 20, 1000);
        let before = processor_time();
        std::thread::sleep(Duration::from_millis(1000));
        let used = processor_time() - before;
        assert!(
            used < Duration::from_millis(50),
            "{used:?} of processor time in a second"
        );
        for _ in 0..20 {
            pull.recv(0).expect("a message was lost");
        }
    });
}

// calm-listener -------------------------------------------------------------------------

fn processor_time() -> Duration {
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Takes descriptors until there are no more.
fn take_all_descriptors() -> Vec<i32> {
    let mut taken = Vec::new();
    loop {
        let fd = unsafe { libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 3) };
        if fd == -1 {
            return taken;
        }
        taken.push(fd);
    }
}

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

fn limit(resource: Resource, value: u64) {
    let mut limit: libc::rlimit = unsafe { std::mem::zeroed() };
    unsafe {
        libc::getrlimit(resource, &mut limit);
        limit.rlim_cur = value;
        assert_eq!(libc::setrlimit(resource, &limit), 0);
    }
}

/// The server of `exhausted`: says where it listens, runs out of descriptors, measures
/// itself, recovers, and receives.
fn exhausted_server(address: &str) {
    limit(libc::RLIMIT_NOFILE, 64);
    let context = Context::new();
    let pull = context.pull();
    let address = pull.bind(address);
    pull.set(ZMQ_RCVTIMEO, 20_000);
    let taken = take_all_descriptors();
    eprintln!("LISTENING {address}");
    // The peer says on its side that its connections are made, by way of a file.
    let ready = std::env::var("PUSHPULL_READY").unwrap();
    within(20, "the peer", || std::fs::exists(&ready).unwrap());
    let before = processor_time();
    std::thread::sleep(Duration::from_millis(1000));
    let used = processor_time() - before;
    assert!(
        used < Duration::from_millis(100),
        "{used:?} of processor time in a second"
    );
    for fd in taken {
        unsafe { libc::close(fd) };
    }
    for _ in 0..20 {
        assert!(pull.recv(0).is_some(), "not served after recovery");
    }
    eprintln!("SERVED");
}

fn exhausted(name: &str, address: &str, connect: impl Fn(&str) -> Box<dyn std::any::Any>) {
    if std::env::var("PUSHPULL_TEST_CHILD").as_deref() == Ok(name) {
        exhausted_server(&std::env::var("PUSHPULL_ADDRESS").unwrap());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready");
    let address = address.replace("FOLDER", folder.path().to_str().unwrap());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("PUSHPULL_TEST_CHILD", name)
        .env("PUSHPULL_READY", &ready)
        .env("PUSHPULL_ADDRESS", address)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    use std::io::BufRead;
    let mut lines = std::io::BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let mut said = Vec::new();
    let address = lines
        .by_ref()
        .find_map(|line| line.strip_prefix("LISTENING ").map(str::to_owned))
        .expect("the server did not start");
    // A storm of strangers, of whom half leave again, and twenty peers with a message.
    let strangers: Vec<_> = (0..40).map(|_| connect(&address)).collect();
    let context = Context::new();
    let peers: Vec<_> = (0..20)
        .map(|_| {
            let push = context.push();
            push.connect(&address);
            push
        })
        .collect();
    for push in &peers {
        push.send(b"x", ZMQ_DONTWAIT);
    }
    drop(strangers.into_iter().skip(20).collect::<Vec<_>>());
    std::fs::write(&ready, b"").unwrap();
    said.extend(lines);
    let status = child.wait().unwrap();
    let served = said.iter().any(|line| line == "SERVED");
    assert!(status.success() && served, "{status}\n{}", said.join("\n"));
}

#[test]
fn ipc_listener_survives_without_descriptors() {
    exhausted(
        "ipc_listener_survives_without_descriptors",
        "ipc://FOLDER/s",
        |address| {
            let path = address.strip_prefix("ipc://").unwrap();
            Box::new(std::os::unix::net::UnixStream::connect(path).unwrap())
        },
    );
}

#[test]
fn tcp_listener_survives_without_descriptors() {
    exhausted(
        "tcp_listener_survives_without_descriptors",
        "tcp://127.0.0.1:*",
        |address| Box::new(TcpStream::connect(address.strip_prefix("tcp://").unwrap()).unwrap()),
    );
}

// soft-start ----------------------------------------------------------------------------

#[test]
fn a_socket_without_descriptors_is_an_error() {
    in_child("a_socket_without_descriptors_is_an_error", 30, || {
        limit(libc::RLIMIT_NOFILE, 64);
        let mut outcomes = Vec::new();
        for left in 0..12 {
            let context = Context::new();
            let mut taken = take_all_descriptors();
            for _ in 0..left {
                unsafe { libc::close(taken.pop().unwrap()) };
            }
            let socket = unsafe { zmq_socket(context.0, ZMQ_PUSH as i32) };
            let error = errno();
            for fd in taken {
                unsafe { libc::close(fd) };
            }
            outcomes.push(!socket.is_null());
            if socket.is_null() {
                assert_eq!(error, errno::EMFILE);
                // And the context is as good as before.
                drop(context.push());
            } else {
                drop(Socket(socket));
            }
        }
        assert!(
            !outcomes[0] && outcomes[11] && outcomes.is_sorted(),
            "{outcomes:?}"
        );
    });
}

#[test]
fn a_socket_without_threads_is_an_error() {
    in_child("a_socket_without_threads_is_an_error", 30, || {
        let context = Context::new();
        // No room for a thread's stack.
        let pages: u64 = std::fs::read_to_string("/proc/self/statm")
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        limit(libc::RLIMIT_AS, pages * 4096 + (4 << 20));
        let socket = unsafe { zmq_socket(context.0, ZMQ_PUSH as i32) };
        let error = errno();
        limit(libc::RLIMIT_AS, libc::RLIM_INFINITY);
        assert!(socket.is_null());
        assert_eq!(error, errno::EAGAIN);
        drop(context.push());
    });
}

// HAVE_CLOCK_GETTIME --------------------------------------------------------------------

/// How far the time of day is off. libzmq's calls come here, as this is the program's.
static STEP: AtomicI64 = AtomicI64::new(0);

#[no_mangle]
unsafe extern "C" fn gettimeofday(time: *mut libc::timeval, _zone: *mut c_void) -> i32 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    unsafe {
        libc::clock_gettime(libc::CLOCK_REALTIME, &mut now);
        (*time).tv_sec = now.tv_sec + STEP.load(Ordering::SeqCst);
        (*time).tv_usec = now.tv_nsec / 1000;
    }
    0
}

fn step_clock_soon(seconds: i64) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        STEP.store(seconds, Ordering::SeqCst);
    })
}

#[test]
fn a_clock_set_back_holds_no_time_out() {
    in_child("a_clock_set_back_holds_no_time_out", 10, || {
        let context = Context::new();
        let pull = context.pull();
        pull.bind("tcp://127.0.0.1:*");
        pull.set(ZMQ_RCVTIMEO, 400);
        let stepper = step_clock_soon(-3600);
        let started = Instant::now();
        assert!(pull.recv(0).is_none());
        assert!(started.elapsed() < Duration::from_secs(2));
        stepper.join().unwrap();
    });
}

#[test]
fn a_clock_set_forward_ends_no_linger() {
    in_child("a_clock_set_forward_ends_no_linger", 20, || {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("ipc://{}", folder.path().join("s").display());
        let sender = Context::new();
        let push = sender.push();
        push.connect(&address);
        assert!(push.send(b"x", 0));
        push.set(ZMQ_LINGER, 10_000);
        unsafe { zmq_close(push.0) };
        std::mem::forget(push);
        step_clock_soon(3600).join().unwrap();
        // Long enough for a wrong timer to go off; reconnecting wakes the thread.
        std::thread::sleep(Duration::from_millis(500));
        let receiver = Context::new();
        let pull = receiver.pull();
        pull.set(ZMQ_RCVTIMEO, 3000);
        pull.bind(&address);
        assert!(
            pull.recv(0).is_some(),
            "the message did not survive the step"
        );
    });
}

// ZMQ_HAVE_SO_KEEPALIVE and its like ----------------------------------------------------

#[test]
fn keep_alive_reaches_the_accepted_socket() {
    let context = Context::new();
    let pull = context.pull();
    pull.set(ZMQ_TCP_KEEPALIVE, 1)
        .set(ZMQ_TCP_KEEPALIVE_IDLE, 77)
        .set(ZMQ_TCP_KEEPALIVE_INTVL, 7)
        .set(ZMQ_TCP_KEEPALIVE_CNT, 3)
        .set(ZMQ_RCVTIMEO, 5000);
    let address = pull.bind("tcp://127.0.0.1:*");
    let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
    let push = context.push();
    push.connect(&address);
    assert!(push.send(b"x", 0));
    pull.recv(0).unwrap();
    let option = |fd: i32, level, name| {
        let mut value = 0i32;
        let mut size = 4;
        unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &mut size) };
        value
    };
    let accepted: Vec<_> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|&fd| {
            let mut name: libc::sockaddr_in = unsafe { std::mem::zeroed() };
            let mut size = size_of_val(&name) as u32;
            let known = unsafe { libc::getsockname(fd, (&raw mut name).cast(), &mut size) };
            known == 0
                && i32::from(name.sin_family) == libc::AF_INET
                && u16::from_be(name.sin_port) == port
                && option(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN) == 0
        })
        .collect();
    assert_eq!(accepted.len(), 1);
    let fd = accepted[0];
    assert_eq!(
        [
            option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE),
            option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
            option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
            option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
        ],
        [1, 77, 7, 3]
    );
}

// the _CLOEXEC family -------------------------------------------------------------------

#[test]
fn a_started_program_inherits_no_descriptor() {
    in_child("a_started_program_inherits_no_descriptor", 20, || {
        let folder = tempfile::tempdir().unwrap();
        let context = Context::new();
        let mut sockets = Vec::new();
        for address in [
            "tcp://127.0.0.1:*",
            &format!("ipc://{}", folder.path().join("s").display()),
        ] {
            let pull = context.pull();
            let address = pull.bind(address);
            pull.set(ZMQ_RCVTIMEO, 5000);
            let push = context.push();
            push.connect(&address);
            assert!(push.send(b"x", 0));
            pull.recv(0).unwrap();
            sockets.push((pull, push));
        }
        let listed = Command::new("ls")
            .args(["-l", "/proc/self/fd"])
            .output()
            .unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let ours: Vec<_> = listed
            .lines()
            .filter(|line| line.contains("socket:") || line.contains("anon_inode:"))
            .collect();
        assert!(ours.is_empty(), "{ours:#?}");
    });
}

// HAVE_FORK -----------------------------------------------------------------------------

#[test]
fn a_forked_child_harms_nobody() {
    in_child("a_forked_child_harms_nobody", 30, || {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("ipc://{}", folder.path().join("s").display());
        let context = Context::new();
        let pull = context.pull();
        pull.bind(&address);
        pull.set(ZMQ_RCVTIMEO, 5000);
        let push = context.push();
        push.connect(&address);
        for round in 0..20 {
            assert!(push.send(b"x", 0));
            let child = unsafe { libc::fork() };
            if child == 0 {
                // What a program does that drops its handles; not more than once, as a
                // context that was forked says EINTR for ever.
                unsafe {
                    libc::alarm(10);
                    zmq_close(push.0);
                    zmq_close(pull.0);
                    if round % 2 == 0 {
                        zmq_ctx_term(context.0);
                    }
                    libc::_exit(0);
                }
            }
            assert!(pull.recv(0).is_some());
            let mut status = 0;
            unsafe { libc::waitpid(child, &mut status, 0) };
            assert_eq!(status, 0, "the child was harmed");
            assert!(push.send(b"y", 0));
            assert!(pull.recv(0).is_some());
        }
    });
}

// reconnect-after-error -----------------------------------------------------------------

#[test]
fn a_peer_that_talks_nonsense_once_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let context = Context::new();
    let push = context.push();
    push.set(ZMQ_RECONNECT_IVL, 20);
    push.connect(&address);
    assert!(push.send(b"survivor", 0));
    {
        // A greeting as it should be, and a mechanism that nobody has.
        let (mut stream, _) = listener.accept().unwrap();
        let mut greeting = [0u8; 64];
        greeting[0] = 0xff;
        greeting[9] = 0x7f;
        greeting[10] = 3;
        greeting[11] = 1;
        greeting[12..16].copy_from_slice(b"NONE");
        stream.write_all(&greeting).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    drop(listener);
    let pull = context.pull();
    within(10, "the port", || {
        let name = std::ffi::CString::new(address.as_str()).unwrap();
        unsafe { zmq_bind(pull.0, name.as_ptr()) == 0 }
    });
    pull.set(ZMQ_RCVTIMEO, 3000);
    assert_eq!(pull.recv(0).as_deref(), Some(&b"survivor"[..]));
}

#[test]
fn a_connection_to_oneself_is_not_the_end() {
    let context = Context::new();
    // The same port at both ends makes sure of what otherwise takes luck.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let push = context.push();
    push.set(ZMQ_RECONNECT_IVL, 20);
    let events = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CONNECT_RETRIED;
    let done = unsafe { zmq_socket_monitor(push.0, c"inproc://oneself".as_ptr(), events as i32) };
    assert_eq!(done, 0);
    let monitor = context.socket(ZMQ_PAIR);
    monitor.connect("inproc://oneself");
    monitor.set(ZMQ_RCVTIMEO, 3000);
    push.connect(&format!("tcp://127.0.0.1:{port};127.0.0.1:{port}"));
    let next = || {
        let event = monitor.recv(0)?;
        monitor.recv(0)?;
        Some(u32::from(u16::from_le_bytes([event[0], event[1]])))
    };
    within(5, "the connection to itself", || {
        next() == Some(ZMQ_EVENT_CONNECTED)
    });
    for _ in 0..5 {
        assert!(next().is_some(), "the socket has given up");
    }
}

// bounded-messages ----------------------------------------------------------------------

/// Sends the same frame for ever; true if the other end hung up before `most` bytes.
fn is_stopped(stream: &mut TcpStream, frame: &[u8], most: usize) -> bool {
    stream
        .set_write_timeout(Some(Duration::from_secs(3)))
        .unwrap();
    let block = frame.repeat((1 << 16) / frame.len() + 1);
    (0..most / block.len() + 1)
        .find_map(|_| stream.write_all(&block).err())
        .is_some_and(|error| error.kind() != std::io::ErrorKind::WouldBlock)
}

#[test]
fn a_message_without_end_is_ended() {
    let context = Context::new();
    let pull = context.pull();
    let address = pull.bind("tcp://127.0.0.1:*");
    let mut frame = vec![1, 100];
    frame.resize(102, b'x');
    assert!(is_stopped(
        &mut raw_peer(&address, "PUSH"),
        &frame,
        64 << 20
    ));
    // Others are still served.
    let push = context.push();
    push.connect(&address);
    push.send(b"x", 0);
    pull.set(ZMQ_RCVTIMEO, 5000);
    assert_eq!(pull.recv(0).unwrap(), b"x");
}

#[test]
fn a_message_is_bounded_not_only_its_frames() {
    let context = Context::new();
    let pull = context.pull();
    let limit = 1i64 << 20;
    let done =
        unsafe { zmq_setsockopt(pull.0, ZMQ_MAXMSGSIZE as i32, (&raw const limit).cast(), 8) };
    assert_eq!(done, 0);
    let address = pull.bind("tcp://127.0.0.1:*");
    let mut frame = vec![3, 0, 0, 0, 0, 0, 0, 0xea, 0x60];
    frame.resize(9 + 60_000, b'x');
    assert!(is_stopped(
        &mut raw_peer(&address, "PUSH"),
        &frame,
        64 << 20
    ));
    // What keeps within the bound passes.
    let push = context.push();
    push.connect(&address);
    for n in 0..16 {
        push.send(&[b'x'; 60_000], if n < 15 { ZMQ_SNDMORE } else { 0 });
    }
    pull.set(ZMQ_RCVTIMEO, 5000);
    for _ in 0..16 {
        assert_eq!(pull.recv(0).unwrap().len(), 60_000);
    }
}

#[test]
fn a_push_socket_does_not_listen() {
    let context = Context::new();
    let push = context.push();
    let address = push.bind("tcp://127.0.0.1:*");
    assert!(is_stopped(
        &mut raw_peer(&address, "PULL"),
        b"\x00\x01x",
        64 << 20
    ));
}

// patient-heartbeats --------------------------------------------------------------------

#[test]
fn a_heartbeat_beside_a_full_pipe_ends_nothing() {
    in_child("a_heartbeat_beside_a_full_pipe_ends_nothing", 30, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let context = Context::new();
        let pull = context.pull();
        pull.set(ZMQ_RCVHWM, 1).set(ZMQ_HEARTBEAT_IVL, 500);
        pull.set(ZMQ_RCVTIMEO, 5000).set(ZMQ_RECONNECT_IVL, 20);
        pull.connect(&format!("tcp://{}", listener.local_addr().unwrap()));
        // It says all before the first ping, and leaves each unanswered.
        let mut peer = shake_hands(listener.accept().unwrap().0, "PUSH");
        peer.write_all(&b"\0\x01x".repeat(1000)).unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        for n in 0..1000 {
            assert_eq!(pull.recv(0).as_deref(), Some(&b"x"[..]), "message {n}");
        }
    });
}

// no-orders-to-the-dead -----------------------------------------------------------------

#[test]
fn a_mark_set_late_hits_nobody() {
    in_child("a_mark_set_late_hits_nobody", 60, || {
        let context = Context::new();
        let push = context.push();
        let address = push.bind("tcp://127.0.0.1:*");
        for _ in 0..30 {
            let peers: Vec<_> = (0..10).map(|_| raw_peer(&address, "PULL")).collect();
            within(5, "the peers' pipes", || {
                push.get(ZMQ_EVENTS) & ZMQ_POLLOUT as i32 != 0
            });
            std::thread::sleep(Duration::from_millis(10));
            push.get(ZMQ_EVENTS);
            drop(peers);
            std::thread::sleep(Duration::from_millis(10));
            // Agrees to the end of the pipes; their other halves go after that.
            push.get(ZMQ_EVENTS);
            std::thread::sleep(Duration::from_millis(10));
            for mark in 1..20 {
                push.set(ZMQ_SNDHWM, mark);
            }
        }
    });
}

#[test]
fn comings_and_goings_end_well() {
    in_child("comings_and_goings_end_well", 60, || {
        let folder = tempfile::tempdir().unwrap();
        let ipc = format!("ipc://{}", folder.path().join("s").display());
        let ends = Instant::now() + Duration::from_secs(8);
        std::thread::scope(|scope| {
            for n in 0..4 {
                let ipc = &ipc;
                scope.spawn(move || {
                    let mut vary = vary(n);
                    let mut context = Context::new();
                    let mut turn = 0;
                    while Instant::now() < ends {
                        turn += 1;
                        if turn % 100 == 0 {
                            // Waits for all of its sockets, of which it can have a thousand.
                            context = Context::new();
                        }
                        let tcp = context.pull();
                        let address = tcp.bind("tcp://127.0.0.1:*");
                        let name = std::ffi::CString::new(ipc.as_str()).unwrap();
                        unsafe { zmq_bind(tcp.0, name.as_ptr()) };
                        let push = context.push();
                        // Before zmq_disconnect: its connection lingers by what is set then.
                        push.set(ZMQ_LINGER, 0)
                            .set(ZMQ_IMMEDIATE, vary(2) as i32)
                            .set(ZMQ_RECONNECT_IVL, 1)
                            .set(ZMQ_SNDHWM, 1 + vary(5) as i32);
                        push.connect(&address);
                        push.connect(ipc);
                        for _ in 0..vary(60) {
                            push.send(&vec![0; vary(20_000)], ZMQ_DONTWAIT);
                            if vary(8) == 0 {
                                push.set(ZMQ_SNDHWM, 1 + vary(5) as i32);
                                tcp.set(ZMQ_RCVHWM, 1 + vary(5) as i32);
                            }
                            if vary(3) == 0 {
                                tcp.recv(ZMQ_DONTWAIT);
                            }
                            if vary(20) == 0 {
                                let name = std::ffi::CString::new(address.as_str()).unwrap();
                                unsafe { zmq_disconnect(push.0, name.as_ptr()) };
                            }
                        }
                        if vary(2) == 0 {
                            drop(tcp);
                            push.get(ZMQ_EVENTS);
                            drop(push);
                        }
                    }
                });
            }
        });
    });
}
