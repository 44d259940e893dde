//! A monkey at the switches: senders and receivers in processes of their own,
//! over ipc and tcp, directly and through bad lines, while chance kills, stops,
//! cuts and slows them. What may be gone is what those had that died.

use std::{
    collections::BTreeMap,
    env, thread,
    time::{Duration, Instant},
};

use crate::{
    chance::Chance,
    harness::{ms, within, Wire},
    history::{History, Verdict},
    players::Player,
    proxy::Proxy,
};

const RUN: u64 = 8;
const HELD: u64 = 50;
/// The most that a worker has in hand.
const HAND: u64 = HELD;
const SMALL: &str = "capacity=50&high_water_mark=50";
/// What two connections hold, one on each side of a bad line, at the least
/// average size of a player's messages.
const UNDER_WAY: u64 = (16 << 20) / 1000;
/// Nothing moved for so long: something hangs.
const ALARM: Duration = Duration::from_secs(30);

/// `PUSHPULL_SOAK_SECONDS` and `PUSHPULL_SEED` make it longer and another one.
#[test]
fn a_monkey_finds_nothing_lost_doubled_reordered_torn_or_stuck() {
    let given = |name: &str, unless: u64| {
        let value = env::var(name).map(|v| v.parse::<u64>().unwrap());
        value.unwrap_or(unless)
    };
    let seconds = given("PUSHPULL_SOAK_SECONDS", 8);
    let seed = given("PUSHPULL_SEED", 1);
    within(seconds + 120, || {
        println!("seed {seed}, {seconds} s");
        let verdict = Circus::open(seed).plays(Duration::from_secs(seconds));
        assert!(verdict.is_clean().delivered > 100 * seconds);
    });
}

struct Circus {
    chance: Chance,
    history: History,
    ipc: Wire,
    tcp: Wire,
    senders: Vec<Player>,
    receivers: Vec<Player>,
    /// The numbers of all lives of each receiver.
    lives: Vec<Vec<u64>>,
    /// In front of each receiver: one over ipc, one over tcp.
    lines: Vec<[Proxy; 2]>,
    next: u64,
    /// What may be lost once its end is known: senders, and the first message.
    losses: Vec<Loss>,
    faults: BTreeMap<&'static str, u64>,
}

/// What a fault may have cost.
struct Loss {
    /// The first message of each sender.
    from: BTreeMap<u64, u64>,
    at_most: u64,
}

impl Circus {
    fn open(seed: u64) -> Self {
        let (ipc, tcp) = (Wire::new("ipc"), Wire::new("tcp"));
        let receivers: Vec<_> = (0..3)
            .map(|n| {
                Player::receiver(
                    &ipc,
                    n,
                    &format!("{}?also_bind=tcp://127.0.0.1:0&{SMALL}", ipc.address()),
                )
            })
            .collect();
        let lines = receivers.iter().map(|r| {
            let (path, port) = r.endpoint.split_once(' ').unwrap();
            [Proxy::before(path, &ipc), Proxy::before(port, &tcp)]
        });
        let lines = lines.collect();
        let mut circus = Self {
            chance: Chance::of(seed),
            history: History::of(RUN),
            ipc,
            tcp,
            senders: Vec::new(),
            lives: (0..3).map(|n| vec![n]).collect(),
            receivers,
            lines,
            next: 100,
            losses: Vec::new(),
            faults: BTreeMap::new(),
        };
        for place in 0..4 {
            let sender = circus.sender(place);
            circus.senders.push(sender);
        }
        circus
    }

    /// The first calls the receivers' paths, the second calls them through bad
    /// lines, the others call the ports through bad lines.
    fn sender(&mut self, place: usize) -> Player {
        self.next += 1;
        let addresses: Vec<_> = (0..3)
            .map(|n| match place {
                0 => self.receivers[n]
                    .endpoint
                    .split_once(' ')
                    .unwrap()
                    .0
                    .to_owned(),
                1 => self.lines[n][0].address.clone(),
                _ => self.lines[n][1].address.clone(),
            })
            .collect();
        let url = format!(
            "{}?also_connect={}&also_connect={}",
            addresses[0], addresses[1], addresses[2]
        );
        let how = format!("&{SMALL}&reconnect=1ms,50ms&x-pause=100");
        Player::sender(&self.ipc, RUN, self.next, &url, &how)
    }

