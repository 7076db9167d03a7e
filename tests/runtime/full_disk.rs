//! A full disk below the state directory: a clear error, nothing lost, and `delete --force` cleans up.

use kit::{Case, Test};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::io::Write;
use std::path::PathBuf;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        create_on_disks_of_every_size_succeeds_or_leaves_nothing,
        a_container_survives_a_disk_that_fills_up
    ]
}

/// A small file system mounted on the test's state root.
struct Disk(PathBuf);

impl Disk {
    fn new(t: &Test, options: &str) -> Self {
        let root = t.root();
        fs::create_dir_all(&root).unwrap();
        mount(Some("tmpfs"), &root, Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
        Self(root)
    }

    /// Fills the file system.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join(".junk")).unwrap();
        while file.write_all(&[0; 512]).is_ok() {}
        // No inode for another file either.
        for n in 0.. {
            if fs::File::create(self.0.join(format!(".junk-{n}"))).is_err() {
                break;
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

const FULL: &str = "no space left on device";

fn create_on_disks_of_every_size_succeeds_or_leaves_nothing(t: &Test) {
    t.only_orlop("its files differ");
    let bundle = t.bundle().probe("sleep");
    let pid_file = t.dir().join("pid");
    let (mut failed, mut made) = (0, 0);
    for room in 1..=12 {
        for options in [format!("size={}k", 4 * room), format!("nr_inodes={}", room + 1)] {
            let _disk = Disk::new(t, &options);
            let _ = fs::remove_file(&pid_file);
            let create = bundle.command("create", &["--pid-file", pid_file.to_str().unwrap()]).output();
            if create.code() == 0 {
                made += 1;
                let start = t.runtime(["start", bundle.id()]).output();
                let state = t.runtime(["state", bundle.id()]).output().success().document();
                if start.code() == 0 {
                    assert_eq!(state["status"], "running", "{options}");
                } else {
                    start.refused(&[FULL]);
                }
            } else {
                failed += 1;
                create.refused(&[FULL]);
                let left = t.leaks_of(bundle.id());
                assert!(left.is_empty(), "{options}: {left:?}");
                assert!(!pid_file.exists(), "{options}: a pid file without a container");
            }
            t.runtime(["delete", "--force", bundle.id()]).output().success();
            let left = t.leaks_of(bundle.id());
            assert!(left.is_empty(), "{options}: {left:?}");
            if let Ok(pid) = fs::read_to_string(&pid_file) {
                kit::sys::reap(pid.parse().unwrap(), std::time::Duration::from_secs(5));
            }
        }
    }
    assert!(failed > 0 && made > 4, "{failed} failed, {made} did not");
}

fn a_container_survives_a_disk_that_fills_up(t: &Test) {
    t.only_orlop("its files differ");
    let disk = Disk::new(t, "size=256k,nr_inodes=64");
    let container = t.bundle().probe("sleep").create();
    disk.fill();
    let may_fail = |words: &[&str]| {
        let output = t.runtime(words.iter().copied()).output();
        if output.code() != 0 {
            output.refused(&[FULL]);
        }
    };
    may_fail(&["start", container.id()]);
    let status = container.status();
    assert!(["created", "running"].contains(&status.as_str()), "{status}");
    if status == "running" {
        container.exec("exit 3").exits(3);
        container.command("pause", &[]).output().success();
        assert_eq!(container.status(), "paused");
        container.command("resume", &[]).output().success();
    }
    may_fail(&["update", "--pids-limit", "50", container.id()]);
    assert_eq!(t.runtime(["list", "-q"]).output().success().stdout, format!("{}\n", container.id()));
    // Another container does not fit, and the error says so.
    t.bundle().probe("sleep").try_create().refused(&[FULL]);
    container.kill("KILL");
    assert_eq!(container.wait(), 137);
    assert_eq!(container.status(), "stopped");
    container.delete();
    assert!(t.leaks_of(container.id()).is_empty(), "{:?}", t.leaks_of(container.id()));
    drop(disk);
}
