//! A container that stops the processes that join it: it can be killed and deleted, no matter which process holds
//! the lock.

use crate::play::{Caller, turn, with_capabilities};
use kit::score::rounds;
use kit::{Bundle, Case, Container, Score, Test, json, within};
use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        delete_while_a_helper_is_stopped,
        kill_while_a_helper_is_stopped,
        delete_while_create_is_stopped,
        delete_while_create_without_a_cgroup_is_stopped,
        delete_while_start_is_stopped,
        start_times_out,
    ]
}

/// No action of a container may delay `kill` or `delete --force` longer than this: a second, and a margin for a
/// busy machine.
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

/// Terminates a command that hangs, and the orphans that it leaves, without which the container's pid namespace
/// would not end.
fn end(mut child: Child, caller: &Caller<'_>, id: &str) {
    let left = children(&child);
    let _ = child.kill();
    let _ = child.wait();
    caller.call(&["delete", "--force", id]);
    reap(&left);
}

fn children(of: &Child) -> Vec<i32> {
    let pid = of.id();
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn reap(orphans: &[i32]) {
    for orphan in orphans {
        kit::sys::kill(*orphan, libc::SIGKILL);
        kit::sys::reap(*orphan, within(LIMIT));
    }
}

/// In each round a container with a hanging helper gets `words`; then nothing of it may be left.
fn against(t: &Test, what: &str, words: fn(&str) -> Vec<&str>) {
    t.only_orlop("it does not have these helpers");
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
        // The helper that hung has lost its container.
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
            // Each win takes ten seconds and more.
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

/// `create` of a container in the pid namespace of another one that stops every process there: `delete --force`
/// within a second.
fn against_create(t: &Test, what: &str, global: &[&str], change: fn(Bundle<'_>) -> Bundle<'_>) {
    t.only_orlop("it starts processes in another way");
    let _turn = turn();
    let mut score = Score::new(t, what);
    let (maker, caller) = (Caller::new(t), Caller::new(t));
    let hostile = with_capabilities(t.bundle(), &["CAP_KILL"]).probe("stop").start();
    hostile.first_line();
    let namespace = format!("/proc/{}/ns/pid", hostile.pid());
    for _ in 0..=rounds() / 60 {
        let bundle = change(t.bundle().join("pid", &namespace).probe("exit 0"));
        bundle.write();
        let dir = bundle.dir().to_string_lossy().into_owned();
        let words = [global, &["create", "--bundle", &dir, bundle.id()]].concat();
        let mut made = None;
        for _ in 0..50 {
            made = hang(&maker, &words);
            if made.is_some() {
                break;
            }
            caller.call(&["delete", "--force", bundle.id()]);
        }
        let Some(mut child) = made else {
            kit::skip("no process was stopped while its container was created")
        };
        let orphans = children(&child);
        let said = caller.call(&["delete", "--force", bundle.id()]);
        let left: Vec<i32> = in_namespace(hostile.pid()).into_iter().filter(|pid| lives(*pid)).collect();
        let won = if said.code != 0 || said.took > within(LIMIT) {
            Some(format!("exit {} after {} ms: {}", said.code, said.took.as_millis(), said.stderr.trim()))
        } else {
            (!left.is_empty()).then(|| format!("left in the pid namespace: {left:?}"))
        };
        score.attempt(won);
        let begun = Instant::now();
        while begun.elapsed() < within(LIMIT) && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        end(child, &caller, bundle.id());
        reap(&orphans);
        // Those of containers that were created in spite of it are children of this process by now.
        reap(&in_namespace(hostile.pid()));
        if score.wins() == 2 {
            break;
        }
    }
    caller.call(&["delete", "--force", hostile.id()]);
    hostile.wait();
    score.end();
}

fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The processes of a container's pid namespace except its first, running or not.
fn in_namespace(init: i32) -> Vec<i32> {
    let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let wanted = namespace(init);
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != init && namespace(*pid).is_some() && namespace(*pid) == wanted).collect()
}

fn delete_while_create_is_stopped(t: &Test) {
    let what = "kill(-1, SIGSTOP) stops the process of a container that is being created: delete --force within a second";
    against_create(t, what, &[], |bundle| bundle);
}

fn delete_while_create_without_a_cgroup_is_stopped(t: &Test) {
    let what = "kill(-1, SIGSTOP) stops the process of a container that is being created, without a cgroup: delete --force within a second";
    against_create(t, what, &["--cgroup-manager=disabled"], |bundle| {
        bundle.remove("/linux/cgroupsPath").remove("/linux/resources")
    });
}

/// A created container whose process has been stopped between its answer to `start` and its execve(2), and the
/// `start` that waits for it.
fn stopped_by_start<'t>(t: &'t Test, caller: &Caller<'_>) -> (Container<'t>, Child) {
    t.only_orlop("it starts processes in another way");
    let container = t.bundle().probe("exit 0").create();
    let id = container.id();
    let mut child = None;
    kit::trace::stop_after(container.pid(), libc::SYS_sendmsg, || child = Some(caller.begin(&["start", id])));
    (container, child.unwrap())
}

fn delete_while_start_is_stopped(t: &Test) {
    let mut score =
        Score::new(t, "a process is stopped on its way to execve: delete --force within a second");
    let (starter, caller) = (Caller::new(t), Caller::new(t));
    let (container, mut child) = stopped_by_start(t, &starter);
    std::thread::sleep(Duration::from_millis(100));
    assert!(child.try_wait().unwrap().is_none(), "start does not wait");
    let said = caller.call(&["delete", "--force", container.id()]);
    let won = said.code != 0 || said.took > within(LIMIT);
    score.attempt(won.then(|| format!("exit {} after {} ms", said.code, said.took.as_millis())));
    let said = starter.end(child);
    assert_eq!((said.code, said.took < within(LIMIT)), (1, true), "{said:?}");
    container.wait();
    score.end();
}

fn start_times_out(t: &Test) {
    let mut score = Score::new(t, "a process is stopped on its way to execve: start times out");
    let starter = Caller::new(t);
    let (container, child) = stopped_by_start(t, &starter);
    let said = starter.end(child);
    let won = (said.code != 1).then(|| format!("exit {} after {} ms", said.code, said.took.as_millis()));
    score.attempt(won);
    assert!(said.stderr.contains("does not go on"), "{}", said.stderr);
    starter.call(&["delete", "--force", container.id()]);
    container.wait();
    score.end();
}
