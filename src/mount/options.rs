//! The mount options of the runtime-spec: one table, and what a list of them amounts to.
//!
//! `config.md#linux-mount-options` has names for mount attributes, their recursive forms, flags of
//! the superblock, propagation and what the runtime itself does; any other word belongs to the file
//! system's driver. [`parse`] sorts a list into these, in the terms of the fd-based mount API.

use super::idmap_option::{self, IdmapRanges};
use super::propagation::{Propagation, PropagationKind};
use crate::sys::mount::{MountAttr, MountAttrFlags};
use std::fmt;

/// The longest string value which fsconfig(2) takes, in bytes.
pub const FSCONFIG_STRING_MAX: usize = 255;

/// An option that cannot be understood, with its place in the list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OptionError {
    /// Index in the list of options (the last part of the JSON pointer).
    pub index: usize,
    /// What is wrong.
    pub message: String,
}

/// A request of which there can be only one, and whether it goes for all mounts below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecursiveOption {
    /// For all mounts below it too.
    pub recursive: bool,
    /// Index in the list of options.
    pub index: usize,
}

/// A flag of the superblock, by its fsconfig(2) key: `ro`, `rw`, `sync`, `async`, `dirsync`, `mand`, `nomand`,
/// `lazytime` or `nolazytime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuperFlag {
    /// Key for fsconfig(2) `FSCONFIG_SET_FLAG`.
    pub key: &'static str,
    /// Index in the list of options.
    pub index: usize,
}

/// An option of the file system's driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataOption {
    /// Key for fsconfig(2).
    pub key: String,
    /// Its value; absent for a flag.
    pub value: Option<String>,
    /// Index in the list of options.
    pub index: usize,
}

impl DataOption {
    /// Whether fsconfig(2) can take the value as a string.
    pub fn fits_fsconfig(&self) -> bool {
        self.value.as_ref().is_none_or(|v| v.len() <= FSCONFIG_STRING_MAX)
    }
}

impl fmt::Display for DataOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => f.write_str(&self.key),
        }
    }
}

/// What a list of mount options asks for. Where two options contradict each other the later wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// `MOUNT_ATTR_*` to set on the mount itself.
    pub attr_set: MountAttrFlags,
    /// `MOUNT_ATTR_*` to clear on the mount itself; all of [`ATIME`](MountAttrFlags::ATIME) wherever the access time
    /// mode is named, as mount_setattr(2) wants it.
    pub attr_clear: MountAttrFlags,
    /// `MOUNT_ATTR_*` to set on the mount and all mounts below it.
    pub rec_set: MountAttrFlags,
    /// `MOUNT_ATTR_*` to clear on the mount and all mounts below it.
    pub rec_clear: MountAttrFlags,
    /// Flags of the superblock of a new file system.
    pub superblock: Vec<SuperFlag>,
    /// Changes of propagation, in order, to be made after the mount is attached.
    pub propagation: Vec<Propagation>,
    /// `bind`, `rbind`.
    pub bind: Option<RecursiveOption>,
    /// `remount`, with its index.
    pub remount: Option<usize>,
    /// `tmpcopyup`, with its index.
    pub tmpcopyup: Option<usize>,
    /// `idmap`, `ridmap`.
    pub idmap: Option<RecursiveOption>,
    /// The map that `idmap=` or `ridmap=` brings.
    pub idmap_ranges: Option<IdmapRanges>,
    /// Options which today's kernels have no use for (`silent`, `loud`: a driver's messages go to
    /// the configuration context, never to the kernel's log; `iversion`, `noiversion`: each file
    /// system that has a change counter keeps it always), by index.
    pub without_effect: Vec<usize>,
    /// Options of the file system's driver, in order.
    pub data: Vec<DataOption>,
}

impl MountOptions {
    /// `MOUNT_ATTR_*` for fsmount(2) of a new file system: there the recursive options mean the mount
    /// itself, and come after the plain ones.
    pub fn new_mount_attributes(&self) -> MountAttrFlags {
        (self.attr_set - self.rec_clear) | self.rec_set
    }

