//! What completions and man pages list.

use super::super::table::{COMMANDS, Flag, GLOBAL_FLAGS, ValueHint};
use orlop::container::Signal;

/// The program's name as a part of a shell function's name.
pub(super) fn identifier(program: &str) -> String {
    program.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// The flags that are valid in each scope: before the command (a scope with the name ""), and after each command.
pub(super) fn scopes() -> impl Iterator<Item = (&'static str, Vec<&'static Flag>)> {
    let commands = COMMANDS.iter().map(|c| (c.name, c.flags().collect()));
    std::iter::once(("", GLOBAL_FLAGS.iter().collect())).chain(commands)
}

/// The flags of a scope that are not in the table.
pub(super) fn built_in_flags(scope: &str) -> &'static [(&'static str, char, &'static str)] {
    let all = &[("help", 'h', "show help"), ("version", 'v', "print the version")];
    if scope.is_empty() { all } else { &all[..1] }
}

/// The names of all commands, and of `help`, each with its summary.
pub(super) fn commands() -> impl Iterator<Item = (&'static str, &'static str)> {
    let help = ("help", "show the list of commands, or the help of one");
    COMMANDS.iter().map(|c| (c.name, c.summary)).chain(std::iter::once(help))
}

/// What the operands of each command are; `help` takes the name of a command.
pub(super) fn operands() -> impl Iterator<Item = (&'static str, Vec<ValueHint>)> {
    let help = ("help", vec![ValueHint::Command]);
    COMMANDS.iter().map(|c| (c.name, ValueHint::of_operands(c).collect())).chain(std::iter::once(help))
}

/// The commands that pass words to another program, and after how many operands of their own.
pub(super) fn own_operands() -> impl Iterator<Item = (&'static str, usize)> {
    COMMANDS.iter().filter_map(|c| Some((c.name, c.own_operands()?)))
}

/// The names of the signals, separated by spaces.
pub(super) fn signals() -> String {
    let names = (1..=31).filter_map(|n| Signal::new(n).ok()).map(|signal| signal.to_string());
    names.collect::<Vec<_>>().join(" ")
}

/// A text in single quotes, as all three shells read it.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
