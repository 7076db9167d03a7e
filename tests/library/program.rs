//! The stub that waits in a container, `/proc/1/exe` of its processes: no action of a container changes what the
//! library executes next (CVE-2019-5736).

use crate::output_to;
use kit::{Bundle, Case, Test, Value, json, wrap};
use orlop::container::{Container, CreateOptions, ExecOptions, Exit, Runtime, Status, Stdio};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        the_stub_in_sealed_memory_cannot_be_changed,
        the_stub_without_executable_memfds_cannot_be_changed,
        the_stub_of_an_unprivileged_caller_cannot_be_changed
    ]
}

/// The attacker's command.
const GRIP: &str = "/probe grip /proc/1/exe /go";

/// The first argument of a program that creates two containers, one after the other.
pub(crate) const INSIDE: &str = "--two-containers";

/// All capabilities that could be of use, except those with which a container owns the host anyway.
const CAPABILITIES: [&str; 7] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_SETFCAP",
    "CAP_SYS_PTRACE",
];

/// In a program of its own: the state root, two bundles and their IDs, a file for the output of the first
/// container's attacker, and the process that attacks: one of `exec`, while the first process waits, or the
/// program, beside an `init`. Prints the output of the second container.
pub(crate) fn inside(words: &[String]) -> ExitCode {
    let [root, first, second, out, name] = words else { panic!("{words:?}") };
    let runtime = Runtime::new(root).unwrap();
    let load = |dir: &str| orlop::bundle::Bundle::load(dir).unwrap();
    let id = |dir: &str| Path::new(dir).file_name().unwrap().to_string_lossy().into_owned();
    let make = |dir: &str, stdio: Stdio, init: bool| {
        let options = CreateOptions { stdio, init, optional_cgroup: Some(true), ..CreateOptions::default() };
        runtime.create(&id(dir), &load(dir), &options)
    };
    let said_by = || output_to(Path::new(out)).stdio;
    let open = || fs::write(Path::new(first).join("rootfs/go"), "").unwrap();
    let has_begun = || wait_for(|| fs::read_to_string(out).unwrap().contains('\n'));
    let init = name == "init";
    let container = make(first, if init { said_by() } else { Stdio::Null }, init).unwrap();
    assert_eq!(container.state().unwrap().status, Status::Created);
    let before = stub(&container);
    if init {
        container.start().unwrap();
        has_begun();
        open();
        assert_eq!(container.wait().unwrap(), Exit::Code(0));
    } else {
        let mut process = container.spec().unwrap().process.unwrap();
        process.args = GRIP.split(' ').map(String::from).collect();
        let exec = ExecOptions { stdio: said_by(), ..ExecOptions::default() };
        let attack = container.exec(&process, &exec).unwrap();
        has_begun();
        assert_eq!(stub(&container), before);
        container.start().unwrap();
        // Nothing executes it any more.
        open();
        assert_eq!(attack.wait().unwrap(), Exit::Code(0));
    }
    let said = match make(second, Stdio::Null, false) {
        Ok(again) => {
            let after = stub(&again);
            let exit = again.start().and_then(|()| again.wait());
            let exit = exit.map_or_else(|error| error.to_string(), |exit| format!("{exit:?}"));
            again.delete(true).unwrap();
            json!({"same": after == before, "exit": exit})
        }
        Err(error) => json!({"error": error.to_string()}),
    };
    container.delete(true).unwrap();
    println!("{said}");
    ExitCode::SUCCESS
}

/// The file that a waiting process executes and its content; nothing if this program may not see that.
fn stub(container: &Container) -> ((u64, u64), Vec<u8>) {
    use std::os::unix::fs::MetadataExt;
    let path = PathBuf::from(format!("/proc/{}/exe", container.pid().unwrap()));
    let Ok(file) = fs::metadata(&path) else { return Default::default() };
    ((file.dev(), file.ino()), fs::read(&path).unwrap())
}

