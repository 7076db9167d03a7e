//! What is written for shells and manuals: `completion`, `man`.

use super::{Command, Flag, Name, path};

static MAN_FLAGS: &[Flag] = &[path(
    "directory",
    Some('d'),
    "DIR",
    "write all pages into DIR, as files, instead of printing one",
    |a, v| a.man_directory = Some(v),
)];

pub(super) static COMPLETION: Command = Command {
    word: "completion",
    name: Name::Completion,
    summary: "print a shell's completion script",
    usage: "bash|zsh|fish",
    text: "The script completes commands, flags and their values, signals and the ids of containers.\n\n\
        EXAMPLE:\n    source <({name} completion bash)\n    \
        {name} completion zsh > /usr/local/share/zsh/site-functions/_{name}\n    \
        {name} completion fish > ~/.config/fish/completions/{name}.fish",
    words: (1, 1),
    flags: &[],
};

pub(super) static MAN: Command = Command {
    word: "man",
    name: Name::Man,
    summary: "print the manual page of the program or of a command",
    usage: "[command]",
    text: "The page is source for man(1); the same text as a command's --help, and more.\n\n\
        EXAMPLE:\n    {name} man run | man -l -\n    {name} man --directory /usr/local/share/man/man8",
    words: (0, 1),
    flags: &[MAN_FLAGS],
};
