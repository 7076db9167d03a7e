//! Namespaces: a set to create or join, id maps, time offsets.

mod id_map;
mod kind;
mod set;

pub use crate::sys::userns::IdMap;
pub use id_map::{IdMaps, explain_refusal, open_process_dir, read_id_maps, write_id_maps, write_id_maps_at};
pub use kind::{Kind, supported};
pub use set::{Clock, Joined, Set, Source, TimeOffset};
