//! The entries of `/mounts`.

use super::super::step::{CgroupView, Component, MountSource, MountStep, RootfsStep, Slot};
use super::draft::Draft;
use super::input::{BundlePaths, Input, is_root};
use super::mount_options::{
    clear_unnamed, for_new_file_system, for_the_host_side, force_read_only, locked_changes, option_error,
};
use super::{idmap, labels};
use crate::bundle::spec::Mount;
use crate::cgroup;
use crate::mount::filesystem_type;
use crate::mount::options::{self, MountOptions, RecursiveOption};
use crate::namespace::{self, NamespaceKind};
use crate::sys::mount::{MountAttr, MountAttrFlags};
use crate::{Error, Phase, Problem, Result};
use std::borrow::Cow;
use std::path::{self, Path};

/// Adds the mount of an entry of `/mounts`.
pub(super) fn mount(
    input: &Input<'_>,
    paths: BundlePaths<'_>,
    draft: &mut Draft,
    index: usize,
    mount: &Mount,
) -> Result<()> {
    let pointer = format!("/mounts/{index}");
    let options = options::parse(&mount.options).map_err(|e| option_error(&pointer, e))?;
    refuse_mount(&pointer, mount, &options)?;
    let kind = mount.kind.clone().unwrap_or_default();
    let destination = input.destination(mount).into_owned();
    if options.remount.is_none() && is_root(&destination) {
        let message = "a mount on / would hide the container's root: it is on the top of rootfs".into();
        let pointer = format!("{pointer}/destination");
        return Err(Error::invalid(vec![Problem { pointer, message, section: "config.md#mounts" }]));
    }
    if options.bind.is_some() || kind == "bind" {
        return bind(input, paths, draft, &pointer, mount, options, destination);
    }
    if kind == "cgroup" || kind == "cgroup2" {
        return cgroup_mount(input, draft, &pointer, &kind, options, destination);
    }
    if kind.is_empty() && options.remount.is_none() {
        return Err(Error::invalid(vec![Problem {
            pointer: format!("{pointer}/type"),
            message: "a mount that is no bind needs a type".into(),
            section: "config.md#mounts",
        }]));
    }
    if let Some(source) = not_mountable(input, &kind, &options) {
        return bind_of_host(input, draft, &pointer, source, options, destination);
    }
    let no_symlinks = matches!(kind.as_str(), "proc" | "sysfs");
    let mut options = for_new_file_system(&kind, &destination, options);
    labels::label_new(input, &kind, &mut options);
    let label = if kind == "mqueue" { labels::mount_label(input).map(str::to_owned) } else { None };
    let source = mount.source.clone().unwrap_or_default();
    let idmap = idmap::of_mount(input, &pointer, mount, &options)?;
    let from = match idmap {
        _ if options.remount.is_some() => MountSource::Mounted { kind: Some(kind).filter(|k| !k.is_empty()) },
        Some(idmap) => {
            let slot = idmap::file_system(draft, &pointer, &kind, &source, &options, idmap)?;
            MountSource::CreatedByHost { kind, source, slot, idmapped: true }
        }
        None => new_file_system(input, draft, &pointer, kind, source, &options)?,
    };
    let no_symlinks = no_symlinks || (input.joining.is_some() && options.remount.is_some());
    let step = MountStep { destination, source: from, options, no_symlinks, label };
    draft.configured(pointer, RootfsStep::Mount(Box::new(step)));
    Ok(())
}

