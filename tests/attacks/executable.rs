//! `vm.memfd_noexec=2`: the runtime's own program cannot be in sealed memory, and must be out of reach all the same.

use crate::play::with_capabilities;
use kit::score::rounds;
use kit::{Case, Score, Test, wrap};
use std::fs;
use std::process::Command;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![kept_and_overwritten]
}

/// CVE-2019-5736 where executable memory is forbidden: a container keeps `/proc/N/exe` of a process that joins it, and
/// writes to that file when nothing executes it any more.
fn kept_and_overwritten(t: &Test) {
    t.only_orlop("its program for a new process is its own");
    let what = "with vm.memfd_noexec=2, /proc/N/exe of a joining process is kept and written to later";
    let bundle = with_capabilities(t.bundle(), &["CAP_SYS_PTRACE"]).probe("grab");
    bundle.write();
    t.adopt(bundle.id());
    let (out, id, count) = (t.dir().join("grabbed"), bundle.id(), rounds() / 4 + 1);
    let orlop = format!("{} --root {}", t.program().display(), t.root().display());
    // All of it in one pid namespace, which ends with the script.
    let script = format!(
        "{orlop} create --bundle {} {id} >{} </dev/null || exit 3\n\
         {orlop} start {id} || exit 4\n\
         n={count}; while [ $n -gt 0 ]; do {orlop} exec {id} /probe exit 0 || exit 5; n=$((n-1)); done\n\
         sleep 0.1; {orlop} delete --force {id}",
        bundle.dir().display(),
        out.display(),
    );
    let mut caller = Command::new("/proc/self/exe");
    caller.args([wrap::NAME, "memfd_noexec=2", "--", "/bin/sh", "-c", &script]).current_dir(t.dir());
    let ended = caller.env("TMPDIR", t.dir().join("tmp")).output().unwrap();
    assert!(ended.status.success(), "{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr));
    let had: Vec<kit::Value> =
        fs::read_to_string(&out).unwrap().lines().skip(1).filter_map(|line| line.parse().ok()).collect();
    let mut score = Score::new(t, what);
    (0..count).for_each(|_| score.round());
    for line in &had {
        if line["written"] == true {
            score.win(format!(
                "{} was written to",
                line["had"].as_str().unwrap_or("").split(' ').next().unwrap_or("")
            ));
        }
    }
    score.end();
}
