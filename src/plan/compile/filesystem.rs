//! The root file system: mounts, devices, masks, pivot.

use super::super::step::{
    CgroupView, Component, ControlStep, HostStep, MountStep, Node, Origin, RootfsStep, Slot, Source, Turn,
};
use super::{Compiler, idmap};
use crate::bundle::HookKind;
use crate::bundle::spec::Mount;
use crate::cgroup;
use crate::mount::filesystem_type;
use crate::mount::options::{self, MountOptions};
use crate::mount::{Propagation, PropagationKind};
use crate::namespace::NamespaceKind;
use crate::sys::mount::MountAttrFlags;
use crate::{Error, Phase, Problem, Result};
use std::borrow::Cow;

/// What every container has in /dev.
const DEVICES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

impl Compiler<'_> {
    /// The container's own mount namespace.
    pub(super) fn filesystem(&mut self) -> Result<()> {
        let propagation = self.propagation()?;
        // What is unbindable could not be cloned from; it is for the container's root alone.
        let here = match propagation {
            None | Some(Propagation { kind: PropagationKind::Unbindable, recursive: true }) => {
                Propagation::recursive(PropagationKind::Slave)
            }
            Some(Propagation { kind: PropagationKind::Unbindable, recursive: false }) => {
                Propagation::single(PropagationKind::Private)
            }
            Some(given) => given,
        };
        self.open_labels();
        self.standard(RootfsStep::OpenUmask);
        let origin =
            propagation.map_or(Origin::Standard, |_| Origin::Pointer("/linux/rootfsPropagation".into()));
        self.line(origin.clone(), RootfsStep::HostPropagation(here));
        self.root_line()?;
        for (i, mount) in self.bundle.spec.mounts.iter().enumerate() {
            self.mount(i, mount)?;
        }
        self.notify()?;
        self.devices()?;
        self.terminal()?;
        self.hooks_before_pivot();
        self.masks();
        if self.bundle.spec.root.as_ref().is_some_and(|r| r.readonly) {
            self.asked("/root/readonly", RootfsStep::ReadonlyRoot);
        }
        self.standard(RootfsStep::Pivot { move_mount: self.options.no_pivot });
        if let Some(Propagation { kind, recursive }) = propagation {
            // What was the host's is private already; a volume may be shared with others of its own.
            let recursive = recursive && kind != PropagationKind::Private;
            self.line(origin, RootfsStep::RootPropagation(Propagation { kind, recursive }));
        }
        Ok(())
    }

    /// A joined mount namespace has its root, and its mounts, already.
    pub(super) fn without_filesystem(&mut self) -> Result<()> {
        let joined = self.namespaces.has(NamespaceKind::Mount);
        if !joined {
            return Err(Error::unsupported(
                Phase::Namespace,
                "/linux/namespaces",
                "a container without a mount namespace would change the host's mounts",
            )
            .with_hint("add {\"type\": \"mount\"}"));
        }
        let spec = &self.bundle.spec;
        let linux = spec.linux.as_ref();
        let present = [
            ("/mounts", !spec.mounts.is_empty()),
            ("/linux/maskedPaths", linux.is_some_and(|l| !l.masked_paths.is_empty())),
            ("/linux/readonlyPaths", linux.is_some_and(|l| !l.readonly_paths.is_empty())),
            ("/linux/devices", linux.is_some_and(|l| !l.devices.is_empty())),
            ("/linux/rootfsPropagation", linux.is_some_and(|l| l.rootfs_propagation.is_some())),
            ("/root/readonly", spec.root.as_ref().is_some_and(|r| r.readonly)),
        ];
        match present.iter().find(|(_, there)| *there) {
            Some((pointer, _)) => {
                Err(Error::unsupported(Phase::Mount, *pointer, "the joined mount namespace stays as it is"))
            }
            None => {
                self.open_labels();
                self.hooks_before_pivot();
                Ok(())
            }
        }
    }

    fn propagation(&self) -> Result<Option<Propagation>> {
        let value = self.bundle.spec.linux.as_ref().and_then(|l| l.rootfs_propagation.as_deref());
        let Some(name) = value.filter(|name| !name.is_empty()) else { return Ok(None) };
        match Propagation::from_name(name) {
            Some(propagation) => Ok(Some(propagation)),
            None => Err(Error::invalid(vec![Problem {
                pointer: "/linux/rootfsPropagation".into(),
                message: format!("unknown propagation {name:?}"),
                section: "config-linux.md#rootfs-mount-propagation",
            }])),
        }
    }

    /// The container's user namespace may not reach what its host's root can.
    fn trees_by_host(&self) -> bool {
        self.in_user_namespace() && self.host.makes_namespaces
    }

    fn root_line(&mut self) -> Result<()> {
        const POINTER: &str = "/root/path";
        let path = self.rootfs().display().to_string();
        let slot = if self.trees_by_host() {
            Some(self.slot(POINTER, Slot::Tree { path: path.clone(), recursive: true, idmap: None })?)
        } else {
            None
        };
        self.asked(POINTER, RootfsStep::Root { path, slot });
        Ok(())
    }

    pub(super) fn mount(&mut self, index: usize, mount: &Mount) -> Result<()> {
        let pointer = format!("/mounts/{index}");
        let options = options::parse(&mount.options).map_err(|e| option_error(&pointer, e))?;
        Self::refuse_mount(&pointer, mount, &options)?;
        let kind = mount.kind.clone().unwrap_or_default();
        // `rw` says nothing that is not so; the destination of a relative path is below the root.
        let destination = format!("/{}", mount.destination.trim_start_matches('/'));
        if options.bind.is_some() || kind == "bind" {
            return self.bind(&pointer, mount, options, destination);
        }
        if kind == "cgroup" || kind == "cgroup2" {
            return self.cgroup_mount(&pointer, &kind, options, destination);
        }
        if kind.is_empty() && options.remount.is_none() {
            return Err(Error::invalid(vec![Problem {
                pointer: format!("{pointer}/type"),
                message: "a mount that is no bind needs a type".into(),
                section: "config.md#mounts",
            }]));
        }
        let no_symlinks = matches!(kind.as_str(), "proc" | "sysfs");
        let mut options = for_new_file_system(&kind, &destination, options);
        self.label_new(&kind, &mut options);
        let label = if kind == "mqueue" { self.mount_label().map(str::to_owned) } else { None };
        let source = mount.source.clone().unwrap_or_default();
        let idmap = self.idmap(&pointer, mount, &options, false)?;
        let from = match idmap {
            _ if options.remount.is_some() => Source::Mounted { kind: Some(kind).filter(|k| !k.is_empty()) },
            Some(idmap) => {
                let slot = self.idmapped_file_system(&pointer, &kind, &source, &options, idmap)?;
                Source::Made { kind, source, slot, idmapped: true }
            }
            None => self.new_file_system(&pointer, kind, source, &options)?,
        };
        let no_symlinks = no_symlinks || (self.joining.is_some() && options.remount.is_some());
        let step = MountStep { destination, from, options, no_symlinks, label };
        self.asked(pointer, RootfsStep::Mount(Box::new(step)));
        Ok(())
    }

    /// Where a new file system comes from. A procfs shows the pid namespace of the process that makes it, and the stub
    /// enters one that is joined only later. What is mounted into a running container is looked up on the host, if
    /// it has a path.
    fn new_file_system(
        &mut self,
        pointer: &str,
        kind: String,
        source: String,
        options: &MountOptions,
    ) -> Result<Source> {
        let by_host = Box::new(for_the_host_side(&kind, options));
        let slot = if kind == "proc" && self.is_born_late() {
            let path = |kind| match self.namespaces.source(kind) {
                Some(crate::namespace::NamespaceSource::Path(path)) if self.joining.is_none() => {
                    Some(path.display().to_string())
                }
                _ => None,
            };
            let user = path(NamespaceKind::User).filter(|_| !self.host.makes_namespaces);
            Slot::Proc { namespace: path(NamespaceKind::Pid), user, options: by_host }
        } else if self.joining.is_some() && !filesystem_type::needs_no_path(&kind) {
            Slot::FileSystem { kind: kind.clone(), source: source.clone(), options: by_host, idmap: None }
        } else {
            return Ok(Source::New { kind, source });
        };
        let slot = self.slot(pointer, slot)?;
        Ok(Source::Made { kind, source, slot, idmapped: false })
    }

    fn refuse_mount(pointer: &str, mount: &Mount, options: &MountOptions) -> Result<()> {
        if idmap::is_asked(mount, options)
            && (options.remount.is_some() || matches!(mount.kind.as_deref(), Some("cgroup" | "cgroup2")))
        {
            let why = "only a new mount of files which have owners can be idmapped";
            return Err(Error::unsupported(Phase::Mount, pointer, why));
        }
        match options.tmpcopyup {
            Some(index) if !mount.kind.as_deref().is_some_and(filesystem_type::is_tmpfs) => {
                let why = "tmpcopyup is for a new tmpfs only";
                Err(Error::unsupported(Phase::Mount, format!("{pointer}/options/{index}"), why))
            }
            _ => Ok(()),
        }
    }

    fn bind(
        &mut self,
        pointer: &str,
        mount: &Mount,
        options: MountOptions,
        destination: String,
    ) -> Result<()> {
        options.refuse_data().map_err(|e| option_error(pointer, e))?;
        if options.remount.is_some() {
            let no_symlinks = self.joining.is_some();
            let step = MountStep::bind(destination, Source::Mounted { kind: None }, options);
            let step = MountStep { no_symlinks, ..step };
            self.asked(pointer, RootfsStep::Mount(Box::new(step)));
            return Ok(());
        }
        let Some(source) = mount.source.as_deref().filter(|s| !s.is_empty()) else {
            return Err(Error::invalid(vec![Problem {
                pointer: format!("{pointer}/source"),
                message: "a bind mount needs a source".into(),
                section: "config.md#mounts",
            }]));
        };
        let path = self.bundle.path.join(source);
        let recursive = options.bind.is_some_and(|b| b.recursive);
        // What an earlier mount of this container has put there is the container's: it is looked up in its root.
        let own = path.strip_prefix(&self.bundle.rootfs).ok().filter(|_| self.joining.is_none());
        let own =
            own.filter(|below| below.components().all(|c| matches!(c, std::path::Component::Normal(_))));
        let source = path.display().to_string();
        let idmap = self.idmap(pointer, mount, &options, own.is_some())?.map(Box::new);
        let by_host = self.joining.is_some() || self.trees_by_host() || idmap.is_some();
        let from = match own {
            Some(below) => Source::Own(format!("/{}", below.display())),
            None if by_host => {
                let slot = self.slot(pointer, Slot::Tree { path: source.clone(), recursive, idmap })?;
                Source::Tree { path: source, slot }
            }
            None => Source::Path(source),
        };
        let step = MountStep::bind(destination, from, options);
        self.asked(pointer, RootfsStep::Mount(Box::new(step)));
        Ok(())
    }

    /// The container's own cgroup, bound: the same tree that a cgroup namespace would show.
    fn cgroup_mount(
        &mut self,
        pointer: &str,
        kind: &str,
        options: MountOptions,
        destination: String,
    ) -> Result<()> {
        if self.joining.is_some() {
            let why = "the container's cgroup is mounted when the container is made, or never";
            return Err(Error::unsupported(Phase::Mount, format!("{pointer}/type"), why));
        }
        let mut options = options;
        let (record, optional) = match (&self.cgroup, &self.host.cgroups) {
            (Some(cgroup), _) => (Cow::Borrowed(&cgroup.record), cgroup.options.optional),
            (None, Some(layout)) if self.options.cgroup_manager == cgroup::CgroupManager::Disabled => {
                // The cgroup is the creator's: there to be looked at.
                super::only_to_be_looked_at(&mut options);
                (Cow::Owned(layout.own_cgroup()?), true)
            }
            _ => {
                let why = "the container has no cgroup to show";
                return Err(Error::unsupported(Phase::Mount, pointer, why));
            }
        };
        if !record.v1.is_empty() && kind == "cgroup" {
            let places = record.v1.iter();
            let views =
                places.filter_map(|place| view(&place.hierarchy, &place.directory, optional)).collect();
            let context = self.mount_context();
            self.asked(
                pointer,
                RootfsStep::CgroupMount { destination, options: Box::new(options), views, context },
            );
            return Ok(());
        }
        let unified = record.unified.as_ref().map(|p| p.display().to_string());
        let Some(source) = unified else {
            let why = "no cgroup2 hierarchy has the container's cgroup";
            return Err(Error::unsupported(Phase::Mount, format!("{pointer}/type"), why));
        };
        // nsdelegate, memory_recursiveprot: of the host's superblock, which is as the host wants it.
        options.data.clear();
        options.superblock.clear();
        let from = if options.remount.is_some() {
            Source::Mounted { kind: Some(kind.to_owned()) }
        } else {
            Source::Path(source)
        };
        let step = MountStep::bind(destination, from, options);
        self.asked(pointer, RootfsStep::Mount(Box::new(step)));
        Ok(())
    }

    /// The directory with the socket for the service manager.
    fn notify(&mut self) -> Result<()> {
        let Some(source) = self.options.notify.clone() else { return Ok(()) };
        let from = if self.trees_by_host() {
            let tree = Slot::Tree { path: source.clone(), recursive: false, idmap: None };
            let slot = self.slot("/process/env", tree)?;
            Source::Tree { path: source, slot }
        } else {
            Source::Path(source)
        };
        let options = MountOptions {
            attr_set: MountAttrFlags::RDONLY
                | MountAttrFlags::NOSUID
                | MountAttrFlags::NODEV
                | MountAttrFlags::NOEXEC,
            ..MountOptions::default()
        };
        let step = MountStep::bind("/run/notify".to_owned(), from, options);
        self.standard(RootfsStep::Mount(Box::new(step)));
        Ok(())
    }

    /// Whether /dev is the runtime's to fill: not one that was bound there whole.
    fn fills_dev(&self) -> bool {
        !self.bundle.spec.mounts.iter().any(|m| {
            m.destination.trim_end_matches('/') == "/dev"
                && (m.kind.as_deref() == Some("bind")
                    || m.options.iter().any(|o| o == "bind" || o == "rbind"))
        })
    }

    fn devices(&mut self) -> Result<()> {
        if !self.fills_dev() {
            return Ok(());
        }
        let bind = self.in_user_namespace() || !self.host.privileged;
        let listed = self.bundle.spec.linux.as_ref().map_or(&[][..], |l| &l.devices);
        for (path, major, minor) in DEVICES {
            if !listed.iter().any(|d| d.path == path) {
                let mode = libc::S_IFCHR | 0o666;
                let Some((directory, name)) = Component::last_of(path) else { continue };
                let node = Node { directory, name, mode, major, minor, owner: None, bind };
                self.standard(RootfsStep::MakeNode(node));
            }
        }
        for (i, device) in listed.iter().enumerate() {
            let kind = match device.kind.as_str() {
                "c" | "u" => libc::S_IFCHR,
                "b" => libc::S_IFBLK,
                "p" => libc::S_IFIFO,
                other => {
                    let why = format!("unknown device type {other:?}");
                    return Err(Error::unsupported(Phase::Mount, format!("/linux/devices/{i}/type"), why));
                }
            };
            let owner = match (device.uid.unwrap_or(0), device.gid.unwrap_or(0)) {
                (0, 0) => None,
                owner => Some(owner),
            };
            let Some((directory, name)) = Component::last_of(&device.path) else {
                return Err(Error::invalid(vec![Problem {
                    pointer: format!("/linux/devices/{i}/path"),
                    message: format!("{:?} is not the path of a file", device.path),
                    section: "config-linux.md#devices",
                }]));
            };
            let node = Node {
                directory,
                name,
                mode: kind | device.file_mode.map_or(0o666, |m| m & 0o7777),
                major: device.major.unwrap_or(0) as u32,
                minor: device.minor.unwrap_or(0) as u32,
                owner,
                bind: bind && kind != libc::S_IFIFO,
            };
            self.asked(format!("/linux/devices/{i}"), RootfsStep::MakeNode(node));
        }
        self.standard(RootfsStep::DevLinks { kcore: self.host.kcore });
        let readonly = self.bundle.spec.mounts.iter().position(is_readonly_dev);
        if let Some(index) = readonly {
            self.asked(format!("/mounts/{index}"), RootfsStep::ReadonlyMount { path: "/dev".into() });
        }
        Ok(())
    }

    fn hooks_before_pivot(&mut self) {
        let Some(hooks) = &self.bundle.spec.hooks else { return };
        let runtime = hooks.prestart.len() + hooks.create_runtime.len();
        let container = hooks.create_container.len();
        let (prestart, create_runtime) = (hooks.prestart.len(), hooks.create_runtime.len());
        if runtime > 0 {
            self.asked("/hooks", ControlStep::AwaitHost(Turn::RuntimeHooks));
        }
        if prestart > 0 {
            self.asked("/hooks/prestart", HostStep::RunHooks { kind: HookKind::Prestart, count: prestart });
        }
        if create_runtime > 0 {
            let step = HostStep::RunHooks { kind: HookKind::CreateRuntime, count: create_runtime };
            self.asked("/hooks/createRuntime", step);
        }
        if container > 0 {
            self.asked("/hooks/createContainer", ControlStep::AwaitHost(Turn::ContainerHooks));
            let step = HostStep::RunHooks { kind: HookKind::CreateContainer, count: container };
            self.asked("/hooks/createContainer", step);
        }
    }

    fn masks(&mut self) {
        let Some(linux) = &self.bundle.spec.linux else { return };
        for (i, path) in linux.masked_paths.iter().enumerate() {
            let step = RootfsStep::Mask { path: path.clone(), context: self.mount_context() };
            self.asked(format!("/linux/maskedPaths/{i}"), step);
        }
        for (i, path) in linux.readonly_paths.iter().enumerate() {
            self.asked(format!("/linux/readonlyPaths/{i}"), RootfsStep::ReadonlyPath { path: path.clone() });
        }
    }
}

