//! The calls of real managers, word for word: every shape of command line that containerd's shim, dockerd,
//! BuildKit, conmon, podman and buildah were seen to use, each in the situation in which they use it.

mod command_lines;

use command_lines::After::{
    self, Deleted, Exec, Fails, Pids, Prints, Ran, Restored, Status, Systemd, Updated,
};
use command_lines::Before::{self, Created, Fresh, Gone, Paused, Running, Stopped, Terminal};
use command_lines::{COMMAND_LINES, CommandLine};
use kit::{Bundle, Case, Console, Test, Value, json};
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    let word = |before: Before| match before {
        Fresh => "fresh",
        Terminal => "terminal",
        Created => "created",
        Running => "running",
        Paused => "paused",
        Stopped => "stopped",
        Gone => "gone",
    };
    let shapes = COMMAND_LINES.iter().map(|shape| {
        let name = format!("runtime::argv::{}: {} ({})", shape.0, shape.1, word(shape.2));
        Case::new(name, move |t| check(t, shape))
    });
    let others = kit::cases![
        a_failure_is_one_line_in_the_log_and_on_stderr,
        the_state_root_does_not_depend_on_the_environment_of_root,
        leaked_descriptors_do_not_keep_pipes_open,
        create_leaves_one_process_which_leads_a_session,
        pid_file_appears_whole,
    ];
    shapes.chain(others).collect()
}

/// A call as that manager makes it: with its `--root`, working directory and environment.
struct Call<'t> {
    t: &'t Test,
    manager: &'static str,
    bundle: Bundle<'t>,
    log: std::path::PathBuf,
    pid: std::path::PathBuf,
}

impl<'t> Call<'t> {
    fn new(t: &'t Test, manager: &'static str, template: &str, before: Before) -> Self {
        let end = if manager == "BuildKit" && before == Fresh { "exit 7" } else { "sleep" };
        // A cgroup without limits: calls with and without a cgroup are alike.
        let bundle = t.bundle().probe(end).remove("/linux/resources");
        let bundle = bundle.set("/process/terminal", before == Terminal);
        let bundle = if template.contains("--systemd-cgroup") {
            let path = format!("system.slice:orlop:{}", bundle.id());
            bundle.set("/linux/cgroupsPath", path)
        } else {
            bundle
        };
        // The init of a pid namespace ignores SIGTERM unless it has a handler.
        let bundle = if before == Running { bundle.without_namespace("pid") } else { bundle };
        let (log, pid) = (t.dir().join("log.json"), t.dir().join("the-pid-file"));
        Self { t, manager, bundle, log, pid }
    }

    /// The words of a template with this container's paths.
    fn words(&self, template: &str) -> Vec<String> {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let file = |name: &str| path(&self.t.dir().join(name));
        let fill = |word: &str| {
            let word = word.replace("{id}", self.bundle.id()).replace("{log}", &path(&self.log));
            let word = word.replace("{pid}", &path(&self.pid)).replace("{bundle}", &path(self.bundle.dir()));
            let word =
                word.replace("{root}", &path(&self.t.root())).replace("{console}", &file("console.sock"));
            let word = word.replace("{process}", &file("process.json")).replace("{image}", &file("image"));
            word.replace("{work}", &file("work")).replace("{resources}", &file("resources.json"))
        };
        template.split(' ').map(fill).collect()
    }

    fn call(&self, words: Vec<String>) -> kit::Runtime<'t> {
        let call = self.t.bare(words).cwd(self.bundle.dir());
        match self.manager {
            // Not even PATH.
            "podman" => call.only_env(&[("XDG_RUNTIME_DIR", "")]),
            "conmon" => {
                call.only_env(&[("XDG_RUNTIME_DIR", ""), ("_OCI_SYNCPIPE", "3"), ("_OCI_STARTPIPE", "4")])
            }
            "containerd" => call.env("GOMAXPROCS", "4").env("LD_LIBRARY_PATH", "/opt/containerd/lib:"),
            _ => call,
        }
    }

    /// One more call for the same container with the same state root.
    fn ask(&self, template: &str, command: &str) -> kit::Output {
        let root = if template.contains("{root}") { "--root={root} " } else { "" };
        self.call(self.words(&format!("{root}{command}"))).output()
    }

    fn pid(&self) -> i32 {
        fs::read_to_string(self.t.dir().join("init.pid")).unwrap().parse().unwrap()
    }
}

