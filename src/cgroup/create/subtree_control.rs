//! Enables controllers for a cgroup in the `cgroup.subtree_control` of its ancestors.

use crate::cgroup::controller::{Controller, Controllers};
use crate::cgroup::dir::{Dir, DirRef, failed};
use crate::cgroup::settings::Settings;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::path::Path;

/// Enables the `wanted` controllers for a cgroup, as far as possible.
///
/// Usually they are enabled already, and `cgroup.controllers` of the new cgroup is all that is read. Otherwise each
/// directory from the mount down enables them for its children.
///
/// # Errors
/// If a controller that `settings` need cannot be enabled.
pub(super) fn enable(
    mount: &Path,
    cgroup: DirRef<'_>,
    wanted: Controllers,
    settings: &Settings,
) -> Result<()> {
    let directory = cgroup.path();
    let needed = settings.unified_controllers();
    if wanted.is_empty() && needed.is_empty() && directory.parent() == Some(mount) {
        return Ok(());
    }
    if !wanted.is_empty() && wanted.without(available(cgroup)?).is_empty() {
        return Ok(());
    }
    let mut refusal = None;
    for parent in ancestors(mount, directory) {
        if let Err(e) = enable_for_children(Dir::open(parent)?.at(), wanted)? {
            refusal = refusal.or(Some((parent, e)));
        }
    }
    let pointer_of = |controller: Controller| {
        let setting = settings.v2().find(|s| s.controller == Some(controller));
        setting.map(|s| s.pointer.clone()).unwrap_or_default()
    };
    if let Some(controller) = make_threaded(cgroup, needed)? {
        return Err(Error::new(ErrorKind::Unsupported, Phase::Cgroup, "the parent cgroup is threaded")
            .on(directory.display().to_string())
            .with_detail(format!("it cannot have the domain controller {}", controller.v2_name()))
            .with_pointer(pointer_of(controller))
            .with_hint("choose another cgroupsPath"));
    }
    let missing = needed.without(available(cgroup)?);
    let Some(controller) = missing.iter().next() else { return Ok(()) };
    let name = controller.v2_name();
    let error = match refusal {
        Some((parent, errno)) => refused(parent, name, errno),
        None => Error::new(ErrorKind::Unsupported, Phase::Cgroup, "the cgroup lacks a controller")
            .on(directory.display().to_string())
            .with_detail(format!("{name} is not available")),
    };
    Err(error.with_pointer(pointer_of(controller)))
}

fn refused(parent: &Path, name: &str, errno: Errno) -> Error {
    let error = failed("write", parent, "cgroup.subtree_control", errno).with_detail(format!("\"+{name}\""));
    match errno {
        Errno::EBUSY => error.with_hint(
            "the parent cgroup holds processes itself, and on cgroup v2 only one without can have limited \
             children: choose another cgroupsPath, or move its processes into a child",
        ),
        Errno::EACCES | Errno::EPERM => error.with_hint("the parent cgroup is not delegated to this user"),
        _ => error,
    }
}

/// The directories from the mount to the parent, top first.
fn ancestors<'a>(mount: &'a Path, directory: &'a Path) -> Vec<&'a Path> {
    let mut parents: Vec<&Path> =
        directory.ancestors().skip(1).take_while(|p| p.starts_with(mount)).collect();
    parents.reverse();
    parents
}

/// The controllers that are enabled for the cgroup.
fn available(cgroup: DirRef<'_>) -> Result<Controllers> {
    let text = cgroup.text("cgroup.controllers")?.unwrap_or_default();
    Ok(Controllers::parse(&text))
}

/// Enables those controllers that the cgroup has for its children: all in one write, or else one by one, so that one
/// refusal does not affect the others. The inner error is the first refusal.
fn enable_for_children(parent: DirRef<'_>, wanted: Controllers) -> Result<Result<(), Errno>> {
    const FILE: &str = "cgroup.subtree_control";
    let enabled = Controllers::parse(&parent.text(FILE)?.unwrap_or_default());
    let lacking = wanted.and(available(parent)?).without(enabled);
    if lacking.is_empty() {
        return Ok(Ok(()));
    }
    let plus = |c: Controller| format!("+{}", c.v2_name());
    let all: Vec<String> = lacking.iter().map(plus).collect();
    match parent.write(FILE, all.join(" ").as_bytes()) {
        Ok(()) => return Ok(Ok(())),
        // The parent has processes. Enabling only threaded controllers would succeed, but would turn it into the root of
        // a threaded subtree.
        Err(Errno::EBUSY) => return Ok(Err(Errno::EBUSY)),
        // The write for the single controller fails again.
        Err(_) => {}
    }
    let mut refusal = Ok(());
    for one in all {
        if let Err(e) = parent.write(FILE, one.as_bytes())
            && refusal.is_ok()
        {
            refusal = Err(e);
        }
    }
    Ok(refusal)
}

/// Makes a cgroup below a threaded one threaded, since otherwise it cannot have processes. A threaded cgroup cannot have
/// domain controllers: if one is needed, returns it instead.
fn make_threaded(cgroup: DirRef<'_>, needed: Controllers) -> Result<Option<Controller>> {
    let threaded = Controllers::parse("cpu cpuset pids perf_event");
    let Some(cgroup_type) = cgroup.text("cgroup.type")? else { return Ok(None) };
    if cgroup_type.trim() != "domain invalid" {
        return Ok(None);
    }
    if let Some(controller) = needed.without(threaded).iter().next() {
        return Ok(Some(controller));
    }
    cgroup.set("cgroup.type", b"threaded")?;
    Ok(None)
}
