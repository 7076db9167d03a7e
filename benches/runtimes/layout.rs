//! The mounts that the subjects see: a private mount namespace with one cgroup layout and nothing of the other.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::Result;

const CGROUP_ROOT: &str = "/sys/fs/cgroup";
const NO_DATA: Option<&str> = None;

/// A cgroup layout.
#[derive(Clone)]
pub(crate) enum Layout {
    /// The names of the hierarchies below `/sys/fs/cgroup`.
    V1(Vec<String>),
    /// A single cgroup2 at `/sys/fs/cgroup`.
    V2,
}

/// The layouts to measure; v1 comes first because v2 is shown by hiding it.
pub(crate) fn choose(wanted: Option<&str>) -> Result<Vec<Layout>> {
    let hierarchies = hierarchies()?;
    let v1 = (!hierarchies.is_empty()).then_some(Layout::V1(hierarchies));
    match wanted {
        None => Ok(v1.into_iter().chain([Layout::V2]).collect()),
        Some("v1") => Ok(vec![v1.ok_or("no v1 hierarchy is mounted on this host")?]),
        Some("v2") => Ok(vec![Layout::V2]),
        Some(other) => Err(format!("unknown layout {other}: v1, v2 or auto").into()),
    }
}

fn hierarchies() -> Result<Vec<String>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut names = Vec::new();
    for fields in mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()) {
        let [_, at, "cgroup", ..] = fields[..] else { continue };
        let Some(name) = at.strip_prefix(CGROUP_ROOT).and_then(|at| at.strip_prefix('/')) else { continue };
        // Controllers that share a hierarchy are mounted at `cpu,cpuacct`, with a link from each name.
        names.push(name.rsplit(',').next().unwrap_or(name).to_owned());
    }
    Ok(names)
}

/// Leaves the host's mount namespace. State directories are on a tmpfs, as in /run; `libraries` hide the host's.
pub(crate) fn enter(work: &Path, libraries: Option<&Path>) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| format!("a mount namespace: {errno}"))?;
    mount(NO_DATA, "/", NO_DATA, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NO_DATA)?;
    let state = state_dir(work);
    fs::create_dir_all(&state)?;
    mount(Some("tmpfs"), &state, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, NO_DATA)?;
    if let Some(libraries) = libraries {
        let name = libraries.file_name().ok_or("libraries without a name")?;
        let host = Path::new("/usr/lib").join(name);
        mount(Some(libraries), &host, NO_DATA, MsFlags::MS_BIND, NO_DATA)?;
    }
    Ok(())
}

/// Shows this layout only.
pub(crate) fn show(layout: &Layout) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let at = |line: &str| line.split(' ').nth(1).map(str::to_owned);
    let is_v2 = |line: &&str| line.split(' ').nth(2) == Some("cgroup2");
    match layout {
        Layout::V1(_) => {
            for path in mounts.lines().filter(is_v2).filter_map(at) {
                umount2(path.as_str(), MntFlags::MNT_DETACH)?;
            }
        }
        Layout::V2 if mounts.lines().filter(is_v2).any(|line| at(line).as_deref() == Some(CGROUP_ROOT)) => {}
        Layout::V2 => {
            umount2(CGROUP_ROOT, MntFlags::MNT_DETACH)?;
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            mount(Some("cgroup2"), CGROUP_ROOT, Some("cgroup2"), flags, NO_DATA)?;
        }
    }
    Ok(())
}

/// The directory in which the subjects keep their state.
pub(crate) fn state_dir(work: &Path) -> PathBuf {
    work.join("state")
}

impl Layout {
    /// `v1` or `v2`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::V1(_) => "v1",
            Self::V2 => "v2",
        }
    }

    fn tops(&self) -> Vec<PathBuf> {
        match self {
            Self::V1(names) => names.iter().map(|name| Path::new(CGROUP_ROOT).join(name)).collect(),
            Self::V2 => vec![PathBuf::from(CGROUP_ROOT)],
        }
    }

    /// Creates the cgroup below which all the others are created. It is removed when the value is dropped.
    pub(crate) fn make_parent(&self) -> Result<Cgroups> {
        let cgroups =
            Cgroups { layout: self.clone(), parent: format!("/orlop-bench-{}", std::process::id()) };
        cgroups.make(&cgroups.parent)?;
        Ok(cgroups)
    }
}

/// The bench's cgroups.
pub(crate) struct Cgroups {
    pub(crate) layout: Layout,
    /// The path below each hierarchy.
    pub(crate) parent: String,
}

impl Cgroups {
    /// Creates a cgroup in each hierarchy; a v1 cpuset gets the values of its parent.
    pub(crate) fn make(&self, path: &str) -> Result<()> {
        for top in self.layout.tops() {
            let dir = top.join(path.trim_start_matches('/'));
            fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if matches!(self.layout, Layout::V1(_)) && dir.join(file).exists() {
                    fs::write(dir.join(file), fs::read(dir.join("..").join(file))?)?;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for top in self.layout.tops() {
            remove_tree(&top.join(self.parent.trim_start_matches('/')));
        }
    }
}

/// Cgroups are removed from the leaves up; their files disappear with them.
fn remove_tree(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    if let Err(error) = fs::remove_dir(dir) {
        eprintln!("runtimes: left behind: {}: {error}", dir.display());
    }
}