impl Drop for Call<'_> {
    /// A failed test leaves nothing, although the kit did not create its container.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for call in [self.t.bare(["delete"]), self.t.runtime(["delete"])] {
                call.args(["--force", self.bundle.id()]).output();
            }
        }
    }
}

fn check(t: &Test, shape: &'static CommandLine) {
    t.only_orlop("the command lines are those of managers that use this runtime");
    let (manager, template, before, after) = *shape;
    let call = Call::new(t, manager, template, before);
    for name in ["image", "work"] {
        fs::create_dir(t.dir().join(name)).unwrap();
    }
    let terminal = template.contains("exec") && template.contains("{console}");
    let process = json!({"args": ["/probe", "exit", "7"], "cwd": "/", "terminal": terminal, "user": {"uid": 0, "gid": 0}});
    fs::write(t.dir().join("process.json"), process.to_string()).unwrap();
    let resources =
        json!({"pids": {"limit": 44}, "devices": [{"allow": false, "access": "rwm"}]}).to_string();
    fs::write(t.dir().join("resources.json"), &resources).unwrap();
    let console = Console::new(t);
    call.bundle.write();
    let ok = |command: &str| drop(call.ask(template, command).success());
    let made = !matches!(before, Fresh | Terminal | Gone);
    if made {
        ok(&format!("create --bundle {{bundle}} --pid-file {} {{id}}", t.dir().join("init.pid").display()));
    }
    if made && before != Created {
        ok("start {id}");
    }
    match before {
        Paused => ok("pause {id}"),
        Stopped => {
            ok("kill {id} KILL");
            kit::sys::reap(call.pid(), Duration::from_secs(5));
        }
        _ => {}
    }
    let mut runtime = call.call(call.words(template));
    if template.contains("resources") {
        runtime = runtime.input(&resources);
    }
    if template.contains("--preserve-fds") {
        runtime = runtime.wrap("fd=/etc/hostname");
    }
    if template.contains("{image}") {
        runtime = kit::criu::Criu::new(t).found_by(runtime);
        let descriptors = t.dir().join("image/descriptors.json");
        fs::write(descriptors, json!(["/dev/null", "/dev/null", "/dev/null"]).to_string()).unwrap();
    }
    let output = runtime.output();
    // Kept until here: a process is hung up if its terminal loses the master.
    let _master = template.contains("{console}").then(|| console.receive());
    let failed = output.code() != 0;
    judge(&call, template, after, output);
    if let Ok(text) = fs::read_to_string(&call.log) {
        let lines: Vec<Value> = text.lines().map(|line| line.parse().unwrap()).collect();
        let errors = lines.iter().filter(|line| line["level"] == "error").count();
        assert!(matches!(after, Ran(_)) || errors == usize::from(failed), "{text}");
    }
    call.ask(template, "delete --force {id}").success();
    for file in [t.dir().join("init.pid"), call.pid.clone()] {
        if let Ok(pid) = fs::read_to_string(file) {
            kit::sys::reap(pid.parse().unwrap(), Duration::from_secs(5));
        }
    }
}

fn judge(call: &Call<'_>, template: &str, after: After, output: kit::Output) {
    let state = || call.ask(template, "state {id}");
    let status = || state().success().document()["status"].clone();
    match after {
        Status(wanted) => {
            output.success();
            judge_status(call, template, wanted);
        }
        Deleted => {
            output.success();
            state().refused(&["does not exist"]);
        }
        Exec => {
            output.success();
            let pid = fs::read_to_string(&call.pid).unwrap().parse().unwrap();
            assert_eq!(kit::sys::reap(pid, Duration::from_secs(5)), Some(7));
        }
        Updated => {
            output.success();
            judge_update(call, template);
        }
        Pids => assert_eq!(output.success().json(), json!([call.pid()])),
        Ran(wanted) => {
            output.exits(7);
            match wanted {
                "" => drop(state().refused(&["does not exist"])),
                wanted => assert_eq!(status(), wanted),
            }
        }
        Prints(text) => {
            let output = output.success();
            assert!(output.stdout.contains(text), "{output}");
        }
        Restored => {
            output.success();
            assert_eq!(status(), "running");
            let pid = fs::read_to_string(&call.pid).unwrap();
            assert_eq!(state().document()["pid"].to_string(), pid);
            let about = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            assert!(about.contains(&format!("PPid:\t{}\n", std::process::id())), "{about}");
        }
        Systemd if Path::new("/run/systemd/system").exists() => {
            output.success();
            assert_eq!(status(), "created");
            let pid = fs::read_to_string(&call.pid).unwrap();
            let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
            let scope = format!("/system.slice/orlop-{}.scope", call.bundle.id());
            assert!(cgroup.contains(&scope), "{cgroup}");
        }
        Systemd | Fails(_) => {
            let text = if let Fails(text) = after { text } else { "systemd" };
            let output = output.refused(&[text]);
            if let Ok(log) = fs::read_to_string(&call.log) {
                let last: Value = log.lines().last().unwrap().parse().unwrap();
                assert_eq!(last["msg"].as_str().unwrap(), output.stderr.trim_end());
            }
        }
    }
}

