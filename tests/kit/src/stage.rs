//! A stage for attacks: what they could change on the host is a copy.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Moves this (single-threaded) process into a mount namespace in which `/` is read-only, and `/run` and the
/// directory of temporary files are in memory: what an attack writes to the host lands there, or nowhere. Does
/// nothing if this process is a probe or a caller, or is not root.
pub fn set() {
    let words: Vec<String> = std::env::args().collect();
    if crate::harness::is_not_the_runner(&words) || !nix::unistd::geteuid().is_root() {
        return;
    }
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    let temporary = std::env::temp_dir();
    for place in [std::path::Path::new("/run"), &temporary] {
        mount(Some("stage"), place, Some("tmpfs"), MsFlags::empty(), Some("mode=1777")).unwrap();
    }
    mount(none, "/", none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY, none).unwrap();
}
