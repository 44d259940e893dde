//! The implementations in turn, round after round, and what they achieved.

use crate::{
    options::Options,
    pair::{self, Sample, Test},
};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Measurements {
    /// By transport, test and label, in the order of the rounds.
    pub samples: BTreeMap<(String, Test), Vec<(String, Vec<Sample>)>>,
    pub failures: usize,
}

impl Measurements {
    fn add(&mut self, transport: &str, test: Test, label: &str, sample: Sample) {
        let rows = self
            .samples
            .entry((transport.to_owned(), test))
            .or_default();
        match rows.iter_mut().find(|(l, _)| l == label) {
            Some((_, samples)) => samples.push(sample),
            None => rows.push((label.to_owned(), vec![sample])),
        }
    }
}

/// Others may have this much of the machine before a run is repeated.
const DISTURBED: f64 = 0.10;

/// All rounds of one test.
pub fn rounds(options: &Options, transport: &str, test: Test, all: &mut Measurements) {
    for _ in 0..options.rounds {
        for who in &options.implementations {
            if test == Test::RoundTrip && who.name.ends_with("-batch") {
                continue;
            }
            let mut best: Option<Sample> = None;
            for _ in 0..=options.retries {
                match pair::run(&who.program, &who.name, transport, test, options.scale) {
                    Ok(sample) => {
                        if best.is_none_or(|b| sample.others < b.others) {
                            best = Some(sample);
                        }
                        if sample.others <= DISTURBED {
                            break;
                        }
                    }
                    Err(why) => {
                        eprintln!("{} over {transport}, {test:?}: {why}", who.label);
                        all.failures += 1;
                        break;
                    }
                }
            }
            if let Some(sample) = best {
                all.add(transport, test, &who.label, sample);
            }
        }
    }
}
