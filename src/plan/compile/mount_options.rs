//! Options of mounts, as the plan's steps take them.

use super::super::step::CLEARED_IF_UNNAMED;
use super::input::Input;
use crate::bundle::spec::Mount;
use crate::mount::filesystem_type;
use crate::mount::options::{self, MountOptions};
use crate::sys::mount::{MountAttr, MountAttrFlags};
use crate::{Error, Problem};

/// Makes a mount read-only, whatever its other options say.
pub(super) fn force_read_only(options: &mut MountOptions) {
    options.attr_set |= MountAttrFlags::RDONLY;
    options.attr_clear -= MountAttrFlags::RDONLY;
    options.rec_clear -= MountAttrFlags::RDONLY;
}

/// The access time attributes.
const TIMES: MountAttrFlags =
    MountAttrFlags::from_bits(MountAttrFlags::ATIME.bits() | MountAttrFlags::NODIRATIME.bits());

/// Of a bind mount that names an attribute, clears those of its source that it does not name, as a remount by mount(2)
/// does. The access time attributes count as one: all are replaced if an option sets one of them, and otherwise all stay. In
/// a user namespace, the container's or the caller's, the source's attributes are locked, except one, and stay; what is
/// mounted in a running container keeps them too.
pub(super) fn clear_unnamed(input: &Input<'_>, options: &mut MountOptions) {
    if !options.names_attributes || input.joining.is_some() {
        return;
    }
    let locked = input.in_user_namespace() || !input.host.privileged;
    let unnamed = if locked { MountAttrFlags::NOSYMFOLLOW } else { CLEARED_IF_UNNAMED };
    options.attr_clear |= unnamed - options.attr_set;
    if sets_access_times(options) {
        // A mode is set by clearing the whole field.
        options.attr_clear |= (TIMES - options.attr_set) | MountAttrFlags::ATIME;
    } else {
        options.attr_clear -= TIMES;
    }
}

fn sets_access_times(options: &MountOptions) -> bool {
    options.attr_set.intersects(TIMES) || options.attr_clear.intersects(MountAttrFlags::ATIME)
}

/// What the options of a bind mount ask for by name and a user namespace may not change: attributes to clear, and the access
/// time attributes, which are then all in `clear`.
pub(super) fn locked_changes(options: &MountOptions) -> MountAttr {
    let times = if sets_access_times(options) { TIMES } else { MountAttrFlags::empty() };
    let clear = (options.attr_clear - TIMES) | times;
    MountAttr { set: options.attr_set & TIMES, clear, ..MountAttr::default() }
}

/// The options of a file system that the host side creates and the stub attaches. It becomes read-only when it is
/// attached, as it may be filled before that.
pub(super) fn for_the_host_side(kind: &str, options: &MountOptions) -> MountOptions {
    let mut options = options.clone();
    options.attr_set -= MountAttrFlags::RDONLY;
    options.rec_set -= MountAttrFlags::RDONLY;
    if filesystem_type::is_tmpfs(kind) && options.data_value("mode").is_none() {
        // Until it gets the mode of the directory below it.
        let (key, value) = ("mode".to_owned(), Some("755".to_owned()));
        options.data.push(options::DataOption { key, value, index: 0 });
    }
    options
}

/// The error for an option of a mount.
pub(super) fn option_error(pointer: &str, e: options::OptionError) -> Error {
    Error::invalid(vec![Problem {
        pointer: format!("{pointer}/options/{}", e.index),
        message: e.message,
        section: "config.md#linux-mount-options",
    }])
}

/// The options of a new file system. A superblock that a whole namespace shares takes no flags. A tmpfs is filled after
/// its creation, so `ro` is an option of its mount, and of `/dev` it is set last.
pub(super) fn for_new_file_system(kind: &str, destination: &str, mut options: MountOptions) -> MountOptions {
    if filesystem_type::lookup(kind).is_some_and(|k| k.shared_superblock) {
        options.superblock.clear();
    }
    if kind == "tmpfs" {
        options.superblock.retain(|flag| flag.key != "ro" && flag.key != "rw");
    }
    if is_dev(destination) {
        options.superblock.retain(|flag| flag.key != "ro");
        options.attr_set -= MountAttrFlags::RDONLY;
        options.rec_set -= MountAttrFlags::RDONLY;
    }
    options
}

/// Whether a destination is `/dev`.
pub(super) fn is_dev(destination: &str) -> bool {
    destination.trim_end_matches('/') == "/dev"
}

/// Whether a mount is a file system on `/dev` that is to be read-only.
pub(super) fn is_readonly_dev(destination: &str, mount: &Mount) -> bool {
    is_dev(destination) && options::parse(&mount.options).is_ok_and(|o| o.read_only() && o.bind.is_none())
}
