//! Slots: the descriptors that the host side opens for a plan.

use super::super::machine::{FIRST_SLOT, REGISTERS};
use crate::mount::options::MountOptions;
use crate::namespace::{IdMaps, NamespaceKind};
use crate::sys::mount::MountAttr;

/// How many descriptors a stub may start with. The other registers are for its work.
const AT_BIRTH: usize = REGISTERS - FIRST_SLOT - 24;

/// The map of an idmapped mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idmap {
    /// How owners are mapped.
    pub owners: Owners,
    /// Whether the mounts below it are mapped too.
    pub recursive: bool,
}

/// How the owners of an idmapped mount's files are mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owners {
    /// From the file system's ids to the ids of the initial user namespace.
    Maps(IdMaps),
    /// By the maps of the user namespace that this file stands for.
    Namespace(String),
}

/// How many of the mounts that the host side opens the stub starts with, and how many each later batch has. Neither side has
/// more of them open at once.
const BATCH: usize = 32;

/// The number of a slot. Only the plan that is being compiled creates one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotId(u16);

impl SlotId {
    /// Its index among the plan's slots.
    pub(crate) fn index(self) -> usize {
        self.0.into()
    }
}

/// When the stub gets a slot's descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// From the start, in a register.
    Birth,
    /// With the batch of this number, when the stub requests it.
    Batch(usize),
}

/// The slots of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slots {
    all: Vec<(Slot, Arrival)>,
    mounts: usize,
    births: usize,
}

/// A slot that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Added {
    /// The slot.
    pub(crate) id: SlotId,
    /// The batch that it is the first slot of: the batch must be received before the slot is used.
    pub(crate) first_of: Option<usize>,
}

impl Slots {
    /// Adds a slot; `None` if the stub has no register for it.
    pub(crate) fn add(&mut self, slot: Slot) -> Option<Added> {
        let id = SlotId(u16::try_from(self.all.len()).ok()?);
        let batch = match slot {
            Slot::Tree { .. } | Slot::FileSystem { .. } | Slot::Proc { .. } | Slot::Device(_) => {
                self.mounts += 1;
                (self.mounts - 1) / BATCH
            }
            Slot::Tasks(_)
            | Slot::Namespace { .. }
            | Slot::Resctrl(_)
            | Slot::Process
            | Slot::Given
            | Slot::Console
            | Slot::Start => 0,
        };
        let arrival = if batch == 0 { Arrival::Birth } else { Arrival::Batch(batch - 1) };
        self.births += usize::from(arrival == Arrival::Birth);
        if self.births > AT_BIRTH {
            return None;
        }
        self.all.push((slot, arrival));
        let first = batch > 0 && (self.mounts - 1).is_multiple_of(BATCH);
        Some(Added { id, first_of: first.then_some(batch.saturating_sub(1)) })
    }

    /// All slots, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SlotId, &Slot, Arrival)> {
        (0..).map(SlotId).zip(&self.all).map(|(id, (slot, arrival))| (id, slot, *arrival))
    }

    /// The slots of a batch.
    pub(crate) fn batch(&self, number: usize) -> impl Iterator<Item = (SlotId, &Slot)> {
        self.iter().filter(move |(_, _, at)| *at == Arrival::Batch(number)).map(|(id, slot, _)| (id, slot))
    }

    /// How many batches there are.
    pub(crate) fn batches(&self) -> usize {
        self.mounts.saturating_sub(1) / BATCH
    }

    /// The slots that the stub starts with, in order.
    pub(crate) fn at_birth(&self) -> impl Iterator<Item = (SlotId, &Slot)> {
        self.iter().filter(|(_, _, at)| *at == Arrival::Birth).map(|(id, slot, _)| (id, slot))
    }
}

/// A device node that the host side makes for a user namespace, in which mknod(2) is not permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceNode {
    /// `S_IFCHR` or `S_IFBLK`, with permissions.
    pub mode: u32,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Its owner, outside of the user namespace.
    pub uid: u32,
    /// Its group, outside of the user namespace.
    pub gid: u32,
}

/// A descriptor that the host side opens for the stub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// A file by which the process joins its cgroup: the one with this number among the container's hierarchies.
    Tasks(usize),
    /// A namespace to join.
    Namespace {
        /// Its kind.
        kind: NamespaceKind,
        /// The path of its file, or its kind if the caller gives the descriptor; empty for the pid namespace
        /// of the process whose namespaces are joined.
        path: String,
    },
    /// The `tasks` file of a resctrl group.
    Resctrl(String),
    /// A pidfd of the process whose namespaces are joined.
    Process,
    /// A detached copy of a mount tree of the host, for user namespaces whose root cannot reach it.
    Tree {
        /// The path.
        path: String,
        /// Whether it is copied with all mounts below it.
        recursive: bool,
        /// The owners of its files, mapped.
        idmap: Option<Box<Idmap>>,
        /// Requested changes that a user namespace may not make: it is an error if the source has an attribute to clear, or
        /// other access time attributes.
        locked: MountAttr,
        /// Whether it is made read-only, without the mounts below it.
        read_only: bool,
    },
    /// A new file system of the caller's user namespace, detached.
    FileSystem {
        /// Its type.
        kind: String,
        /// Its `source` string.
        source: String,
        /// Its options.
        options: Box<MountOptions>,
        /// The owners of its files, mapped.
        idmap: Option<Box<Idmap>>,
    },
    /// A detached mount of a new device node, with an owner of the caller's user namespace.
    Device(DeviceNode),
    /// A detached procfs of a pid namespace that is joined. Before Linux 6.18 a process in that namespace has to create it:
    /// see `compile/proc.rs`.
    Proc {
        /// The pid namespace's file; `None` for the namespace of the process whose namespaces are joined.
        namespace: Option<String>,
        /// The user namespace's file, if only its root may create the procfs.
        user: Option<String>,
        /// Its options.
        options: Box<MountOptions>,
    },
    /// A descriptor that the caller gives.
    Given,
    /// The socket that receives the terminal's master.
    Console,
    /// The listening socket to which `start` connects.
    Start,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Slot {
        Slot::Tree {
            path: "/x".into(),
            recursive: false,
            idmap: None,
            locked: MountAttr::default(),
            read_only: false,
        }
    }

    #[test]
    fn mounts_come_in_batches() {
        let mut slots = Slots::default();
        slots.add(Slot::Process).unwrap();
        let added: Vec<Added> = (0..1000).map(|_| slots.add(tree()).unwrap()).collect();
        let firsts: Vec<usize> = added.iter().filter_map(|added| added.first_of).collect();
        assert_eq!(firsts, (0..1000 / BATCH).collect::<Vec<_>>());
        assert_eq!(slots.at_birth().count(), 1 + BATCH);
        assert!(firsts.iter().all(|n| (1..=BATCH).contains(&slots.batch(*n).count())));
        assert_eq!(slots.batch(0).next().unwrap().0, added[BATCH].id);
    }

    #[test]
    fn there_are_no_more_than_the_stub_can_hold() {
        let mut slots = Slots::default();
        assert_eq!((0..100).filter(|_| slots.add(Slot::Given).is_some()).count(), AT_BIRTH);
        let mut slots = Slots::default();
        assert_eq!((0..70_000).filter(|_| slots.add(tree()).is_some()).count(), 65_536);
    }
}
