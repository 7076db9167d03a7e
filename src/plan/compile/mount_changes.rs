//! Mounts that are added to, or removed from, a running container.
//!
//! The process that mounts joins every namespace of the container except its pid namespace, so no process of the container
//! can see it.

use super::super::cgroup::CgroupOutcome;
use super::super::compiled::Plan;
use super::super::host::Host;
use super::super::options::Options;
use super::super::step::{Component, ControlStep, LineOrigin, RootfsStep, is_at_or_below, plain};
use super::draft::Draft;
use super::input::{BundlePaths, Input};
use super::policy::Policy;
use super::{mounts, namespaces};
use crate::bundle::Spec;
use crate::bundle::spec::{Linux, Mount};
use crate::mount::options;
use crate::namespace::{NamespaceKind, Namespaces};
use crate::sys::mount::MountAttrFlags;
use crate::{Error, ErrorKind, Phase, Result};
use std::borrow::Cow;

/// Compiles the mounts of a configuration into a process that joins the container created from the rest of it,
/// mounts them there in order, and exits.
///
/// # Errors
/// As [`compile`](super::compile).
pub(crate) fn compile_mounts(
    spec: &Spec,
    paths: BundlePaths<'_>,
    host: &Host,
    namespaces: u64,
) -> Result<Plan> {
    let options = Options::default();
    let policy = Policy::of(spec, None);
    let none = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&none);
    let input = Input {
        spec,
        host,
        options: &options,
        namespaces: Namespaces::from_spec(linux, "/linux").map_err(Error::invalid)?,
        cgroup: CgroupOutcome::default(),
        rootfs: None,
        joining: Some(&policy),
    };
    let mut draft = enter(host.kernel, namespaces)?;
    for (i, mount) in spec.mounts.iter().enumerate() {
        check_remount(spec, i, mount)?;
        mounts::mount(&input, paths, &mut draft, i, mount)?;
    }
    draft.plan.namespaces = input.namespaces;
    draft.standard(ControlStep::Done);
    Ok(draft.finish())
}

/// The first lines: join the container's namespaces, and use its root.
fn enter(kernel: (u32, u32), namespaces: u64) -> Result<Draft> {
    if namespaces & NamespaceKind::Mount.flag() == 0 {
        let why = "the container has no mount namespace of its own";
        return Err(Error::unsupported(Phase::Mount, "/linux/namespaces", why));
    }
    let mut draft = Draft::new(kernel);
    draft.spawn(LineOrigin::Standard, 0, false);
    draft.standard(ControlStep::Undumpable);
    namespaces::join_container(&mut draft, namespaces & !NamespaceKind::Pid.flag())?;
    draft.standard(RootfsStep::HostRoot);
    draft.standard(RootfsStep::OpenUmask);
    Ok(draft)
}

/// Compiles a process that joins a container, unmounts these destinations in order, and exits.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] for a destination that is relative, is the root, or has a `..`;
/// [`ErrorKind::Unsupported`] for one that the configuration protects.
pub(crate) fn compile_unmounts(
    spec: &Spec,
    destinations: &[&str],
    kernel: (u32, u32),
    namespaces: u64,
) -> Result<Plan> {
    let mut draft = enter(kernel, namespaces)?;
    for (i, destination) in destinations.iter().enumerate() {
        let place = check(spec, i, destination, "cannot unmount")?;
        let Some((directory, name)) = Component::last_of(&place) else {
            return Err(wrong(i, destination, "cannot unmount"));
        };
        draft.standard(RootfsStep::Unmount { directory, name });
    }
    draft.standard(ControlStep::Done);
    Ok(draft.finish())
}

/// Refuses a remount that would make a masked or read-only path accessible again.
fn check_remount(spec: &Spec, index: usize, mount: &Mount) -> Result<()> {
    let Ok(options) = options::parse(&mount.options) else { return Ok(()) };
    if options.remount.is_none() {
        return Ok(());
    }
    let place = check(spec, index, &mount.destination, "cannot remount")?;
    if options.rec_clear.contains(MountAttrFlags::RDONLY)
        && protected(spec).any(|path| is_at_or_below(&path, &place))
    {
        return Err(refused(index, &mount.destination, "cannot remount"));
    }
    Ok(())
}

/// A destination as a [`plain`] path, if its mounts may be changed.
fn check(spec: &Spec, index: usize, destination: &str, what: &'static str) -> Result<String> {
    let Some(place) = plain(destination).filter(|place| destination.starts_with('/') && place.len() > 1)
    else {
        return Err(wrong(index, destination, what));
    };
    if protected(spec).any(|path| is_at_or_below(&place, &path)) {
        return Err(refused(index, destination, what));
    }
    Ok(place.into_owned())
}

fn wrong(index: usize, destination: &str, what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidArgument, Phase::Mount, what)
        .on(format!("{destination:?}"))
        .with_detail("a destination is an absolute path in the container, and not its root")
        .with_pointer(format!("/mounts/{index}/destination"))
}

fn refused(index: usize, destination: &str, what: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, Phase::Mount, what)
        .on(destination)
        .with_detail("the container's configuration masks it or makes it read-only")
        .with_pointer(format!("/mounts/{index}/destination"))
}

/// What the configuration masks and makes read-only.
fn protected(spec: &Spec) -> impl Iterator<Item = Cow<'_, str>> {
    let linux = spec.linux.iter();
    linux.flat_map(|linux| linux.masked_paths.iter().chain(&linux.readonly_paths)).filter_map(|p| plain(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protected_paths_cannot_be_remounted() {
        let text = br#"{"ociVersion": "1.2.0", "root": {"path": "r"},
            "linux": {"maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc//sys/"]}}"#;
        let spec = Spec::from_json(text).unwrap();
        let remount = |destination: &str, option: &str| {
            let options = vec!["remount".to_owned(), "bind".to_owned(), option.to_owned()];
            let mount = Mount { destination: destination.into(), options, ..Mount::default() };
            check_remount(&spec, 0, &mount).map_err(|e| e.kind())
        };
        for path in ["/proc/sys", "/proc/./sys/net", "/proc/kcore", "//proc/kcore"] {
            assert_eq!(remount(path, "rw"), Err(ErrorKind::Unsupported), "{path}");
        }
        assert_eq!(remount("/proc", "rrw"), Err(ErrorKind::Unsupported));
        for path in ["/proc/x/../sys", "proc/sys", "/", "/.."] {
            assert_eq!(remount(path, "rw"), Err(ErrorKind::InvalidArgument), "{path}");
        }
        assert_eq!((remount("/proc", "rw"), remount("/procs", "rrw")), (Ok(()), Ok(())));
        assert_eq!(remount("/proc", "rro"), Ok(()));
    }
}
