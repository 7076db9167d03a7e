//! Every process of the runtime, stopped at every system call and inspected as a container that can see it could.

mod rule;

use crate::inside::{filter, notifying};
use crate::play::Canary;
use kit::agent::{Agent, Answer};
use kit::criu::Criu;
use kit::trace::{self, At, Next, Tracer};
use kit::{Bundle, Case, Console, Container, Score, Test, Value, json};
use rule::{Breach, Rule, identity, is_stub, link, shares_memory, status, step};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        run,
        run_as_init,
        run_as_init_with_filter,
        create_and_start,
        run_in_a_pid_namespace,
        run_in_a_pid_namespace_of_an_older_kernel,
        run_as_init_in_a_pid_namespace,
        create_and_start_with_filter_that_notifies,
        create_and_start_in_a_pid_namespace,
        run_in_user_and_pid_namespace,
        exec,
        exec_as_user,
        exec_with_filter,
        exec_with_filter_that_notifies,
        exec_with_scheduler,
        exec_with_terminal,
        exec_in_a_user_namespace,
        mounts,
        mounts_in_a_user_namespace,
        hooks,
        hook_create_container,
        restore,
        restore_by_criu,
    ]
}

/// Capabilities of the template's program: CAP_AUDIT_WRITE, CAP_KILL, CAP_NET_BIND_SERVICE.
const FEW: u64 = 1 << 29 | 1 << 5 | 1 << 10;
/// Gives PID 1 something to do while the program runs.
const REAPED: &str = "orphan exit 0 , burn 60 , exit 0";

/// Breaches in the order in which they were first seen, with their counts.
type Breaches = Vec<(String, u64)>;

fn note(breaches: &mut Breaches, what: String) {
    match breaches.iter_mut().find(|(known, _)| *known == what) {
        Some((_, count)) => *count += 1,
        None => breaches.push((what, 1)),
    }
}

/// One scenario: the commands that are traced, and what was seen of their processes.
struct Steps<'t> {
    test: &'t Test,
    tracer: Tracer,
    rule: Rule,
    env: Vec<(String, String)>,
    /// Pid namespaces with a process of a container, and that process.
    watched: BTreeMap<i32, String>,
    /// Everything that is traced, except for the commands.
    known: BTreeSet<i32>,
    /// The version of Linux that uname(2) returns.
    release: Option<&'static str>,
    /// The number of stops.
    looked: u64,
    seen: u64,
    held: Breaches,
    power: Breaches,
    trail: Vec<String>,
}

impl<'t> Steps<'t> {
    fn new(test: &'t Test) -> Self {
        let given = ["/dev/null"].iter().filter_map(identity).collect();
        let rule = Rule { roots: Vec::new(), given, capabilities: FEW, host_root: false, helped: 0 };
        let path = std::env::var("PATH").unwrap_or_default();
        let env = vec![
            ("PATH".to_owned(), path),
            ("TMPDIR".to_owned(), test.dir().join("tmp").display().to_string()),
        ];
        let (watched, known, held, power) = Default::default();
        Self {
            test,
            tracer: Tracer::new(),
            rule,
            env,
            watched,
            known,
            release: None,
            looked: 0,
            seen: 0,
            held,
            power,
            trail: Vec::new(),
        }
    }

    /// Adds a running container that can see processes.
    fn watcher(&mut self, container: &Container<'_>) {
        self.watched.insert(container.pid(), link(container.pid(), "ns/pid"));
        self.rule.roots.extend(identity(format!("/proc/{}/root", container.pid())));
    }

    /// Adds a container that is going to be created.
    fn bundle(&mut self, bundle: &Bundle<'_>) {
        bundle.write();
        self.rule.roots.extend(identity(bundle.path("/")));
        self.test.adopt(bundle.id());
    }

    /// Traces one command until it exits: its exit code, and its messages.
    fn call(&mut self, words: &[&str]) -> (i32, String) {
        let root = self.test.root().to_string_lossy().into_owned();
        let words: Vec<String> =
            ["--root", &root].iter().chain(words).map(|word| (*word).to_owned()).collect();
        let files = ["out", "err"].map(|name| self.test.dir().join(format!("step-{name}")));
        let program = self.test.program().to_owned();
        let command = self.tracer.start(&program, &words, &self.env, self.test.dir(), [&files[0], &files[1]]);
        self.rule.given.extend(files.iter().filter_map(identity));
        let mut tracer = std::mem::take(&mut self.tracer);
        let code = tracer.follow(Some(command), |pid, at| self.observe(pid, at, command));
        self.tracer = tracer;
        (code.unwrap_or(-1), fs::read_to_string(&files[1]).unwrap_or_default())
    }

