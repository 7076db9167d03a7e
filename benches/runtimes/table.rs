//! Medians and paired ratios.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter, Write};
use std::fs;

use crate::options::Options;
use crate::packages::Peers;
use crate::subject::Subject;

/// The unit of a figure.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Unit {
    Milliseconds,
    /// A difference: a ratio of two small ones means little, so it is not shown.
    MillisecondsAdded,
    Kibibytes,
    PerSecond,
}

struct Row {
    name: String,
    unit: Unit,
    /// By subject, then by round.
    samples: BTreeMap<usize, BTreeMap<usize, f64>>,
}

/// The figures of one layout.
pub(crate) struct Table {
    layout: &'static str,
    subjects: Vec<String>,
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Table {
    pub(crate) fn new(layout: &'static str, subjects: Vec<String>) -> Self {
        Self { layout, subjects, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a sample.
    pub(crate) fn add(&mut self, name: &str, unit: Unit, subject: usize, round: usize, value: f64) {
        let at = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.rows.push(Row { name: name.into(), unit, samples: BTreeMap::new() });
            self.rows.len() - 1
        });
        self.rows[at].samples.entry(subject).or_default().insert(round, value);
    }

    /// Records why figures are missing.
    pub(crate) fn note(&mut self, lane: &str, subject: &str, reason: &str) {
        let note = format!("{lane}, {subject}: {reason}");
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// The pairs of the ratios: each subject to the floor, then orlop to the peers.
    fn pairs(&self) -> Vec<(usize, usize)> {
        let mut pairs: Vec<_> = (1..self.subjects.len()).map(|subject| (subject, 0)).collect();
        let index = |name: &str| self.subjects.iter().position(|subject| subject == name);
        if let Some(own) = index("orlop") {
            pairs.extend(["crun", "runc"].into_iter().filter_map(index).map(|peer| (own, peer)));
        }
        pairs
    }

    fn cells(&self) -> Vec<Vec<String>> {
        let pairs = self.pairs();
        let mut head = vec![format!("{}, medians", self.layout), "unit".into()];
        head.extend(self.subjects.iter().cloned());
        head.extend(
            pairs.iter().map(|(one, other)| format!("{} ÷ {}", self.subjects[*one], self.subjects[*other])),
        );
        let mut cells = vec![head];
        for row in &self.rows {
            let mut line = vec![row.name.clone(), row.unit.to_string()];
            line.extend((0..self.subjects.len()).map(|subject| row.median_of(subject)));
            line.extend(pairs.iter().map(|(one, other)| row.ratio(*one, *other)));
            cells.push(line);
        }
        cells
    }
}

impl Row {
    fn median_of(&self, subject: usize) -> String {
        let values = self.samples.get(&subject).map(|samples| samples.values().copied().collect());
        match (values.and_then(median), self.unit) {
            (None, _) => "–".into(),
            (Some(value), Unit::Kibibytes | Unit::PerSecond) => format!("{value:.0}"),
            (Some(value), _) => format!("{value:.2}"),
        }
    }

    /// The median of the ratios within the rounds: what slows the machine down for a while slows both down.
    fn ratio(&self, one: usize, other: usize) -> String {
        let (Some(one), Some(other)) = (self.samples.get(&one), self.samples.get(&other)) else {
            return "–".into();
        };
        let ratios = one.iter().filter_map(|(round, value)| Some(value / other.get(round)?)).collect();
        match median(ratios) {
            Some(ratio) if self.unit != Unit::MillisecondsAdded && ratio.is_finite() => format!("{ratio:.2}"),
            _ => "–".into(),
        }
    }
}

/// The median of the finite values.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        even if even % 2 == 0 => Some(f64::midpoint(values[middle - 1], values[middle])),
        _ => Some(values[middle]),
    }
}

impl Display for Unit {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Milliseconds | Self::MillisecondsAdded => "ms",
            Self::Kibibytes => "KiB",
            Self::PerSecond => "1/s",
        })
    }
}

impl Display for Table {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let cells = self.cells();
        let columns = cells.first().map_or(0, Vec::len);
        let width = |column: usize| cells.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, line) in cells.iter().enumerate() {
            for (column, cell) in line.iter().enumerate() {
                let wide = widths[column];
                // Text to the left, figures to the right.
                if column < 2 {
                    write!(formatter, "| {cell:<wide$} ")?;
                } else {
                    write!(formatter, "| {cell:>wide$} ")?;
                }
            }
            writeln!(formatter, "|")?;
            if number == 0 {
                for (column, wide) in widths.iter().enumerate() {
                    let colon = if column < 2 { "-" } else { ":" };
                    write!(formatter, "| {}{colon} ", "-".repeat(wide.saturating_sub(1)))?;
                }
                writeln!(formatter, "|")?;
            }
        }
        for note in &self.notes {
            writeln!(formatter, "- {note}")?;
        }
        writeln!(formatter)
    }
}

/// The machine, the method and the subjects.
pub(crate) fn preamble(options: &Options, subjects: &[Subject], peers: &Peers) -> String {
    let system = nix::sys::utsname::uname();
    let word = |value: Option<&std::ffi::OsStr>| {
        value.map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let (kernel, machine) = system.as_ref().map_or_else(
        |_| (String::new(), String::new()),
        |system| (word(Some(system.release())), word(Some(system.machine()))),
    );
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZeroUsize::get);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let mut text = format!(
        "Linux {kernel} {machine}, {cores} processors, load {load}; {} rounds in random order, {} ms before each sample.\n",
        options.rounds,
        options.gap.as_millis()
    );
    if !peers.origin.is_empty() {
        let _ = writeln!(text, "crun and runc: {}.", peers.origin);
    }
    for subject in subjects {
        let _ = writeln!(text, "- {}: {}", subject.name, subject.version);
    }
    text.push('\n');
    text
}
