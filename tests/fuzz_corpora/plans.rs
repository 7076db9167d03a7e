//! Blobs of real plans, unchanged and with changes.

use orlop::bundle::{Bundle, Spec};
use orlop::cgroup::{CgroupManager, Layout};
use orlop::plan::machine::{Header, Insn};
use orlop::plan::{Host, Options, compile};
use std::path::{Path, PathBuf};

/// The blobs of the plans of all recorded configurations that compile, with their names.
pub(crate) fn of_managers() -> Vec<(String, Vec<u8>)> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut plans = Vec::new();
    for entry in std::fs::read_dir(fixtures.join("managers")).expect("fixtures").flatten() {
        let path = entry.path();
        let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else { continue };
        let Some(name) = name.strip_suffix(".json") else { continue };
        let text = std::fs::read(&path).expect("a recording");
        let host = fixtures.join("hosts").join(if name.contains("v2") { "v2" } else { "v1" });
        let blob = blob(name, text, &host).unwrap_or_default();
        if !blob.is_empty() {
            plans.push((name.to_owned(), blob));
        }
    }
    plans
}

fn blob(name: &str, text: Vec<u8>, host: &Path) -> Option<Vec<u8>> {
    let cgroups: Option<Layout> = Layout::detect_in(host, Path::new("/")).ok().and_then(Into::into);
    let host = Host {
        kernel: (6, 18),
        last_cap: 40,
        kcore: true,
        privileged: true,
        makes_namespaces: true,
        apparmor: false,
        selinux: false,
        resctrl: None,
        cgroups,
    };
    let spec = Spec::from_json(&text).ok()?;
    let console = spec.process.as_ref().is_some_and(|process| process.terminal);
    let path = PathBuf::from("/bundle");
    let bundle = Bundle { rootfs: path.join("rootfs"), path, spec, config: text, warnings: Vec::new() };
    let disabled = name.ends_with("cgroups-disabled");
    let cgroup_manager = if disabled { CgroupManager::Disabled } else { CgroupManager::Cgroupfs };
    let options =
        Options { id: name.to_owned(), wait_for_start: true, console, cgroup_manager, ..Options::default() };
    let plan = compile(&bundle, &host, &options).ok()?;
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
