//! Cgroups that a container creates below its own, with unexpected names and depths.

use crate::play::lines;
use kit::{Case, Score, Test};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![names_that_are_not_utf8, process_below_a_name_that_is_not_utf8, deep_tree]
}

/// Not UTF-8, or awkward in other ways.
const NAMES: [&[u8]; 4] = [b"\xff\xfe", b"\xc3\x28", b" ", b"-rf"];

fn directory(dir: &Path) -> Option<OwnedFd> {
    nix::fcntl::open(dir, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()).ok()
}

fn below(dir: &OwnedFd, name: &OsStr) -> Option<OwnedFd> {
    openat(dir, name, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()).ok()
}

/// Removes what a test created and the runtime did not remove.
fn remove(dir: &Path, chain: &[&OsStr]) {
    let mut stack: Vec<OwnedFd> = directory(dir).into_iter().collect();
    for name in chain {
        let Some(next) = stack.last().and_then(|dir| below(dir, name)) else { break };
        stack.push(next);
    }
    while stack.len() > 1 {
        stack.pop();
        let name = chain[stack.len() - 1];
        let _ = unlinkat(stack.last().unwrap(), name, UnlinkatFlags::RemoveDir);
    }
}

fn names_that_are_not_utf8(t: &Test) {
    let mut score =
        Score::new(t, "cgroups with names that are not UTF-8 below the container's: delete leaves something");
    for name in NAMES.map(OsStr::from_bytes) {
        let container = t.bundle().probe("sleep").start();
        let homes = t.cgroup_directories(container.id());
        assert!(!homes.is_empty(), "the container has no cgroup");
        for dir in &homes {
            fs::create_dir_all(dir.join(name).join("inner").join(name)).unwrap();
        }
        let output = container.command("delete", &["--force"]).output();
        container.wait();
        let left: Vec<&PathBuf> = homes.iter().filter(|dir| dir.exists()).collect();
        let won = (output.code() != 0 || !left.is_empty()).then(|| {
            format!(
                "{}: exit {}, {} left: {}",
                name.display(),
                output.code(),
                left.len(),
                output.stderr.trim()
            )
        });
        score.attempt(won);
        for dir in &homes {
            remove(dir, &[name, OsStr::new("inner"), name]);
        }
        if score.wins() > 0 {
            // Each win takes ten seconds.
            break;
        }
    }
    score.end();
}

/// Without a pid namespace, only the cgroup tells which processes belong to the container.
fn process_below_a_name_that_is_not_utf8(t: &Test) {
    let what = "a process hidden in such a cgroup, without a pid namespace: it survives kill --all or delete --force";
    let mut score = Score::new(t, what);
    for words in [&["kill", "--all"][..], &["delete", "--force"]] {
        for name in NAMES.map(OsStr::from_bytes) {
            let bundle =
                t.bundle().without_namespace("pid").only_mounts(&["/dev"]).probe("spawn sleep , sleep");
            let container = bundle.remove("/linux/maskedPaths").remove("/linux/readonlyPaths").start();
            t.wait_for("the child", || !lines(&container).is_empty());
            let hidden = lines(&container)[0]["spawned"].as_i64().unwrap() as i32;
            let homes = t.cgroup_directories(container.id());
            for dir in &homes {
                let inner = dir.join(name);
                fs::create_dir(&inner).unwrap();
                Test::inherit_cpuset(&inner);
                fs::write(inner.join("cgroup.procs"), hidden.to_string()).unwrap();
            }
            let mut call = t.runtime(words.iter().copied()).arg(container.id());
            if words[0] == "kill" {
                call = call.arg("KILL");
            }
            let output = call.output();
            let listed = t.runtime(["ps", "--format", "json", container.id()]).output().stdout;
            std::thread::sleep(std::time::Duration::from_millis(50));
            // A zombie has been killed.
            let status = fs::read_to_string(format!("/proc/{hidden}/stat")).unwrap_or_default();
            let alive = !status.is_empty() && !status.contains(") Z ");
            score.attempt(alive.then(|| {
                format!("{}: {} ({listed:?}): {}", name.display(), words.join(" "), output.stderr.trim())
            }));
            kit::sys::kill(hidden, libc::SIGKILL);
            container.command("delete", &["--force"]).output();
            container.wait();
            kit::sys::reap(hidden, std::time::Duration::from_secs(5));
            for dir in &homes {
                remove(dir, &[name]);
                let _ = fs::remove_dir(dir);
            }
            container.command("delete", &["--force"]).output();
            if alive {
                // Each win takes ten seconds.
                break;
            }
        }
    }
    score.end();
}

/// Deeper than PATH_MAX allows in one path.
fn deep_tree(t: &Test) {
    const DEPTH: usize = 2500;
    let mut score = Score::new(t, "2500 nested cgroups below the container's: delete leaves something");
    let container = t.bundle().probe("sleep").start();
    // One of these hierarchies is enough load for the kernel.
    let homes = t.cgroup_directories(container.id());
    let home =
        homes.iter().find(|dir| dir.to_string_lossy().contains("systemd")).or(homes.first()).unwrap().clone();
    let name = OsStr::new("d");
    let mut at = directory(&home).unwrap();
    let mut depth = 0;
    while depth < DEPTH && mkdirat(&at, name, Mode::from_bits_truncate(0o755)).is_ok() {
        at = below(&at, name).unwrap();
        depth += 1;
    }
    drop(at);
    assert!(depth > 1000, "the kernel allows {depth} levels");
    let output = container.command("delete", &["--force"]).output();
    container.wait();
    let won = (output.code() != 0 || home.exists())
        .then(|| format!("{depth} levels: exit {}: {}", output.code(), output.stderr.trim()));
    score.attempt(won);
    remove(&home, &vec![name; depth]);
    container.command("delete", &["--force"]).output();
    score.end();
}
