//! How far it is: a bar on a terminal, a line now and then elsewhere.

use std::{
    io::{stderr, IsTerminal},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{input::Total, tally::Tally};

/// How often to show it.
pub const PERIOD: Duration = Duration::from_millis(100);

/// How often to print a line where there is no terminal.
const LINE_PERIOD: Duration = Duration::from_secs(1);

pub enum Progress {
    Bar(ProgressBar, Total),
    Lines(&'static str, Instant),
    None,
}

impl Progress {
    pub fn new(what: &'static str, total: Total) -> Self {
        if !stderr().is_terminal() {
            return Self::Lines(what, Instant::now() + LINE_PERIOD);
        }
        let (length, template) = match total {
            Total::Messages(n) => (
                Some(n),
                "{prefix} [{bar:40}] {human_pos} of {human_len} {msg}, {eta} left",
            ),
            Total::Bytes(n) => (
                Some(n),
                "{prefix} [{bar:40}] {bytes} of {total_bytes} {msg}, {eta} left",
            ),
            Total::Unknown => (None, "{prefix} {spinner} {human_pos} messages {msg}"),
        };
        let bar = ProgressBar::with_draw_target(length, indicatif::ProgressDrawTarget::stderr());
        // The template is a fixed text: should it be wrong, the plain bar will do.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self::Bar(bar.with_prefix(what), total)
    }

    pub fn show(&mut self, tally: &Tally, stalls: u64) {
        match self {
            Self::Bar(bar, total) => {
                bar.set_message(format!("({stalls} stalls)"));
                bar.set_position(match total {
                    Total::Bytes(_) => tally.bytes,
                    _ => tally.messages,
                });
            }
            Self::Lines(what, next) if Instant::now() >= *next => {
                *next += LINE_PERIOD;
                eprintln!("{what} so far: {tally}, {stalls} stalls");
            }
            Self::Lines(..) | Self::None => {}
        }
    }

    pub fn clear(&self) {
        if let Self::Bar(bar, _) = self {
            bar.finish_and_clear();
        }
    }
}
