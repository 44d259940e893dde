//! From samples to tables.

use crate::{
    measure::Measurements,
    pair::{Sample, Test},
};
use std::fmt::Write;

/// One row: medians, and ratios to the bare loop of the same round.
pub struct Row {
    pub label: String,
    pub rate: f64,
    pub p50: f64,
    pub p99: f64,
    pub cpu: [f64; 2],
    pub peak: [f64; 2],
    pub others: f64,
    /// Of the rate, or of the middle round trip.
    pub ratio: Option<f64>,
    /// The lowest and the highest of the rounds.
    pub range: Option<[f64; 2]>,
    pub p99_ratio: Option<f64>,
    pub cpu_ratio: Option<f64>,
}

pub fn rows(all: &Measurements, transport: &str, test: Test) -> Vec<Row> {
    let Some(rows) = all.samples.get(&(transport.to_owned(), test)) else {
        return Vec::new();
    };
    let bare = rows
        .iter()
        .find(|(label, _)| label == "bare")
        .map(|(_, s)| s.as_slice());
    rows.iter()
        .map(|(label, samples)| {
            let of = |get: fn(&Sample) -> f64| median(samples.iter().map(get).collect());
            let to_bare = |get: fn(&Sample) -> f64| -> Option<Vec<f64>> {
                let rounds = samples.iter().zip(bare?);
                Some(rounds.map(|(s, b)| get(s) / get(b)).collect())
            };
            let ratios = to_bare(if test == Test::RoundTrip {
                |s| s.p50
            } else {
                |s| s.rate
            });
            Row {
                label: label.clone(),
                rate: of(|s| s.rate),
                p50: of(|s| s.p50),
                p99: of(|s| s.p99),
                cpu: [of(|s| s.cpu[0]), of(|s| s.cpu[1])],
                peak: [of(|s| s.peak[0]), of(|s| s.peak[1])],
                others: of(|s| s.others),
                range: ratios.as_ref().map(|r| {
                    [
                        r.iter().copied().fold(f64::MAX, f64::min),
                        r.iter().copied().fold(0.0, f64::max),
                    ]
                }),
                ratio: ratios.map(median),
                p99_ratio: to_bare(|s| s.p99).map(median),
                cpu_ratio: to_bare(|s| s.cpu[0] + s.cpu[1]).map(median),
            }
        })
        .collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

/// A table to look at while it runs.
pub fn text(all: &Measurements, transport: &str, test: Test) -> String {
    let mut out = String::new();
    let ratio = |r: Option<f64>| r.map_or("-".to_owned(), |r| format!("{r:.2}"));
    let range = |r: Option<[f64; 2]>| r.map_or("-".to_owned(), |[a, b]| format!("{a:.2}-{b:.2}"));
    let rows = rows(all, transport, test);
    if let Test::Size(size) = test {
        let _ = writeln!(
            out,
            "\n{transport}, {size} B      kmsg/s     MB/s  ratio      range  cpu ns/msg push  pull  ratio  peak MB push  pull  others"
        );
        for r in rows {
            let _ = writeln!(
                out,
                "{:<14} {:>10.1} {:>8.0} {:>6} {:>10} {:>16.0} {:>5.0} {:>6} {:>13.1} {:>5.1} {:>6.0}%",
                r.label,
                r.rate / 1e3,
                r.rate * size as f64 / 1e6,
                ratio(r.ratio),
                range(r.range),
                r.cpu[0],
                r.cpu[1],
                ratio(r.cpu_ratio),
                r.peak[0],
                r.peak[1],
                r.others * 100.0,
            );
        }
    } else {
        let _ = writeln!(
            out,
            "\n{transport}, round trip   p50 us  ratio      range   p99 us  ratio  cpu us ping  echo  ratio  peak MB ping  echo  others"
        );
        for r in rows {
            let _ = writeln!(
                out,
                "{:<14} {:>10.1} {:>6} {:>10} {:>8.1} {:>6} {:>12.1} {:>5.1} {:>6} {:>13.1} {:>5.1} {:>6.0}%",
                r.label,
                r.p50 / 1e3,
                ratio(r.ratio),
                range(r.range),
                r.p99 / 1e3,
                ratio(r.p99_ratio),
                r.cpu[0] / 1e3,
                r.cpu[1] / 1e3,
                ratio(r.cpu_ratio),
                r.peak[0],
                r.peak[1],
                r.others * 100.0,
            );
        }
    }
    out
}

/// Everything, one run a line.
pub fn raw(all: &Measurements) -> String {
    let mut out = String::from(
        "transport\ttest\tlabel\trate\tp50_ns\tp99_ns\tcpu_a_ns\tcpu_b_ns\tpeak_a_mb\tpeak_b_mb\tothers\n",
    );
    for ((transport, test), rows) in &all.samples {
        for (label, samples) in rows {
            for s in samples {
                let _ = writeln!(
                    out,
                    "{transport}\t{test:?}\t{label}\t{:.0}\t{:.0}\t{:.0}\t{:.1}\t{:.1}\t{:.1}\t{:.1}\t{:.3}",
                    s.rate, s.p50, s.p99, s.cpu[0], s.cpu[1], s.peak[0], s.peak[1], s.others
                );
            }
        }
    }
    out
}
