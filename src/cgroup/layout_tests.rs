use super::*;
use crate::cgroup::testing::TempDir;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

fn host(mountinfo: &str, cgroup: &str) -> (TempDir, Layout) {
    let dir = TempDir::new("layout");
    std::fs::write(dir.path().join("mountinfo"), mountinfo).unwrap();
    std::fs::write(dir.path().join("cgroup"), cgroup).unwrap();
    let layout = Layout::detect_in(dir.path(), Path::new("/")).unwrap().unwrap();
    (dir, layout)
}

const V2: &str = "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
const V1: &str = "25 30 0:23 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n\
    27 25 0:25 / /sys/fs/cgroup/systemd rw shared:5 - cgroup cgroup rw,xattr,name=systemd\n\
    30 25 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
    31 25 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
const HYBRID: &str = "26 25 0:24 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";

#[test]
fn a_cgroup2_mount_alone_is_v2() {
    let (_dir, layout) = host(V2, "0::/user.slice/session-1.scope\n");
    assert_eq!(layout.mode(), CgroupMode::V2);
    assert!(layout.v1().is_empty());
    let at = |p: &str| layout.unified_directory(&CgroupPath::new(p).unwrap()).unwrap().unwrap();
    assert_eq!(at("/docker/x"), Path::new("/sys/fs/cgroup/docker/x"));
    assert_eq!(at("x"), Path::new("/sys/fs/cgroup/user.slice/x"));
}

/// The fast detection of a v2 host does not find out which part of the hierarchy is mounted.
#[test]
fn a_relative_path_needs_the_root_of_the_mount() {
    let bound = V2.replace("0:30 / ", "0:30 /docker/c1 ");
    let (dir, mut layout) = host(&bound, "0::/docker/c1/a/b\n");
    layout.unified.as_mut().unwrap().root = PathBuf::new();
    let at = |p: &str| layout.unified_directory(&CgroupPath::new(p).unwrap()).unwrap().unwrap();
    assert_eq!(at("x"), Path::new("/sys/fs/cgroup/a/x"));
    std::fs::remove_file(dir.path().join("mountinfo")).unwrap();
    assert_eq!(at("/x"), Path::new("/sys/fs/cgroup/x"));
}

#[test]
fn v2_with_a_named_v1_hierarchy_is_v2() {
    let named = "27 25 0:25 / /run/systemd rw - cgroup cgroup rw,name=systemd\n";
    let (_dir, layout) = host(&format!("{V2}{named}"), "0::/\n");
    assert_eq!(layout.mode(), CgroupMode::V2);
}

#[test]
fn comounted_and_named_v1_hierarchies_are_v1() {
    let own = "3:cpu,cpuacct:/a/b\n2:memory:/\n1:name=systemd:/init.scope\n";
    let (_dir, layout) = host(V1, own);
    assert_eq!(layout.mode(), CgroupMode::V1);
    assert_eq!(layout.v1().len(), 3);
    let cpu = layout.v1_of(Controller::Cpu).unwrap();
    assert_eq!(cpu, layout.v1_of(Controller::CpuAcct).unwrap());
    assert_eq!(cpu.controller_list(), "cpu,cpuacct");
    assert!(layout.v1_of(Controller::Pids).is_none());
    let relative = layout.directories(&CgroupPath::new("x").unwrap()).unwrap();
    let expected = ["systemd/init.scope/x", "cpu,cpuacct/a/b/x", "memory/x"];
    assert_eq!(relative, expected.map(|p| Path::new("/sys/fs/cgroup").join(p)));
    assert_eq!(layout.unified_directory(&CgroupPath::new("x").unwrap()).unwrap(), None);
}

#[test]
fn v1_hierarchies_beside_cgroup2_are_hybrid() {
    let (_dir, layout) = host(&format!("{V1}{HYBRID}"), "0::/\n");
    assert_eq!(layout.mode(), CgroupMode::Hybrid);
    assert_eq!(layout.unified().unwrap().mount, Path::new("/sys/fs/cgroup/unified"));
}

