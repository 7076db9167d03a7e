//! The commands whose calls fail, each in a situation of its own.

use crate::scene::Scene;
use kit::{Bundle, Runtime, json};

/// What exists before the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// A bundle.
    Nothing,
    /// A container that waits for `start`.
    Created,
    /// A container whose program runs.
    Running,
    /// A container that is paused.
    Paused,
    /// A container whose program has exited, and was reaped.
    Stopped,
}

/// What must exist after the command has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Nothing of the container.
    Nothing,
    /// Nothing, or a stopped container without a process, which the command was about to delete.
    Stopped,
    /// What existed before.
    Same,
    /// What existed before, or what exists after success: one or the other.
    Either,
    /// Whatever `delete --force` can remove.
    Anything,
}

/// What the command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prints {
    /// The same each time.
    Same,
    /// The container's report, then nothing.
    Report,
    /// A JSON document with the same members, whose values differ.
    Members,
    /// The same words, with numbers.
    Words,
    /// The container may print there as well.
    Nothing,
}

/// A command in a situation.
pub(crate) struct Subject {
    /// The name of its tests.
    pub(crate) name: &'static str,
    pub(crate) before: Before,
    pub(crate) bundle: for<'t> fn(Bundle<'t>) -> Bundle<'t>,
    pub(crate) command: for<'t> fn(&Scene<'t>) -> Runtime<'t>,
    /// The exit codes of success and of failure.
    pub(crate) codes: (i32, i32),
    pub(crate) prints: Prints,
    pub(crate) after: After,
    /// Whether there is a console socket.
    pub(crate) console: bool,
    /// Whether there is a criu, and images for it.
    pub(crate) criu: bool,
    /// Whether the container's processes are about to exit afterwards.
    pub(crate) ends: bool,
    /// Whether the container's program prints no report.
    pub(crate) silent: bool,
    /// Whether its cases are too slow to be tried except by name.
    pub(crate) slow: bool,
    /// Special properties of the caller, see [`kit::wrap`].
    pub(crate) wrap: &'static str,
}

const fn subject(
    name: &'static str,
    before: Before,
    after: After,
    command: for<'t> fn(&Scene<'t>) -> Runtime<'t>,
) -> Subject {
    let bundle: for<'t> fn(Bundle<'t>) -> Bundle<'t> = |bundle| bundle;
    let (codes, prints, wrap) = ((0, 1), Prints::Nothing, "");
    let (console, criu, ends, silent, slow) = (false, false, false, false, false);
    Subject { name, before, bundle, command, codes, prints, after, console, criu, ends, silent, slow, wrap }
}

impl Subject {
    const fn with(mut self, bundle: for<'t> fn(Bundle<'t>) -> Bundle<'t>) -> Self {
        self.bundle = bundle;
        self
    }

    const fn exits(mut self, success: i32, failure: i32) -> Self {
        self.codes = (success, failure);
        self
    }

    const fn prints(mut self, what: Prints) -> Self {
        self.prints = what;
        self
    }

    const fn ends(mut self) -> Self {
        self.ends = true;
        self
    }

    const fn criu(mut self) -> Self {
        self.criu = true;
        self
    }

    const fn silent(mut self) -> Self {
        self.silent = true;
        self
    }

    const fn slow(mut self) -> Self {
        self.slow = true;
        self
    }

    const fn on_cgroup2(mut self) -> Self {
        self.wrap = "cgroup2";
        self
    }

    const fn console(mut self) -> Self {
        self.console = true;
        self
    }
}

fn create<'t>(scene: &Scene<'t>) -> Runtime<'t> {
    scene.with_bundle("create", &["--pid-file", &scene.output_path("pid")])
}

