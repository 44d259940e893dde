//! Processes that send and receive for a test, and that it may kill. Each one
//! writes down what it does, in files that outlive it.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Child,
    sync::mpsc,
    thread,
    time::Duration,
};

use pushpull::{Config, Message, Pull, Push};

use crate::{
    harness::{eventually, play, role, threads, within, Wire, LONG},
    history::History,
    stamp::{Stamp, Torn},
};

/// Where every player begins.
const STAGE: &str = "players::a_sender_and_a_receiver_play_their_parts";

#[test]
fn a_sender_and_a_receiver_play_their_parts() {
    match role().as_deref() {
        Some("sender") => return send(),
        Some("receiver") => return receive(),
        _ => {}
    }
    within(30, || {
        let wire = Wire::new("ipc");
        let mut history = History::of(1);
        let receiver = Player::receiver(&wire, 1, &wire.address());
        let sender = Player::sender(&wire, 1, 2, &receiver.endpoint, "&x-messages=1000");
        sender.is_done_by_itself();
        sender.ends(&mut history);
        receiver.ends(&mut history);
        assert_eq!(history.verdict().is_clean().delivered, 1000);
    });
}

/// One process.
pub struct Player {
    child: Child,
    lines: mpsc::Receiver<String>,
    /// Its number as a sender or receiver.
    pub number: u64,
    /// Where it is bound, or what it calls.
    pub endpoint: String,
    run: u64,
    records: PathBuf,
}

impl Player {
    /// Receives from there until it is told to end. A URL as of
    /// [`Config::from_url`].
    pub fn receiver(wire: &Wire, number: u64, url: &str) -> Self {
        let mut player = Self::start(wire, "receiver", 0, number, url, "");
        let bound = player.says("bound ");
        player.endpoint = bound;
        player
    }

    /// Sends to there until it is told to end. `how` may add options of
    /// [`Config::from_url`], and of [`Part`].
    pub fn sender(wire: &Wire, run: u64, number: u64, url: &str, how: &str) -> Self {
        let mut player = Self::start(wire, "sender", run, number, url, how);
        let bound = player.says("bound ");
        player.endpoint = bound;
        player
    }

    fn start(wire: &Wire, role: &str, run: u64, number: u64, url: &str, how: &str) -> Self {
        let records = wire.dir.path().join(format!("{role}-{number}"));
        let mut url = format!("{url}{}{how}", if url.contains('?') { "" } else { "?" });
        if !url.contains("role=") {
            url += if role == "sender" {
                "&role=connect"
            } else {
                "&role=bind"
            };
        }
        let mut child = play(
            STAGE,
            role,
            &[
                ("PART_URL", &url),
                ("PART_RUN", &run.to_string()),
                ("PART_NUMBER", &number.to_string()),
                ("PART_RECORDS", records.to_str().unwrap()),
            ],
        );
        let (tell, lines) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let mut err = child.stderr.take().unwrap();
        thread::spawn(move || {
            let mut said = String::new();
            let _ = err.read_to_string(&mut said);
            print!("{said}");
        });
        Self {
            child,
            lines,
            number,
            endpoint: url,
            run,
            records,
        }
    }

    /// The rest of the line that begins so.
    #[track_caller]
    pub fn says(&self, what: &str) -> String {
        loop {
            match self.lines.recv_timeout(6 * LONG) {
                Ok(line) => {
                    if let Some((_, rest)) = line.split_once(what) {
                        return rest.to_owned();
                    }
                }
                Err(e) => panic!(
                    "player {} never said {what:?}: {e}\n{}",
                    self.number,
                    threads(self.child.id())
                ),
            }
        }
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: i32) {
        // SAFETY: a signal to a child that has not been waited for.
        let sent = unsafe { libc::kill(self.child.id() as i32, signal) };
        assert_eq!(sent, 0);
    }

    pub fn stops(&self) {
        self.signal(libc::SIGSTOP);
    }

    pub fn goes_on(&self) {
        self.signal(libc::SIGCONT);
    }

