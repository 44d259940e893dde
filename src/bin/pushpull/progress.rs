//! How it goes: a line on a terminal, JSON for machines, or nothing.

use std::{
    io::{self, stderr, IsTerminal, Write},
    sync::OnceLock,
    time::{Duration, Instant},
};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use pushpull::Endpoint;
use serde_json::json;

use crate::{args::TellArgs, signals::DRAINING};

/// What has gone through, and what has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    pub records: u64,
    pub bytes: u64,
    /// Taken in, and not yet handed on.
    pub depth: u64,
}

pub struct Progress {
    /// "push", "pull", "forward".
    what: &'static str,
    shown: Shown,
    began: Instant,
    /// The last time that something moved, or that nothing waited.
    moved: Instant,
    last: Moved,
    /// The speed, over the last few looks.
    rate: f64,
    looked: Instant,
}

enum Shown {
    Line(ProgressBar),
    Json(Instant),
    Nothing,
}

/// A halt shorter than this is the usual to and fro.
const STALLED: Duration = Duration::from_secs(1);

const JSON_PERIOD: Duration = Duration::from_secs(1);

/// The line that log lines must not be written into.
static LINE: OnceLock<ProgressBar> = OnceLock::new();

impl Progress {
    /// `aside` tells whether the terminal is free for a line.
    pub fn new(what: &'static str, tell: &TellArgs, aside: bool) -> Self {
        let now = Instant::now();
        let shown = if tell.json {
            Shown::Json(now + JSON_PERIOD)
        } else if aside && !tell.quiet && stderr().is_terminal() {
            let bar = ProgressBar::new_spinner().with_prefix(what);
            // The template is a fixed text: should it be wrong, the plain line will do.
            if let Ok(style) = ProgressStyle::with_template("{prefix} {spinner} {wide_msg}") {
                bar.set_style(style);
            }
            Shown::Line(LINE.get_or_init(|| bar).clone())
        } else {
            Shown::Nothing
        };
        Self {
            what,
            shown,
            began: now,
            moved: now,
            last: Moved::default(),
            rate: 0.0,
            looked: now,
        }
    }

    /// Tells where the queue is, if that is not what was asked for (any free port).
    pub fn opened(&self, endpoints: &[Endpoint], asked: &str) {
        let asked = asked
            .split_once('?')
            .map_or(asked, |(endpoint, _)| endpoint);
        let endpoints: Vec<_> = endpoints.iter().map(Endpoint::to_string).collect();
        if let Shown::Json(_) = self.shown {
            let line = json!({"type": "open", "command": self.what, "endpoints": endpoints});
            eprintln!("{line}");
        } else if let Some(chosen) = endpoints.first().filter(|chosen| *chosen != asked) {
            self.say(&format!("at {chosen}"));
        }
    }

    /// How often to show it. Nobody is woken for nothing more than once a second.
    pub fn period(&self) -> Duration {
        match self.shown {
            Shown::Line(_) => Duration::from_millis(200),
            _ => Duration::from_secs(1),
        }
    }

    pub fn is_shown(&self) -> bool {
        !matches!(self.shown, Shown::Nothing)
    }

    pub fn show(&mut self, moved: Moved) {
        let now = Instant::now();
        if moved.records != self.last.records || moved.depth == 0 {
            self.moved = now;
        }
        let since = now.duration_since(self.looked).as_secs_f64();
        if since > 0.0 {
            let rate = moved.records.saturating_sub(self.last.records) as f64 / since;
            let weight = 1.0 - (-since).exp(); // of the last second, about
            self.rate += (rate - self.rate) * weight.max(f64::from(self.last.records == 0));
        }
        (self.looked, self.last) = (now, moved);
        let stalled = Some(now.duration_since(self.moved)).filter(|t| *t >= STALLED);
        match &mut self.shown {
            Shown::Line(bar) => {
                let mut text = format!(
                    "{} records, {}, {}/s, {} waiting",
                    HumanCount(moved.records),
                    HumanBytes(moved.bytes),
                    HumanCount(self.rate.round() as u64),
                    HumanCount(moved.depth),
                );
                if let Some(stalled) = stalled {
                    text += &format!(", stalled for {} s", stalled.as_secs());
                }
                bar.set_message(text);
                bar.tick();
            }
            Shown::Json(next) if now >= *next => {
                *next = now + JSON_PERIOD;
                let line = json!({
                    "type": "progress",
                    "command": self.what,
                    "seconds": seconds(self.began),
                    "records": moved.records,
                    "bytes": moved.bytes,
                    "records_per_second": self.rate.round(),
                    "depth": moved.depth,
                    "stalled_seconds": stalled.map_or(0, |t| t.as_secs()),
                });
                eprintln!("{line}");
            }
            _ => {}
        }
    }

    /// Makes room for a word to the user.
    pub fn say(&self, text: &str) {
        match &self.shown {
            Shown::Line(bar) => bar.suspend(|| eprintln!("pushpull: {text}")),
            Shown::Json(_) => eprintln!("{}", json!({"type": "note", "text": text})),
            Shown::Nothing => eprintln!("pushpull: {text}"),
        }
    }

    /// To the user who has just pressed Ctrl-C, if there is one.
    pub fn draining(&self) {
        if self.is_shown() || stderr().is_terminal() {
            self.say(DRAINING);
        }
    }

    /// The end; `lost` went nowhere.
    pub fn end(self, moved: Moved, lost: u64) {
        let took = self.began.elapsed().as_secs_f64().max(1e-6);
        let rate = moved.records as f64 / took;
        match self.shown {
            Shown::Line(bar) => {
                bar.finish_and_clear();
                eprintln!(
                    "{}: {} records, {} in {took:.1} s, {}/s",
                    self.what,
                    HumanCount(moved.records),
                    HumanBytes(moved.bytes),
                    HumanCount(rate.round() as u64),
                );
            }
            Shown::Json(_) => {
                let line = json!({
                    "type": "end",
                    "command": self.what,
                    "seconds": seconds(self.began),
                    "records": moved.records,
                    "bytes": moved.bytes,
                    "records_per_second": rate.round(),
                    "lost": lost,
                });
                eprintln!("{line}");
            }
            Shown::Nothing => {}
        }
    }
}

fn seconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
}

/// Standard error beside the line.
pub struct Beside;

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match LINE.get() {
            Some(bar) => bar.suspend(|| stderr().write(bytes)),
            None => stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        stderr().flush()
    }
}
