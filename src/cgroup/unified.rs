//! Making a directory in the cgroup2 hierarchy with its controllers enabled.

use super::controller::{Controller, Controllers};
use super::dir::{Dir, DirRef, failed};
use super::settings::Settings;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::path::Path;

/// What a resource needs and could not be enabled is an error; what could be enabled besides is.
///
/// The usual case costs one reading of the new directory's `cgroup.controllers`. Otherwise each
/// directory from the mount down hands its controllers on.
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
    if !wanted.is_empty() && wanted.without(offered(cgroup)?).is_empty() {
        return Ok(());
    }
    let mut refusal = None;
    for parent in between(mount, directory) {
        if let Err(e) = hand_on(Dir::open(parent)?.at(), wanted)? {
            refusal = refusal.or(Some((parent, e)));
        }
    }
    let asked_by = |controller: Controller| {
        let setting = settings.v2().find(|s| s.controller == Some(controller));
        setting.map(|s| s.pointer.clone()).unwrap_or_default()
    };
    if let Some(controller) = thread(cgroup, needed)? {
        return Err(Error::new(ErrorKind::Unsupported, Phase::Cgroup, "the parent cgroup is threaded")
            .on(directory.display().to_string())
            .with_detail(format!("it cannot have the domain controller {}", controller.v2_name()))
            .with_pointer(asked_by(controller))
            .with_hint("choose another cgroupsPath"));
    }
    let missing = needed.without(offered(cgroup)?);
    let Some(controller) = missing.iter().next() else { return Ok(()) };
    let name = controller.v2_name();
    let error = match refusal {
        Some((parent, errno)) => explain(parent, name, errno),
        None => Error::new(ErrorKind::Unsupported, Phase::Cgroup, "the cgroup lacks a controller")
            .on(directory.display().to_string())
            .with_detail(format!("{name} is not available")),
    };
    Err(error.with_pointer(asked_by(controller)))
}

fn explain(parent: &Path, name: &str, errno: Errno) -> Error {
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

/// The directories that must hand controllers on: from the mount to the parent, top first.
fn between<'a>(mount: &'a Path, directory: &'a Path) -> Vec<&'a Path> {
    let mut parents: Vec<&Path> =
        directory.ancestors().skip(1).take_while(|p| p.starts_with(mount)).collect();
    parents.reverse();
    parents
}

fn offered(cgroup: DirRef<'_>) -> Result<Controllers> {
    let text = cgroup.text("cgroup.controllers")?.unwrap_or_default();
    Ok(Controllers::parse(&text))
}

/// Enables what the cgroup has and does not hand on yet: all in one write, or else one by one
/// (one that is refused must not keep back the others). The inner error is the first refusal.
fn hand_on(parent: DirRef<'_>, wanted: Controllers) -> Result<Result<(), Errno>> {
    const FILE: &str = "cgroup.subtree_control";
    let now = Controllers::parse(&parent.text(FILE)?.unwrap_or_default());
    let lacking = wanted.and(offered(parent)?).without(now);
    if lacking.is_empty() {
        return Ok(Ok(()));
    }
    let plus = |c: Controller| format!("+{}", c.v2_name());
    let all: Vec<String> = lacking.iter().map(plus).collect();
    match parent.write(FILE, all.join(" ").as_bytes()) {
        Ok(()) => return Ok(Ok(())),
        // The parent holds processes. The threaded controllers alone would be accepted, at the price
        // of turning it into the root of a threaded subtree: nobody asked for that.
        Err(Errno::EBUSY) => return Ok(Err(Errno::EBUSY)),
        // Said again by the one that is refused.
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

/// Below a threaded cgroup only a threaded one can have processes, and it can have no domain
/// controller: makes it threaded, or answers with the domain controller that is needed.
fn thread(cgroup: DirRef<'_>, needed: Controllers) -> Result<Option<Controller>> {
    let threaded = Controllers::parse("cpu cpuset pids perf_event");
    let Some(kind) = cgroup.text("cgroup.type")? else { return Ok(None) };
    if kind.trim() != "domain invalid" {
        return Ok(None);
    }
    if let Some(controller) = needed.without(threaded).iter().next() {
        return Ok(Some(controller));
    }
    cgroup.set("cgroup.type", b"threaded")?;
    Ok(None)
}
