//! The mount options of the runtime-spec.
//!
//! `config.md#linux-mount-options` names mount attributes, their recursive forms, superblock flags, propagation, and what the
//! runtime itself does; any other word is an option of the file system's driver. [`parse`] sorts a list into these, in the
//! terms of the fd-based mount API.

use super::idmap_option::{self, IdmapRanges};
use super::propagation::{Propagation, PropagationKind};
use crate::sys::mount::{MountAttr, MountAttrFlags};
use std::fmt;

/// The longest string that fsconfig(2) accepts as a value, in bytes.
pub const FSCONFIG_STRING_MAX: usize = 255;

/// An option that cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OptionError {
    /// Index in the list of options (the last part of the JSON pointer).
    pub index: usize,
    /// The mistake, in words.
    pub message: String,
}

/// An option that has a recursive form; a list has one of them at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecursiveOption {
    /// It applies to all mounts below too.
    pub recursive: bool,
    /// Index in the list of options.
    pub index: usize,
}

/// A superblock flag, by its fsconfig(2) key: `ro`, `rw`, `sync`, `async`, `dirsync`, `mand`, `nomand`,
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
    /// Its value; `None` for a flag.
    pub value: Option<String>,
    /// Index in the list of options.
    pub index: usize,
}

impl DataOption {
    /// Whether fsconfig(2) accepts the value as a string.
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

/// A parsed list of mount options. Of two options that contradict each other, the later one wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Attributes to set on the mount itself.
    pub attr_set: MountAttrFlags,
    /// Attributes to clear on the mount itself. If an access time mode is named, they include all of
    /// [`ATIME`](MountAttrFlags::ATIME), as mount_setattr(2) requires.
    pub attr_clear: MountAttrFlags,
    /// Whether an option names an attribute of the mount itself, if only to leave an access time mode unselected.
    pub names_attributes: bool,
    /// Attributes to set on the mount and all mounts below it.
    pub rec_set: MountAttrFlags,
    /// Attributes to clear on the mount and all mounts below it.
    pub rec_clear: MountAttrFlags,
    /// Superblock flags of a new file system.
    pub superblock: Vec<SuperFlag>,
    /// Changes of propagation in their order, to be made after the mount is attached.
    pub propagation: Vec<Propagation>,
    /// `bind`, `rbind`.
    pub bind: Option<RecursiveOption>,
    /// `remount`, with its index.
    pub remount: Option<usize>,
    /// `tmpcopyup`, with its index.
    pub tmpcopyup: Option<usize>,
    /// `idmap`, `ridmap`.
    pub idmap: Option<RecursiveOption>,
    /// The map of `idmap=` or `ridmap=`.
    pub idmap_ranges: Option<IdmapRanges>,
    /// Indices of options that have no effect in current kernels. `silent`, `loud`: a driver's messages go to the configuration
    /// context, never to the kernel's log. `iversion`, `noiversion`: a file system that has a change counter always keeps it.
    pub without_effect: Vec<usize>,
    /// Options of the file system's driver, in their order.
    pub data: Vec<DataOption>,
}

impl MountOptions {
    /// The attributes for fsmount(2) of a new file system. Recursive options then apply to the mount itself, after the plain
    /// ones.
    pub fn new_mount_attributes(&self) -> MountAttrFlags {
        (self.attr_set - self.rec_clear) | self.rec_set
    }

    /// What mount_setattr(2) has to change on a bind mount itself.
    pub fn attributes(&self) -> Option<MountAttr> {
        change(self.attr_set, self.attr_clear)
    }

    /// What mount_setattr(2) has to change on a bind mount and all mounts below it.
    pub fn recursive_attributes(&self) -> Option<MountAttr> {
        change(self.rec_set, self.rec_clear)
    }

    /// Whether the mount itself is read-only.
    pub fn read_only(&self) -> bool {
        self.new_mount_attributes().contains(MountAttrFlags::RDONLY)
    }