    /// What mount_setattr(2) has to change on a bind mount itself, if anything.
    pub fn attributes(&self) -> Option<MountAttr> {
        change(self.attr_set, self.attr_clear)
    }

    /// What mount_setattr(2) has to change on a bind mount and all mounts below it, if anything.
    pub fn recursive_attributes(&self) -> Option<MountAttr> {
        change(self.rec_set, self.rec_clear)
    }

    /// Whether the mount is to be read-only, of itself.
    pub fn read_only(&self) -> bool {
        self.new_mount_attributes().contains(MountAttrFlags::RDONLY)
    }

    /// The value of a driver's option; the last one counts.
    pub fn data_value(&self, key: &str) -> Option<&str> {
        self.data.iter().rev().find(|d| d.key == key).and_then(|d| d.value.as_deref())
    }

    /// Refuses options of a file system's driver: a bind mount has no driver.
    pub fn refuse_data(&self) -> Result<(), OptionError> {
        match self.data.first() {
            None => Ok(()),
            Some(first) => {
                let all: Vec<String> = self.data.iter().map(ToString::to_string).collect();
                let message =
                    format!("bind mounts cannot have any filesystem-specific options: {}", all.join(","));
                Err(OptionError { index: first.index, message })
            }
        }
    }
}

fn change(set: MountAttrFlags, clear: MountAttrFlags) -> Option<MountAttr> {
    (!(set | clear).is_empty()).then_some(MountAttr { set, clear, ..MountAttr::default() })
}

/// What one option of the table does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// Sets or clears a `MOUNT_ATTR_*` bit.
    Attr {
        bit: MountAttrFlags,
        set: bool,
        recursive: bool,
    },
    /// Selects an access time mode (a value below [`ATIME`](MountAttrFlags::ATIME)), or deselects it.
    Atime {
        mode: MountAttrFlags,
        set: bool,
        recursive: bool,
    },
    /// `ro`, `rw`: mount attribute and superblock flag in one.
    ReadOnly(bool),
    /// Superblock flag: the fsconfig key, and the key it takes the place of.
    Super(&'static str, &'static str),
    Propagation(Propagation),
    Bind(bool),
    Idmap(bool),
    Remount,
    CopyUp,
    /// `defaults`: what a mount is without options.
    Defaults,
    /// Accepted; the kernel has no use for it.
    Moot,
}

use Effect::{Atime, Attr, Bind, CopyUp, Defaults, Idmap, Moot, ReadOnly, Remount, Super};

const fn on(bit: MountAttrFlags) -> Effect {
    Attr { bit, set: true, recursive: false }
}
const fn off(bit: MountAttrFlags) -> Effect {
    Attr { bit, set: false, recursive: false }
}
const fn ron(bit: MountAttrFlags) -> Effect {
    Attr { bit, set: true, recursive: true }
}
const fn roff(bit: MountAttrFlags) -> Effect {
    Attr { bit, set: false, recursive: true }
}
const fn atime(mode: MountAttrFlags, set: bool) -> Effect {
    Atime { mode, set, recursive: false }
}
const fn ratime(mode: MountAttrFlags, set: bool) -> Effect {
    Atime { mode, set, recursive: true }
}
const fn prop(kind: PropagationKind, recursive: bool) -> Effect {
    Effect::Propagation(Propagation { kind, recursive })
}

