//! Namespaces: a set to create or join, id maps, time offsets, network devices to move.

mod id_map;
mod kind;
mod net_device;
mod set;

pub use crate::sys::userns::IdMap;
pub use id_map::{IdMaps, explain_refusal, open_process_dir, read_id_maps, write_id_maps, write_id_maps_at};
pub use kind::{NamespaceKind, supported};
pub use net_device::move_devices;
pub(crate) use set::is_of_host;
pub use set::{Clock, NamespaceSource, Namespaces, OpenNamespace, TimeOffset};
