//! The measured part of `docs/performance.md`, and the plot beside it.

use crate::{measure::Measurements, options::Options, pair::Test, report};
use std::{fmt::Write, fs, path::Path, process::Command};

/// Replaces what stands between two markers, and nothing else.
pub fn insert(file: &Path, what: &str, text: &str) -> Result<(), String> {
    let fail = |why: &str| format!("{}: {why}", file.display());
    let old = fs::read_to_string(file).map_err(|e| fail(&e.to_string()))?;
    let (begin, end) = (
        format!("<!-- {what}: begin -->"),
        format!("<!-- {what}: end -->"),
    );
    let (before, rest) = old
        .split_once(&begin)
        .ok_or_else(|| fail(&format!("has no {begin}")))?;
    let (_, after) = rest
        .split_once(&end)
        .ok_or_else(|| fail(&format!("has no {end}")))?;
    let new = format!("{before}{begin}\n{}\n{end}{after}", text.trim_end());
    fs::write(file, new).map_err(|e| fail(&e.to_string()))
}

pub fn markdown(all: &Measurements, options: &Options) -> String {
    let mut out = machine(options);
    for transport in &options.transports {
        for test in &options.tests {
            out.push_str(&table(all, transport, *test));
        }
    }
    out
}

fn table(all: &Measurements, transport: &str, test: Test) -> String {
    let rows = report::rows(all, transport, test);
    if rows.is_empty() {
        return String::new();
    }
    let mut out = String::new();
    let ratio = |r: Option<f64>| r.map_or("-".to_owned(), |r| format!("{r:.2}"));
    let range =
        |r: Option<[f64; 2]>| r.map_or(String::new(), |[a, b]| format!(" ({a:.2} to {b:.2})"));
    let row = |r: &report::Row| {
        format!(
            "{} | {:.1} + {:.1} |",
            ratio(r.cpu_ratio),
            r.peak[0],
            r.peak[1]
        )
    };
    match test {
        Test::Size(size) => {
            let _ = writeln!(
                out,
                "\n### {transport}, {}\n\n| | messages/s | MB/s | to bare (range) | processor ns/message, push + pull | to bare | peak MB, push + pull |\n|---|--:|--:|--:|--:|--:|--:|",
                bytes(size)
            );
            for r in &rows {
                let _ = writeln!(
                    out,
                    "| {} | {} | {:.0} | {}{} | {:.0} + {:.0} | {}",
                    r.label,
                    thousands(r.rate),
                    r.rate * size as f64 / 1e6,
                    ratio(r.ratio),
                    range(r.range),
                    r.cpu[0],
                    r.cpu[1],
                    row(r),
                );
            }
        }
        Test::RoundTrip => {
            let _ = writeln!(
                out,
                "\n### {transport}, round trips of 64 B\n\n| | p50 us | to bare (range) | p99 us | to bare | processor us/trip, ask + answer | to bare | peak MB, ask + answer |\n|---|--:|--:|--:|--:|--:|--:|--:|"
            );
            for r in &rows {
                let _ = writeln!(
                    out,
                    "| {} | {:.1} | {}{} | {:.1} | {} | {:.1} + {:.1} | {}",
                    r.label,
                    r.p50 / 1e3,
                    ratio(r.ratio),
                    range(r.range),
                    r.p99 / 1e3,
                    ratio(r.p99_ratio),
                    r.cpu[0] / 1e3,
                    r.cpu[1] / 1e3,
                    row(r),
                );
            }
        }
    }
    out
}

fn bytes(size: usize) -> String {
    match size {
        s if s >= 1 << 20 && s % (1 << 20) == 0 => format!("{} MiB", s >> 20),
        s if s >= 1 << 10 && s % (1 << 10) == 0 => format!("{} KiB", s >> 10),
        s => format!("{s} B"),
    }
}

fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// When and where it was measured, and how.
fn machine(options: &Options) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let say = |command: &str, args: &[&str]| {
        Command::new(command)
            .args(args)
            .output()
            .map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
            .unwrap_or_default()
    };
    let after = |text: &str, key: &str| {
        text.lines()
            .find_map(|l| l.strip_prefix(key)?.split_once(':'))
            .map_or(String::new(), |(_, v)| v.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = after(&read("/proc/meminfo"), "MemTotal");
    let memory = memory.split(' ').next().and_then(|k| k.parse::<f64>().ok());
    let (major, minor, patch) = zmq::version();
    format!(
        "Measured on {} with {cores} cores of {} and {:.0} GB, Linux {}, {}. The bare loop \
         runs on libzmq {major}.{minor}.{patch}. {} rounds; medians; ratios are to the bare loop of the \
         same round.\n",
        say("date", &["-u", "+%F"]),
        after(&read("/proc/cpuinfo"), "model name"),
        memory.unwrap_or(0.0) / 1e6,
        read("/proc/sys/kernel/osrelease").trim(),
        say("rustc", &["--version"]),
        options.rounds,
    )
}

const COLOURS: [&str; 8] = [
    "#555555", "#b8860b", "#8e5bb5", "#2f7fc1", "#999999", "#c0392b", "#1b8a5a", "#d35400",
];
/// Of a panel, in pixels.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 260.0;
/// The axis, in powers of two: a quarter to sixteen times the bare loop.
const LOWEST: f64 = -2.0;
const HIGHEST: f64 = 4.0;

/// Throughput as a ratio to the bare loop's, by size; a panel for each
/// transport.
pub fn plot(all: &Measurements, options: &Options) -> String {
    let sizes: Vec<usize> = options
        .tests
        .iter()
        .filter_map(|test| match test {
            Test::Size(size) => Some(*size),
            Test::RoundTrip => None,
        })
        .collect();
    let total = 60.0 + options.transports.len() as f64 * (WIDTH + 60.0) + 90.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{total}\" height=\"360\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let y = |ratio: f64| {
        let at = ratio.log2().clamp(LOWEST, HIGHEST);
        50.0 + HEIGHT * (HIGHEST - at) / (HIGHEST - LOWEST)
    };
    let labels: Vec<&String> = options.implementations.iter().map(|i| &i.label).collect();
    for (panel, transport) in options.transports.iter().enumerate() {
        let left = 60.0 + panel as f64 * (WIDTH + 60.0);
        let x = |i: usize| left + WIDTH * (i as f64 + 0.5) / sizes.len() as f64;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"28\" text-anchor=\"middle\">{transport}: messages a second, to the bare loop</text>",
            left + WIDTH / 2.0
        );
        for ratio in [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0] {
            let stroke = if ratio == 1.0 { "#555555" } else { "#dddddd" };
            let _ = writeln!(
                out,
                "<line x1=\"{left}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{stroke}\"/>\n\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{ratio}x</text>",
                left + WIDTH,
                left - 6.0,
                y(ratio) + 4.0,
                y = y(ratio),
            );
        }
        for (i, size) in sizes.iter().enumerate() {
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                x(i),
                50.0 + HEIGHT + 20.0,
                bytes(*size)
            );
        }
        for (n, label) in labels.iter().enumerate() {
            let points: Vec<(f64, f64)> = sizes
                .iter()
                .enumerate()
                .filter_map(|(i, size)| {
                    let rows = report::rows(all, transport, Test::Size(*size));
                    let row = rows.into_iter().find(|row| row.label == **label)?;
                    Some((x(i), y(row.ratio?)))
                })
                .collect();
            let colour = COLOURS[n % COLOURS.len()];
            let path: Vec<_> = points
                .iter()
                .map(|(x, y)| format!("{x:.1},{y:.1}"))
                .collect();
            let wide = if label.starts_with("ours") { 3 } else { 1 };
            let _ = writeln!(
                out,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{wide}\"/>",
                path.join(" ")
            );
            for (x, y) in points {
                let _ = writeln!(
                    out,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
                );
            }
        }
    }
    for (n, label) in labels.iter().enumerate() {
        let (x, y) = (total - 90.0, 60.0 + 20.0 * n as f64);
        let colour = COLOURS[n % COLOURS.len()];
        let _ = writeln!(
            out,
            "<circle cx=\"{x}\" cy=\"{}\" r=\"4\" fill=\"{colour}\"/><text x=\"{}\" y=\"{y}\">{label}</text>",
            y - 4.0,
            x + 10.0
        );
    }
    out.push_str("</svg>\n");
    out
}
