//! The columns side by side.

use crate::board::{Board, Outcome};

/// Prints the time of every scenario under each runtime, and how many passed.
pub(crate) fn print(board: &Board, plan: &[(&str, Vec<String>)]) {
    let runtimes = board.runtimes();
    let row = |name: &str, cells: &[String]| println!("| {name:<42} | {} |", cells.join(" | "));
    let header: Vec<String> = runtimes.iter().map(|name| format!("{name:>8}")).collect();
    let mut sums: Vec<(&str, Vec<String>)> = Vec::new();
    for (manager, scenarios) in plan {
        let mut passed = vec![0; runtimes.len()];
        let mut seconds = vec![0.0; runtimes.len()];
        let mut all = 0;
        for scenario in scenarios {
            let outcomes: Vec<_> =
                runtimes.iter().map(|runtime| board.outcome(manager, scenario, runtime)).collect();
            if outcomes.iter().all(Option::is_none) {
                continue;
            }
            if sums.is_empty() && all == 0 {
                row("scenario (seconds)", &header);
            }
            all += 1;
            let mut cells = Vec::new();
            for (n, outcome) in outcomes.iter().enumerate() {
                cells.push(match outcome {
                    Some(Outcome::Passed(time)) => {
                        passed[n] += 1;
                        seconds[n] += time;
                        format!("{time:>8.2}")
                    }
                    Some(Outcome::Failed(_)) => "  failed".to_owned(),
                    Some(Outcome::Skipped(_)) => " skipped".to_owned(),
                    None => "        ".to_owned(),
                });
            }
            row(&format!("{manager}::{scenario}"), &cells);
        }
        if all > 0 {
            let cells =
                passed.iter().zip(&seconds).map(|(n, time)| format!("{n}/{all}, {time:.0} s")).collect();
            sums.push((manager, cells));
        }
    }
    println!();
    for (manager, cells) in sums {
        println!("| {manager:<16} | {} |", cells.join(" | "));
    }
}
