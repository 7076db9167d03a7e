//! `vm.memfd_noexec=2`: the runtime's stub cannot be in sealed memory, and must be out of reach nevertheless.

use crate::play::with_capabilities;
use kit::score::rounds;
use kit::{Case, Score, Test, wrap};
use std::fs;
use std::process::Command;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![executable_overwritten_later]
}

/// CVE-2019-5736 without executable memfds: a container keeps `/proc/N/exe` of a process that joins it open, and
/// writes to that file once nothing executes it any more.
fn executable_overwritten_later(t: &Test) {
    t.only_orlop("it starts processes in another way");
    let what = "with vm.memfd_noexec=2, /proc/N/exe of a joining process is kept open and written to later";
    let bundle = with_capabilities(t.bundle(), &["CAP_SYS_PTRACE"]).probe("grab");
    bundle.write();
    t.adopt(bundle.id());
    let (out, id, count) = (t.dir().join("grabbed"), bundle.id(), rounds() / 4 + 1);
    let orlop = format!("{} --root {}", t.program().display(), t.root().display());
    // All in one pid namespace, which ends with the script.
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
