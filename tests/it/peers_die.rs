//! Peers that die, stop, and come back: what may be lost with them is what they
//! had, and nothing else; see "What can be lost" in the tour.

use std::{fs, time::Duration};

use pushpull::{Pull, Push};

use crate::{
    harness::{
        at, eventually, in_own_process, ms, over_ipc_and_tcp, patience, timed, Wire, LONG, PROMPT,
    },
    history::History,
    meter::{resident, Holdings},
    players::Player,
    proxy::Proxy,
};

/// What a connection holds, both ends' kernel buffers together.
const UNDER_WAY: u64 = 8 << 20;
/// Of any three messages of a player one is of 3000 bytes.
const BYTES_EACH: u64 = 1000;
const HELD: u64 = 50;
/// The most that a worker has in hand.
const HAND: u64 = HELD;
const SMALL: &str = "capacity=50&high_water_mark=50";
const QUICK: &str = "&capacity=50&high_water_mark=50&reconnect=1ms,20ms";

/// What a receiver with [`SMALL`] queues may have had: its channel, its libzmq,
/// one message in each hand, and its connection.
const LOST_AT_MOST: u64 = 2 * HELD + 2 + UNDER_WAY / BYTES_EACH;

#[test]
fn a_receiver_that_is_killed_in_mid_stream_takes_what_it_had_and_no_more() {
    over_ipc_and_tcp(60, |wire| {
        let mut history = History::of(2);
        let url = format!("{}?{SMALL}", wire.lasting_address());
        let mut receiver = Player::receiver(wire, 0, &url);
        let place = receiver.endpoint.clone();
        let sender = Player::sender(wire, 2, 100, &place, QUICK);
        for life in 1..=4 {
            let got = receiver.done_so_far();
            eventually("it is in mid-stream", || receiver.done_so_far() > got + 500);
            receiver.dies();
            receiver.confesses(&mut history);
            let last = receiver.last_of(100).unwrap();
            // On the same path or port; the file of the dead one is in the way.
            receiver = Player::receiver(wire, life, &format!("{place}?{SMALL}"));
            eventually("it goes on", || receiver.done_so_far() > 10);
            history.may_lose(100, last + 1..sender.done_so_far(), LOST_AT_MOST);
        }
        sender.ends(&mut history);
        receiver.ends(&mut history);
        history.verdict().is_clean();
    });
}

/// What waited for the one that is gone goes to the other, or comes back.
#[test]
fn receivers_that_are_killed_under_a_bound_sender_take_what_they_had_and_no_more() {
    over_ipc_and_tcp(60, |wire| {
        let mut history = History::of(3);
        let sender = Player::sender(
            wire,
            3,
            100,
            &wire.lasting_address(),
            &format!("&role=bind{QUICK}"),
        );
        let url = format!(
            "{}?role=connect&{SMALL}&reconnect=1ms,20ms",
            sender.endpoint
        );
        let mut receivers = [0, 1].map(|n| Player::receiver(wire, n, &url));
        for life in 2..=5 {
            let one = life as usize % 2;
            let got = receivers[one].done_so_far();
            eventually("it is in mid-stream", || {
                receivers[one].done_so_far() > got + 300
            });
            receivers[one].dies();
            receivers[one].confesses(&mut history);
            let last = receivers[one].last_of(100).unwrap();
            receivers[one] = Player::receiver(wire, life, &url);
            eventually("it goes on", || receivers[one].done_so_far() > 10);
            history.may_lose(100, last + 1..sender.done_so_far(), LOST_AT_MOST);
        }
        let back = sender.ends(&mut history);
        println!("{} came back", back.len());
        for receiver in receivers {
            receiver.ends(&mut history);
        }
        history.verdict().is_clean();
    });
}

