//! What is written from the table for shells and manuals: completions and man pages.

mod bash;
mod fish;
mod roff;
#[cfg(test)]
mod tests;
mod zsh;

pub(crate) use roff::page;

use super::table::{COMMANDS, Command, Flag, GLOBAL, Takes};
use orlop::container::Signal;

/// A shell that completions can be had for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    /// bash(1), 4.3 or newer.
    Bash,
    /// zsh(1)
    Zsh,
    /// fish(1)
    Fish,
}

impl Shell {
    /// The shell of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "bash" => Some(Self::Bash),
            "zsh" => Some(Self::Zsh),
            "fish" => Some(Self::Fish),
            _ => None,
        }
    }
}

/// The completion script for a program of this name.
pub(crate) fn completion(shell: Shell, program: &str) -> String {
    match shell {
        Shell::Bash => bash::script(program),
        Shell::Zsh => zsh::script(program),
        Shell::Fish => fish::script(program),
    }
}

/// The program's name as part of a shell function's.
fn identifier(program: &str) -> String {
    program.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// The flags which are valid in each place: before the command (with the name ""), and behind each.
fn places() -> impl Iterator<Item = (&'static str, Vec<&'static Flag>)> {
    let commands = COMMANDS.iter().map(|c| (c.word, c.flags().collect()));
    std::iter::once(("", GLOBAL.iter().collect())).chain(commands)
}

/// The flags that every place has beside those of the table.
fn own_flags(place: &str) -> &'static [(&'static str, char, &'static str)] {
    let all = &[("help", 'h', "show help"), ("version", 'v', "print the version")];
    if place.is_empty() { all } else { &all[..1] }
}

/// All commands with `help`, each with its one line.
fn commands() -> impl Iterator<Item = (&'static str, &'static str)> {
    let help = ("help", "show the list of commands, or the help of one");
    COMMANDS.iter().map(|c| (c.word, c.summary)).chain(std::iter::once(help))
}

/// What the words of a command are, from the first on; `help` has the names of the commands.
fn words() -> impl Iterator<Item = (&'static str, Vec<Takes>)> {
    let help = ("help", vec![Takes::Command]);
    COMMANDS.iter().map(|c| (c.word, c.takes().collect())).chain(std::iter::once(help))
}

/// The commands which hand words to another program, and behind how many of their own.
fn own_words() -> impl Iterator<Item = (&'static str, usize)> {
    COMMANDS.iter().filter_map(|c| Some((c.word, c.own_words()?)))
}

/// The names of the signals, between spaces.
fn signals() -> String {
    let names = (1..=31).filter_map(|n| Signal::new(n).ok()).map(|signal| signal.to_string());
    names.collect::<Vec<_>>().join(" ")
}

/// A word in single quotes, as all three shells read it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
