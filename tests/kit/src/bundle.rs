//! A bundle that a test builds: a root file system with the probe, and a configuration.

use crate::runtime::{Container, Output, Running, Runtime};
use crate::{Test, Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A bundle directory and the `config.json` that is written to it before each command.
pub struct Bundle<'t> {
    test: &'t Test,
    id: String,
    dir: PathBuf,
    spec: Value,
    globals: Vec<String>,
    callers: Vec<String>,
}

impl<'t> Bundle<'t> {
    pub(crate) fn new(test: &'t Test) -> Self {
        let id = test.id();
        let dir = test.dir().join(format!("bundle-{}", id.rsplit('-').next().unwrap_or("0")));
        fs::create_dir_all(dir.join("rootfs")).unwrap();
        fs::hard_link(probe(), dir.join("rootfs/probe")).unwrap();
        let spec = template(&id);
        Self { test, id, dir, spec, globals: Vec::new(), callers: Vec::new() }
    }

    /// The container's id, which is also the name of its cgroup.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The bundle directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path in the root file system.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.dir.join("rootfs").join(inside.trim_start_matches('/'))
    }

    /// The probe as the host sees it, for hooks.
    pub fn host_probe(&self) -> String {
        probe().to_string_lossy().into_owned()
    }

    /// The current configuration.
    pub fn spec(&self) -> &Value {
        &self.spec
    }

    /// The same bundle under an ID that the test chooses.
    pub fn named(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// Adds a word before the verb of every command on this bundle.
    pub fn global(mut self, word: &str) -> Self {
        self.globals.push(word.to_owned());
        self
    }

    /// Adds a property of the caller of all commands on this bundle and its container, see [`Runtime::wrap`].
    pub fn called_by(mut self, word: &str) -> Self {
        self.callers.push(word.to_owned());
        self
    }

    /// Replaces the value at a JSON pointer, creating objects on the way.
    pub fn set(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        *self.place(pointer) = value.into();
        self
    }

    /// Appends to the array at a JSON pointer.
    pub fn push(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let place = self.place(pointer);
        if place.is_null() {
            *place = json!([]);
        }
        place.as_array_mut().unwrap_or_else(|| panic!("{pointer} is not an array")).push(value.into());
        self
    }

    /// Removes a member.
    pub fn remove(mut self, pointer: &str) -> Self {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        if let Some(parent) = self.spec.pointer_mut(parent).and_then(Value::as_object_mut) {
            parent.remove(name);
        }
        self
    }

    /// The probe's arguments: `/probe` and these words.
    pub fn probe(self, words: &str) -> Self {
        let words = std::iter::once("/probe").chain(words.split_whitespace()).collect::<Vec<_>>();
        self.set("/process/args", json!(words))
    }

    /// Adds a mount.
    pub fn mount(self, kind: &str, source: impl AsRef<Path>, at: &str, options: &[&str]) -> Self {
        let source = source.as_ref().to_string_lossy().into_owned();
        self.push("/mounts", json!({"destination": at, "type": kind, "source": source, "options": options}))
    }

    /// Removes all mounts except those with these destinations.
    pub fn only_mounts(mut self, keep: &[&str]) -> Self {
        if let Some(mounts) = self.spec["mounts"].as_array_mut() {
            mounts.retain(|mount| keep.contains(&mount["destination"].as_str().unwrap_or("")));
        }
        self
    }

    /// Removes a namespace.
    pub fn without_namespace(mut self, kind: &str) -> Self {
        if let Some(all) = self.spec["linux"]["namespaces"].as_array_mut() {
            all.retain(|namespace| namespace["type"] != kind);
        }
        self
    }

    /// Adds a new namespace.
    pub fn namespace(self, kind: &str) -> Self {
        self.without_namespace(kind).push("/linux/namespaces", json!({"type": kind}))
    }

    /// Joins the namespace at a path.
    pub fn join(self, kind: &str, path: &str) -> Self {
        self.without_namespace(kind).push("/linux/namespaces", json!({"type": kind, "path": path}))
    }

    /// Gives the root file system to a user of the host, and makes it accessible to that user.
    pub fn owned_by(self, host: u32) -> Self {
        for dir in [std::env::temp_dir(), self.test.dir().to_owned(), self.dir.clone(), self.path("/")] {
            open_up(&dir);
        }
        nix::unistd::chown(&self.path("/"), Some(host.into()), Some(host.into())).unwrap();
        self
    }

    /// A user namespace with uids and gids from `host`, and a root file system that its root may access.
    pub fn user_namespace(self, host: u32) -> Self {
        let map = json!([{"containerID": 0, "hostID": host, "size": 65536}]);
        let bundle = self.owned_by(host).namespace("user");
        bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map)
    }

    /// Adds a hook: the probe as the host sees it, with its words.
    pub fn host_hook(self, kind: &str, words: &str) -> Self {
        let path = self.host_probe();
        let args: Vec<&str> = std::iter::once("probe").chain(words.split_whitespace()).collect();
        let hook = json!({"path": path, "args": args});
        self.push(&format!("/hooks/{kind}"), hook)
    }

    /// Writes a file into the root file system.
    pub fn file(self, inside: &str, text: &str) -> Self {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Creates a directory in the root file system.
    pub fn directory(self, inside: &str) -> Self {
        fs::create_dir_all(self.path(inside)).unwrap();
        self
    }

    /// Creates a symbolic link in the root file system.
    pub fn link(self, inside: &str, target: impl AsRef<Path>) -> Self {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
        self
    }

    /// Writes `config.json`.
    pub fn write(&self) -> &Self {
        fs::write(self.dir.join("config.json"), self.spec.to_string()).unwrap();
        self
    }

    /// A command on this bundle: `VERB --bundle DIR ARGS ID`.
    pub fn command(&self, verb: &str, args: &[&str]) -> Runtime<'t> {
        self.write();
        self.test.containers.lock().unwrap().push(self.id.clone());
        let dir = self.dir.to_string_lossy().into_owned();
        let head = [verb.to_owned(), "--bundle".to_owned(), dir];
        let runtime = self.test.runtime(head).args(args.iter().copied()).arg(&self.id);
        let runtime = self.globals.iter().fold(runtime, |runtime, word| runtime.global(word));
        self.callers.iter().fold(runtime, |runtime, word| runtime.wrap(word))
    }

    /// `run` in the foreground, successful or not; nothing of the container may be left after it.
    pub fn try_run(&self) -> Output {
        let output = self.command("run", &[]).output();
        let left = self.test.leaks_of(&self.id);
        assert!(left.is_empty(), "run left behind: {left:#?}\n{output}");
        output
    }

    /// `run` in the foreground, which must succeed.
    pub fn run(&self) -> Output {
        self.try_run().success()
    }

    /// `run` of the probe's report, as JSON.
    pub fn report(&self) -> Value {
        self.run().json()
    }

    /// `run` in the foreground, while it runs.
    pub fn spawn(&self) -> Running<'t> {
        self.command("run", &[]).spawn()
    }

    /// `create`, successful or not.
    pub fn try_create(&self) -> Output {
        self.command("create", &[]).output()
    }

    /// `create`, which must succeed.
    pub fn create(&self) -> Container<'t> {
        self.create_with(&[])
    }

    /// `create` with more flags, which must succeed.
    pub fn create_with(&self, flags: &[&str]) -> Container<'t> {
        self.make("create", flags)
    }

    /// A started container by `create` and `start` or by `run --detach`, with more flags.
    pub fn start_by(&self, verb: &str, flags: &[&str]) -> Container<'t> {
        if verb == "run" {
            return self.make(verb, &[&["--detach"], flags].concat());
        }
        let container = self.make(verb, flags);
        container.start();
        container
    }

    fn make(&self, verb: &str, flags: &[&str]) -> Container<'t> {
        let pid_file = self.test.dir().join(format!("{}.pid", self.id));
        let pid_flag = format!("--pid-file={}", pid_file.display());
        let mut all = vec![pid_flag.as_str()];
        all.extend(flags);
        let output = self.command(verb, &all).output().success();
        let text = fs::read_to_string(&pid_file).unwrap();
        let pid = text.parse().unwrap_or_else(|_| panic!("the pid file has {text:?}"));
        self.test.inits.lock().unwrap().push(pid);
        Container::new(self.test, &self.id, pid, output, self.callers.clone())
    }

    /// `create` and `start`.
    pub fn start(&self) -> Container<'t> {
        let container = self.create();
        container.start();
        container
    }

    fn place(&mut self, pointer: &str) -> &mut Value {
        let mut at = &mut self.spec;
        for word in pointer.split('/').skip(1) {
            let word = word.replace("~1", "/").replace("~0", "~");
            at = match word.parse::<usize>() {
                Ok(index) if at.is_array() => &mut at[index],
                _ => &mut at[word.as_str()],
            };
        }
        at
    }
}

