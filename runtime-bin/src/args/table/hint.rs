//! What values and operands are, so that shells can complete them.

use super::command::{Command, CommandId};
use super::flag::{Flag, FlagSetter};

/// What a value or an operand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::args) enum ValueHint {
    /// A switch has no value.
    NoValue,
    /// A directory of the host.
    Directory,
    /// A file of the host.
    File,
    /// A Unix socket of the host.
    Socket,
    /// One of these words, separated by `|`.
    OneOf(&'static str),
    /// The id of an existing container.
    Container,
    /// A signal.
    Signal,
    /// The name of a command.
    Command,
    /// Anything else: there is nothing to complete.
    Other,
}

impl ValueHint {
    /// What a flag's value is, from the value's name in help: a path is a `DIR`, a `FILE` or a `SOCKET`, and a text with
    /// few possible values lists them all, separated by `|`.
    pub(in crate::args) fn of_flag(flag: &Flag) -> Self {
        match (&flag.setter, flag.value_name) {
            (FlagSetter::Switch(_), _) => Self::NoValue,
            (FlagSetter::Path(_), "DIR") => Self::Directory,
            (FlagSetter::Path(_), "SOCKET") => Self::Socket,
            (FlagSetter::Path(_), _) => Self::File,
            (_, name) => Self::of_name(name),
        }
    }

    /// What a command's operands are, from their names in the usage line.
    pub(in crate::args) fn of_operands(command: &Command) -> impl Iterator<Item = Self> {
        let new = matches!(command.id, CommandId::Create | CommandId::Run | CommandId::Restore);
        let is_man = command.id == CommandId::Man;
        let names = command.usage.split("  ||").next().unwrap_or_default().split_whitespace();
        names.map(move |name| match name.trim_matches(['<', '>', '[', ']']) {
            "container-id" if new => Self::Other,
            "container-id" => Self::Container,
            "signal" => Self::Signal,
            "bundle" => Self::Directory,
            "file" => Self::File,
            "command" if is_man => Self::Command,
            name => Self::of_name(name),
        })
    }

    /// `a|b|c` in lower case is a choice; anything else is the name of a value.
    fn of_name(name: &'static str) -> Self {
        let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let words = || name.split('|');
        let choice = words().count() > 1 && words().all(|word| !word.is_empty() && word.chars().all(lower));
        if choice { Self::OneOf(name) } else { Self::Other }
    }
}