    /// The value of a driver's option. The last one of this name counts.
    pub fn data_value(&self, key: &str) -> Option<&str> {
        self.data.iter().rev().find(|d| d.key == key).and_then(|d| d.value.as_deref())
    }

    /// Refuses options of a file system's driver, which a bind mount does not have.
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
    /// Sets or clears an attribute.
    Attr {
        bit: MountAttrFlags,
        set: bool,
        recursive: bool,
    },
    /// Selects or deselects an access time mode, a value of the field [`ATIME`](MountAttrFlags::ATIME).
    Atime {
        mode: MountAttrFlags,
        set: bool,
        recursive: bool,
    },
    /// `ro`, `rw`: both a mount attribute and a superblock flag.
    ReadOnly(bool),
    /// A superblock flag: its fsconfig key, and the key that it replaces.
    Super(&'static str, &'static str),
    Propagation(Propagation),
    Bind(bool),
    Idmap(bool),
    Remount,
    CopyUp,
    /// `defaults`: the same as no option.
    Defaults,
    /// Accepted, but without effect in the kernel.
    Ignored,
}

use Effect::{Atime, Attr, Bind, CopyUp, Defaults, Idmap, Ignored, ReadOnly, Remount, Super};

const fn set(bit: MountAttrFlags) -> Effect {
    Attr { bit, set: true, recursive: false }
}
const fn clear(bit: MountAttrFlags) -> Effect {
    Attr { bit, set: false, recursive: false }
}
const fn set_recursive(bit: MountAttrFlags) -> Effect {
    Attr { bit, set: true, recursive: true }
}
const fn clear_recursive(bit: MountAttrFlags) -> Effect {
    Attr { bit, set: false, recursive: true }
}
const fn atime(mode: MountAttrFlags, set: bool) -> Effect {
    Atime { mode, set, recursive: false }
}
const fn atime_recursive(mode: MountAttrFlags, set: bool) -> Effect {
    Atime { mode, set, recursive: true }
}
const fn propagate(kind: PropagationKind, recursive: bool) -> Effect {
    Effect::Propagation(Propagation { kind, recursive })
}