/// The container has this status.
fn judge_status(call: &Call<'_>, template: &str, wanted: &str) {
    let state = || call.ask(template, "state {id}");
    if wanted == "stopped" {
        kit::sys::reap(call.pid(), Duration::from_secs(5));
    }
    assert_eq!(state().success().document()["status"], wanted);
    if wanted == "created" {
        let text = fs::read_to_string(&call.pid).unwrap();
        assert_eq!(state().document()["pid"].to_string(), text, "the bare number");
    }
    if wanted == "stopped" {
        // containerd's shim repeats the call when it cleans up.
        call.ask(template, "kill --all {id} 9").success();
    }
}

/// The limit has changed, and the devices have not.
fn judge_update(call: &Call<'_>, template: &str) {
    let below = ["pids/", "", "unified/"];
    let path = |dir: &str| format!("/sys/fs/cgroup/{dir}{}/pids.max", call.bundle.id());
    let value = below.iter().find_map(|dir| fs::read_to_string(path(dir)).ok());
    assert_eq!(value.as_deref(), Some("44\n"));
    // The deny-all rule of the same document is not a new rule.
    call.ask(template, "exec {id} /probe open /dev/null rw").success();
}

/// A failure of any command is one JSON line in the log, and the same text on stderr.
fn a_failure_is_one_line_in_the_log_and_on_stderr(t: &Test) {
    t.only_orlop("its messages differ");
    let lines = [
        "create --bundle /nowhere x",
        "run --bundle /nowhere x",
        "start x",
        "state x",
        "kill x 9",
        "kill x NOSUCH",
        "delete x",
        "exec x sh",
        "exec --process /nowhere x",
        "pause x",
        "resume x",
        "ps x",
        "ps --format json x",
        "update --pids-limit 1 x",
        "update --resources /nowhere x",
        "no-such-command",
        "state",
        "state --bogus x",
        "create --preserve-fds many x",
        "--bogus",
        "plan /nowhere",
        "man no-such-command",
        "completion csh",
        "spec --bundle /nowhere",
        "kill --all x 9",
        "events x",
        "events --stats x",
        "events --interval soon x",
        "mounts add x /nowhere",
        "mounts jump x /nowhere",
        "checkpoint x",
        "checkpoint --page-server nowhere x",
        "restore --bundle /nowhere x",
    ];
    for (n, line) in lines.into_iter().enumerate() {
        let log = t.dir().join(format!("log-{n}"));
        let call = t.runtime(line.split(' ')).global("--log").global(log.to_str().unwrap());
        let output = call.global("--log-format=json").output();
        assert_ne!(output.code(), 0, "{output}");
        let text = fs::read_to_string(log).unwrap();
        let record: Value = text.parse().unwrap_or_else(|e| panic!("{line}: {e}: {text}"));
        assert!(text.ends_with('\n') && text.lines().count() == 1, "{line}: {text}");
        assert_eq!(record["level"], "error", "{line}");
        assert_eq!(format!("{}\n", record["msg"].as_str().unwrap()), output.stderr, "{line}");
        assert_eq!(
            record.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["level", "msg", "time"],
            "{line}"
        );
    }
}

