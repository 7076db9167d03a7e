//! One command.

use super::flag::Flag;

/// No upper bound on the number of operands.
pub(super) const UNLIMITED: usize = usize::MAX;

/// A command's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::args) enum CommandId {
    /// `checkpoint`
    Checkpoint,
    /// `completion`
    Completion,
    /// `create`
    Create,
    /// `delete`
    Delete,
    /// `events`
    Events,
    /// `exec`
    Exec,
    /// `features`
    Features,
    /// `kill`
    Kill,
    /// `list`
    List,
    /// `man`
    Man,
    /// `mounts`
    Mounts,
    /// `pause`
    Pause,
    /// `plan`
    Plan,
    /// `ps`
    Ps,
    /// `restore`
    Restore,
    /// `resume`
    Resume,
    /// `run`
    Run,
    /// `spec`
    Spec,
    /// `start`
    Start,
    /// `state`
    State,
    /// `update`
    Update,
}

/// One command.
pub(crate) struct Command {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// Which command it is.
    pub(in crate::args) id: CommandId,
    /// One line for the list of commands.
    pub(in crate::args) summary: &'static str,
    /// The operands, for the usage line.
    pub(in crate::args) usage: &'static str,
    /// Paragraphs for its own help; `{name}` stands for the program's name.
    pub(in crate::args) description: &'static str,
    /// The least and the greatest number of operands.
    pub(in crate::args) operands: (usize, usize),
    /// Its flags, as lists that commands share.
    pub(in crate::args) flags: &'static [&'static [Flag]],
}

impl Command {
    /// How many operands come before the command line of another program, in which no flags are looked for.
    pub(in crate::args) fn own_operands(&self) -> Option<usize> {
        match self.id {
            CommandId::Exec => Some(2),
            CommandId::Ps => Some(1),
            _ => None,
        }
    }

    /// All its flags.
    pub(in crate::args) fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.flags.iter().flat_map(|list| list.iter())
    }
}

impl PartialEq for Command {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
