//! Idmapped mounts: how the owners of their files are mapped.

use super::super::step::{Idmap, Owners, Slot, SlotId};
use super::draft::Draft;
use super::input::Input;
use super::mount_options::for_the_host_side;
use crate::bundle::spec::Mount;
use crate::mount::filesystem_type;
use crate::mount::idmap_option::{IdmapRange, IdmapRanges};
use crate::mount::options::MountOptions;
use crate::namespace::{IdMap, IdMaps, NamespaceKind, NamespaceSource};
use crate::{Error, Phase, Result};

/// Whether a mount is to be idmapped.
pub(super) fn is_idmapped(mount: &Mount, options: &MountOptions) -> bool {
    options.idmap.is_some() || !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty()
}

/// The map of a mount: its own, that of its option, or that of the container's user namespace.
pub(super) fn of_mount(
    input: &Input<'_>,
    pointer: &str,
    mount: &Mount,
    options: &MountOptions,
) -> Result<Option<Idmap>> {
    let (uids, gids) = (&mount.uid_mappings, &mount.gid_mappings);
    let setting = match options.idmap {
        _ if !uids.is_empty() || !gids.is_empty() => format!("{pointer}/uidMappings"),
        Some(depth) => format!("{pointer}/options/{}", depth.index),
        None => return Ok(None),
    };
    let refuse = |why: &str| Err(Error::unsupported(Phase::Mount, setting.as_str(), why));
    if !input.host.privileged {
        return Err(Error::unsupported(
            Phase::Mount,
            setting.as_str(),
            "idmapped mounts need CAP_SYS_ADMIN in the initial user namespace",
        )
        .with_hint("a rootless container cannot have them: give the files to its users, or run it as root"));
    }
    let owners = match (uids.is_empty(), gids.is_empty(), &options.idmap_ranges) {
        (false, false, None) => Owners::Maps(IdMaps {
            uids: uids.iter().map(IdMap::from).collect(),
            gids: gids.iter().map(IdMap::from).collect(),
        }),
        (false, false, Some(_)) => {
            return refuse("an idmapped mount has either mappings or an option with a map");
        }
        (true, true, Some(ranges)) => match on_host(input, ranges) {
            Some(maps) => Owners::Maps(maps),
            None => {
                return refuse("a range with @ must lie in one range of the user namespace's own mappings");
            }
        },
        (true, true, None) => match input.namespaces.source(NamespaceKind::User) {
            Some(NamespaceSource::New) => Owners::Maps(input.namespaces.id_maps().clone()),
            Some(NamespaceSource::Path(path)) => Owners::Namespace(path.display().to_string()),
            _ => {
                return refuse("an idmapped mount needs mappings, or a user namespace to take them from");
            }
        },
        _ => return refuse("an idmapped mount needs both uidMappings and gidMappings"),
    };
    Ok(Some(Idmap { owners, recursive: options.idmap.is_some_and(|depth| depth.recursive) }))
}

/// The ranges of an option in ids of the host; `None` if a range with `@` is not covered by one range of the user namespace.
fn on_host(input: &Input<'_>, ranges: &IdmapRanges) -> Option<IdMaps> {
    let maps = input.namespaces.id_maps();
    let all = |list: &[IdmapRange], maps: &[IdMap]| -> Option<Vec<IdMap>> {
        list.iter().map(|range| range.on_host(maps)).collect()
    };
    Some(IdMaps { uids: all(&ranges.uids, &maps.uids)?, gids: all(&ranges.gids, &maps.gids)? })
}

/// A new idmapped file system. It is mapped while it belongs to the initial user namespace: the host side creates it.
pub(super) fn file_system(
    draft: &mut Draft,
    pointer: &str,
    kind: &str,
    source: &str,
    options: &MountOptions,
    idmap: Idmap,
) -> Result<SlotId> {
    if filesystem_type::made_inside(kind, false) {
        let why = format!("{kind} shows a namespace of the container's, and cannot be idmapped");
        return Err(Error::unsupported(Phase::Mount, format!("{pointer}/type"), why));
    }
    let slot = Slot::FileSystem {
        kind: kind.to_owned(),
        source: source.to_owned(),
        options: Box::new(for_the_host_side(kind, options)),
        idmap: Some(Box::new(idmap)),
    };
    draft.slot(pointer, slot)
}
