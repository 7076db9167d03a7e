//! The descriptors that the host side opens for a plan.

use super::super::machine::{FIRST_SLOT, REGISTERS};
use crate::mount::options::MountOptions;
use crate::namespace::{IdMaps, NamespaceKind};
use crate::sys::mount::MountAttrFlags;

/// How many descriptors a stub may begin with: enough registers stay for its work.
const AT_BIRTH: usize = REGISTERS - FIRST_SLOT - 24;

/// The map of an idmapped mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idmap {
    /// Whose files appear as whose.
    pub owners: Owners,
    /// For all mounts below it too.
    pub recursive: bool,
}

/// What the owners of an idmapped mount's files are mapped by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owners {
    /// From the file system's ids to the ids of the initial user namespace.
    Maps(IdMaps),
    /// As the user namespace of this file maps its ids.
    Namespace(String),
}

/// How many of the mounts that the host side opens are there from the beginning, and how many come at a time
/// after these: neither side has more open at once.
const BATCH: usize = 32;

/// A slot of a plan. Only the plan that is being compiled hands one out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotId(u16);

impl SlotId {
    /// Its index among the plan's slots.
    pub(crate) fn index(self) -> usize {
        self.0.into()
    }
}

/// When a slot's descriptor comes to the stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// With its birth, in a register.
    Birth,
    /// With the batch of this number, when the stub asks for it.
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
    /// Adds a slot; `None` if the stub could not hold it.
    pub(crate) fn add(&mut self, slot: Slot) -> Option<Added> {
        let id = SlotId(u16::try_from(self.all.len()).ok()?);
        let batch = match slot {
            Slot::Tree { .. } | Slot::FileSystem { .. } | Slot::Proc { .. } => {
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

    /// The slots that the stub gets at its birth, in order.
    pub(crate) fn at_birth(&self) -> impl Iterator<Item = (SlotId, &Slot)> {
        self.iter().filter(|(_, _, at)| *at == Arrival::Birth).map(|(id, slot, _)| (id, slot))
    }
}

/// A descriptor which the host side opens for the stub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The cgroup v1 `tasks` file with this number among the container's hierarchies.
    Tasks(usize),
    /// A namespace to be joined.
    Namespace {
        /// Its kind.
        kind: NamespaceKind,
        /// Where its file is, in words if it has no path.
        path: String,
    },
    /// The `tasks` file of a resctrl group.
    Resctrl(String),
    /// A pidfd of the process whose namespaces are joined.
    Process,
    /// A detached copy of the mount tree at this host path, for user namespaces whose root cannot
    /// reach it.
    Tree {
        /// The path.
        path: String,
        /// With all mounts below it.
        recursive: bool,
        /// The owners of its files, mapped.
        idmap: Option<Box<Idmap>>,
        /// Attributes that a user namespace may not clear: it is an error if the source has one of them.
        locked: MountAttrFlags,
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
    /// A procfs of a pid namespace that is joined, detached. A process of that namespace has to make it; it sees
    /// an empty root, and has nothing but this to do.
    Proc {
        /// The pid namespace's file; that of the process whose namespaces are joined, if there is none.
        namespace: Option<String>,
        /// The user namespace's file, if only its root may make one.
        user: Option<String>,
        /// Its options.
        options: Box<MountOptions>,
    },
    /// A descriptor of the caller's.
    Given,
    /// The socket that takes the terminal's master.
    Console,
    /// The listening socket on which `start` calls.
    Start,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Slot {
        Slot::Tree { path: "/x".into(), recursive: false, idmap: None, locked: MountAttrFlags::default() }
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