fn wait_for(mut ready: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// The result: the attempts while the stub was executed and after that, and the second container.
struct Outcome {
    attempts: Vec<Value>,
    second: Value,
}

/// Runs [`inside`] with a caller that has these properties.
fn attack(t: &Test, name: &str, caller: &[&str], prepare: impl Fn(Bundle<'_>) -> Bundle<'_>) -> Outcome {
    let made = |words: &str| {
        let capabilities =
            json!({"bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES});
        let bundle = t.bundle().set("/process/capabilities", capabilities).set("/root/readonly", false);
        // With the name of the container in place of the directory's.
        let bundle = prepare(bundle.probe(words)).remove("/linux/cgroupsPath");
        let dir = bundle.dir().with_file_name(bundle.id());
        bundle.write();
        std::os::unix::fs::symlink(bundle.dir(), &dir).unwrap();
        dir
    };
    let (first, second) =
        (made(if name == "init" { GRIP.trim_start_matches("/probe ") } else { "sleep" }), made("exit 0"));
    let (root, out) = (t.root(), t.dir().join(format!("attempts-{name}")));
    fs::File::create(&out).unwrap();
    fs::set_permissions(&out, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let own = std::env::current_exe().unwrap();
    let mut command = Command::new(&own);
    command.arg(wrap::NAME).args(caller).arg("--").arg(&own).arg(INSIDE);
    command.args([root, first, second, out.clone(), name.into()]);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = fs::read_to_string(&out).unwrap();
    let attempts = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let second = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{errors}{said}"));
    Outcome { attempts, second }
}

impl Outcome {
    /// Checks that all attempts failed, and that the second container ran as if there had been none.
    fn assert_harmless(&self) {
        assert_eq!(self.attempts.len(), 2, "{:?}", self.attempts);
        let mut done = Vec::new();
        for (attempts, when) in self.attempts.iter().zip(["during", "after"]) {
            let all = attempts.as_object().unwrap();
            assert!(all.len() >= 10, "{all:?}");
            done.extend(
                all.iter().filter(|(_, errno)| *errno == "").map(|(what, _)| format!("{when}: {what}")),
            );
        }
        assert!(done.is_empty(), "{done:#?}, and the second container printed {}", self.second);
        assert_eq!((&self.second["same"], &self.second["exit"]), (&json!(true), &json!("Code(0)")));
    }
}

fn needs_noexec() {
    if !Path::new("/proc/sys/vm/memfd_noexec").exists() {
        kit::skip("the kernel has no vm.memfd_noexec");
    }
}

fn the_stub_in_sealed_memory_cannot_be_changed(t: &Test) {
    for name in ["exec", "init"] {
        attack(t, name, &[], |bundle| bundle).assert_harmless();
    }
}

fn the_stub_without_executable_memfds_cannot_be_changed(t: &Test) {
    needs_noexec();
    for name in ["exec", "init"] {
        attack(t, name, &["memfd_noexec=2"], |bundle| bundle).assert_harmless();
    }
}

/// Without privileges a container has no access to the file, as its user may not read it, and each container has a
/// file of its own.
fn the_stub_of_an_unprivileged_caller_cannot_be_changed(t: &Test) {
    needs_noexec();
    let id = 54_329;
    let caller = ["memfd_noexec=2".to_owned(), format!("uid={id}")];
    for dir in [t.dir().to_owned(), t.root(), t.dir().join("tmp")] {
        fs::create_dir_all(&dir).unwrap();
        nix::unistd::chown(&dir, Some(id.into()), Some(id.into())).unwrap();
    }
    let map = json!([{"containerID": 0, "hostID": id, "size": 1}]);
    let outcome = attack(t, "init", &[&caller[0], &caller[1]], |bundle| {
        let bundle = bundle.user_namespace(id).remove("/linux/resources").only_mounts(&["/proc", "/dev"]);
        bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map.clone())
    });
    assert_eq!(outcome.attempts, [json!({"kept": "EACCES"})]);
    assert_eq!(outcome.second["exit"], "Code(0)", "{}", outcome.second);
}
