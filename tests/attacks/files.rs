//! Files that the runtime writes for its caller, in directories that another user of the host prepared.

use crate::play::Canary;
use kit::criu::Criu;
use kit::{Case, Score, Test};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![pid_file, log_file, manual_pages, specification, checkpoint, state_root]
}

/// A directory that every user may write to.
fn open_directory(t: &Test, name: &str) -> PathBuf {
    let dir = t.dir().join(name);
    fs::create_dir_all(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    dir
}

/// Creates links to the canary's bird under every name that the next processes could choose.
fn plant(dir: &std::path::Path, canary: &Canary, name: &str) {
    // After the last pid that was allocated; other programs take some as well.
    let text = fs::read_to_string("/proc/loadavg").unwrap();
    let last: i32 = text.split_whitespace().last().unwrap().parse().unwrap();
    for pid in last..last + 400 {
        for planted in [
            format!(".{name}.{pid}"),
            format!("{name}.{pid}"),
            format!(".{name}-{pid}"),
            format!("{name}.tmp"),
        ] {
            let _ = symlink(canary.dir.join("bird"), dir.join(planted));
        }
    }
    for planted in [name.to_owned(), format!(".{name}"), format!("{name}~"), format!(".{name}.tmp")] {
        let _ = symlink(canary.dir.join("bird"), dir.join(planted));
    }
}

fn pid_file(t: &Test) {
    let mut score =
        Score::new(t, "--pid-file in a directory of another user: links under the names it could use");
    let canary = Canary::new(t);
    let dir = open_directory(t, "theirs");
    let path = dir.join("pid").display().to_string();
    let flag = format!("--pid-file={path}");
    for verb in ["run", "create", "exec"] {
        let container = t.bundle().probe("sleep").start();
        let _ = fs::remove_file(dir.join("pid"));
        plant(&dir, &canary, "pid");
        match verb {
            "run" => drop(t.bundle().probe("exit 0").command("run", &[&flag]).output()),
            "create" => {
                let bundle = t.bundle().probe("exit 0");
                let output = bundle.command("create", &[&flag]).output();
                if output.code() == 0 {
                    let pid = fs::read_to_string(&path).unwrap_or_default().parse().unwrap_or(0);
                    t.runtime(["delete", "--force", bundle.id()]).output();
                    if pid > 0 {
                        kit::sys::reap(pid, std::time::Duration::from_secs(5));
                    }
                }
            }
            _ => {
                t.runtime(["exec", &flag, container.id(), "/probe", "exit", "0"]).output();
            }
        }
        score.attempt(canary.hurt().map(|how| format!("{verb}: {how}")));
    }
    score.end();
}

fn log_file(t: &Test) {
    let mut score = Score::new(t, "--log is a link to a file of the host");
    let canary = Canary::new(t);
    let dir = open_directory(t, "theirs");
    for target in ["bird", "made"] {
        let log = dir.join("log");
        let _ = fs::remove_file(&log);
        symlink(canary.dir.join(target), &log).unwrap();
        let log = log.display().to_string();
        t.bundle()
            .set("/process/args", kit::json!(["/none"]))
            .global("--debug")
            .global("--log")
            .global(&log)
            .try_run();
        score.attempt(canary.hurt());
    }
    score.end();
}

fn manual_pages(t: &Test) {
    t.only_orlop("it does not have this command");
    let mut score = Score::new(t, "man --directory into a directory with links to a file of the host");
    let canary = Canary::new(t);
    let dir = open_directory(t, "theirs");
    for name in ["orlop.8", "orlop-run.8", "orlop-create.8"] {
        symlink(canary.dir.join("bird"), dir.join(name)).unwrap();
    }
    t.bare(["man", "--directory", &dir.display().to_string()]).output();
    score.attempt(canary.hurt());
    score.end();
}

fn specification(t: &Test) {
    let mut score = Score::new(t, "spec with config.json as a dangling link that leads outside");
    let canary = Canary::new(t);
    let dir = open_directory(t, "theirs");
    symlink(canary.dir.join("made"), dir.join("config.json")).unwrap();
    t.bare(["spec", "--bundle", &dir.display().to_string()]).output();
    score.attempt(canary.hurt());
    score.end();
}

fn checkpoint(t: &Test) {
    t.only_orlop("it uses criu in another way");
    let mut score = Score::new(
        t,
        "checkpoint into a directory whose files are links to a file of the host (with a simulated criu)",
    );
    let canary = Canary::new(t);
    let criu = Criu::new(t);
    for name in ["descriptors.json", "orlop.json"] {
        let dir = open_directory(t, name);
        symlink(canary.dir.join("bird"), dir.join(name)).unwrap();
        let container = t.bundle().probe("sleep").start();
        plant(&dir, &canary, name);
        let image = dir.display().to_string();
        let words =
            ["--image-path", &image, "--work-path", &image, "--leave-running", "--empty-ns", "network"];
        criu.found_by(container.command("checkpoint", &words)).output();
        score.attempt(canary.hurt().map(|how| format!("{name}: {how}")));
    }
    score.end();
}

/// The owner of the directory can put another state there, with another process.
fn state_root(t: &Test) {
    t.only_orlop("others may accept it");
    let mut score = Score::new(t, "--root belongs to another user, or other users can write to it");
    for (owner, mode) in [(1000, 0o700), (1000, 0o755), (1000, 0o711), (0, 0o777)] {
        let root = open_directory(t, &format!("root-{owner}-{mode:o}"));
        fs::set_permissions(&root, fs::Permissions::from_mode(mode)).unwrap();
        nix::unistd::chown(&root, Some(owner.into()), Some(1000.into())).unwrap();
        let bundle = t.bundle().probe("exit 0");
        bundle.write();
        let call = t.bare(["run", "--bundle", &bundle.dir().display().to_string(), bundle.id()]).root(&root);
        let output = call.output();
        score.attempt(
            (output.code() == 0).then(|| format!("a root of user {owner} with mode {mode:o} is used")),
        );
    }
    score.end();
}