/// Every option of `config.md#linux-mount-options`, sorted by name.
const TABLE: &[(&str, Effect)] = &[
    ("async", Super("async", "sync")),
    ("atime", atime(MountAttrFlags::NOATIME, false)),
    ("bind", Bind(false)),
    ("defaults", Defaults),
    ("dev", off(MountAttrFlags::NODEV)),
    ("diratime", off(MountAttrFlags::NODIRATIME)),
    ("dirsync", Super("dirsync", "dirsync")),
    ("exec", off(MountAttrFlags::NOEXEC)),
    ("idmap", Idmap(false)),
    ("iversion", Moot),
    ("lazytime", Super("lazytime", "nolazytime")),
    ("loud", Moot),
    ("mand", Super("mand", "nomand")),
    ("noatime", atime(MountAttrFlags::NOATIME, true)),
    ("nodev", on(MountAttrFlags::NODEV)),
    ("nodiratime", on(MountAttrFlags::NODIRATIME)),
    ("noexec", on(MountAttrFlags::NOEXEC)),
    ("noiversion", Moot),
    ("nolazytime", Super("nolazytime", "lazytime")),
    ("nomand", Super("nomand", "mand")),
    ("norelatime", atime(MountAttrFlags::RELATIME, false)),
    ("nostrictatime", atime(MountAttrFlags::STRICTATIME, false)),
    ("nosuid", on(MountAttrFlags::NOSUID)),
    ("nosymfollow", on(MountAttrFlags::NOSYMFOLLOW)),
    ("private", prop(PropagationKind::Private, false)),
    ("ratime", ratime(MountAttrFlags::NOATIME, false)),
    ("rbind", Bind(true)),
    ("rdev", roff(MountAttrFlags::NODEV)),
    ("rdiratime", roff(MountAttrFlags::NODIRATIME)),
    ("relatime", atime(MountAttrFlags::RELATIME, true)),
    ("remount", Remount),
    ("rexec", roff(MountAttrFlags::NOEXEC)),
    ("ridmap", Idmap(true)),
    ("rnoatime", ratime(MountAttrFlags::NOATIME, true)),
    ("rnodev", ron(MountAttrFlags::NODEV)),
    ("rnodiratime", ron(MountAttrFlags::NODIRATIME)),
    ("rnoexec", ron(MountAttrFlags::NOEXEC)),
    ("rnorelatime", ratime(MountAttrFlags::RELATIME, false)),
    ("rnostrictatime", ratime(MountAttrFlags::STRICTATIME, false)),
    ("rnosuid", ron(MountAttrFlags::NOSUID)),
    ("rnosymfollow", ron(MountAttrFlags::NOSYMFOLLOW)),
    ("ro", ReadOnly(true)),
    ("rprivate", prop(PropagationKind::Private, true)),
    ("rrelatime", ratime(MountAttrFlags::RELATIME, true)),
    ("rro", ron(MountAttrFlags::RDONLY)),
    ("rrw", roff(MountAttrFlags::RDONLY)),
    ("rshared", prop(PropagationKind::Shared, true)),
    ("rslave", prop(PropagationKind::Slave, true)),
    ("rstrictatime", ratime(MountAttrFlags::STRICTATIME, true)),
    ("rsuid", roff(MountAttrFlags::NOSUID)),
    ("rsymfollow", roff(MountAttrFlags::NOSYMFOLLOW)),
    ("runbindable", prop(PropagationKind::Unbindable, true)),
    ("rw", ReadOnly(false)),
    ("shared", prop(PropagationKind::Shared, false)),
    ("silent", Moot),
    ("slave", prop(PropagationKind::Slave, false)),
    ("strictatime", atime(MountAttrFlags::STRICTATIME, true)),
    ("suid", off(MountAttrFlags::NOSUID)),
    ("symfollow", off(MountAttrFlags::NOSYMFOLLOW)),
    ("sync", Super("sync", "async")),
    ("tmpcopyup", CopyUp),
    ("unbindable", prop(PropagationKind::Unbindable, false)),
];

/// The names of all options known here, sorted: `mountOptions` of `features.md`.
pub fn names() -> impl ExactSizeIterator<Item = &'static str> {
    TABLE.iter().map(|(name, _)| *name)
}

/// Reads a list of mount options.
///
/// An empty string is no option. A string with commas is several options, as in mount(8); a comma
/// that is quoted, or escaped by a backslash, divides nothing.
///
/// # Errors
/// Only for what no driver could take either: a NUL byte, a value without a key, an `idmap=` that is no map.
pub fn parse(options: &[String]) -> Result<MountOptions, OptionError> {
    let mut result = MountOptions::default();
    let mut modes = [None, None];
    for (index, text) in options.iter().enumerate() {
        if text.contains('\0') {
            return Err(OptionError { index, message: "a mount option has a NUL byte".into() });
        }
        for option in split(text) {
            match lookup(option) {
                Some(effect) => result.apply(effect, index, &mut modes),
                None if idmap_value(option).is_some() => result.idmap_with_ranges(option, index)?,
                None => result.data.push(data_option(option, index)?),
            }
        }
    }
    for (mode, (set, clear)) in modes
        .into_iter()
        .zip([(&mut result.attr_set, &mut result.attr_clear), (&mut result.rec_set, &mut result.rec_clear)])
    {
        if let Some(mode) = mode {
            *set |= mode;
            *clear |= MountAttrFlags::ATIME;
        }
    }
    Ok(result)
}

