//! The situation before a command, and what can be observed of a container after it.

use crate::subjects::{Before, Subject};
use kit::criu::Criu;
use kit::{Bundle, Console, Output, Pty, Runtime, Test, Value, json};
use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// The files of the cgroup that show the requested limits.
const LIMITS: [&str; 8] = [
    "pids.max",
    "memory.limit_in_bytes",
    "memory.max",
    "cpu.shares",
    "cpu.weight",
    "cpu.cfs_quota_us",
    "cpu.max",
    "devices.list",
];

/// The situation of one container.
pub(crate) struct Scene<'t> {
    pub(crate) t: &'t Test,
    pub(crate) bundle: Bundle<'t>,
    pub(crate) console: Option<Console>,
    pub(crate) criu: Option<Criu>,
    /// The `create` of a container that existed before the command.
    made: Option<Output>,
    /// Terminals, kept open so that no program gets SIGHUP.
    terminals: RefCell<Vec<Pty>>,
    handed: PathBuf,
    subject: &'t Subject,
}

impl<'t> Scene<'t> {
    /// Prepares the situation of a command.
    pub(crate) fn new(t: &'t Test, subject: &'t Subject) -> Self {
        let handed = t.dir().join("handed");
        let _ = fs::remove_dir_all(&handed);
        fs::create_dir(&handed).unwrap();
        let bundle = (subject.bundle)(limited(t.bundle()));
        let console = subject.console.then(|| Console::new(t));
        let criu = subject.criu.then(|| images(t));
        let terminals = RefCell::default();
        let mut scene = Self { t, bundle, console, criu, made: None, terminals, handed, subject };
        if subject.before == Before::Nothing {
            return scene;
        }
        let pid_file = scene.output_path("pid");
        let create = scene.with_bundle("create", &["--pid-file", &pid_file]).output().success();
        scene.made = Some(create);
        if subject.before == Before::Created {
            return scene;
        }
        let done = |verb: &str, args: &[&str]| drop(scene.on(verb, args).output().success());
        done("start", &[]);
        scene.report(None);
        match subject.before {
            Before::Paused => done("pause", &[]),
            Before::Stopped => {
                done("kill", &["KILL"]);
                let pid = fs::read_to_string(pid_file).unwrap().parse().unwrap();
                kit::sys::reap(pid, Duration::from_secs(5)).unwrap();
            }
            _ => {}
        }
        scene
    }

    /// The same call with the subject's caller.
    fn as_caller(&self, call: Runtime<'t>) -> Runtime<'t> {
        if self.subject.wrap.is_empty() { call } else { call.wrap(self.subject.wrap) }
    }

    /// A command on the bundle: `VERB --bundle DIR ARGS ID`.
    pub(crate) fn with_bundle(&self, verb: &str, args: &[&str]) -> Runtime<'t> {
        self.as_caller(self.bundle.command(verb, args))
    }

    /// A terminal for a command's standard input.
    pub(crate) fn terminal(&self) -> std::os::fd::OwnedFd {
        let (pty, slave) = Pty::open();
        self.terminals.borrow_mut().push(pty);
        slave
    }

    pub(crate) fn id(&self) -> &str {
        self.bundle.id()
    }