fn open_up(dir: &Path) {
    let mut mode = fs::metadata(dir).unwrap().permissions();
    mode.set_mode(mode.mode() | 0o055);
    fs::set_permissions(dir, mode).unwrap();
}

/// The probe: this program, copied once beside the tests' directories so that bundles can link to it.
pub(crate) fn probe() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("orlop-test-{}", std::process::id()));
        open_up(&dir);
        let path = dir.join("probe");
        let program = fs::read("/proc/self/exe").unwrap();
        // The file name of the dynamic loader: a program that needs one cannot be the only file of a root file
        // system.
        let dynamic = program.windows(9).any(|bytes| bytes == b"ld-linux-" || bytes == b"/ld-musl-");
        assert!(
            !dynamic || is_static(&program),
            "the test program must be static: build it with the repository's .cargo/config.toml"
        );
        fs::write(&path, program).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    })
}

/// Whether a 64-bit ELF file has no PT_INTERP header.
fn is_static(program: &[u8]) -> bool {
    let half = |at: usize| usize::from(u16::from_le_bytes([program[at], program[at + 1]]));
    let start = usize::from_le_bytes(program[32..40].try_into().unwrap());
    let (size, count) = (half(54), half(56));
    !(0..count).any(|n| program[start + n * size..][..4] == 3u32.to_le_bytes())
}

/// The configuration that `spec` prints, with the probe as the process, no terminal and a cgroup.
fn template(id: &str) -> Value {
    let few = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": ["/probe", "report"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {"bounding": few, "effective": few, "permitted": few},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "orlop",
        "mounts": mounts(),
        "linux": {
            "cgroupsPath": format!("/{id}"),
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
            "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}

fn mounts() -> Value {
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
    ])
}
