//! Blobs of real plans, unchanged and with changes.

use super::made_up::{bundle, host, recorded};
use orlop::bundle::Spec;
use orlop::cgroup::CgroupManager;
use orlop::plan::machine::{Header, Insn};
use orlop::plan::{Options, compile};

/// The blobs of the plans of all recorded configurations that compile, with their names.
pub(crate) fn of_managers() -> Vec<(String, Vec<u8>)> {
    let blob = |(name, spec): (String, Spec)| blob(&name, spec).map(|blob| (name, blob));
    recorded().into_iter().filter_map(blob).collect()
}

fn blob(name: &str, spec: Spec) -> Option<Vec<u8>> {
    let console = spec.process.as_ref().is_some_and(|process| process.terminal);
    let disabled = name.ends_with("cgroups-disabled");
    let cgroup_manager = if disabled { CgroupManager::Disabled } else { CgroupManager::Cgroupfs };
    let options =
        Options { id: name.to_owned(), wait_for_start: true, console, cgroup_manager, ..Options::default() };
    let plan = compile(&bundle(spec), &host(name.contains("v2")), &options).ok()?;
    Some(plan.encode().ok()?.as_ref().to_vec())
}

/// An input of the target `interpreter`: results of system calls, and a blob with a few bytes changed.
pub(crate) fn changed(blob: &[u8], random: &mut u64) -> Vec<u8> {
    let mut next = |below: usize| {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*random >> 33) as usize % below
    };
    let code = size_of::<Header>() / 2..blob.len().min(size_of::<Header>() + 600 * size_of::<Insn>());
    let mut input = vec![next(2) as u8 * 4, 8];
    input.extend((0..8).map(|_| next(256) as u8));
    let start = input.len();
    input.extend_from_slice(blob);
    for _ in 0..=next(12) {
        let at = start + code.start + next(code.len());
        input[at] = match next(4) {
            0 => next(256) as u8,
            1 => next(14) as u8,
            2 => 0xff,
            _ => input[at].wrapping_add(1),
        };
    }
    input
}