/// What the dead one's kernel has arrives; what it had itself is gone.
#[test]
fn a_sender_that_is_killed_in_mid_stream_takes_what_it_had_and_no_more() {
    over_ipc_and_tcp(60, |wire| {
        let mut history = History::of(4);
        let receiver = Player::receiver(wire, 0, &format!("{}?{SMALL}", wire.lasting_address()));
        for number in 100..105 {
            let mut sender = Player::sender(wire, 4, number, &receiver.endpoint, QUICK);
            eventually("it is in mid-stream", || sender.done_so_far() > 1000);
            sender.dies();
            sender.died(&mut history);
            // Its channel, its hand, its pipe, and what was encoded for one write.
            let encoded = (256 << 10) / BYTES_EACH;
            history.may_lose(number, 0..sender.done_so_far(), 2 * HELD + HAND + encoded);
        }
        let last = Player::sender(wire, 4, 200, &receiver.endpoint, "&x-messages=100");
        last.ends(&mut history);
        receiver.ends(&mut history);
        history.verdict().is_clean();
    });
}

/// Nothing of it is delivered, and the memory for it comes back.
#[test]
fn a_sender_that_is_killed_in_the_middle_of_64_mib_leaves_nothing_behind() {
    in_own_process(60, || {
        for transport in ["ipc", "tcp"] {
            let wire = Wire::new(transport);
            let mut history = History::of(5);
            let pull = wire.pull();
            let proxy = Proxy::before(&at(&pull), &wire);
            let before = resident();
            for number in 0..2 {
                // What is left of the one before may still pass.
                let before = proxy.passed();
                proxy.lets_pass(20 << 20);
                let size = "&x-size=67108864&x-messages=1";
                let mut sender = Player::sender(&wire, 5, number, &proxy.address, size);
                eventually("it is in the middle", || {
                    proxy.passed() - before >= 20 << 20
                });
                sender.dies();
                sender.died(&mut history);
                proxy.flows();
            }
            let sender = Player::sender(&wire, 5, 3, &proxy.address, "&x-messages=50");
            for _ in 0..50 {
                history.delivered(0, &pull.recv_timeout(LONG).unwrap());
            }
            sender.ends(&mut history);
            assert!(pull.close().unwrap().is_empty());
            assert_eq!(history.verdict().is_clean().delivered, 50);
            let grown = || resident().saturating_sub(before);
            let most = 4096 * u64::from(patience());
            eventually("the memory is free again", || grown() < most);
            println!("{transport}: {before} KiB before, {} KiB more", grown());
        }
    });
}

#[test]
fn a_peer_that_is_stopped_for_long_costs_nothing_but_time() {
    over_ipc_and_tcp(60, |wire| {
        let mut history = History::of(6);
        let receiver = Player::receiver(wire, 0, &format!("{}?{SMALL}", wire.lasting_address()));
        let sender = Player::sender(wire, 6, 100, &receiver.endpoint, QUICK);
        for turn in 0..2 {
            let stopped = [&receiver, &sender][turn];
            let other = [&sender, &receiver][turn];
            eventually("they are in mid-stream", || receiver.done_so_far() > 500);
            stopped.stops();
            other.is_still();
            let seen = other.done_so_far();
            let before = processor_time(other);
            std::thread::sleep(Duration::from_secs(1));
            let used = processor_time(other) - before;
            assert!(
                used < ms(100) * patience(),
                "{used:?} in a second of waiting"
            );
            assert_eq!(other.done_so_far(), seen);
            stopped.goes_on();
            eventually("it goes on", || other.done_so_far() > seen + 100);
        }
        sender.ends(&mut history);
        receiver.ends(&mut history);
        assert_eq!(history.verdict().is_clean().possibly_lost, 0);
    });
}

fn processor_time(player: &Player) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", player.process())).unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks = |n: usize| after_name.split_whitespace().nth(n).unwrap().parse::<u64>();
    // User and system time, in hundredths of a second.
    ms(10 * (ticks(11).unwrap() + ticks(12).unwrap()))
}

/// A line that is cut, again and again, costs what was on it.
#[test]
fn a_line_that_is_cut_takes_what_was_on_it_and_no_more() {
    over_ipc_and_tcp(60, |wire| cut_again_and_again(wire, Player::is_still));
}

/// Over tcp the end of a connection may be behind what the receiver has no room for.
#[test]
fn a_line_that_is_cut_under_a_receiver_that_is_behind_changes_no_order() {
    over_ipc_and_tcp(60, |wire| cut_again_and_again(wire, |_| ()));
}

