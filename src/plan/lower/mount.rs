//! Mounts: new file systems, binds, and cgroup v1's directory of hierarchies.

use super::super::machine::{compare, last};
use super::super::step::{CgroupView, MountStep, SEALED, SlotId, Source};
use super::Lower;
use super::rootfs::{CLONE, EMPTY, RECURSIVE, Spot, is_kernels_place};
use crate::mount::filesystem_type;
use crate::mount::options::{DataOption, FSCONFIG_STRING_MAX, MountOptions};
use crate::mount::overlay::split_lowerdir;
use crate::plan::assemble::{Arg, Reg};
use crate::sys::mount::{MountAttr, MountAttrFlags, MoveMountFlags, config};
use nix::errno::Errno;

/// fspick(2) flags: `FSPICK_CLOEXEC | FSPICK_EMPTY_PATH`.
const FSPICK: u32 = 1 | 8;

impl Lower {
    pub(super) fn mount(&mut self, mount: &MountStep) {
        let (made, point) = match &mount.from {
            Source::New { kind, source } => self.file_system(mount, kind, source, None, false),
            Source::Made { kind, source, slot, idmapped } => {
                self.file_system(mount, kind, source, Some(*slot), *idmapped)
            }
            Source::Path(path) => {
                let copy = self.copy_of(path, &mount.options);
                self.bind(mount, copy)
            }
            Source::Own(path) => {
                let copy = self.copy_of_own(path, &mount.options);
                self.bind(mount, copy)
            }
            Source::Tree { slot, .. } => {
                let copy = self.slot(*slot);
                self.change(copy, mount.options.attributes().as_ref(), 0);
                self.bind(mount, copy)
            }
            Source::Mounted { .. } => return self.remount(mount),
        };
        self.attach(made, point);
        if let Some(label) = &mount.label {
            self.label(made, label);
        }
        self.propagations(made, &mount.options);
        self.asm.close(point);
        self.forget_below(&mount.destination);
        if !(mount.shows_the_kernel() && self.keep(&mount.destination, made)) {
            self.asm.close(made);
        }
    }

    /// Gives the root directory of a mount an SELinux context.
    fn label(&mut self, mount: Reg, context: &str) {
        let (dot, flags) = (self.text(c"."), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC);
        let root = self.asm.call_to(libc::SYS_openat, &[mount.into(), dot, flags.into()]);
        let (name, value) = (self.text(c"security.selinux"), self.string(context));
        self.asm.call(libc::SYS_fsetxattr, &[root.into(), name, value, context.len().into(), 0.into()]);
        self.asm.close(root);
    }

    /// Unmounts what is on `name` in a directory of the root that this process has. Whoever may rename
    /// directories there cannot lead it to another mount: no mount point can be renamed, and no symbolic link
    /// is followed.
    pub(super) fn unmount(&mut self, directory: &str, name: &str) {
        if self.root.is_none() {
            self.own_root();
        }
        let (root, flags) = (self.root(), libc::O_PATH | libc::O_DIRECTORY);
        let place = self.open_in_root(directory, flags, libc::RESOLVE_NO_SYMLINKS);
        self.asm.call(libc::SYS_fchdir, &[place.into()]);
        let (name, flags) = (self.string(name), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW);
        self.asm.call(libc::SYS_umount2, &[name, flags.into()]);
        self.asm.call(libc::SYS_fchdir, &[root]);
        self.asm.close(place);
    }

    fn propagations(&mut self, mount: Reg, options: &MountOptions) {
        for change in &options.propagation {
            let empty = self.empty();
            self.propagation(mount.into(), empty, *change, true);
        }
    }

