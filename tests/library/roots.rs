//! Programs in a root of their own, created by a caller whose mounts are shared, as they are on most hosts.

use kit::{Case, Test};
use orlop::init::Command;
use orlop::mount::Rootfs;
use orlop::namespace::{NamespaceKind, Namespaces};
use std::fs;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![a_copy_of_a_shared_mount_does_not_propagate, a_directory_on_a_shared_mount_does_not_propagate]
}

/// The host's mounts below the test's directory: other tests have their own.
fn mounts(t: &Test) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let here = t.dir().display().to_string();
    table.lines().filter(|line| line.contains(&here)).map(str::to_owned).collect()
}

/// A copy of a shared mount is its peer: no mount in it may propagate to the host, and the exit of the program must
/// not unmount the host's mounts.
fn a_copy_of_a_shared_mount_does_not_propagate(t: &Test) {
    let bundle = t.bundle().directory("/proc");
    let set = Namespaces::new().create(NamespaceKind::Mount).create(NamespaceKind::Pid);
    let before = mounts(t);
    let root = Rootfs::directory(&bundle.path("/")).unwrap();
    let mut command = Command::new("/probe");
    command.args(["exit", "5"]).namespaces(&set).root(&root).mount_proc();
    let exit = command.spawn().and_then(|child| child.wait());
    assert_eq!(before, mounts(t));
    assert_eq!(exit.unwrap(), orlop::container::Exit::Code(5));
}

fn a_directory_on_a_shared_mount_does_not_propagate(t: &Test) {
    let bundle = t.bundle().directory("/proc");
    let set = Namespaces::new().create(NamespaceKind::Mount).create(NamespaceKind::Pid);
    let before = mounts(t);
    let mut command = Command::new("/probe");
    command.args(["exit", "6"]).namespaces(&set).mount_proc();
    command.root_directory(bundle.path("/").display().to_string());
    let exit = command.spawn().and_then(|child| child.wait());
    assert_eq!(before, mounts(t));
    assert_eq!(exit.unwrap(), orlop::container::Exit::Code(6));
}
