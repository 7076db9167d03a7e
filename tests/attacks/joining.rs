//! A process that joins a container, inspected from inside it by a process with CAP_SYS_PTRACE.
//!
//! Rule: no process that a container can see ever has the host's root, working directory, executable, writable
//! memory or descriptors. The prowler (`tests/kit/src/probe/prowl.rs`) finds foreign processes in its pid namespace
//! and takes from them what it can, while the host lets one process after another join.

use crate::inside::{filter, notifying};
use crate::play::{Caller, Canary, Said, lines, turn, with_capabilities};
use kit::agent::{Agent, Answer};
use kit::score::rounds;
use kit::{Bundle, Case, Container, Score, Test, json};
use std::collections::BTreeMap;
use std::fs;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        exec,
        exec_as_user,
        exec_with_filter,
        exec_with_filter_that_notifies,
        mounts,
        container_in_its_pid_namespace,
        container_with_filter_and_init_in_its_pid_namespace,
        container_with_user_namespace_in_its_pid_namespace,
        start_container_hook,
        pid_of_another_child,
    ]
}

/// What the prowler can get of a process's own state, and what it needs capabilities for.
const HELD: [&str; 6] = ["read", "write", "cwd", "fd", "getfd", "exe"];

/// The capabilities of the prowler, and so of everything else that joins its pid namespace here.
fn capable(bundle: Bundle<'_>) -> Bundle<'_> {
    with_capabilities(bundle, &["CAP_SYS_PTRACE", "CAP_KILL"])
}

/// A container whose program prowls; more capabilities than its own are too many.
struct Yard<'t> {
    test: &'t Test,
    canary: Canary,
    container: Container<'t>,
}

impl<'t> Yard<'t> {
    fn new(t: &'t Test, change: impl FnOnce(Bundle<'t>) -> Bundle<'t>) -> Self {
        let canary = Canary::new(t);
        let bundle = change(capable(t.bundle().set("/root/readonly", false)));
        let confined = if kit::sys::kernel_before(6, 18) { " confined" } else { "" };
        let container = bundle.probe(&format!("prowl {}{confined}", canary.dir.display())).start();
        container.first_line();
        Self { test: t, canary, container }
    }

    fn pid_namespace(&self) -> String {
        format!("/proc/{}/ns/pid", self.container.pid())
    }

    /// Lets processes join, then counts what the prowler got from them.
    fn watch(self, what: &str, count: u64, mut join: impl FnMut(&Caller<'_>)) {
        let _turn = turn();
        let caller = Caller::new(self.test);
        for _ in 0..count {
            join(&caller);
        }
        // The last line may be incomplete.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let mut had: BTreeMap<i64, Vec<(String, String)>> = BTreeMap::new();
        for line in lines(&self.container).into_iter().skip(1) {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            had.entry(line["pid"].as_i64().unwrap_or(0)).or_default().push((text("won"), text("what")));
        }
        assert_eq!(self.container.status(), "running", "the prowler has exited");
        let hurt = self.canary.hurt();
        let mut host =
            Score::part(self.test, "host", &format!("{what}: the host's files through its /proc/N"));
        let mut power = Score::part(
            self.test,
            "power",
            &format!("{what}: its memory or sockets while it has more capabilities"),
        );
        (0..count).for_each(|_| {
            host.round();
            power.round();
        });
        for wins in had.values() {
            let (of_host, of_power): (Vec<_>, Vec<_>) =
                wins.iter().partition(|(kind, _)| HELD.contains(&kind.as_str()));
            let told = |list: Vec<&(String, String)>| {
                list.iter().map(|(_, what)| what.as_str()).collect::<Vec<_>>().join(", ")
            };
            if !of_host.is_empty() {
                host.win(told(of_host));
            }
            if !of_power.is_empty() {
                power.win(told(of_power));
            }
        }
        if let Some(how) = hurt.filter(|_| host.wins() == 0) {
            host.win(how);
        }
        Score::end_all([host, power]);
    }
}

/// A join that failed proves nothing.
fn joins(said: &Said) {
    assert_eq!(said.code, 0, "{}", said.stderr);
}

fn exec(t: &Test) {
    let yard = Yard::new(t, |bundle| bundle);
    let id = yard.container.id().to_owned();
    yard.watch("exec", rounds(), |caller| {
        caller.call(&["exec", &id, "/probe", "exit", "0"]);
    });
}

fn exec_as_user(t: &Test) {
    let yard = Yard::new(t, |bundle| bundle);
    let id = yard.container.id().to_owned();
    yard.watch("exec as another user", rounds() / 3, |caller| {
        caller.call(&["exec", "--user", "1000:1000", &id, "/probe", "exit", "0"]);
    });
}

/// A filter without no-new-privileges is loaded with CAP_SYS_ADMIN, by a process that is not visible.
fn exec_with_filter(t: &Test) {
    let yard =
        Yard::new(t, |bundle| bundle.set("/linux/seccomp", filter()).set("/process/noNewPrivileges", false));
    let id = yard.container.id().to_owned();
    yard.watch("exec under a filter, without no-new-privileges", rounds() / 3, |caller| {
        joins(&caller.call(&["exec", &id, "/probe", "exit", "0"]));
    });
}