fn lookup(name: &str) -> Option<Effect> {
    TABLE.binary_search_by(|(n, _)| (*n).cmp(name)).ok().map(|i| TABLE[i].1)
}

/// The parts of `text` between commas which are neither quoted nor escaped; empty parts left out.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let divides = c == ',' && !quoted && !escaped;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        divides
    })
    .filter(|part| !part.is_empty())
}

fn data_option(option: &str, index: usize) -> Result<DataOption, OptionError> {
    let (key, value) = match option.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (option, None),
    };
    if key.is_empty() {
        return Err(OptionError { index, message: format!("mount option {option:?} has no name") });
    }
    // Quotes protect commas in a comma-separated list; the value itself has none.
    let unquoted = value.map(|v| v.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(v));
    Ok(DataOption { key: key.to_owned(), value: unquoted.map(str::to_owned), index })
}

/// Whether the map is for mounts below too, and its text, of `idmap=` and `ridmap=`.
fn idmap_value(option: &str) -> Option<(bool, &str)> {
    let (key, value) = option.split_once('=')?;
    matches!(key, "idmap" | "ridmap").then_some((key == "ridmap", value))
}

impl MountOptions {
    fn idmap_with_ranges(&mut self, option: &str, index: usize) -> Result<(), OptionError> {
        let Some((recursive, text)) = idmap_value(option) else { return Ok(()) };
        let wrong = |why| OptionError { index, message: format!("mount option {option:?}: {why}") };
        self.idmap_ranges = Some(idmap_option::parse(text).map_err(wrong)?);
        self.idmap = Some(RecursiveOption { recursive, index });
        Ok(())
    }

    fn apply(&mut self, effect: Effect, index: usize, modes: &mut [Option<MountAttrFlags>; 2]) {
        match effect {
            Attr { bit, set, recursive } => self.attr(bit, set, recursive),
            Atime { mode, set, recursive } => {
                let current = &mut modes[usize::from(recursive)];
                if set {
                    *current = Some(mode);
                } else if mode == MountAttrFlags::RELATIME {
                    // The kernel's default cannot be deselected, only not be asked for.
                    *current = current.filter(|m| *m != mode);
                } else if current.is_none_or(|m| m == mode) {
                    *current = Some(MountAttrFlags::RELATIME);
                }
            }
            ReadOnly(set) => {
                self.attr(MountAttrFlags::RDONLY, set, false);
                self.superblock(if set { "ro" } else { "rw" }, if set { "rw" } else { "ro" }, index);
            }
            Super(key, opposite) => self.superblock(key, opposite, index),
            Effect::Propagation(change) => self.propagation.push(change),
            Bind(recursive) => self.bind = Some(RecursiveOption { recursive, index }),
            Idmap(recursive) => {
                self.idmap = Some(RecursiveOption { recursive, index });
                self.idmap_ranges = None;
            }
            Remount => self.remount = Some(index),
            CopyUp => self.tmpcopyup = Some(index),
            Defaults => {}
            Moot => self.without_effect.push(index),
        }
    }

    fn attr(&mut self, bit: MountAttrFlags, set: bool, recursive: bool) {
        let (sets, clears) = if recursive {
            (&mut self.rec_set, &mut self.rec_clear)
        } else {
            (&mut self.attr_set, &mut self.attr_clear)
        };
        let (gains, loses) = if set { (sets, clears) } else { (clears, sets) };
        *gains |= bit;
        *loses -= bit;
    }

    fn superblock(&mut self, key: &'static str, opposite: &str, index: usize) {
        self.superblock.retain(|f| f.key != key && f.key != opposite);
        self.superblock.push(SuperFlag { key, index });
    }
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