/// A file system that is attached by another process than made it: it becomes read-only there, when it is filled.
pub(super) fn for_the_host_side(kind: &str, options: &MountOptions) -> MountOptions {
    let mut options = options.clone();
    options.attr_set -= MountAttrFlags::RDONLY;
    options.rec_set -= MountAttrFlags::RDONLY;
    if filesystem_type::is_tmpfs(kind) && options.data_value("mode").is_none() {
        // Until it gets that of the directory under it.
        let (key, value) = ("mode".to_owned(), Some("755".to_owned()));
        options.data.push(options::DataOption { key, value, index: 0 });
    }
    options
}

fn option_error(pointer: &str, e: options::OptionError) -> Error {
    Error::invalid(vec![Problem {
        pointer: format!("{pointer}/options/{}", e.index),
        message: e.message,
        section: "config.md#linux-mount-options",
    }])
}

fn is_readonly_dev(mount: &Mount) -> bool {
    mount.destination.trim_end_matches('/') == "/dev"
        && options::parse(&mount.options).is_ok_and(|o| o.read_only() && o.bind.is_none())
}

/// A superblock that a whole namespace shares takes no flags; a tmpfs is filled after it was made, so
/// its being read-only is the mount's, and /dev's comes last.
fn for_new_file_system(kind: &str, destination: &str, mut options: MountOptions) -> MountOptions {
    if filesystem_type::lookup(kind).is_some_and(|k| k.shared_superblock) {
        options.superblock.clear();
    }
    if kind == "tmpfs" {
        options.superblock.retain(|flag| flag.key != "ro" && flag.key != "rw");
    }
    if destination.trim_end_matches('/') == "/dev" {
        options.superblock.retain(|flag| flag.key != "ro");
        options.attr_set -= MountAttrFlags::RDONLY;
        options.rec_set -= MountAttrFlags::RDONLY;
    }
    options
}

/// A v1 hierarchy's place below /sys/fs/cgroup: its controllers' names, each also alone as a link.
fn view(hierarchy: &str, directory: &std::path::Path, optional: bool) -> Option<CgroupView> {
    let text = hierarchy.strip_prefix("name=").unwrap_or(hierarchy);
    let parts = text.split(',').filter(|_| text.contains(','));
    let (name, links) = (Component::new(text)?, parts.filter_map(Component::new).collect());
    Some(CgroupView { name, links, path: directory.display().to_string(), optional })
}