    /// The new mount, which a slot may hold already, and its mount point.
    fn file_system(
        &mut self,
        mount: &MountStep,
        kind: &str,
        source: &str,
        slot: Option<SlotId>,
        idmapped: bool,
    ) -> (Reg, Reg) {
        // A tmpfs without a mode of its own takes that of the directory under it, if there was one.
        let inherits = kind == "tmpfs" && mount.options.data_value("mode").is_none();
        let (point, absent) = if inherits {
            let (point, absent) = self.mount_point_if_there(&mount.destination);
            (point, Some(absent))
        } else {
            (self.mount_point(&mount.destination, mount.no_symlinks), None)
        };
        let attributes = mount.options.new_mount_attributes();
        let copies = mount.options.tmpcopyup.is_some();
        let first = if inherits || copies || slot.is_some() {
            attributes - MountAttrFlags::RDONLY
        } else {
            attributes
        };
        let made = match slot {
            // It came with all its attributes but that one.
            Some(slot) => self.slot(slot),
            None => self.new_file_system(kind, source, &mount.options, first),
        };
        if let Some(absent) = absent {
            let own = self.asm.label();
            self.asm.jump_if(compare::EQUAL, absent, 1, own);
            self.inherit_mode(made, point, idmapped);
            self.asm.place(own);
            self.asm.release(absent);
        }
        if copies {
            self.asm.copy_tree(point, made);
        }
        if first != attributes {
            let (empty, change) = (self.empty(), self.asm.words(&[MountAttrFlags::RDONLY.bits(), 0, 0, 0]));
            self.setattr(made.into(), empty, EMPTY, change);
        }
        (made, point)
    }

    /// fsopen, fsconfig, fsmount.
    pub(super) fn new_file_system(
        &mut self,
        kind: &str,
        source: &str,
        options: &MountOptions,
        attributes: MountAttrFlags,
    ) -> Reg {
        let context = self.file_system_context(kind, source, options);
        self.create_file_system(context, attributes)
    }

    /// What a new file system is to be.
    pub(super) fn file_system_context(&mut self, kind: &str, source: &str, options: &MountOptions) -> Reg {
        if !filesystem_type::needs_no_path(kind) {
            // Its source, or its options, may be paths: of the host.
            self.at_host();
        }
        let sealed = self.sealed.as_deref() == Some(kind);
        let name = if sealed { SEALED.into() } else { self.string(kind) };
        let context = self.asm.call_to(libc::SYS_fsopen, &[name, 1.into()]);
        if !source.is_empty() {
            self.configure(context, "source", Some(source));
        }
        for flag in &options.superblock {
            self.configure(context, flag.key, None);
        }
        for option in &options.data {
            match option.value.as_deref() {
                Some(layers)
                    if layers.len() > FSCONFIG_STRING_MAX
                        && (kind, option.key.as_str()) == ("overlay", "lowerdir")
                        && self.kernel.lowerdir_append =>
                {
                    self.append_layers(context, layers);
                }
                value => self.configure(context, &option.key, value),
            }
        }
        context
    }

    /// Makes the file system of a context, and a mount of it.
    pub(super) fn create_file_system(&mut self, context: Reg, attributes: MountAttrFlags) -> Reg {
        self.asm.call(
            libc::SYS_fsconfig,
            &[context.into(), config::CMD_CREATE.into(), 0.into(), 0.into(), 0.into()],
        );
        let made = self.asm.call_to(libc::SYS_fsmount, &[context.into(), 1.into(), attributes.bits().into()]);
        self.asm.close(context);
        made
    }

    /// Together they are too long for fsconfig(2).
    fn append_layers(&mut self, context: Reg, layers: &str) {
        let (lower, data) = split_lowerdir(layers);
        for layer in &lower {
            self.configure(context, "lowerdir+", Some(layer));
        }
        for layer in &data {
            self.configure(context, "datadir+", Some(layer));
        }
    }

    /// The mount point, made where it is missing, and whether (1) it was.
    fn mount_point_if_there(&mut self, path: &str) -> (Reg, Reg) {
        let (found, absent) = (self.asm.label(), self.asm.register());
        self.asm.set(absent, 0u64);
        let (spot, links) = if is_kernels_place(path) {
            let (root, rest) = self.below(path);
            (Spot { root, rest, opened: None }, libc::RESOLVE_NO_SYMLINKS)
        } else {
            (self.spot(path), 0)
        };
        let (text, how) = (self.string(&spot.rest), self.how(libc::O_PATH, links));
        self.asm.tolerating(&[Errno::ENOENT]);
        let point = self.asm.call_to(libc::SYS_openat2, &[spot.root, text, how, 24.into()]);
        self.asm.jump_if(compare::GREATER_EQUAL, point, 0, found);
        let made = self.asm.make_path(spot.root, text, last::DIRECTORY, 0o755);
        self.asm.set(point, made);
        self.asm.release(made);
        self.asm.set(absent, 1u64);
        self.asm.place(found);
        if let Some(opened) = spot.opened {
            self.asm.close(opened);
        }
        (point, absent)
    }