    fn run(&mut self, bundle: &Bundle<'_>, flags: &[&str]) {
        self.bundle(bundle);
        let dir = bundle.dir().to_string_lossy().into_owned();
        let words = [&["run", "--bundle", &dir], flags, &[bundle.id()]].concat();
        let (code, said) = self.call(&words);
        assert_eq!(code, 0, "{said}");
    }

    fn create_and_start(&mut self, bundle: &Bundle<'_>) {
        self.bundle(bundle);
        let dir = bundle.dir().to_string_lossy().into_owned();
        for words in [
            &["create", "--bundle", &dir, bundle.id()][..],
            &["start", bundle.id()],
            &["delete", "--force", bundle.id()],
        ] {
            let (code, said) = self.call(words);
            assert_eq!(code, 0, "{words:?}: {said}");
        }
    }

    fn observe(&mut self, pid: i32, at: At, command: i32) -> Next {
        if at == At::End {
            self.watched.remove(&pid);
            self.known.remove(&pid);
            return Next::Run;
        }
        if let (At::Call(libc::SYS_uname), Some(release)) = (at, self.release) {
            trace::pretend(pid, release);
        }
        if pid == command {
            return Next::Step;
        }
        self.looked += 1;
        self.known.insert(pid);
        let space = link(pid, "ns/pid");
        let program = at == At::Execution && !is_stub(pid);
        if self.watched.iter().any(|(other, watched)| *other != pid && *watched == space) || program {
            self.inspect(pid, at, &space);
        }
        if program && space != link(std::process::id() as i32, "ns/pid") {
            self.watched.insert(pid, space);
        }
        match program {
            // criu traces what it restores, and no process of a container can see criu, or a restored process
            // before criu has detached.
            true if link(pid, "exe").ends_with("/criu") => Next::Leave,
            true => Next::Run,
            false => Next::Step,
        }
    }

    fn inspect(&mut self, pid: i32, at: At, space: &str) {
        if space == link(std::process::id() as i32, "ns/pid") {
            return;
        }
        self.seen += 1;
        let place = place(pid, at);
        self.trail.push(format!(
            "{place}: CapPrm {} CapEff {} Seccomp {} NoNewPrivs {} Uid {}",
            status(pid, "CapPrm"),
            status(pid, "CapEff"),
            status(pid, "Seccomp"),
            status(pid, "NoNewPrivs"),
            status(pid, "Uid"),
        ));
        let found = self.rule.check(pid);
        // Of a process that the container does not see.
        let shares =
            |other: &&i32| **other != pid && link(**other, "ns/pid") != space && shares_memory(pid, **other);
        if self.known.iter().any(|other| shares(&other)) {
            note(&mut self.held, format!("{place}: the memory of a process outside"));
        }
        let held: BTreeSet<&str> = found
            .iter()
            .filter_map(|breach| match breach {
                Breach::Held(what) => Some(what.as_str()),
                Breach::Power(_) => None,
            })
            .collect();
        if !held.is_empty() {
            let told = held.into_iter().collect::<Vec<_>>().join(", ");
            note(&mut self.held, format!("{place}: {told}"));
        }
        for breach in found {
            if let Breach::Power(extra) = breach {
                note(&mut self.power, format!("{place}: CapPrm has {extra:#x} more"));
            }
        }
    }

    /// Lets the remaining processes exit, and counts.
    fn end(mut self, what: &str) {
        let mut tracer = std::mem::take(&mut self.tracer);
        tracer.follow(None, |pid, at| self.observe(pid, at, 0));
        drop(tracer);
        self.show_trail();
        let (looked, seen) = (self.looked, self.seen);
        let score = |part: &str, what: String, won: &Breaches| {
            let mut score = Score::part(self.test, part, &what);
            (0..looked).for_each(|_| score.round());
            for (how, count) in won {
                (0..*count).for_each(|_| score.win(how.clone()));
            }
            score
        };
        let host = score(
            "host",
            format!("stepping {what}: something of the host at one of {seen} visible stops"),
            &self.held,
        );
        let power =
            score("power", format!("stepping {what}: a capability too many at one of them"), &self.power);
        Score::end_all([host, power]);
    }

