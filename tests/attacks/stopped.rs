//! A container that stops the processes which join it: whoever holds a lock then, it can be killed and deleted.

use crate::play::{Caller, turn, with_capabilities};
use kit::score::rounds;
use kit::{Case, Score, Test, json, within};
use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![delete_while_a_helper_is_stopped, kill_while_a_helper_is_stopped]
}

/// Longer than this nothing that a container does may hold `kill` or `delete --force`: a second, and what a busy
/// machine takes.
const LIMIT: Duration = Duration::from_millis(1500);

/// Lets a helper join the container until one hangs there: the container may miss some.
fn hang(caller: &Caller<'_>, words: &[&str]) -> Option<Child> {
    for _ in 0..50 {
        let mut child = caller.begin(words);
        let begun = Instant::now();
        while begun.elapsed() < within(Duration::from_millis(300)) && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        if child.try_wait().unwrap().is_none() {
            return Some(child);
        }
    }
    None
}

/// Ends a command that hangs, and what it has started: orphans then, without whom the container's pid namespace
/// does not end.
fn end(mut child: Child, caller: &Caller<'_>, id: &str) {
    let pid = child.id();
    let left = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let _ = child.kill();
    let _ = child.wait();
    caller.call(&["delete", "--force", id]);
    for orphan in left.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        kit::sys::kill(orphan, libc::SIGKILL);
        kit::sys::reap(orphan, within(LIMIT));
    }
}

/// In each round a container whose helper hangs gets `words`; then nothing of it may be left.
fn against(t: &Test, what: &str, words: fn(&str) -> Vec<&str>) {
    t.only_orlop("its helpers are its own");
    let _turn = turn();
    let mut score = Score::new(t, what);
    let mounts = json!([
        {"destination": "/m/tmp", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/m/bound", "type": "bind", "source": t.dir(), "options": ["bind"]},
    ]);
    let list = t.dir().join("list");
    fs::write(&list, mounts.to_string()).unwrap();
    let (helper, caller) = (Caller::new(t), Caller::new(t));
    for _ in 0..=rounds() / 60 {
        let bundle = with_capabilities(t.bundle().set("/root/readonly", false), &["CAP_KILL"]);
        let container = bundle.probe("stop").start();
        container.first_line();
        let mut hanging = hang(&helper, &["mounts", "add", container.id(), &list.to_string_lossy()]);
        let said = caller.call(&words(container.id()));
        let won = (said.code != 0 || said.took > within(LIMIT)).then(|| {
            let (held, took) = (hanging.is_some(), said.took.as_millis());
            format!("a helper hangs ({held}); exit {} after {took} ms: {}", said.code, said.stderr.trim())
        });
        score.attempt(won);
        // What hung has lost its container.
        let begun = Instant::now();
        while said.code == 0
            && begun.elapsed() < within(LIMIT)
            && hanging.as_mut().is_some_and(|c| c.try_wait().unwrap().is_none())
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some(child) = hanging {
            end(child, &caller, container.id());
        }
        caller.call(&["delete", "--force", container.id()]);
        container.wait();
        if score.wins() == 2 {
            // Each has taken ten seconds and more.
            break;
        }
    }
    score.end();
}

fn delete_while_a_helper_is_stopped(t: &Test) {
    against(
        t,
        "kill(-1, SIGSTOP) stops a helper that holds the lock: delete --force within a second",
        |id| vec!["delete", "--force", id],
    );
}

fn kill_while_a_helper_is_stopped(t: &Test) {
    against(t, "kill(-1, SIGSTOP) stops a helper that holds the lock: kill KILL within a second", |id| {
        vec!["kill", id, "KILL"]
    });
}
