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
    /// `a|b|c` in lower case is a choice; anything else is the name of a value.
    fn of_name(name: &'static str) -> Self {
        let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let words = || name.split('|');
        let choice = words().count() > 1 && words().all(|word| !word.is_empty() && word.chars().all(lower));
        if choice { Self::OneOf(name) } else { Self::Other }
    }
}

impl Flag {
    /// What its value is, from the value's name in help: a path is a `DIR`, a `FILE` or a `SOCKET`, and a text with
    /// few possible values lists them all, separated by `|`.
    pub(in crate::args) fn value_hint(&self) -> ValueHint {
        match (&self.setter, self.value_name) {
            (FlagSetter::Switch(_), _) => ValueHint::NoValue,
            (FlagSetter::Path(_), "DIR") => ValueHint::Directory,
            (FlagSetter::Path(_), "SOCKET") => ValueHint::Socket,
            (FlagSetter::Path(_), _) => ValueHint::File,
            (_, name) => ValueHint::of_name(name),
        }
    }
}

impl Command {
    /// What its operands are, from their names in the usage line.
    pub(in crate::args) fn operand_hints(&self) -> impl Iterator<Item = ValueHint> {
        let new = matches!(self.id, CommandId::Create | CommandId::Run | CommandId::Restore);
        let names = self.usage.split("  ||").next().unwrap_or_default().split_whitespace();
        names.map(move |name| match name.trim_matches(['<', '>', '[', ']']) {
            "container-id" if new => ValueHint::Other,
            "container-id" => ValueHint::Container,
            "signal" => ValueHint::Signal,
            "bundle" => ValueHint::Directory,
            "file" => ValueHint::File,
            "command" if self.id == CommandId::Man => ValueHint::Command,
            name => ValueHint::of_name(name),
        })
    }
}
