//! A container: the order in which its plan's parts come.

use super::super::cgroup::{self, CgroupOutcome};
use super::super::compiled::Plan;
use super::super::host::Host;
use super::super::options::Options;
use super::draft::Draft;
use super::input::{BundlePaths, Input};
use super::{filesystem, host_mounts, isolation, labels, program};
use crate::bundle::Bundle;
use crate::bundle::spec::Linux;
use crate::namespace::{NamespaceKind, Namespaces};
use crate::{Error, Result};

/// Compiles a bundle. The compiler makes no system call: the same bundle, host and options give the same plan.
///
/// # Errors
/// [`crate::ErrorKind::InvalidConfig`] with all problems found, [`crate::ErrorKind::Unsupported`] with
/// the pointer of the setting that cannot be enforced.
pub fn compile(bundle: &Bundle, host: &Host, options: &Options) -> Result<Plan> {
    compile_with_cgroup(bundle, host, options, CgroupOutcome::default())
}

/// Compiles a bundle whose cgroup was created with this outcome. The slots do not depend on the outcome.
///
/// # Errors
/// As [`compile`].
pub(crate) fn compile_with_cgroup(
    bundle: &Bundle,
    host: &Host,
    options: &Options,
    outcome: CgroupOutcome,
) -> Result<Plan> {
    let spec = &bundle.spec;
    let none = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&none);
    let namespaces = Namespaces::from_spec(linux, "/linux").map_err(Error::invalid)?;
    let rootfs = Some(bundle.rootfs.as_path());
    let input = Input { spec, host, options, namespaces, cgroup: outcome, rootfs, joining: None };
    let mut draft = Draft::new(host.kernel);
    draft.plan.cgroup = cgroup::plan(spec, host.cgroups.as_ref(), host.privileged, options)?;
    draft.plan.preserve_fds = options.preserve_fds;
    draft.plan.warnings.clone_from(&bundle.warnings);
    labels::check_labels(&input)?;
    labels::check_mount_label(&input)?;
    isolation::isolation(&input, &mut draft)?;
    let paths = BundlePaths { bundle: &bundle.path, rootfs: &bundle.rootfs };
    if input.namespaces.has(NamespaceKind::Mount) {
        filesystem::filesystem(&input, paths, &mut draft)?;
    } else {
        host_mounts::without_mount_namespace(&input, paths, &mut draft)?;
    }
    program::program(&input, &mut draft)?;
    draft.plan.namespaces = input.namespaces;
    Ok(draft.finish())
}
