//! The same valid configuration under orlop and under another runtime: what the program sees must be the same.
//!
//! Configurations come from a generator with a seed; a difference is reduced to the fewest features that show it.
//! `ORLOP_PEER` is the other runtime, `ORLOP_CONFIGURATIONS` their number and `ORLOP_SEED` the first seed; without a
//! peer, orlop is compared with itself, which shows that the generator makes valid configurations and that a container
//! does not depend on chance. docs/CONFORMANCE.md explains the differences that are [known](explained).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test may panic.

mod dice;
mod explained;
mod features;
mod mounts;
mod observation;
mod process;

use dice::Dice;
use features::{FEATURES, Feature};
use kit::{Bundle, Test};
use observation::Observation;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Configurations of a run, unless `ORLOP_CONFIGURATIONS` is set.
const CONFIGURATIONS: u64 = 60;
/// The most kinds of difference that are reported; with one more the run ends.
const REPORTED: usize = 40;

fn main() -> std::process::ExitCode {
    kit::main_in_turn(env!("CARGO_BIN_EXE_orlop"), || kit::cases![generated_configurations])
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A configuration: its seed, and which features it has.
#[derive(Clone, Debug)]
struct Configuration {
    seed: u64,
    features: Vec<&'static Feature>,
}

impl Configuration {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let features = FEATURES.iter().filter(|feature| dice.below(100) < feature.weight).collect();
        Self { seed, features }
    }

    /// Each feature has dice of its own, so that it stays the same without the others.
    fn apply<'t>(&self, bundle: Bundle<'t>) -> Bundle<'t> {
        self.features.iter().fold(bundle, |bundle, feature| {
            let mut dice = Dice::new(self.seed ^ Dice::of_text(feature.name));
            (feature.apply)(&mut dice, bundle)
        })
    }

    fn without(&self, name: &str) -> Self {
        let features = self.features.iter().copied().filter(|feature| feature.name != name).collect();
        Self { features, ..self.clone() }
    }
}

/// What differs, by JSON pointer: orlop's value and the peer's.
type Difference = BTreeMap<String, (String, String)>;

struct Comparison<'t> {
    test: &'t Test,
    peer: PathBuf,
}

impl Comparison<'_> {
    fn observe(&self, configuration: &Configuration, peer: bool) -> Observation {
        let bundle = configuration.apply(features::base(self.test.bundle()));
        let run = bundle.command("run", &[]);
        let output = if peer { run.program(&self.peer).output() } else { run.output() };
        let observation = Observation::new(&output, &bundle);
        let _ = std::fs::remove_dir_all(bundle.dir());
        observation
    }

    /// What differs and is not explained.
    fn difference(&self, configuration: &Configuration) -> Difference {
        let (ours, theirs) = (self.observe(configuration, false), self.observe(configuration, true));
        let mut found = ours.compare(&theirs);
        found.retain(|pointer, (ours, theirs)| explained::reason(pointer, ours, theirs).is_none());
        found
    }

    /// The fewest features that show a difference at one of these pointers.
    fn reduce(&self, configuration: &Configuration, found: &Difference) -> (Configuration, Difference) {
        let (mut smallest, mut shown) = (configuration.clone(), found.clone());
        for feature in &configuration.features {
            let smaller = smallest.without(feature.name);
            let difference = self.difference(&smaller);
            if difference.keys().any(|pointer| found.contains_key(pointer)) {
                (smallest, shown) = (smaller, difference);
            }
        }
        (smallest, shown)
    }
}

fn generated_configurations(t: &Test) {
    let peer = std::env::var_os("ORLOP_PEER").map_or_else(|| t.program().to_owned(), PathBuf::from);
    let comparison = Comparison { test: t, peer };
    let (first, count) = (variable("ORLOP_SEED", 1), variable("ORLOP_CONFIGURATIONS", CONFIGURATIONS));
    // By the pointers that differ: how often, and the smallest configuration that was found first.
    let mut reports: BTreeMap<Vec<String>, (u64, String)> = BTreeMap::new();
    for seed in first..first + count {
        let configuration = Configuration::new(seed);
        let found = comparison.difference(&configuration);
        let known =
            reports.iter_mut().find(|(pointers, _)| pointers.iter().all(|one| found.contains_key(one)));
        match known {
            _ if found.is_empty() => {}
            Some((_, (times, _))) => *times += 1,
            None => {
                assert!(
                    reports.len() < REPORTED,
                    "too many kinds of difference after {} configurations",
                    seed - first
                );
                let (smallest, shown) = comparison.reduce(&configuration, &found);
                reports.insert(shown.keys().cloned().collect(), (1, told(seed, &smallest, &shown)));
            }
        }
    }
    println!("{count} configurations, {} kinds of difference", reports.len());
    let text: Vec<String> = reports.values().map(|(times, text)| format!("{times} times: {text}")).collect();
    assert!(reports.is_empty(), "differences without an explanation:\n{}", text.join("\n"));
}

/// The features of a configuration, and what differs.
fn told(seed: u64, configuration: &Configuration, difference: &Difference) -> String {
    let names: Vec<&str> = configuration.features.iter().map(|feature| feature.name).collect();
    let lines = difference.iter().map(|(pointer, (ours, theirs))| {
        format!("\n    {pointer}\n      orlop: {ours}\n      peer:  {theirs}")
    });
    format!("{} (seed {seed}){}", names.join(" + "), lines.collect::<String>())
}
