//! Namespaces to create or join, ID maps, time offsets, network devices to move.
//!
//! # Layers
//! Each line uses only the lines before it:
//! 1. `kind`: the eight types of namespaces; `time_offset`; `id_map`; `net_device`
//! 2. `id_map_writer`: writing ID maps, and what may keep a user namespace from being created; `open`: opening a
//!    namespace in order to join it
//! 3. `namespaces`: namespaces to create and to join

mod id_map;
mod id_map_writer;
mod kind;
mod namespaces;
mod net_device;
mod open;
mod time_offset;

pub use crate::sys::userns::IdMap;
pub use id_map::{IdMaps, open_process_dir, read_id_maps};
pub use id_map_writer::{explain_user_namespace_error, write_id_maps, write_id_maps_at};
pub use kind::{NamespaceKind, supported};
pub use namespaces::Namespaces;
pub use net_device::move_devices;
pub(crate) use open::is_of_host;
pub use open::{NamespaceSource, OpenNamespace};
pub use time_offset::{Clock, ClockOffset};