/// Where the host has a file system that shows a namespace which a new user namespace does not own: the kernel does not let it
/// mount another one.
fn not_mountable(input: &Input<'_>, kind: &str, options: &MountOptions) -> Option<&'static str> {
    let (shown, path) = match kind {
        "proc" => (NamespaceKind::Pid, "/proc"),
        "sysfs" => (NamespaceKind::Network, "/sys"),
        "mqueue" => (NamespaceKind::Ipc, "/dev/mqueue"),
        _ => return None,
    };
    let shared = input.namespaces.is_new(NamespaceKind::User) && !input.namespaces.has(shown);
    (shared && input.joining.is_none() && options.remount.is_none() && options.data.is_empty())
        .then_some(path)
}

/// Binds a file system of the host in place of a new one; a sysfs is read-only.
fn bind_of_host(
    input: &Input<'_>,
    draft: &mut Draft,
    pointer: &str,
    source: &str,
    options: MountOptions,
    destination: String,
) -> Result<()> {
    // In a user namespace of the caller the mounts below it are locked to it.
    let recursive = !input.host.privileged;
    let mut options = MountOptions {
        attr_set: options.new_mount_attributes(),
        bind: Some(RecursiveOption { recursive, index: 0 }),
        propagation: options.propagation,
        ..MountOptions::default()
    };
    if source == "/sys" {
        force_read_only(&mut options);
    }
    let path = source.to_owned();
    let from = if input.trees_by_host() {
        let (idmap, locked) = (None, MountAttr::default());
        let tree = Slot::Tree { path: path.clone(), recursive, idmap, locked, read_only: false };
        MountSource::OpenedByHost { slot: draft.slot(pointer, tree)?, path }
    } else {
        MountSource::HostPath(path)
    };
    let step = MountStep::bind(destination, from, options);
    draft.configured(pointer, RootfsStep::Mount(Box::new(step)));
    Ok(())
}

/// Where a new file system comes from. A procfs shows the pid namespace of the process that creates it, and the stub
/// enters a joined one only later. The source of a mount into a running container is looked up on the host, if it is a
/// path.
fn new_file_system(
    input: &Input<'_>,
    draft: &mut Draft,
    pointer: &str,
    kind: String,
    source: String,
    options: &MountOptions,
) -> Result<MountSource> {
    let by_host = Box::new(for_the_host_side(&kind, options));
    let slot = if kind == "proc" && input.is_born_late() {
        let path = |kind| match input.namespaces.source(kind) {
            Some(namespace::NamespaceSource::Path(path)) if input.joining.is_none() => {
                Some(path.display().to_string())
            }
            _ => None,
        };
        let user = path(NamespaceKind::User).filter(|_| !input.host.makes_namespaces);
        Slot::Proc { namespace: path(NamespaceKind::Pid), user, options: by_host }
    } else if input.joining.is_some() && !filesystem_type::needs_no_path(&kind) {
        Slot::FileSystem { kind: kind.clone(), source: source.clone(), options: by_host, idmap: None }
    } else {
        return Ok(MountSource::New { kind, source });
    };
    let slot = draft.slot(pointer, slot)?;
    Ok(MountSource::CreatedByHost { kind, source, slot, idmapped: false })
}

fn refuse_mount(pointer: &str, mount: &Mount, options: &MountOptions) -> Result<()> {
    if idmap::is_idmapped(mount, options)
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
    input: &Input<'_>,
    paths: BundlePaths<'_>,
    draft: &mut Draft,
    pointer: &str,
    mount: &Mount,
    options: MountOptions,
    destination: String,
) -> Result<()> {
    options.refuse_data().map_err(|e| option_error(pointer, e))?;
    let mut options = options;
    if options.remount.is_some() {
        let no_symlinks = input.joining.is_some();
        clear_unnamed(input, &mut options);
        let step = MountStep::bind(destination, MountSource::Mounted { kind: None }, options);
        let step = MountStep { no_symlinks, ..step };
        draft.configured(pointer, RootfsStep::Mount(Box::new(step)));
        return Ok(());
    }
    let Some(source) = mount.source.as_deref().filter(|s| !s.is_empty()) else {
        return Err(Error::invalid(vec![Problem {
            pointer: format!("{pointer}/source"),
            message: "a bind mount needs a source".into(),
            section: "config.md#mounts",
        }]));
    };
    let path = paths.bundle.join(source);
    let recursive = options.bind.is_some_and(|b| b.recursive);
    // A source below the root file system may be on an earlier mount of the container: it is looked up in its root.
    let own = path.strip_prefix(paths.rootfs).ok().filter(|_| input.joining.is_none());
    let own = own.filter(|below| below.components().all(|c| matches!(c, path::Component::Normal(_))));
    let source = path.display().to_string();
    let idmap = idmap::of_mount(input, pointer, mount, &options)?.map(Box::new);
    let by_host = input.joining.is_some() || input.trees_by_host() || idmap.is_some();
    let from = match own {
        Some(below) => MountSource::ContainerPath { path: format!("/{}", below.display()), idmap },
        None if by_host => {
            let locked = if input.trees_by_host() && input.in_user_namespace() {
                locked_changes(&options)
            } else {
                MountAttr::default()
            };
            let slot = draft.slot(
                pointer,
                Slot::Tree { path: source.clone(), recursive, idmap, locked, read_only: false },
            )?;
            MountSource::OpenedByHost { path: source, slot }
        }
        None => MountSource::HostPath(source),
    };
    clear_unnamed(input, &mut options);
    let step = MountStep::bind(destination, from, options);
    draft.configured(pointer, RootfsStep::Mount(Box::new(step)));
    Ok(())
}

/// Binds the container's own cgroup: the tree that a cgroup namespace would show. A container without a cgroup of its own
/// gets that of its creator, read-only.
fn cgroup_mount(
    input: &Input<'_>,
    draft: &mut Draft,
    pointer: &str,
    kind: &str,
    options: MountOptions,
    destination: String,
) -> Result<()> {
    if input.joining.is_some() {
        let why = "the container's cgroup is mounted when the container is made, or never";
        return Err(Error::unsupported(Phase::Mount, format!("{pointer}/type"), why));
    }
    let mut options = options;
    let (record, optional) = match (&draft.plan.cgroup, &input.host.cgroups) {
        (Some(cgroup), _) => (Cow::Borrowed(&cgroup.record), cgroup.options.optional),
        (None, Some(layout)) if input.options.cgroup_manager == cgroup::CgroupManager::Disabled => {
            force_read_only(&mut options);
            (Cow::Owned(layout.own_cgroup()?), true)
        }
        _ => {
            let why = "the container has no cgroup to show";
            return Err(Error::unsupported(Phase::Mount, pointer, why));
        }
    };
    if !record.v1.is_empty() && kind == "cgroup" {
        let places = record.v1.iter();
        let views = places.filter_map(|place| view(&place.hierarchy, &place.directory, optional)).collect();
        let context = labels::mount_context(input);
        let options = Box::new(options);
        draft.configured(pointer, RootfsStep::CgroupMount { destination, options, views, context });
        return Ok(());
    }
    let Some(mut source) = record.unified.clone() else {
        let why = "no cgroup2 hierarchy has the container's cgroup";
        return Err(Error::unsupported(Phase::Mount, format!("{pointer}/type"), why));
    };
    if input.cgroup.skipped
        && let Some(layout) = &input.host.cgroups
        && let Some(own) = layout.own_cgroup()?.unified
    {
        source = own;
        force_read_only(&mut options);
    }
    // nsdelegate and memory_recursiveprot are options of the superblock, which is the host's.
    options.data.clear();
    options.superblock.clear();
    let from = if options.remount.is_some() {
        MountSource::Mounted { kind: Some(kind.to_owned()) }
    } else {
        MountSource::HostPath(source.display().to_string())
    };
    let step = MountStep::bind(destination, from, options);
    draft.configured(pointer, RootfsStep::Mount(Box::new(step)));
    Ok(())
}

/// Mounts the directory with the socket for the service manager.
pub(super) fn notify(input: &Input<'_>, draft: &mut Draft) -> Result<()> {
    let Some(source) = input.options.notify.clone() else { return Ok(()) };
    let from = if input.trees_by_host() {
        let tree = Slot::Tree {
            path: source.clone(),
            recursive: false,
            idmap: None,
            locked: MountAttr::default(),
            read_only: false,
        };
        let slot = draft.slot("/process/env", tree)?;
        MountSource::OpenedByHost { path: source, slot }
    } else {
        MountSource::HostPath(source)
    };
    let options = MountOptions {
        attr_set: MountAttrFlags::RDONLY
            | MountAttrFlags::NOSUID
            | MountAttrFlags::NODEV
            | MountAttrFlags::NOEXEC,
        ..MountOptions::default()
    };
    let step = MountStep::bind("/run/notify".to_owned(), from, options);
    draft.standard(RootfsStep::Mount(Box::new(step)));
    Ok(())
}

/// A v1 hierarchy's directory below `/sys/fs/cgroup`: the names of its controllers, each also alone as a link.
fn view(hierarchy: &str, directory: &Path, optional: bool) -> Option<CgroupView> {
    let text = hierarchy.strip_prefix("name=").unwrap_or(hierarchy);
    let parts = text.split(',').filter(|_| text.contains(','));
    let (name, links) = (Component::new(text)?, parts.filter_map(Component::new).collect());
    Some(CgroupView { name, links, path: directory.display().to_string(), optional })
}
