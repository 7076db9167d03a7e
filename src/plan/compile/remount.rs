//! Mounts of a container that is there: more of them, and fewer.
//!
//! The process that mounts joins every namespace of the container but its pid namespace: no process of the
//! container ever sees it.

use super::super::step::{Component, ControlStep, HostStep, RootfsStep, Slots, is_at_or_below, plain};
use super::join::Course;
use super::{Compiler, Host, Options, Plan, Policy};
use crate::bundle::Bundle;
use crate::bundle::spec::{Mount, Spec};
use crate::mount::options;
use crate::namespace::{NamespaceKind, Namespaces};
use crate::sys::mount::MountAttrFlags;
use crate::{Error, ErrorKind, Phase, Result};

/// Compiles the mounts of a configuration into a process that joins the container made from the rest of it,
/// mounts them there in turn, and ends.
///
/// # Errors
/// As [`compile`](super::compile).
pub(crate) fn compile_mounts(bundle: &Bundle, host: &Host, namespaces: u64) -> Result<Plan> {
    let options = Options::default();
    let policy = Policy::of(&bundle.spec, None);
    let none = crate::bundle::spec::Linux::default();
    let linux = bundle.spec.linux.as_ref().unwrap_or(&none);
    let mut compiler = Compiler {
        bundle,
        host,
        options: &options,
        lines: Vec::with_capacity(16),
        slots: Slots::default(),
        namespaces: Namespaces::from_spec(linux, "/linux").map_err(Error::invalid)?,
        spawn_flags: 0,
        two_stages: false,
        foreign: Vec::new(),
        cgroup: None,
        warnings: Vec::new(),
        joining: Some(&policy),
    };
    compiler.standard(HostStep::Spawn { namespaces: 0, into_cgroup: false });
    compiler.standard(ControlStep::Undumpable);
    compiler.enter(namespaces & !NamespaceKind::Pid.flag())?;
    compiler.standard(RootfsStep::HostRoot);
    compiler.standard(RootfsStep::OpenUmask);
    for (i, mount) in bundle.spec.mounts.iter().enumerate() {
        check_remount(&bundle.spec, i, mount)?;
        compiler.mount(i, mount)?;
    }
    compiler.standard(ControlStep::Done);
    Ok(compiler.finish())
}

/// Compiles a process that joins a container, unmounts there in turn, and ends.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] for a destination that is relative, the root, or leads up;
/// [`ErrorKind::Unsupported`] for one that the configuration protects.
pub(crate) fn compile_unmounts(
    spec: &Spec,
    destinations: &[&str],
    host: &Host,
    namespaces: u64,
) -> Result<Plan> {
    let mut course = Course::default();
    course.standard(HostStep::Spawn { namespaces: 0, into_cgroup: false });
    course.standard(ControlStep::Undumpable);
    course.enter(namespaces & !NamespaceKind::Pid.flag())?;
    course.standard(RootfsStep::HostRoot);
    course.standard(RootfsStep::OpenUmask);
    for (i, destination) in destinations.iter().enumerate() {
        let place = check(spec, i, destination, "cannot unmount")?;
        let Some((directory, name)) = Component::last_of(&place) else {
            return Err(wrong(i, destination, "cannot unmount"));
        };
        course.standard(RootfsStep::Unmount { directory, name });
    }
    course.standard(ControlStep::Done);
    Ok(course.finish(0, false, host))
}

/// A remount must not give back what the configuration takes away.
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

/// A destination in one way of writing, if a change is allowed there.
fn check(spec: &Spec, index: usize, destination: &str, what: &'static str) -> Result<String> {
    let Some(place) = plain(destination).filter(|place| destination.starts_with('/') && place.len() > 1)
    else {
        return Err(wrong(index, destination, what));
    };
    if protected(spec).any(|path| is_at_or_below(&place, &path)) {
        return Err(refused(index, destination, what));
    }
    Ok(place)
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
fn protected(spec: &Spec) -> impl Iterator<Item = String> + '_ {
    let linux = spec.linux.iter();
    linux.flat_map(|linux| linux.masked_paths.iter().chain(&linux.readonly_paths)).filter_map(|p| plain(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_protected_stays_so() {
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