    /// ORLOP_ATTACK_TRAIL prints what each visible stop showed.
    fn show_trail(&self) {
        if std::env::var_os("ORLOP_ATTACK_TRAIL").is_some() {
            println!("---- {}\n{}", self.test.name(), self.trail.join("\n"));
        }
    }
}

/// What a process has just done, in words that do not differ from one run to the next.
fn place(pid: i32, at: At) -> String {
    let native = orlop::seccomp::Arch::native();
    let done = match at {
        At::Birth => "born".to_owned(),
        At::Execution => "has executed its program".to_owned(),
        At::End => "ended".to_owned(),
        At::Call(number) => {
            let name = native.and_then(|arch| arch.call_name(number as u32)).unwrap_or("?");
            format!("after {name} ({number})")
        }
    };
    match step(pid) {
        Some(step) if step < 0xffff => format!("step {step}, {done}"),
        _ => done,
    }
}

fn sleeper<'t>(t: &'t Test, change: impl FnOnce(Bundle<'t>) -> Bundle<'t>) -> Container<'t> {
    change(t.bundle().set("/root/readonly", false)).probe("sleep").start()
}

fn pid_namespace(container: &Container<'_>) -> String {
    format!("/proc/{}/ns/pid", container.pid())
}

fn run(t: &Test) {
    let mut steps = Steps::new(t);
    steps.run(&t.bundle().probe("exit 0"), &[]);
    steps.end("run");
}

/// PID 1 stays beside the program, which sees it reap an orphan.
fn run_as_init(t: &Test) {
    t.only_orlop("it does not have this option");
    let mut steps = Steps::new(t);
    steps.run(&t.bundle().probe(REAPED), &["--init"]);
    steps.end("run --init");
}

fn run_as_init_with_filter(t: &Test) {
    t.only_orlop("it does not have this option");
    let mut steps = Steps::new(t);
    let bundle = t.bundle().set("/process/noNewPrivileges", false).set("/linux/seccomp", filter());
    steps.run(&bundle.probe(REAPED), &["--init"]);
    steps.end("run --init under a filter, without no-new-privileges");
}

fn create_and_start(t: &Test) {
    let mut steps = Steps::new(t);
    steps.create_and_start(&t.bundle().probe("exit 0"));
    steps.end("create, start");
}

fn run_in_a_pid_namespace(t: &Test) {
    let watcher = sleeper(t, |bundle| bundle);
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    steps.run(&t.bundle().join("pid", &pid_namespace(&watcher)).probe("exit 0"), &[]);
    steps.end("run in another container's pid namespace");
}

/// On Linux before 6.18 the procfs of another pid namespace is requested by a process in it.
fn run_in_a_pid_namespace_of_an_older_kernel(t: &Test) {
    t.only_orlop("others create a procfs in another way");
    let watcher = sleeper(t, |bundle| bundle);
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    steps.release = Some("6.17.0");
    let bundle = t.bundle().join("pid", &pid_namespace(&watcher)).probe("read /proc/1/comm , exit 0");
    steps.run(&bundle, &[]);
    let said = fs::read_to_string(t.dir().join("step-out")).unwrap();
    assert!(said.contains("\"read\":\"probe\\n\""), "the watcher, in its pid namespace: {said}");
    assert!(steps.rule.helped > 0, "no process was seen that requests a procfs");
    steps.end("run in another container's pid namespace, with the procfs of an older kernel");
}

fn run_as_init_in_a_pid_namespace(t: &Test) {
    t.only_orlop("it does not have this option");
    let watcher = sleeper(t, |bundle| bundle);
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    let bundle = t.bundle().join("pid", &pid_namespace(&watcher)).set("/process/scheduler", scheduler());
    let bundle = bundle.set("/process/noNewPrivileges", false).set("/linux/seccomp", filter());
    steps.run(&bundle.probe(REAPED), &["--init"]);
    steps.end("run --init under a filter, with a scheduler, in another container's pid namespace");
}