    /// An idmapped root directory may belong to nobody of the container's (`idmapped`); its mode stays then.
    fn inherit_mode(&mut self, made: Reg, point: Reg, idmapped: bool) {
        let stat = self.stat(point);
        let at = std::mem::offset_of!(libc::stat, st_mode) as u64;
        let mode = self.asm.load(4, stat.plus(at), 0o7777);
        let dot = self.text(c".");
        if idmapped {
            self.asm.tolerating(&[Errno::EPERM, Errno::EOVERFLOW]);
        }
        self.asm.call(libc::SYS_fchmodat, &[made.into(), dot, mode.into()]);
        self.asm.release(mode);
    }

    pub(super) fn configure(&mut self, context: Reg, key: &str, value: Option<&str>) {
        let key = self.string(key);
        let (command, value) = match value {
            Some(value) => (config::SET_STRING, self.string(value)),
            None => (config::SET_FLAG, 0u64.into()),
        };
        self.asm.call(libc::SYS_fsconfig, &[context.into(), command.into(), key, value, 0.into()]);
    }

    /// A copy of the tree at a path of the host.
    fn copy_of(&mut self, path: &str, options: &MountOptions) -> Reg {
        let (directory, path) = (self.at_host(), self.string(path));
        self.copy_at(directory, path, 0, options)
    }

    /// A copy of the tree at a path of the container.
    fn copy_of_own(&mut self, path: &str, options: &MountOptions) -> Reg {
        let found = self.open_in_root(path, libc::O_PATH, 0);
        let empty = self.empty();
        let copy = self.copy_at(found.into(), empty, EMPTY, options);
        self.asm.close(found);
        copy
    }

    fn copy_at(&mut self, directory: Arg, path: Arg, flags: u32, options: &MountOptions) -> Reg {
        let depth = if options.bind.is_some_and(|b| b.recursive) { RECURSIVE } else { 0 };
        let own = options.attributes();
        // Attributes in the same call only where they mean the one mount there is.
        let together = own.as_ref().filter(|_| depth == 0).map(|a| self.attributes(a));
        let copy = self.clone_tree(directory, path, CLONE | flags | depth, together);
        if together.is_none() {
            self.change(copy, own.as_ref(), 0);
        }
        copy
    }

    /// The copy of a tree, and a mount point of the same kind.
    fn bind(&mut self, mount: &MountStep, made: Reg) -> (Reg, Reg) {
        self.change(made, mount.options.recursive_attributes().as_ref(), RECURSIVE);
        let kind = self.file_type(made);
        let make = self.asm.register();
        let directory = self.asm.label();
        self.asm.set(make, last::DIRECTORY);
        self.asm.jump_if(compare::EQUAL, kind, u64::from(libc::S_IFDIR), directory);
        self.asm.set(make, last::FILE);
        self.asm.place(directory);
        let point = if is_kernels_place(&mount.destination) {
            self.mount_point(&mount.destination, true)
        } else {
            let spot = self.spot(&mount.destination);
            self.make_at(&spot, make.into())
        };
        self.asm.release(kind);
        self.asm.release(make);
        (made, point)
    }

    fn attributes(&mut self, a: &MountAttr) -> Arg {
        self.asm.words(&[a.set.bits(), a.clear.bits(), a.propagation.bits(), 0])
    }

    fn change(&mut self, mount: Reg, attributes: Option<&MountAttr>, depth: u32) {
        if let Some(attributes) = attributes {
            let (empty, words) = (self.empty(), self.attributes(attributes));
            self.setattr(mount.into(), empty, EMPTY | depth, words);
        }
    }

