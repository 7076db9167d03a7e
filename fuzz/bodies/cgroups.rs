//! What determines the place of a cgroup: `cgroupsPath`, names of systemd units, `/proc/PID/mountinfo` and
//! `/proc/PID/cgroup`, and systemd's replies. Any bytes give a result or an error, and every path stays below its
//! hierarchy.

use orlop::cgroup::systemd::Unit;
use orlop::cgroup::{CgroupPath, Layout};
use std::path::{Component, Path, PathBuf};

#[allow(
    dead_code,
    clippy::all,
    clippy::pedantic,
    reason = "it is compiled and linted as a part of the library"
)]
#[path = "cgroups/wire.rs"]
mod wire;

/// One run of the target `cgroups`: the first byte selects the part, the others are its input.
pub fn run(data: &[u8]) {
    let Some((&part, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    match part % 5 {
        0 => paths(&text),
        1 => units(&text),
        2 => layouts(rest),
        3 => wire::property(&text),
        _ => wire::message(rest),
    }
}

/// Checks that `path` is below `directory`, with plain names in between.
fn assert_below(path: &Path, directory: &Path) {
    let rest = path.strip_prefix(directory);
    let rest = rest.unwrap_or_else(|_| panic!("{} is not below {}", path.display(), directory.display()));
    let names = rest.components().all(|part| matches!(part, Component::Normal(_)));
    assert!(names, "{} below {}", path.display(), directory.display());
}

fn paths(text: &str) {
    let (id, path) = text.split_once('\n').unwrap_or(("id", text));
    let all = [
        CgroupPath::new(path),
        CgroupPath::from_config(Some(path), id, true),
        CgroupPath::from_config(Some(path), id, false),
        CgroupPath::from_config(None, id, true),
        CgroupPath::from_config(None, id, false),
    ];
    all.iter().flatten().for_each(is_sound);
    if let Ok(Some(below)) = CgroupPath::sub(path) {
        is_sound(&below);
        assert!(!below.is_absolute());
    }
    assert!(all.iter().all(|path| path.as_ref().err().is_none_or(|error| !error.to_string().is_empty())));
}

fn is_sound(path: &CgroupPath) {
    let text = path.to_string();
    assert!(CgroupPath::new(&text).is_ok_and(|again| again == *path), "{text:?}");
    for part in path.components() {
        assert!(!matches!(part.as_str(), "" | "." | "..") && part.len() <= 255, "{text:?}");
        assert!(!part.contains(['/', '\0', '\n']), "{text:?}");
    }
    assert_eq!(path.components().last().map(String::as_str), Some(path.name()));
    let directory = Path::new("/sys/fs/cgroup/x");
    let below = path.below(directory);
    assert_below(&below, directory);
    assert_eq!(below.components().count(), directory.components().count() + path.components().len());
    assert!(path.starts_with(path));
}

/// Lines: the manager's own cgroup, the container's ID, `cgroupsPath`.
fn units(text: &str) {
    let mut lines = text.splitn(3, '\n');
    let (manager, id, path) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""), lines.next());
    for user in [false, true] {
        let Ok(unit) = Unit::from_config(path, id, user) else { continue };
        for name in [&unit.name, &unit.slice] {
            assert!(name.len() <= 255 && !name.contains(|c: char| c == '/' || c.is_control()), "{name:?}");
        }
        let kinds = [unit.name.strip_suffix(".scope"), unit.slice.strip_suffix(".slice")];
        assert!(kinds.iter().all(|stem| stem.is_some_and(|stem| !stem.is_empty())), "{unit:?}");
        let Ok(path) = unit.path(manager) else {
            // The unit is valid: the manager's cgroup is not.
            assert!(unit.path("/user.slice").is_ok(), "{unit:?}");
            continue;
        };
        assert!(path.is_absolute() && path.name() == unit.name);
        is_sound(&path);
        // Each slice is in the slice that is the prefix of its name.
        let slices: Vec<&String> = path.components().iter().rev().skip(1).collect();
        let own = if unit.slice == "-.slice" { 0 } else { unit.slice.split('-').count() };
        for pair in slices.get(..own).unwrap_or_default().windows(2) {
            let stem = pair[1].strip_suffix(".slice").unwrap_or("/");
            assert!(pair[0].starts_with(&format!("{stem}-")), "{path}");
        }
        assert!(own == 0 || slices.first().is_some_and(|slice| **slice == unit.slice), "{path}");
    }
}

/// A path, and after zero bytes `cgroup` and `mountinfo`.
fn layouts(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (path, cgroup, mountinfo) = (part(), part(), part());
    let directory = Scratch::new();
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(directory.0.join(name), bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    };
    write("cgroup", cgroup);
    write("mountinfo", mountinfo);
    let layout: Option<Layout> = Layout::detect_in(&directory.0, Path::new("/")).ok().and_then(Into::into);
    let Some(layout) = layout else { return };
    let mounts: Vec<&Path> = layout.v1().iter().chain(layout.unified()).map(|h| h.mount.as_path()).collect();
    assert!(mounts.iter().all(|mount| mount.is_absolute()));
    let below_one = |path: &Path| {
        let mount =
            mounts.iter().filter(|mount| path.starts_with(mount)).max_by_key(|mount| mount.as_os_str().len());
        assert_below(path, mount.unwrap_or_else(|| panic!("{} is not below a hierarchy", path.display())));
    };
    if let Ok(own) = layout.own_cgroup() {
        own.paths().for_each(below_one);
    }
    let Ok(path) = CgroupPath::new(&String::from_utf8_lossy(path)) else { return };
    let unified = layout.unified_directory(&path).ok().flatten();
    let directories = layout.directories(&path).unwrap_or_default().into_iter().chain(unified);
    directories.for_each(|directory| below_one(&directory));
}

/// A directory for one run.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("orlop-cgroups-{}-{n}", std::process::id()));
        std::fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