fn exec_with_filter_that_notifies(t: &Test) {
    let agent = Agent::new(t, |_| Answer::Continue);
    let yard = Yard::new(t, |bundle| {
        bundle.set("/linux/seccomp", notifying(&agent)).set("/process/noNewPrivileges", false)
    });
    let id = yard.container.id().to_owned();
    yard.watch("exec under a filter that notifies, without no-new-privileges", rounds() / 5, |caller| {
        joins(&caller.call(&["exec", &id, "/probe", "exit", "0"]));
    });
}

fn mounts(t: &Test) {
    t.only_orlop("its command is experimental");
    let yard = Yard::new(t, |bundle| bundle);
    let id = yard.container.id().to_owned();
    let list = t.dir().join("mounts.json");
    let source = t.dir().join("source");
    fs::create_dir(&source).unwrap();
    let mounts = json!([
        {"destination": "/m/tmp", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/m/bound", "type": "bind", "source": source, "options": ["bind", "ro"]},
    ]);
    fs::write(&list, mounts.to_string()).unwrap();
    let list = list.to_string_lossy().into_owned();
    let mut verbs = ["add", "remove"].into_iter().cycle();
    yard.watch("mounts add and remove", rounds() / 2, |caller| {
        caller.call(&["mounts", verbs.next().unwrap(), &id, &list]);
    });
}

fn container_in_its_pid_namespace(t: &Test) {
    let yard = Yard::new(t, |bundle| bundle);
    let second = capable(t.bundle()).join("pid", &yard.pid_namespace()).probe("exit 0");
    second.write();
    yard.watch("run of a second container in the pid namespace", rounds() / 2, |caller| {
        caller.run(&second);
    });
}

fn container_with_filter_and_init_in_its_pid_namespace(t: &Test) {
    t.only_orlop("it does not have this option");
    let yard = Yard::new(t, |bundle| bundle);
    let second = capable(t.bundle()).join("pid", &yard.pid_namespace()).probe("exit 0");
    let scheduler = json!({"policy": "SCHED_BATCH", "nice": 3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]});
    let second = second.set("/linux/seccomp", filter()).set("/process/noNewPrivileges", false);
    let second = second.set("/process/scheduler", scheduler);
    second.write();
    let dir = second.dir().to_string_lossy().into_owned();
    let what = "run --init of a second container under a filter, with a scheduler, in the pid namespace";
    yard.watch(what, rounds() / 3, |caller| {
        joins(&caller.call(&["run", "--init", "--bundle", &dir, second.id()]));
    });
}

fn container_with_user_namespace_in_its_pid_namespace(t: &Test) {
    let yard = Yard::new(t, |bundle| bundle);
    let second =
        capable(t.bundle()).user_namespace(200_000).join("pid", &yard.pid_namespace()).probe("exit 0");
    // This user namespace may not mount a procfs of that pid namespace.
    let second = second.only_mounts(&["/dev"]).remove("/linux/maskedPaths").remove("/linux/readonlyPaths");
    second.write();
    let what = "run of a container with a user namespace of its own in the pid namespace";
    yard.watch(what, rounds() / 3, |caller| {
        caller.run(&second);
    });
}

/// A program that embeds the library has other children. A process that can write to the memory of one that joins
/// names one of these children in the memory that it shares with the library.
fn pid_of_another_child(t: &Test) {
    use orlop::container::{CreateOptions, Runtime};
    t.only_orlop("the test uses the library");
    let _turn = turn();
    let mut score =
        Score::new(t, "the control page names another child of the caller: it is taken for the container's");
    let mut other = std::process::Command::new("sleep").arg("3600").spawn().unwrap();
    let hostile = capable(t.bundle()).probe(&format!("scribble {}", other.id())).start();
    hostile.first_line();
    let namespace = format!("/proc/{}/ns/pid", hostile.pid());
    let runtime = Runtime::new(t.root()).unwrap();
    for _ in 0..=rounds() / 10 {
        let bundle = capable(t.bundle()).join("pid", &namespace).probe("sleep 600");
        bundle.write();
        let loaded = orlop::bundle::Bundle::load(bundle.dir()).unwrap();
        // After the write the launch may fail, at the container's cost.
        let made = runtime.create(bundle.id(), &loaded, &CreateOptions::default());
        let taken = made.as_ref().is_ok_and(|c| c.state().unwrap().pid == other.id().cast_signed());
        if let Ok(container) = made {
            container.delete(true).unwrap();
        }
        // Another process may even have reaped the child.
        let killed = !matches!(other.try_wait(), Ok(None));
        let won = (taken || killed).then(|| format!("taken: {taken}, killed: {killed}"));
        score.attempt(won);
        if killed {
            break;
        }
    }
    let written = score.wins() > 0 || lines(&hostile).iter().any(|line| line["written"] == true);
    let _ = other.kill();
    let _ = other.wait();
    Caller::new(t).call(&["delete", "--force", hostile.id()]);
    hostile.wait();
    assert!(written, "the hostile process has written nothing");
    score.end();
}

fn start_container_hook(t: &Test) {
    let yard = Yard::new(t, |bundle| bundle);
    let second = capable(t.bundle()).join("pid", &yard.pid_namespace()).probe("exit 0");
    let second =
        second.push("/hooks/startContainer", json!({"path": "/probe", "args": ["probe", "exit", "0"]}));
    second.write();
    let dir = second.dir().to_string_lossy().into_owned();
    let what = "startContainer hook of a second container in the pid namespace";
    yard.watch(what, rounds() / 3, |caller| {
        caller.call(&["run", "--bundle", &dir, second.id()]);
    });
}