    pub fn dies(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// How many messages a sender has tried to send, or a receiver has got.
    pub fn done_so_far(&self) -> u64 {
        if let Ok(records) = fs::metadata(self.log()) {
            return records.len() / RECORD as u64;
        }
        count_in(&self.records)
    }

    /// Waits until it neither sends nor receives any more. Kernels have room for many, and a
    /// little more now and then.
    pub fn is_still(&self) {
        let mut seen = vec![self.done_so_far()];
        loop {
            thread::sleep(Duration::from_millis(150));
            let now = self.done_so_far();
            if seen.last() == Some(&now) {
                return;
            }
            seen.push(now);
            assert!(seen.len() < 200, "it is not still: {seen:?}");
        }
    }

    fn log(&self) -> PathBuf {
        self.records.with_extension("got")
    }

    /// A sender has nothing more to send.
    pub fn is_done_by_itself(&self) {
        self.says("sent all");
    }

    /// Puts a receiver's records of all its lives into the history.
    pub fn confesses(&self, history: &mut History) {
        for record in fs::read(self.log())
            .unwrap_or_default()
            .chunks_exact(RECORD)
        {
            let word = |at: usize| u64::from_le_bytes(record[8 * at..][..8].try_into().unwrap());
            let stamp = Stamp {
                run: word(0),
                sender: word(1),
                seq: word(2),
            };
            let torn = || Torn("as its receiver saw".to_owned());
            history.read(
                self.number,
                (stamp != TORN).then_some(stamp).ok_or_else(torn),
            );
        }
    }

    /// The last message of a sender that this receiver wrote down.
    pub fn last_of(&self, sender: u64) -> Option<u64> {
        let records = fs::read(self.log()).unwrap_or_default();
        let of = |r: &&[u8]| r[8..16] == sender.to_le_bytes();
        let last = records.chunks_exact(RECORD).rev().find(of)?;
        Some(u64::from_le_bytes(last[16..24].try_into().unwrap()))
    }

    /// A dead sender's last word.
    pub fn died(&self, history: &mut History) {
        history.died(self.number, count_in(&self.records));
    }

    /// Ends in good order: a sender drains, a receiver gives back what it has.
    /// All of it goes into the history.
    pub fn ends(mut self, history: &mut History) -> Vec<Message> {
        if self.run == 0 {
            // What is under way to a Pull that closes is lost.
            self.is_still();
        }
        drop(self.child.stdin.take());
        let told = self.says("ended ");
        assert!(self.child.wait().unwrap().success(), "{told}");
        self.confesses(history);
        let mut words = told.split(' ').map(|w| w.parse::<u64>().unwrap());
        let (accepted, doubt) = (words.next().unwrap(), words.next().unwrap());
        let mut back = Vec::new();
        if self.run != 0 {
            history.accepted(self.number, accepted);
            if doubt > 0 {
                history.may_lose(self.number, 0..accepted, doubt);
            }
            let returned = fs::read(self.records.with_extension("back")).unwrap_or_default();
            for seq in returned.chunks_exact(8) {
                let seq = u64::from_le_bytes(seq.try_into().unwrap());
                let message = history.stamp(self.number, seq).message(0);
                history.returned(&message);
                back.push(message);
            }
        }
        back
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const RECORD: usize = 24;

const TORN: Stamp = Stamp {
    run: u64::MAX,
    sender: u64::MAX,
    seq: u64::MAX,
};

fn count_in(file: &Path) -> u64 {
    let bytes = fs::read(file).unwrap_or_default();
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

/// What a player was told, in its environment and in its URL.
struct Part {
    config: Config,
    run: u64,
    number: u64,
    records: PathBuf,
    /// `x-messages`: how many to send; without end unless set.
    messages: u64,
    /// `x-size`: of the largest, in bytes.
    size: u64,
    /// `x-pause`: microseconds between two messages.
    pause: u64,
}

impl Part {
    fn told() -> Self {
        let var = |name: &str| std::env::var(name).unwrap();
        let url = var("PART_URL");
        let (address, query) = url.split_once('?').unwrap_or((&url, ""));
        let (ours, theirs): (Vec<&str>, Vec<&str>) =
            query.split('&').partition(|p| p.starts_with("x-"));
        let ours = |name: &str, unless: u64| {
            let value = ours.iter().find_map(|p| p.strip_prefix(name));
            value.map_or(unless, |v| v.parse().unwrap())
        };
        let url = format!("{address}?{}", theirs.join("&"));
        Self {
            config: Config::from_url(url.trim_end_matches('?')).unwrap(),
            run: var("PART_RUN").parse().unwrap(),
            number: var("PART_NUMBER").parse().unwrap(),
            records: var("PART_RECORDS").into(),
            messages: ours("x-messages=", u64::MAX),
            size: ours("x-size=", 3000),
            pause: ours("x-pause=", 0),
        }
    }
}

/// Tells when the test closes our input, which is its word to end.
fn told_to_end() -> mpsc::Receiver<()> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        drop(tell);
    });
    told
}

fn over(told: &mpsc::Receiver<()>) -> bool {
    told.try_recv() == Err(mpsc::TryRecvError::Disconnected)
}

fn send() {
    let part = Part::told();
    let end = told_to_end();
    let push = Push::open(part.config).unwrap();
    println!("\nbound {}", push.endpoints()[0]);
    let tried = File::create(&part.records).unwrap();
    let mut seq = 0;
    'sending: while seq < part.messages {
        let stamp = Stamp {
            run: part.run,
            sender: part.number,
            seq,
        };
        // Small and large, one frame and several.
        let size = (seq * 7919 % 1000 * part.size / 1000) as usize;
        let mut message = match seq % 3 {
            0 => stamp.message(part.size as usize),
            1 => stamp.message(size),
            _ => stamp.frames(&[0, size / 2, size / 2]),
        };
        // Before and not after: what it may have sent is what counts.
        tried.write_all_at(&(seq + 1).to_le_bytes(), 0).unwrap();
        while let Err(full) = push.send_timeout(message, Duration::from_millis(50)) {
            assert!(full.is_timeout(), "{full}");
            if over(&end) {
                break 'sending;
            }
            message = full.into_inner();
        }
        seq += 1;
        if part.pause > 0 {
            thread::sleep(Duration::from_micros(part.pause));
        }
        if seq % 16 == 0 && over(&end) {
            break;
        }
    }
    println!("\nsent all");
    let _ = end.recv();
    let (back, doubt) = match push.drain(4 * LONG) {
        Ok(_) => (Vec::new(), 0),
        Err(error) => {
            eprintln!("{error}");
            let unsent = error.into_unsent();
            let doubt = unsent.in_doubt();
            (unsent.collect(), doubt)
        }
    };
    let back: Vec<u8> = back
        .iter()
        .flat_map(|m| Stamp::read(m).unwrap().seq.to_le_bytes())
        .collect();
    fs::write(part.records.with_extension("back"), back).unwrap();
    println!("\nended {seq} {doubt}");
}

fn receive() {
    let part = Part::told();
    let end = told_to_end();
    let mut pull = None;
    eventually("the place is free", || {
        pull = Pull::open(part.config.clone()).ok();
        pull.is_some()
    });
    let pull = pull.unwrap();
    let path = part.records.with_extension("got");
    let mut log = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    let bound: Vec<_> = pull.endpoints().iter().map(ToString::to_string).collect();
    println!("\nbound {}", bound.join(" "));
    let mut write_down = |message: &Message| {
        let stamp = Stamp::read(message).unwrap_or(TORN);
        let mut record = [0; RECORD];
        for (place, value) in record
            .chunks_exact_mut(8)
            .zip([stamp.run, stamp.sender, stamp.seq])
        {
            place.copy_from_slice(&value.to_le_bytes());
        }
        log.write_all(&record).unwrap();
    };
    while !over(&end) {
        if let Ok(message) = pull.recv_timeout(Duration::from_millis(50)) {
            write_down(&message);
            if part.pause > 0 {
                thread::sleep(Duration::from_micros(part.pause));
            }
        }
    }
    pull.close().unwrap().for_each(|m| write_down(&m));
    println!("\nended 0 0");
}