/// A host with cgroup2 alone may have no controllers.
fn for_cgroup2(bundle: Bundle<'_>) -> Bundle<'_> {
    let devices = json!({"devices": [{"allow": false, "access": "rwm"}]});
    bundle.namespace("cgroup").set("/linux/resources", devices)
}

fn hooks(bundle: Bundle<'_>) -> Bundle<'_> {
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
        .into_iter()
        .fold(bundle, |bundle, kind| match kind {
            // A path of the host does not exist in the container.
            "startContainer" => bundle
                .push("/hooks/startContainer", json!({"path": "/probe", "args": ["probe", "exit", "0"]})),
            _ => bundle.host_hook(kind, "exit 0"),
        })
}

/// In a file, as `mounts` and `update` read it.
fn written(scene: &Scene<'_>, name: &str, value: &kit::Value) -> String {
    let path = scene.output_path(name);
    std::fs::write(&path, value.to_string()).unwrap();
    path
}

pub(crate) static ALL: &[Subject] = &[
    subject("create", Before::Nothing, After::Nothing, create),
    subject("create_with_a_user_namespace", Before::Nothing, After::Nothing, create)
        .with(|bundle| bundle.user_namespace(100_000)),
    subject("create_with_hooks", Before::Nothing, After::Nothing, create).with(hooks),
    subject("create_with_a_terminal", Before::Nothing, After::Nothing, |scene| {
        let socket = scene.console.as_ref().unwrap().path().display().to_string();
        scene.with_bundle("create", &["--pid-file", &scene.output_path("pid"), "--console-socket", &socket])
    })
    .with(|bundle| bundle.set("/process/terminal", true))
    .console(),
    subject("run", Before::Nothing, After::Stopped, |scene| scene.with_bundle("run", &[]))
        .with(|bundle| bundle.probe("report , exit 7"))
        .exits(7, 1)
        .prints(Prints::Report),
    subject("run_with_hooks", Before::Nothing, After::Stopped, |scene| scene.with_bundle("run", &[]))
        .with(|bundle| hooks(bundle).probe("report , exit 7"))
        .exits(7, 1)
        .prints(Prints::Report),
    subject("run_detached", Before::Nothing, After::Nothing, |scene| {
        scene.with_bundle("run", &["--detach", "--pid-file", &scene.output_path("pid")])
    }),
    subject("run_with_a_terminal", Before::Nothing, After::Stopped, |scene| {
        scene.with_bundle("run", &[]).stdin(scene.terminal())
    })
    .with(|bundle| bundle.set("/process/terminal", true).probe("report , exit 7"))
    .exits(7, 1)
    .prints(Prints::Report),
    subject("create_on_cgroup2", Before::Nothing, After::Nothing, create).with(for_cgroup2).on_cgroup2(),
    subject("run_on_cgroup2", Before::Nothing, After::Stopped, |scene| scene.with_bundle("run", &[]))
        .with(|bundle| for_cgroup2(bundle).probe("report , exit 7"))
        .exits(7, 1)
        .prints(Prints::Report)
        .on_cgroup2(),
    subject("start", Before::Created, After::Anything, |scene| scene.on("start", &[])),
    subject("start_with_hooks", Before::Created, After::Anything, |scene| scene.on("start", &[])).with(hooks),
    subject("exec", Before::Running, After::Same, |scene| scene.on("exec", &["/probe", "report"]))
        .exits(0, 255)
        .prints(Prints::Report),
    subject("exec_of_a_long_one", Before::Running, After::Same, |scene| {
        scene.on("exec", &["/probe", "sleep", "1"])
    })
    .exits(0, 255)
    .slow(),
    subject("exec_detached", Before::Running, After::Same, |scene| {
        let pid = scene.output_path("exec.pid");
        scene.call(["exec", "--detach", "--pid-file", &pid, scene.id(), "/probe", "sleep"])
    })
    .exits(0, 255),
    subject("exec_with_a_terminal", Before::Running, After::Same, |scene| {
        scene.call(["exec", "--tty", scene.id(), "/probe", "report"]).stdin(scene.terminal())
    })
    .exits(0, 255)
    .prints(Prints::Report),
    subject("exec_on_cgroup2", Before::Running, After::Same, |scene| scene.on("exec", &["/probe", "report"]))
        .with(for_cgroup2)
        .exits(0, 255)
        .prints(Prints::Report)
        .on_cgroup2(),
    subject("state", Before::Running, After::Same, |scene| scene.on("state", &[])).prints(Prints::Members),
    subject("list", Before::Running, After::Same, |scene| scene.t.runtime(["list", "--format", "json"]))
        .prints(Prints::Members),
    subject("ps", Before::Running, After::Same, |scene| {
        scene.t.runtime(["ps", "--format", "json", scene.id()])
    })
    .prints(Prints::Members),
    subject("ps_table", Before::Running, After::Same, |scene| scene.on("ps", &["-e", "-o", "pid,comm"]))
        .prints(Prints::Words),
    subject("events", Before::Running, After::Same, |scene| scene.on("events", &["--stats"]))
        .prints(Prints::Members),
    subject("features", Before::Nothing, After::Nothing, |scene| scene.t.runtime(["features"]))
        .prints(Prints::Same),
    subject("spec", Before::Nothing, After::Nothing, |scene| {
        scene.call(["spec", "--bundle", &scene.output_path("")])
    }),
    subject("spec_on_cgroup2", Before::Nothing, After::Nothing, |scene| {
        scene.call(["spec", "--bundle", &scene.output_path("")])
    })
    .on_cgroup2(),
    subject("pause_on_cgroup2", Before::Running, After::Either, |scene| scene.on("pause", &[]))
        .with(for_cgroup2)
        .on_cgroup2(),
    subject("delete_on_cgroup2", Before::Running, After::Anything, |scene| scene.on("delete", &["--force"]))
        .with(for_cgroup2)
        .on_cgroup2(),
    subject("checkpoint", Before::Running, After::Anything, |scene| {
        scene.criu.as_ref().unwrap().found_by(scene.on("checkpoint", &[]))
    })
    .criu(),
    subject("restore", Before::Nothing, After::Nothing, |scene| {
        let call = scene.with_bundle("restore", &["--detach", "--pid-file", &scene.output_path("pid")]);
        scene.criu.as_ref().unwrap().found_by(call)
    })
    .criu()
    .silent(),
    subject("kill", Before::Running, After::Either, |scene| scene.on("kill", &["KILL"])).ends(),
    subject("kill_all", Before::Running, After::Anything, |scene| scene.on("kill", &["--all", "KILL"]))
        .ends(),
    subject("kill_paused", Before::Paused, After::Anything, |scene| scene.on("kill", &["KILL"])).ends(),
    subject("pause", Before::Running, After::Same, |scene| scene.on("pause", &[])),
    subject("resume", Before::Paused, After::Either, |scene| scene.on("resume", &[])),
    subject("update", Before::Running, After::Same, |scene| {
        let limits = json!({"pids": {"limit": 50}, "memory": {"limit": 201_326_592}, "cpu": {"shares": 256}});
        scene.on("update", &["--resources", &written(scene, "limits.json", &limits)])
    }),
    subject("mounts_add", Before::Running, After::Same, |scene| {
        let mount = json!([{"destination": "/hot", "type": "tmpfs", "source": "tmpfs"}]);
        scene.t.runtime(["mounts", "add", scene.id(), &written(scene, "mounts.json", &mount)])
    })
    .with(|bundle| bundle.directory("hot")),
    subject("mounts_remove", Before::Running, After::Either, |scene| {
        let mount = json!([{"destination": "/dev/shm"}]);
        scene.t.runtime(["mounts", "remove", scene.id(), &written(scene, "mounts.json", &mount)])
    }),
    subject("delete", Before::Stopped, After::Anything, |scene| scene.on("delete", &[])),
    subject("delete_created", Before::Created, After::Anything, |scene| scene.on("delete", &[])),
    subject("delete_force", Before::Running, After::Anything, |scene| scene.on("delete", &["--force"])),
    subject("delete_paused", Before::Paused, After::Anything, |scene| scene.on("delete", &["--force"])),
    subject("delete_with_hooks", Before::Stopped, After::Anything, |scene| scene.on("delete", &[]))
        .with(hooks),
];
