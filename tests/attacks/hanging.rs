//! A file system in userspace that a process of the container serves, and that never answers.

use crate::play::{Caller, Said, with_capabilities};
use kit::{Bundle, Case, Container, Score, Test, json};
use std::fs;
use std::time::{Duration, Instant};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![exec_reads_the_passwd_file, helper_blocked_in_a_request]
}

/// It may delay no command longer than this: a second, and a margin for a busy machine.
const LIMIT: Duration = Duration::from_millis(1500);

/// A container whose program serves such a file system on a directory.
fn serving<'t>(t: &'t Test, directory: &str) -> Container<'t> {
    t.only_orlop("it does not have these helpers");
    if fs::File::options().read(true).write(true).open("/dev/fuse").is_err() {
        kit::skip("there is no /dev/fuse");
    }
    let node = json!({"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666});
    let rule = json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rwm"});
    let bundle = with_capabilities(t.bundle().set("/root/readonly", false), &["CAP_SYS_ADMIN"])
        .directory(directory)
        .set("/process/env", json!(["PATH=/"]))
        .push("/linux/devices", node)
        .push("/linux/resources/devices", rule);
    let container = without_filter(bundle).probe(&format!("fuse /{directory}")).start();
    container.first_line();
    container
}

fn without_filter(bundle: Bundle<'_>) -> Bundle<'_> {
    if bundle.spec()["linux"]["seccomp"].is_null() { bundle } else { bundle.remove("/linux/seccomp") }
}

fn end(caller: &Caller<'_>, container: &Container<'_>) -> Said {
    let said = caller.call(&["delete", "--force", container.id()]);
    container.wait();
    said
}

/// The host side looks up the home directory of a user if the environment has none.
fn exec_reads_the_passwd_file(t: &Test) {
    let mut score = Score::new(t, "/etc is a file system that never answers: exec blocks on the passwd file");
    let (container, caller) = (serving(t, "etc"), Caller::new(t));
    let child = caller.begin(&["exec", container.id(), "/probe", "report"]);
    let pid = child.id().cast_signed();
    let begun = Instant::now();
    while begun.elapsed() < LIMIT
        && fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z"))
    {
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = begun.elapsed();
    if took >= LIMIT {
        // Only this terminates a process in such a request.
        end(&Caller::new(t), &container);
    }
    let said = caller.end(child);
    score.attempt((took >= LIMIT).then(|| format!("exit {} after {} ms", said.code, said.took.as_millis())));
    if took < LIMIT {
        assert!(said.code == 0 && said.stdout.contains("HOME=/\""), "{said:?}");
        end(&caller, &container);
    }
    score.end();
}

fn helper_blocked_in_a_request(t: &Test) {
    let what = "a helper is blocked by a file system that never answers: delete --force within a second";
    let mut score = Score::new(t, what);
    let (container, helper, caller) = (serving(t, "hanging"), Caller::new(t), Caller::new(t));
    let list = t.dir().join("list");
    let mounts = json!([{"destination": "/hanging/below", "type": "tmpfs", "source": "tmpfs"}]);
    fs::write(&list, mounts.to_string()).unwrap();
    let mut child = helper.begin(&["mounts", "add", container.id(), &list.to_string_lossy()]);
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "mounts add does not wait");
    let said = end(&caller, &container);
    let won = said.code != 0 || said.took > LIMIT;
    score.attempt(
        won.then(|| format!("exit {} after {} ms: {}", said.code, said.took.as_millis(), said.stderr)),
    );
    let said = helper.end(child);
    assert!(said.took < LIMIT, "{said:?}");
    score.end();
}
