//! The table: every command and every flag, once. The files below have the entries.
//!
//! From it come the parser, `--help`, the man pages and the completions; nothing else has to be told of a
//! new flag but the tests: `tests/runtime/flags/` wants one observable effect of each (command, flag).
//! How help names a value says how shells complete it, see [`Flag::takes`].

mod config;
mod criu;
mod exec;
mod generate;
mod global;
mod lifecycle;
mod limits;
mod mounts;
mod query;
mod takes;

pub(crate) use criu::CriuArgs;
pub(crate) use global::GLOBAL;
pub(crate) use limits::{EventsArgs, UpdateArgs};
pub(crate) use takes::Takes;

use super::{Args, CgroupManager, ListFormat};
use crate::log::{Format, Level};
use std::path::PathBuf;

/// What a flag takes, and where it puts it. An `Err` is the rest of the sentence
/// `invalid value "…" for flag --x: `.
pub(crate) enum Kind {
    /// Nothing (or `=true`, `=false`).
    Switch(fn(&mut Args, bool)),
    /// A path.
    Path(fn(&mut Args, PathBuf)),
    /// A number.
    Number(fn(&mut Args, u32)),
    /// A text.
    Text(fn(&mut Args, String) -> Result<(), String>),
}

/// One flag.
pub(crate) struct Flag {
    /// Its name behind `--`.
    pub(crate) long: &'static str,
    /// Its letter behind `-`.
    pub(crate) short: Option<char>,
    /// How help names its value; empty for a switch.
    pub(crate) value: &'static str,
    /// Whether each occurrence adds one; otherwise the last wins.
    pub(crate) repeats: bool,
    /// What it does.
    pub(crate) doc: &'static str,
    /// What it takes, and the field of [`Args`] it sets.
    pub(crate) kind: Kind,
}

/// A command's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// `checkpoint`
    Checkpoint,
    /// `restore`
    Restore,
    /// `completion`
    Completion,
    /// `man`
    Man,
    /// `create`
    Create,
    /// `start`
    Start,
    /// `state`
    State,
    /// `kill`
    Kill,
    /// `delete`
    Delete,
    /// `run`
    Run,
    /// `exec`
    Exec,
    /// `list`
    List,
    /// `mounts`
    Mounts,
    /// `ps`
    Ps,
    /// `spec`
    Spec,
    /// `features`
    Features,
    /// `plan`
    Plan,
    /// `pause`
    Pause,
    /// `resume`
    Resume,
    /// `update`
    Update,
    /// `events`
    Events,
}

/// One command.
pub(crate) struct Command {
    /// What the command line calls it.
    pub(crate) word: &'static str,
    /// What the program calls it.
    pub(crate) name: Name,
    /// One line for the list of commands.
    pub(crate) summary: &'static str,
    /// The words behind the flags, for the usage line.
    pub(crate) usage: &'static str,
    /// Paragraphs for its own help; `{name}` stands for the program's name.
    pub(crate) text: &'static str,
    /// Least and greatest number of words.
    pub(crate) words: (usize, usize),
    /// Its flags, as lists which commands share.
    pub(crate) flags: &'static [&'static [Flag]],
}

const fn switch(
    long: &'static str,
    short: Option<char>,
    doc: &'static str,
    set: fn(&mut Args, bool),
) -> Flag {
    Flag { long, short, value: "", repeats: false, doc, kind: Kind::Switch(set) }
}

const fn path(
    long: &'static str,
    short: Option<char>,
    value: &'static str,
    doc: &'static str,
    set: fn(&mut Args, PathBuf),
) -> Flag {
    Flag { long, short, value, repeats: false, doc, kind: Kind::Path(set) }
}

const fn number(
    long: &'static str,
    short: Option<char>,
    value: &'static str,
    doc: &'static str,
    set: fn(&mut Args, u32),
) -> Flag {
    Flag { long, short, value, repeats: false, doc, kind: Kind::Number(set) }
}

const fn text(
    long: &'static str,
    short: Option<char>,
    value: &'static str,
    doc: &'static str,
    set: fn(&mut Args, String) -> Result<(), String>,
) -> Flag {
    Flag { long, short, value, repeats: false, doc, kind: Kind::Text(set) }
}

/// No bound on the number of words.
const ANY: usize = usize::MAX;

/// A number of nothing but digits: `+5` and ` 5` are mistakes that nobody should guess about.
pub(super) fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The flag may be given several times.
const fn list(mut flag: Flag) -> Flag {
    flag.repeats = true;
    flag
}

/// All commands, in the order of help.
pub(crate) static COMMANDS: &[&Command] = &[
    &criu::CHECKPOINT,
    &generate::COMPLETION,
    &lifecycle::CREATE,
    &lifecycle::DELETE,
    &limits::EVENTS,
    &exec::EXEC,
    &query::FEATURES,
    &lifecycle::KILL,
    &query::LIST,
    &generate::MAN,
    &mounts::MOUNTS,
    &limits::PAUSE,
    &config::PLAN,
    &query::PS,
    &criu::RESTORE,
    &limits::RESUME,
    &lifecycle::RUN,
    &config::SPEC,
    &lifecycle::START,
    &query::STATE,
    &limits::UPDATE,
];

impl Command {
    /// How many words come before another program's, in which no flags are looked for.
    pub(crate) fn own_words(&self) -> Option<usize> {
        match self.name {
            Name::Exec => Some(2),
            Name::Ps => Some(1),
            _ => None,
        }
    }

    /// All its flags.
    pub(crate) fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.flags.iter().flat_map(|list| list.iter())
    }
}