    /// Changes what is mounted there already: attributes of the mount (`bind`), or of the file system.
    fn remount(&mut self, mount: &MountStep) {
        let links = if mount.no_symlinks { libc::RESOLVE_NO_SYMLINKS } else { 0 };
        let point = self.open_in_root(&mount.destination, libc::O_PATH, links);
        let options = &mount.options;
        if options.bind.is_none() {
            let empty = self.empty();
            let context = self.asm.call_to(libc::SYS_fspick, &[point.into(), empty, FSPICK.into()]);
            for flag in &options.superblock {
                self.configure(context, flag.key, None);
            }
            for option in &options.data {
                self.configure(context, &option.key, option.value.as_deref());
            }
            let reconfigure = config::CMD_RECONFIGURE;
            self.asm.call(
                libc::SYS_fsconfig,
                &[context.into(), reconfigure.into(), 0.into(), 0.into(), 0.into()],
            );
            self.asm.close(context);
        }
        self.change(point, options.attributes().as_ref(), 0);
        self.change(point, options.recursive_attributes().as_ref(), RECURSIVE);
        self.propagations(point, options);
        self.asm.close(point);
    }

    /// cgroup v1: a tmpfs with a directory for each hierarchy, on it the container's own cgroup.
    pub(super) fn cgroup_v1(
        &mut self,
        destination: &str,
        options: &MountOptions,
        views: &[CgroupView],
        label: Option<&DataOption>,
    ) {
        let point = self.mount_point(destination, false);
        let kind = self.text(c"tmpfs");
        let context = self.asm.call_to(libc::SYS_fsopen, &[kind, 1.into()]);
        self.configure(context, "mode", Some("755"));
        if let Some(label) = label {
            self.configure(context, &label.key, label.value.as_deref());
        }
        let create = config::CMD_CREATE;
        self.asm.call(libc::SYS_fsconfig, &[context.into(), create.into(), 0.into(), 0.into(), 0.into()]);
        let attributes = options.new_mount_attributes();
        let writable = attributes - MountAttrFlags::RDONLY;
        let dir = self.asm.call_to(libc::SYS_fsmount, &[context.into(), 1.into(), writable.bits().into()]);
        self.asm.close(context);
        for view in views {
            let name = self.string(view.name.as_str());
            self.asm.call(libc::SYS_mkdirat, &[dir.into(), name, 0o755.into()]);
            for link in &view.links {
                let link = self.string(link.as_str());
                self.asm.call(libc::SYS_symlinkat, &[name, dir.into(), link]);
            }
        }
        self.attach(dir, point);
        for view in views {
            self.cgroup_view(dir, view, attributes);
        }
        if writable != attributes {
            let (empty, change) = (self.empty(), self.asm.words(&[MountAttrFlags::RDONLY.bits(), 0, 0, 0]));
            self.setattr(dir.into(), empty, EMPTY, change);
        }
        self.propagations(dir, options);
        self.forget_below(destination);
        self.asm.close(dir);
        self.asm.close(point);
    }

    /// One hierarchy's part of the container's cgroup, on its directory.
    fn cgroup_view(&mut self, dir: Reg, view: &CgroupView, attributes: MountAttrFlags) {
        let missing = self.asm.label();
        let (directory, path) = (self.at_host(), self.string(&view.path));
        if view.optional {
            self.asm.tolerating(&[Errno::ENOENT]);
            let found = self
                .asm
                .call_to(libc::SYS_openat, &[directory, path, (libc::O_PATH | libc::O_CLOEXEC).into()]);
            self.asm.jump_if_failed(found, missing);
            self.asm.close(found);
        }
        let words = self.asm.words(&[attributes.bits(), 0, 0, 0]);
        let copy = self.clone_tree(directory, path, CLONE, Some(words));
        let (empty, name) = (self.empty(), self.string(view.name.as_str()));
        let flags = MoveMountFlags::F_EMPTY_PATH.bits();
        self.asm.call(libc::SYS_move_mount, &[copy.into(), empty, dir.into(), name, flags.into()]);
        self.asm.close(copy);
        self.asm.place(missing);
    }
}