fn create_and_start_with_filter_that_notifies(t: &Test) {
    let agent = Agent::new(t, |_| Answer::Continue);
    let watcher = sleeper(t, |bundle| bundle);
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    let bundle = t.bundle().join("pid", &pid_namespace(&watcher)).set("/linux/seccomp", notifying(&agent));
    steps.create_and_start(&bundle.set("/process/noNewPrivileges", false).probe("exit 0"));
    steps.end("create, start under a filter that notifies in another container's pid namespace");
}

fn create_and_start_in_a_pid_namespace(t: &Test) {
    let watcher = sleeper(t, |bundle| bundle);
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    steps.create_and_start(&t.bundle().join("pid", &pid_namespace(&watcher)).probe("exit 0"));
    steps.end("create, start in another container's pid namespace");
}

fn run_in_user_and_pid_namespace(t: &Test) {
    let watcher = sleeper(t, |bundle| bundle);
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    let bundle = t.bundle().user_namespace(200_000).join("pid", &pid_namespace(&watcher)).probe("exit 0");
    // This user namespace may not mount a procfs of that pid namespace.
    let bundle = bundle.only_mounts(&["/dev"]).remove("/linux/maskedPaths").remove("/linux/readonlyPaths");
    steps.run(&bundle, &[]);
    steps.end("run with a user namespace in another container's pid namespace");
}

/// `exec` in a container, with flags.
fn exec_steps<'t>(t: &'t Test, change: impl FnOnce(Bundle<'t>) -> Bundle<'t>, flags: &[&str]) -> Steps<'t> {
    let watcher = sleeper(t, change);
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    let words = [&["exec"], flags, &[watcher.id(), "/probe", "exit", "0"]].concat();
    let (code, said) = steps.call(&words);
    assert_eq!(code, 0, "{said}");
    assert!(steps.seen > 0, "no process of exec was ever visible");
    steps
}

fn exec(t: &Test) {
    exec_steps(t, |bundle| bundle, &[]).end("exec");
}

fn exec_as_user(t: &Test) {
    exec_steps(t, |bundle| bundle, &["--user", "1000:1000", "--cwd", "/dev"]).end("exec --user --cwd");
}

fn exec_with_filter<'t>(t: &'t Test) {
    let filtered =
        |bundle: Bundle<'t>| bundle.set("/linux/seccomp", filter()).set("/process/noNewPrivileges", false);
    exec_steps(t, filtered, &[]).end("exec under a filter, without no-new-privileges");
}

fn exec_with_filter_that_notifies<'t>(t: &'t Test) {
    let agent = Agent::new(t, |_| Answer::Continue);
    let filtered = |bundle: Bundle<'t>| {
        bundle.set("/linux/seccomp", notifying(&agent)).set("/process/noNewPrivileges", false)
    };
    exec_steps(t, filtered, &[]).end("exec under a filter that notifies, without no-new-privileges");
}

fn exec_with_scheduler<'t>(t: &'t Test) {
    let scheduled = |bundle: Bundle<'t>| bundle.set("/process/scheduler", scheduler());
    exec_steps(t, scheduled, &[]).end("exec with a scheduler that is reset at a fork");
}

/// A better priority than the caller's, which requires CAP_SYS_NICE.
fn scheduler() -> Value {
    json!({"policy": "SCHED_BATCH", "nice": -3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]})
}

fn exec_with_terminal(t: &Test) {
    let console = Console::new(t);
    let path = console.path().to_string_lossy().into_owned();
    let flags = ["--tty", "--console-socket", &path, "--detach"];
    let steps = exec_steps(t, |bundle| bundle, &flags);
    console.receive();
    steps.end("exec --tty");
}

fn exec_in_a_user_namespace(t: &Test) {
    exec_steps(t, |bundle| bundle.user_namespace(200_000), &[]).end("exec in a user namespace");
}

