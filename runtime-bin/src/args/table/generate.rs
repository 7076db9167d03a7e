//! Commands that print texts generated from the table: `completion`, `man`.

use super::command::{Command, CommandId};
use super::flag::{Flag, path};

static MAN_FLAGS: &[Flag] = &[path(
    "directory",
    Some('d'),
    "DIR",
    "write all pages into DIR, as files, instead of printing one",
    |args, v| args.man_directory = Some(v),
)];

pub(super) static COMPLETION: Command = Command {
    name: "completion",
    id: CommandId::Completion,
    summary: "print a shell's completion script",
    usage: "bash|zsh|fish",
    description: "The script completes commands, flags and their values, signals and the ids of containers.\n\n\
        EXAMPLE:\n    source <({name} completion bash)\n    \
        {name} completion zsh > /usr/local/share/zsh/site-functions/_{name}\n    \
        {name} completion fish > ~/.config/fish/completions/{name}.fish",
    operands: (1, 1),
    flags: &[],
};

pub(super) static MAN: Command = Command {
    name: "man",
    id: CommandId::Man,
    summary: "print the manual page of the program or of a command",
    usage: "[command]",
    description: "The page is source for man(1). It has the text of a command's --help, and more.\n\n\
        EXAMPLE:\n    {name} man run | man -l -\n    {name} man --directory /usr/local/share/man/man8",
    operands: (0, 1),
    flags: &[MAN_FLAGS],
};
