//! One flag, and how an entry of the table is written.

use super::super::low::LowArgs;
use std::path::PathBuf;

/// What value a flag takes, and where it puts it. An `Err` is the rest of the sentence
/// `invalid value "…" for flag --x: `.
pub(in crate::args) enum FlagSetter {
    /// No value, or `=true`, `=false`.
    Switch(fn(&mut LowArgs, bool)),
    /// A path.
    Path(fn(&mut LowArgs, PathBuf)),
    /// A number.
    Number(fn(&mut LowArgs, u32)),
    /// A text.
    Text(fn(&mut LowArgs, String) -> Result<(), String>),
}

/// One flag.
pub(in crate::args) struct Flag {
    /// Its name, without dashes.
    pub(in crate::args) long: &'static str,
    /// Its letter, without a dash.
    pub(in crate::args) short: Option<char>,
    /// The name of its value in help; empty for a switch.
    pub(in crate::args) value_name: &'static str,
    /// Whether each occurrence adds a value; otherwise the last one wins.
    pub(in crate::args) repeats: bool,
    /// What it does.
    pub(in crate::args) help: &'static str,
    /// What it takes, and which field it sets.
    pub(in crate::args) setter: FlagSetter,
}

pub(super) const fn switch(
    long: &'static str,
    short: Option<char>,
    help: &'static str,
    set: fn(&mut LowArgs, bool),
) -> Flag {
    Flag { long, short, value_name: "", repeats: false, help, setter: FlagSetter::Switch(set) }
}

pub(super) const fn path(
    long: &'static str,
    short: Option<char>,
    value_name: &'static str,
    help: &'static str,
    set: fn(&mut LowArgs, PathBuf),
) -> Flag {
    Flag { long, short, value_name, repeats: false, help, setter: FlagSetter::Path(set) }
}

pub(super) const fn number(
    long: &'static str,
    short: Option<char>,
    value_name: &'static str,
    help: &'static str,
    set: fn(&mut LowArgs, u32),
) -> Flag {
    Flag { long, short, value_name, repeats: false, help, setter: FlagSetter::Number(set) }
}

pub(super) const fn text(
    long: &'static str,
    short: Option<char>,
    value_name: &'static str,
    help: &'static str,
    set: fn(&mut LowArgs, String) -> Result<(), String>,
) -> Flag {
    Flag { long, short, value_name, repeats: false, help, setter: FlagSetter::Text(set) }
}

/// The same flag, which may be given several times.
pub(super) const fn repeated(mut flag: Flag) -> Flag {
    flag.repeats = true;
    flag
}