#[test]
fn paths_are_resolved_below_mounts_that_were_bound_into_a_container() {
    let mounts = "30 25 0:28 /docker/c1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        40 25 0:28 / /mnt/other/memory rw - cgroup cgroup rw,memory\n";
    let (_dir, layout) = host(mounts, "2:memory:/docker/c1/inner\n");
    assert_eq!(layout.v1().len(), 1);
    let at = |p: &str| layout.directories(&CgroupPath::new(p).unwrap()).unwrap()[0].clone();
    assert_eq!(at("x"), Path::new("/sys/fs/cgroup/memory/inner/x"));
    assert_eq!(at("/x"), Path::new("/sys/fs/cgroup/memory/x"));
}

#[test]
fn relative_paths_are_rejected_if_the_mount_does_not_show_the_own_cgroup() {
    let mounts = "30 25 0:28 /docker/c1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    let (_dir, layout) = host(mounts, "2:memory:/docker/c12\n");
    assert!(layout.directories(&CgroupPath::new("/x").unwrap()).is_ok());
    let e = layout.directories(&CgroupPath::new("x").unwrap()).unwrap_err();
    assert!(e.to_string().contains("memory:/docker/c12"), "{e}");
}

#[test]
fn mount_points_are_below_the_given_root() {
    let dir = TempDir::new("layout-root");
    std::fs::write(dir.path().join("mountinfo"), V2).unwrap();
    let layout = Layout::detect_in(dir.path(), Path::new("/tmp/fake")).unwrap().unwrap();
    assert_eq!(layout.unified().unwrap().mount, Path::new("/tmp/fake/sys/fs/cgroup"));
}

#[test]
fn no_cgroup_mount_is_not_an_error() {
    let dir = TempDir::new("layout-none");
    std::fs::write(dir.path().join("mountinfo"), "1 0 0:1 / / rw - ext4 x rw\n").unwrap();
    assert_eq!(Layout::detect_in(dir.path(), Path::new("/")).unwrap(), None);
    assert_eq!(none_is_mounted().kind(), ErrorKind::Unsupported);
    // Not knowing is an error.
    std::fs::remove_file(dir.path().join("mountinfo")).unwrap();
    let e = Layout::detect_in(dir.path(), Path::new("/")).unwrap_err();
    assert_eq!((e.kind(), e.errno()), (ErrorKind::System, Some(Errno::ENOENT)));
}

#[test]
fn cgroup_names_are_arbitrary_bytes() {
    let odd = V2.as_bytes().iter().chain(b"36 24 0:31 / /mnt/\xff rw - tmpfs x rw\n");
    let dir = TempDir::new("layout-bytes");
    std::fs::write(dir.path().join("mountinfo"), odd.copied().collect::<Vec<u8>>()).unwrap();
    let layout = Layout::detect_in(dir.path(), Path::new("/")).unwrap().unwrap();
    let found = layout.locate(b"0::/a\xff/b:c\n").unwrap();
    let expected = Path::new("/sys/fs/cgroup").join(OsStr::from_bytes(b"a\xff/b:c"));
    assert_eq!(found.unified, Some(expected));
    // A cgroup outside of the cgroup namespace; and a truncated path.
    assert_eq!(layout.locate(b"0::/../other\n").unwrap().unified, None);
    let long = [b"0::/", "x/".repeat(3000).as_bytes()].concat();
    assert_eq!(
        layout.locate(&long[..4 + proc_cgroup::TRUNCATED]).unwrap_err().errno(),
        Some(Errno::ENAMETOOLONG)
    );
}

#[test]
fn this_host_is_detected() {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let is_mounted = [" - cgroup ", " - cgroup2 "].iter().any(|kind| mounts.contains(kind));
    assert_eq!(Layout::detect().unwrap().is_some(), is_mounted, "{mounts}");
}
