//! Mounts of a container that is there: more of them, and fewer.

use super::super::step::{ControlStep, HostStep, RootfsStep, Slot};
use super::join::{enter, enter_mounts, standard};
use super::{Compiler, Host, Options, Plan, Policy};
use crate::bundle::Bundle;
use crate::namespace::Set;
use crate::{Error, Result};

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
        slots: vec![Slot::Process],
        namespaces: Set::from_spec(linux, "/linux").map_err(Error::invalid)?,
        spawn_flags: 0,
        two_stages: true,
        cgroup: None,
        warnings: Vec::new(),
        joining: Some(&policy),
    };
    begin(&mut compiler.lines, namespaces);
    for (i, mount) in bundle.spec.mounts.iter().enumerate() {
        compiler.mount(i, mount)?;
    }
    compiler.standard(ControlStep::Done);
    Ok(compiler.finish())
}

/// Compiles a process that joins a container, unmounts there in turn, and ends. Each destination is an absolute
/// path in the container, and not its root.
pub(crate) fn compile_unmounts(destinations: &[&str], host: &Host, namespaces: u64) -> Plan {
    let mut lines = Vec::with_capacity(16);
    begin(&mut lines, namespaces);
    for destination in destinations {
        let path = destination.trim_end_matches('/');
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        standard(
            &mut lines,
            RootfsStep::Unmount { directory: format!("{directory}/"), name: name.to_owned() },
        );
    }
    standard(&mut lines, ControlStep::Done);
    Plan {
        lines,
        slots: vec![Slot::Process],
        namespaces: Set::empty(),
        spawn_flags: 0,
        two_stages: true,
        cgroup: None,
        preserve_fds: 0,
        kernel: host.lowering(),
        warnings: Vec::new(),
    }
}

/// Joins the namespaces, of which the last is that of the mounts.
fn begin(lines: &mut Vec<super::Line>, namespaces: u64) {
    standard(lines, HostStep::Spawn { namespaces: 0, into_cgroup: false });
    standard(lines, ControlStep::Undumpable);
    enter(lines, 0, namespaces);
    enter_mounts(lines, 0, namespaces);
    standard(lines, RootfsStep::OpenUmask);
}
