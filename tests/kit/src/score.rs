//! Attempts and wins of the attacks: a line for each, printed as a table after all have run.

use crate::Test;
use std::sync::Mutex;

/// Rounds of one race unless ORLOP_ATTACK_ROUNDS is set.
const ROUNDS: u64 = 240;
/// Moments of one race unless ORLOP_ATTACK_MOMENTS is set.
const MOMENTS: u64 = 60;
/// The greatest length of a win's description.
const LENGTH: usize = 400;
/// The number of wins that are described.
const TOLD: usize = 6;

static BOARD: Mutex<Vec<Row>> = Mutex::new(Vec::new());

struct Row {
    name: String,
    what: String,
    rounds: u64,
    wins: u64,
    whole: bool,
}

/// One attack: how often it was tried, and how often it won.
pub struct Score {
    name: String,
    what: String,
    rounds: u64,
    wins: u64,
    told: Vec<String>,
    ended: bool,
}

impl Score {
    /// The attack of a test; `what` describes it in the table.
    pub fn new(test: &Test, what: &str) -> Self {
        let (name, what) = (test.name().to_owned(), what.to_owned());
        Self { name, what, rounds: 0, wins: 0, told: Vec::new(), ended: false }
    }

    /// One of several attacks of a test.
    pub fn part(test: &Test, part: &str, what: &str) -> Self {
        let mut score = Self::new(test, what);
        score.name = format!("{} ({part})", score.name);
        score
    }

    /// Counts one more attempt.
    pub fn round(&mut self) {
        self.rounds += 1;
    }

    /// Counts a win of the last attempt.
    pub fn win(&mut self, how: impl Into<String>) {
        self.wins += 1;
        let how: String = how.into().chars().take(LENGTH).collect();
        if self.told.len() < TOLD && !self.told.contains(&how) {
            self.told.push(how);
        }
    }

    /// One attempt without a race: it wins if `won` describes how.
    pub fn attempt(&mut self, won: Option<String>) {
        self.round();
        if let Some(how) = won {
            self.win(how);
        }
    }

    /// How many attempts have won so far.
    pub fn wins(&self) -> u64 {
        self.wins
    }

    /// Fails the test if the attack has won, or was never tried.
    pub fn end(self) {
        Self::end_all([self]);
    }

    /// The same for several attacks, all of which are counted before one fails.
    pub fn end_all(scores: impl IntoIterator<Item = Self>) {
        let mut lost = Vec::new();
        for mut score in scores {
            score.ended = true;
            assert!(score.rounds > 0, "{} was never tried", score.name);
            if score.wins > 0 {
                let told = score.told.join("\n  ");
                lost.push(format!("{}: {} of {} won\n  {told}", score.name, score.wins, score.rounds));
            }
        }
        assert!(lost.is_empty(), "the attack wins\n{}", lost.join("\n"));
    }
}

impl Drop for Score {
    fn drop(&mut self) {
        let row = Row {
            name: std::mem::take(&mut self.name),
            what: std::mem::take(&mut self.what),
            rounds: self.rounds,
            wins: self.wins,
            whole: self.ended,
        };
        if let Ok(mut board) = BOARD.lock() {
            board.push(row);
        }
    }
}

/// The rounds of one race: ORLOP_ATTACK_ROUNDS, or a few hundred.
pub fn rounds() -> u64 {
    let asked = std::env::var("ORLOP_ATTACK_ROUNDS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(ROUNDS).max(1)
}

/// How many moments of a race are chosen, of all that there are: ORLOP_ATTACK_MOMENTS, or a few.
pub fn moments() -> u64 {
    let asked = std::env::var("ORLOP_ATTACK_MOMENTS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(MOMENTS).max(1)
}

/// Prints the table, by name; nothing if no attack ran.
pub fn print() {
    let Ok(mut board) = BOARD.lock() else { return };
    if board.is_empty() {
        return;
    }
    board.sort_by(|a, b| a.name.cmp(&b.name));
    println!("| attack | what it tries | rounds | wins |\n| --- | --- | ---: | ---: |");
    for row in board.drain(..) {
        // An attack that was not carried out completely proves nothing.
        let mark = if row.whole { "" } else { " (broken off)" };
        println!("| {} | {} | {} | {}{mark} |", row.name, row.what, row.rounds, row.wins);
    }
}