/// Every option of `config.md#linux-mount-options`, sorted by name.
const TABLE: &[(&str, Effect)] = &[
    ("async", Super("async", "sync")),
    ("atime", atime(MountAttrFlags::NOATIME, false)),
    ("bind", Bind(false)),
    ("defaults", Defaults),
    ("dev", clear(MountAttrFlags::NODEV)),
    ("diratime", clear(MountAttrFlags::NODIRATIME)),
    ("dirsync", Super("dirsync", "dirsync")),
    ("exec", clear(MountAttrFlags::NOEXEC)),
    ("idmap", Idmap(false)),
    ("iversion", Ignored),
    ("lazytime", Super("lazytime", "nolazytime")),
    ("loud", Ignored),
    ("mand", Super("mand", "nomand")),
    ("noatime", atime(MountAttrFlags::NOATIME, true)),
    ("nodev", set(MountAttrFlags::NODEV)),
    ("nodiratime", set(MountAttrFlags::NODIRATIME)),
    ("noexec", set(MountAttrFlags::NOEXEC)),
    ("noiversion", Ignored),
    ("nolazytime", Super("nolazytime", "lazytime")),
    ("nomand", Super("nomand", "mand")),
    ("norelatime", atime(MountAttrFlags::RELATIME, false)),
    ("nostrictatime", atime(MountAttrFlags::STRICTATIME, false)),
    ("nosuid", set(MountAttrFlags::NOSUID)),
    ("nosymfollow", set(MountAttrFlags::NOSYMFOLLOW)),
    ("private", propagate(PropagationKind::Private, false)),
    ("ratime", atime_recursive(MountAttrFlags::NOATIME, false)),
    ("rbind", Bind(true)),
    ("rdev", clear_recursive(MountAttrFlags::NODEV)),
    ("rdiratime", clear_recursive(MountAttrFlags::NODIRATIME)),
    ("relatime", atime(MountAttrFlags::RELATIME, true)),
    ("remount", Remount),
    ("rexec", clear_recursive(MountAttrFlags::NOEXEC)),
    ("ridmap", Idmap(true)),
    ("rnoatime", atime_recursive(MountAttrFlags::NOATIME, true)),
    ("rnodev", set_recursive(MountAttrFlags::NODEV)),
    ("rnodiratime", set_recursive(MountAttrFlags::NODIRATIME)),
    ("rnoexec", set_recursive(MountAttrFlags::NOEXEC)),
    ("rnorelatime", atime_recursive(MountAttrFlags::RELATIME, false)),
    ("rnostrictatime", atime_recursive(MountAttrFlags::STRICTATIME, false)),
    ("rnosuid", set_recursive(MountAttrFlags::NOSUID)),
    ("rnosymfollow", set_recursive(MountAttrFlags::NOSYMFOLLOW)),
    ("ro", ReadOnly(true)),
    ("rprivate", propagate(PropagationKind::Private, true)),
    ("rrelatime", atime_recursive(MountAttrFlags::RELATIME, true)),
    ("rro", set_recursive(MountAttrFlags::RDONLY)),
    ("rrw", clear_recursive(MountAttrFlags::RDONLY)),
    ("rshared", propagate(PropagationKind::Shared, true)),
    ("rslave", propagate(PropagationKind::Slave, true)),
    ("rstrictatime", atime_recursive(MountAttrFlags::STRICTATIME, true)),
    ("rsuid", clear_recursive(MountAttrFlags::NOSUID)),
    ("rsymfollow", clear_recursive(MountAttrFlags::NOSYMFOLLOW)),
    ("runbindable", propagate(PropagationKind::Unbindable, true)),
    ("rw", ReadOnly(false)),
    ("shared", propagate(PropagationKind::Shared, false)),
    ("silent", Ignored),
    ("slave", propagate(PropagationKind::Slave, false)),
    ("strictatime", atime(MountAttrFlags::STRICTATIME, true)),
    ("suid", clear(MountAttrFlags::NOSUID)),
    ("symfollow", clear(MountAttrFlags::NOSYMFOLLOW)),
    ("sync", Super("sync", "async")),
    ("tmpcopyup", CopyUp),
    ("unbindable", propagate(PropagationKind::Unbindable, false)),
];

/// The names of all options, sorted: `mountOptions` of `features.md`.
pub fn names() -> impl ExactSizeIterator<Item = &'static str> {
    TABLE.iter().map(|(name, _)| *name)
}

/// Parses a list of mount options.
///
/// An empty string is ignored. A string with commas is several options, as in mount(8); a comma that is quoted, or escaped
/// by a backslash, does not separate options.
///
/// # Errors
/// A NUL byte, a value without a key, or an invalid map of `idmap=`. Anything else is left to the driver.
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

/// The parts of `text` between commas that are neither quoted nor escaped, without empty parts.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let separates = c == ',' && !quoted && !escaped;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        separates
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
    // Quotes only protect commas in a list; they are not part of the value.
    let unquoted = value.map(|v| v.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(v));
    Ok(DataOption { key: key.to_owned(), value: unquoted.map(str::to_owned), index })
}

/// Whether `idmap=` or `ridmap=` is recursive, and the text of its map.
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
                self.names_attributes |= !recursive;
                if set {
                    *current = Some(mode);
                } else if !recursive || mode == MountAttrFlags::RELATIME {
                    // As with mount(8), the mode is left as it is. The kernel's default cannot be deselected at all.
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
            Ignored => self.without_effect.push(index),
        }
    }

    fn attr(&mut self, bit: MountAttrFlags, set: bool, recursive: bool) {
        self.names_attributes |= !recursive;
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