fn cut_again_and_again(wire: &Wire, before: impl Fn(&Player)) {
    let mut history = History::of(7);
    let url = format!("{}?{SMALL}&x-pause=100", wire.lasting_address());
    let receiver = Player::receiver(wire, 0, &url);
    let proxy = Proxy::before(&receiver.endpoint, wire);
    let sender = Player::sender(wire, 7, 100, &proxy.address, QUICK);
    let flows = || {
        let got = receiver.done_so_far();
        eventually("it flows", || receiver.done_so_far() > got + 300);
    };
    for turn in 0..6 {
        flows();
        if turn % 2 == 0 {
            // With as much inside as there can be.
            proxy.stalls();
            before(&receiver);
        } else {
            receiver.stops();
            std::thread::sleep(ms(50));
            proxy.stalls();
            receiver.goes_on();
            before(&receiver);
        }
        let last = receiver.last_of(100).unwrap();
        proxy.cuts();
        proxy.flows();
        flows();
        let among = last + 1..sender.done_so_far();
        // Two connections, and a receiver that is slow for long lets the kernel take more:
        // 19 MB were seen.
        history.may_lose(100, among, 4 * UNDER_WAY / BYTES_EACH);
    }
    // Slow is not cut.
    proxy.trickles(500);
    std::thread::sleep(ms(300));
    proxy.flows();
    sender.ends(&mut history);
    receiver.ends(&mut history);
    history.verdict().is_clean();
}

/// The one name that is being looked up holds nothing up. libzmq does that in its
/// I/O thread, which nobody can wake: what it holds is in doubt, and the thread
/// ends when the look-up does.
#[test]
fn a_name_that_is_looked_up_for_ever_does_not_hold_up_the_end() {
    in_own_process(60, || {
        const NOWHERE: &str = "tcp://nobody.knows.example:5555";
        let _server = match a_deaf_name_server() {
            Ok(server) => server,
            Err(reason) => return println!("skipped: no mounts here: {reason}"),
        };
        let before = Holdings::now();
        for _ in 0..3 {
            let push = Push::connect(NOWHERE).unwrap();
            push.send("kept").unwrap();
            eventually("libzmq has it", || push.stats().sent == 1);
            let pull = Pull::connect(NOWHERE).unwrap();
            let (took, unsent) = timed(|| push.abort());
            println!("abort took {took:?}");
            assert!(took < 2 * PROMPT * patience(), "{took:?}");
            let doubt = unsent.in_doubt();
            assert_eq!(unsent.count() as u64 + doubt, 1);
            let (took, leftover) = timed(|| pull.close());
            println!("close took {took:?}");
            assert!(took < 2 * PROMPT * patience(), "{took:?}");
            assert!(leftover.unwrap().is_empty());
        }
        eventually("all is gone, once the look-ups are over", || {
            before.is_unchanged()
        });
    });
}

/// From here on this process, and nobody else, asks a name server that never
/// answers.
fn a_deaf_name_server() -> std::io::Result<std::net::UdpSocket> {
    // Loopback, and nobody's: most systems have nothing at this one.
    let server = std::net::UdpSocket::bind("127.83.19.7:53")?;
    let file = tempfile::NamedTempFile::new()?;
    fs::write(
        file.path(),
        "nameserver 127.83.19.7\noptions timeout:1 attempts:1\n",
    )?;
    let text = |text: &str| std::ffi::CString::new(text).unwrap();
    let (own, root) = (text(file.path().to_str().unwrap()), text("/"));
    let resolv = text(fs::canonicalize("/etc/resolv.conf")?.to_str().unwrap());
    let (private, null) = (libc::MS_REC | libc::MS_PRIVATE, std::ptr::null());
    // SAFETY: numbers, and texts that end in NUL and outlive the calls.
    let done = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(null, root.as_ptr(), null, private, null.cast()) == 0
            && libc::mount(
                own.as_ptr(),
                resolv.as_ptr(),
                null,
                libc::MS_BIND,
                null.cast(),
            ) == 0
    };
    if done {
        Ok(server)
    } else {
        Err(std::io::Error::last_os_error())
    }
}