    /// A command on the container: `VERB ID ARGS`.
    pub(crate) fn on(&self, verb: &str, args: &[&str]) -> Runtime<'t> {
        self.call([verb, self.id()]).args(args.iter().copied())
    }

    /// A command with the subject's caller.
    pub(crate) fn call<A: Into<String>>(&self, words: impl IntoIterator<Item = A>) -> Runtime<'t> {
        self.as_caller(self.t.runtime(words))
    }

    /// Waits for a short time until no process of the container is left.
    pub(crate) fn wait_for_exit(&self) {
        for _ in 0..3000 {
            let members = self.t.cgroup_values(self.id(), &["cgroup.procs"]);
            if members.iter().all(|(_, text)| text.is_empty()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A path for a file that the command writes.
    pub(crate) fn output_path(&self, name: &str) -> String {
        self.handed.join(name).display().to_string()
    }

    /// The observable state of the container, without what differs between containers; a container that waits for
    /// `start` is started.
    pub(crate) fn facts(&self, output: &Output) -> Value {
        let state = self.on("state", &[]).output();
        if state.code() != 0 {
            let left = self.t.leaks_of(self.id());
            let written = fs::read_to_string(self.output_path("config.json")).ok();
            let facts =
                json!({"status": "none", "left": left, "criu": self.criu_request(), "written": written});
            return self.anonymous(&facts.to_string());
        }
        let state = state.document();
        let status = state["status"].as_str().unwrap_or_default().to_owned();
        let mut report = Value::Null;
        if status == "created" {
            if let Some(console) = &self.console {
                if !console.is_called(Duration::from_secs(5)) {
                    return json!({"status": "created, and nothing was sent to the console socket"});
                }
                self.terminals.borrow_mut().push(console.receive().1);
            }
            let started = self.on("start", &[]).output();
            if started.code() != 0 {
                return json!({"status": "cannot be started", "why": started.stderr});
            }
        }
        if ["created", "running"].contains(&status.as_str()) && !self.subject.silent {
            report = self.report(Some(output));
        }
        let mut values = json!({});
        for (name, value) in self.t.cgroup_values(self.id(), &LIMITS) {
            values[name] = value.into();
        }
        let members = self.t.cgroup_values(self.id(), &["cgroup.procs"]);
        let members: Vec<usize> = members.iter().map(|(_, text)| text.split_whitespace().count()).collect();
        let pid_file = fs::read_to_string(self.output_path("pid")).ok();
        let pid_file = pid_file.map(|text| text.parse().is_ok_and(|pid: i64| state["pid"] == pid));
        // A process that criu has only pretended to restore is not in a container's namespaces.
        let mounts = if self.subject.silent { Vec::new() } else { mount_points(&state["pid"]) };
        let facts = json!({
            "status": status, "report": report, "limits": values, "members": members, "pid file": pid_file,
            "annotations": state["annotations"], "bundle": state["bundle"], "rootfs": state["rootfs"],
            "criu": self.criu_request(), "mounts": mounts,
        });
        self.anonymous(&facts.to_string())
    }

    /// What criu was requested to do, and the images: mounts, and external resources, without numbers of this
    /// machine.
    fn criu_request(&self) -> Value {
        let Some(criu) = &self.criu else { return Value::Null };
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let parts =
                text.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest).to_owned());
            parts.collect::<Vec<_>>().join("[]")
        };
        let request = |kind: &str| {
            let path = self.t.dir().join("criu").join(kind);
            let asked = path.exists().then(|| criu.request(kind))?;
            Some(json!([asked.pairs(23), asked.all(37).into_iter().map(text).collect::<Vec<_>>()]))
        };
        let descriptors = fs::read(self.t.dir().join("checkpoint/descriptors.json")).unwrap_or_default();
        json!([request("dump"), request("restore"), text(descriptors)])
    }

    /// The first report of the container's program.
    fn report(&self, output: Option<&Output>) -> Value {
        if let (Some(master), true) = (self.terminals.borrow_mut().last_mut(), self.console.is_some()) {
            let text = master.read_until("\"caps\"");
            return comparable(text.lines().next().unwrap_or_default());
        }
        let text = || self.made.as_ref().or(output).map(Output::stdout_by_now).unwrap_or_default();
        for _ in 0..3000 {
            if text().contains('\n') {
                break;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        comparable(text().lines().next().unwrap_or_default())
    }

    /// A text, in most cases JSON, without the names of this scene.
    pub(crate) fn anonymous(&self, text: &str) -> Value {
        let bundle = self.bundle.dir().display().to_string();
        let text = text.replace(self.id(), "ID").replace(&bundle, "BUNDLE");
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    /// Temporary files that the command has left in the directory for its output.
    pub(crate) fn leftovers(&self, failed: bool) -> Vec<String> {
        let entries = fs::read_dir(&self.handed).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let half = |name: &String| name.starts_with('.') || failed && name == "config.json";
        names.filter(half).map(|name| format!("temporary file {name}")).collect()
    }

    /// Removes everything with `delete --force`; returns what that has not removed.
    pub(crate) fn clear(self) -> Vec<String> {
        let delete = self.call(["delete", "--force", self.id()]).output();
        let mut left = Vec::new();
        if delete.code() != 0 {
            left.push(format!("delete --force fails with {}: {}", delete.code(), delete.stderr.trim()));
        }
        left.extend(self.t.leaks_of(self.id()));
        left.extend(self.t.children_left());
        let _ = fs::remove_file(self.t.dir().join("console.sock"));
        let _ = fs::remove_dir_all(self.bundle.dir());
        self.t.forget_outputs();
        left
    }
}

/// The mount points in a process's mount namespace.
fn mount_points(pid: &Value) -> Vec<String> {
    let table = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    table.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect()
}

/// A simulated criu, and images for it.
fn images(t: &Test) -> Criu {
    let images = t.dir().join("checkpoint");
    for old in [&images, &t.dir().join("criu")] {
        let _ = fs::remove_dir_all(old);
    }
    fs::create_dir(&images).unwrap();
    fs::write(images.join("descriptors.json"), "[]").unwrap();
    Criu::new(t)
}

/// A configuration with something of each kind that must not get lost.
fn limited(bundle: Bundle<'_>) -> Bundle<'_> {
    bundle
        .probe("report , sleep")
        .set("/linux/resources/pids", json!({"limit": 60}))
        .set("/linux/resources/memory", json!({"limit": 268_435_456}))
        .set("/linux/resources/cpu", json!({"shares": 512}))
        .set("/process/oomScoreAdj", 200)
        .set("/annotations", json!({"org.example.sweep": "yes"}))
        .set(
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]}),
        )
}

/// A report without what differs between containers.
pub(crate) fn comparable(line: &str) -> Value {
    let Ok(mut report) = serde_json::from_str::<Value>(line) else { return Value::String(line.to_owned()) };
    let Some(all) = report.as_object_mut() else { return report };
    for name in ["boottime", "monotonic", "pid", "ppid", "pgid", "sid"] {
        all.remove(name);
    }
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
        let ours = fs::read_link(format!("/proc/self/ns/{kind}")).map(|link| link.display().to_string());
        let shared = ours.is_ok_and(|link| all["namespaces"][kind] == link.as_str());
        all["namespaces"][kind] = if shared { "the host's" } else { "its own" }.into();
    }
    for mount in all["mounts"].as_array_mut().into_iter().flatten() {
        for name in ["id", "parent", "propagation"] {
            mount.as_object_mut().map(|mount| mount.remove(name));
        }
    }
    // Standard output is another file each time.
    for number in ["0", "1", "2"] {
        all["fds"][number] = Value::Null;
    }
    report
}