fn mounts_steps<'t>(t: &'t Test, change: impl FnOnce(Bundle<'t>) -> Bundle<'t>) -> Steps<'t> {
    t.only_orlop("its command is experimental");
    let watcher = sleeper(t, change);
    let source = Canary::new(t).dir;
    let bind = |source: PathBuf, at: &str| json!({"destination": at, "type": "bind", "source": source, "options": ["bind", "ro"]});
    let mounts = json!([
        {"destination": "/m/tmp", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/m/proc", "type": "proc", "source": "proc"},
        bind(source.clone(), "/m/bound"),
        bind(source.join("bird"), "/m/file"),
    ]);
    let list = t.dir().join("mounts.json");
    fs::write(&list, mounts.to_string()).unwrap();
    let list = list.to_string_lossy().into_owned();
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    for verb in ["add", "remove"] {
        let (code, said) = steps.call(&["mounts", verb, watcher.id(), &list]);
        assert_eq!(code, 0, "{said}");
    }
    steps
}

fn mounts(t: &Test) {
    mounts_steps(t, |bundle| bundle).end("mounts add, remove");
}

fn mounts_in_a_user_namespace(t: &Test) {
    mounts_steps(t, |bundle| bundle.user_namespace(200_000)).end("mounts add, remove in a user namespace");
}

/// Every kind of hook but one, in a container that shares the pid namespace of another one.
fn hooks(t: &Test) {
    let watcher = sleeper(t, |bundle| bundle);
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    let bundle = t.bundle().join("pid", &pid_namespace(&watcher)).probe("exit 0");
    let bundle = ["prestart", "createRuntime", "poststart", "poststop"]
        .iter()
        .fold(bundle, |bundle, kind| bundle.host_hook(kind, "exit 0"));
    let inside = json!({"path": "/probe", "args": ["probe", "exit", "0"]});
    let bundle = bundle.push("/hooks/startContainer", inside);
    steps.create_and_start(&bundle);
    steps.run(&bundle, &[]);
    steps.end("every hook but createContainer");
}

/// This hook runs in the container's namespaces while the host's root is in place, as the specification requires.
fn hook_create_container(t: &Test) {
    let watcher = sleeper(t, |bundle| bundle);
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    steps.rule.host_root = true;
    steps.rule.capabilities = u64::MAX;
    let bundle = t.bundle().join("pid", &pid_namespace(&watcher)).probe("exit 0");
    steps.run(&bundle.host_hook("createContainer", "exit 0"), &[]);
    steps.end("createContainer hook, which has the host's root: executable and memory");
}

fn restore(t: &Test) {
    t.only_orlop("it uses criu in another way");
    let criu = Criu::new(t).with("init", "exit 0");
    fs::create_dir(t.dir().join("checkpoint")).unwrap();
    fs::write(t.dir().join("checkpoint/descriptors.json"), "[]").unwrap();
    let (program, env) = criu.program();
    let mut steps = Steps::new(t);
    steps.env[0].1 = format!("{}:{}", program.parent().unwrap().display(), steps.env[0].1);
    steps.env.extend(env);
    let bundle = t.bundle();
    steps.bundle(&bundle);
    let dir = bundle.dir().to_string_lossy().into_owned();
    let (code, said) = steps.call(&["restore", "--bundle", &dir, bundle.id()]);
    assert_eq!(code, 0, "{said}");
    steps.end("restore (with a simulated criu)");
}

/// Processes that criu creates are inspected once it has detached, the runtime's own at every stop.
fn restore_by_criu(t: &Test) {
    t.only_orlop("it uses criu in another way");
    let _turn = kit::criu::real();
    let bundle = t.bundle().probe("sleep");
    let images = t.dir().join("images").to_string_lossy().into_owned();
    let null = std::process::Stdio::null;
    bundle.command("run", &["--detach"]).stdio(null(), null(), null()).output().success();
    t.runtime(["checkpoint", "--image-path", &images, bundle.id()]).output().success();
    let mut steps = Steps::new(t);
    steps.bundle(&bundle);
    let dir = bundle.dir().to_string_lossy().into_owned();
    let words = ["restore", "--bundle", &dir, "--image-path", &images, "--detach", bundle.id()];
    let (code, said) = steps.call(&words);
    assert_eq!(code, 0, "{said}");
    let state = t.runtime(["state", bundle.id()]).output().success().document();
    let pid = state["pid"].as_i64().unwrap() as i32;
    let space = link(pid, "ns/pid");
    steps.inspect(pid, At::Execution, &space);
    t.runtime(["delete", "--force", bundle.id()]).output().success();
    kit::sys::reap(pid, std::time::Duration::from_secs(5));
    steps.end("restore (criu itself)");
}