    fn plays(mut self, time: Duration) -> Verdict {
        let until = Instant::now() + time;
        let (mut moved, mut seen) = (Instant::now(), 0);
        while Instant::now() < until {
            self.something_happens();
            self.settles();
            let now = self.receivers.iter().map(Player::done_so_far).sum();
            if seen != now {
                (moved, seen) = (Instant::now(), now);
            }
            assert!(moved.elapsed() < ALARM, "nothing moves");
        }
        println!("{:?}", self.faults);
        self.ends()
    }

    fn something_happens(&mut self) {
        let one = self.chance.below(3) as usize;
        let who = self.chance.below(4) as usize;
        let side = self.chance.below(2) as usize;
        let while_ = ms(self.chance.below(400));
        let what = match self.chance.below(12) {
            0 | 1 => {
                self.a_receiver_dies(one, while_);
                "a receiver died"
            }
            2 => {
                self.a_sender_dies(who);
                "a sender died"
            }
            3 => {
                self.receivers[one].stops();
                thread::sleep(while_ * 3);
                self.receivers[one].goes_on();
                "a receiver was stopped"
            }
            4 => {
                self.senders[who].stops();
                thread::sleep(while_ * 3);
                self.senders[who].goes_on();
                "a sender was stopped"
            }
            5..=7 => {
                self.may_lose(one, UNDER_WAY);
                self.lines[one][side].cuts();
                "a line was cut"
            }
            8 => {
                self.lines[one][side].stalls();
                thread::sleep(while_);
                self.may_lose(one, UNDER_WAY);
                self.lines[one][side].cuts();
                self.lines[one][side].flows();
                "a full line was cut"
            }
            9 => {
                self.lines[one][side].stalls();
                thread::sleep(while_);
                self.lines[one][side].flows();
                "a line stalled"
            }
            _ => {
                self.lines[one][side].trickles(1 + while_.as_millis() as u64);
                thread::sleep(while_ * 2);
                self.lines[one][side].flows();
                "a line was slow"
            }
        };
        *self.faults.entry(what).or_default() += 1;
    }

    /// From the last message that it wrote down on, of each sender: until when
    /// will be known later.
    fn may_lose(&mut self, one: usize, at_most: u64) {
        let receiver = &self.receivers[one];
        let from = |sender: u64| (sender, receiver.last_of(sender).map_or(0, |last| last + 1));
        self.losses.push(Loss {
            from: (101..=self.next).map(from).collect(),
            at_most,
        });
    }

    fn a_receiver_dies(&mut self, one: usize, pause: Duration) {
        self.receivers[one].dies();
        self.may_lose(one, 2 * HELD + 2 + UNDER_WAY);
        self.receivers[one].confesses(&mut self.history);
        thread::sleep(pause);
        self.next_number_is_free();
        let place = self.receivers[one]
            .endpoint
            .split_once(' ')
            .unwrap()
            .0
            .to_owned();
        let number = self.lives.iter().map(Vec::len).sum::<usize>() as u64 + 10_000;
        let url = format!("{place}?also_bind=tcp://127.0.0.1:0&{SMALL}");
        let again = Player::receiver(&self.ipc, number, &url);
        self.lines[one][1].leads_to(again.endpoint.split_once(' ').unwrap().1);
        self.lives[one].push(number);
        self.receivers[one] = again;
    }

    fn next_number_is_free(&self) {
        assert!(
            self.next < 10_000,
            "senders and receivers have numbers of their own"
        );
    }

    fn a_sender_dies(&mut self, place: usize) {
        let successor = self.sender(place);
        let mut dead = std::mem::replace(&mut self.senders[place], successor);
        dead.dies();
        dead.died(&mut self.history);
        // Its channel, its hand, and for each receiver its pipe and what was
        // being encoded.
        let had = HELD + HAND + 3 * (HELD + 16);
        self.history
            .may_lose(dead.number, 0..dead.done_so_far(), had);
    }

    /// What is sent from here on can not be lost to what happened before.
    fn settles(&mut self) {
        thread::sleep(ms(200 + self.chance.below(300)));
        let alive = |number| self.senders.iter().find(|s| s.number == number);
        for loss in self.losses.drain(..) {
            for (sender, from) in loss.from {
                // Those that are dead send nothing more.
                let until = alive(sender).map_or(u64::MAX, Player::done_so_far);
                self.history.may_lose(sender, from..until, loss.at_most);
            }
        }
    }

    fn ends(mut self) -> Verdict {
        self.settles();
        for sender in std::mem::take(&mut self.senders) {
            sender.ends(&mut self.history);
        }
        for receiver in std::mem::take(&mut self.receivers) {
            receiver.ends(&mut self.history);
        }
        drop(self.tcp);
        self.history.verdict()
    }
}