/// Root of the initial user namespace: XDG_RUNTIME_DIR does not matter, set or not.
fn the_state_root_does_not_depend_on_the_environment_of_root(t: &Test) {
    t.only_orlop("its default directory is another one");
    let call = Call::new(t, "podman", "", Fresh);
    call.bundle.write();
    let words = |line: &str| call.words(line);
    t.bare(words("create --bundle {bundle} --pid-file {pid} {id}")).only_env(&[]).output().success();
    let elsewhere = t.dir().to_str().unwrap();
    for env in [&[][..], &[("XDG_RUNTIME_DIR", "")], &[("XDG_RUNTIME_DIR", elsewhere)]] {
        let state = t.bare(words("state {id}")).only_env(env).output().success().document();
        assert_eq!(state["status"], "created");
        let listed = t.bare(["list", "-q"]).only_env(env).output().success().stdout;
        assert!(listed.lines().any(|id| id == call.bundle.id()), "{listed}");
    }
    t.bare(words("delete --force {id}")).only_env(&[("XDG_RUNTIME_DIR", "")]).output().success();
    kit::sys::reap(fs::read_to_string(&call.pid).unwrap().parse().unwrap(), Duration::from_secs(5));
}

/// buildah leaks fourteen descriptors into `create`, among them the write ends of the container's own pipes.
fn leaked_descriptors_do_not_keep_pipes_open(t: &Test) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let bundle = t.bundle().probe("stdin");
    let pid_file = t.dir().join("pid");
    let out = t.dir().join("said");
    let file = || File::create(&out).unwrap();
    let write_end = {
        use std::os::fd::AsRawFd;
        format!("wfd=/proc/{}/fd/{}", std::process::id(), writer.as_raw_fd())
    };
    let mut call = bundle.command("create", &["--pid-file", pid_file.to_str().unwrap()]);
    for n in 0..14 {
        call = call.wrap(if n % 7 == 0 { &write_end } else { "fd=/etc/hostname" });
    }
    call.stdio(reader, file(), file()).output().exits(0);
    t.runtime(["start", bundle.id()]).output().success();
    std::io::Write::write_all(&mut writer, b"all of it").unwrap();
    drop(writer);
    t.wait_for("end of input", || fs::read_to_string(&out).unwrap().ends_with('\n'));
    let said: Value = fs::read_to_string(&out).unwrap().parse().unwrap();
    assert_eq!(said["stdin"], "all of it");
    let pid = fs::read_to_string(pid_file).unwrap().parse().unwrap();
    assert_eq!(kit::sys::reap(pid, Duration::from_secs(5)), Some(0));
    t.runtime(["delete", bundle.id()]).output().success();
}

/// No monitor process stays, and the parent is the nearest subreaper, here the caller.
fn create_leaves_one_process_which_leads_a_session(t: &Test) {
    let bundle = t.bundle().probe("sleep");
    let pid_file = t.dir().join("pid");
    let call = bundle.command("create", &["--pid-file", pid_file.to_str().unwrap()]).wrap("guard=0");
    let guard = call.spawn();
    guard.wait_for("guard:");
    let pid = fs::read_to_string(&pid_file).unwrap();
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", guard.pid())).unwrap();
    assert_eq!(children.split_whitespace().collect::<Vec<_>>(), [pid.as_str()]);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // State, parent, process group, session.
    assert_eq!(fields[1..4], [guard.pid().to_string().as_str(), &pid, &pid]);
    let other = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    assert_eq!(other, "");
    t.runtime(["delete", "--force", bundle.id()]).output().success();
    guard.wait();
}

/// A manager that polls for the pid file never reads half of it, and finds no other file beside it.
fn pid_file_appears_whole(t: &Test) {
    let dir = t.dir().join("pids");
    fs::create_dir(&dir).unwrap();
    for _ in 0..8 {
        let bundle = t.bundle().probe("exit 0");
        let path = dir.join("pid");
        let flag = format!("--pid-file={}", path.display());
        let running = bundle.command("run", &["-d", &flag]).spawn();
        let mut first = None;
        t.wait_for("the pid file", || {
            let names: Vec<_> = fs::read_dir(&dir).unwrap().flatten().map(|e| e.file_name()).collect();
            assert!(names.len() <= 2, "{names:?}");
            first = fs::read_to_string(&path).ok();
            first.is_some()
        });
        running.wait().success();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(first.as_deref(), Some(text.as_str()));
        kit::sys::reap(text.parse().unwrap(), Duration::from_secs(5));
        t.runtime(["delete", "--force", bundle.id()]).output().success();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "a temporary file is left");
        fs::remove_file(path).unwrap();
    }
}
