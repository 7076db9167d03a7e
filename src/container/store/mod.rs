//! What is stored of a container between commands: a directory named after its id, used through a descriptor.
//!
//! | file | written | contents |
//! | --- | --- | --- |
//! | `journal` | before the first resource is created, then extended at each change of stage | [`StateRecord`]s, the last of which counts, and the configuration as it was read |
//! | `start.sock` | by the launcher | the waiting init process listens here for `start` |
//! | `helpers` | by operations | the processes that act for them, see [`helper_processes`] |
//! | `notify/notify.sock` | by `create` and `start` | receives the program's messages to the service manager |
//!
//! A crash at any point of that sequence leaves a state with a meaning. Without a `journal`, or with a part of one record,
//! nothing else was created. If the record has no process, a `create` is under way as long as the directory is locked,
//! and was interrupted otherwise. See [`journal`].
//!
//! Layers, each of which uses only those before it: [`error`], [`record`], [`journal`], [`claim`]; [`helper_processes`],
//! [`sockets`], [`root`]; [`lock`], [`lock_holder`]; [`directory`]; [`config`].

mod claim;
pub(super) mod config;
mod directory;
pub(super) mod error;
pub(super) mod helper_processes;
pub(super) mod journal;
pub(super) mod lock;
pub(super) mod lock_holder;
mod record;
mod root;
pub(super) mod sockets;

pub(super) use directory::{StateDirectory, read_ordinary_record};
pub(super) use record::{Stage, StateRecord};
pub(super) use root::{OpenStateRoot, StateRoot};

#[cfg(test)]
mod tests;
