//! Checkpoint and restore: by criu(8) itself where it works, and what is said where it does not, by a criu
//! that only talks.

use kit::criu::Criu;
use kit::{Bundle, Case, Console, Output, Runtime, Test, Value, json};
use std::fs;
use std::io::{BufRead, BufReader, PipeReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        goes_on_where_it_was,
        leave_running_and_paused,
        bind_mounts_come_from_the_bundle,
        mount_points_are_made,
        a_terminal_comes_back,
        hooks_of_restore,
        user_namespace,
        joined_network_namespace,
        the_loopback_device,
        damaged_images_leave_nothing,
        a_kernel_that_cannot_track_memory,
        no_criu,
        a_criu_that_is_too_old,
        the_hosts_cgroups_keep_their_options,
        a_criu_that_dies,
        a_mount_that_could_pass_for_another,
        options_that_a_container_names,
        what_criu_is_told_about_a_container,
        what_criu_is_told_about_a_restored_one,
        a_hook_that_fails_at_restore,
        only_what_runs,
        restored_id_is_taken,
    ]
}

/// What comes out of a container.
struct Lines(BufReader<PipeReader>);

impl Lines {
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().parse().unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

/// A call whose container's output is read here.
fn piped(call: Runtime<'_>) -> (Output, Lines) {
    let (reader, writer) = std::io::pipe().unwrap();
    let output = call.stdio(Stdio::null(), writer.try_clone().unwrap(), writer).output();
    (output, Lines(BufReader::new(reader)))
}

/// A container which says what signals it gets.
fn running(bundle: &Bundle<'_>) -> Lines {
    let (output, mut lines) = piped(bundle.command("run", &["--detach"]));
    output.success();
    assert_eq!(lines.next(), json!({"ready": true}));
    lines
}

fn images(t: &Test) -> String {
    t.dir().join("images").to_string_lossy().into_owned()
}

fn checkpoint(t: &Test, bundle: &Bundle<'_>, flags: &[&str]) -> Output {
    t.runtime(["checkpoint", "--image-path", &images(t)])
        .args(flags.iter().copied())
        .arg(bundle.id())
        .output()
}

fn restore(t: &Test, bundle: &Bundle<'_>) -> (Output, Lines) {
    let images = images(t);
    let work = t.dir().join("work").to_string_lossy().into_owned();
    let pid_file = t.dir().join("restored.pid").to_string_lossy().into_owned();
    let flags =
        ["--image-path", &images, "--work-path", &work, "--detach", "--pid-file", &pid_file, "-no-subreaper"];
    piped(bundle.command("restore", &flags))
}

/// The directory of criu's images says more than the runtime.
fn restored(t: &Test, bundle: &Bundle<'_>) -> Lines {
    let (output, lines) = restore(t, bundle);
    if output.code() != 0 {
        let log = fs::read_to_string(t.dir().join("work/restore.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(40).collect();
        panic!("{output}\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    lines
}

fn state(t: &Test, bundle: &Bundle<'_>) -> Value {
    t.runtime(["state", bundle.id()]).output().success().document()
}

fn exec(t: &Test, bundle: &Bundle<'_>, words: &str) -> Value {
    t.runtime(["exec", bundle.id(), "/probe"]).args(words.split_whitespace()).output().success().json()
}

fn answers(t: &Test, bundle: &Bundle<'_>, lines: &mut Lines) {
    t.runtime(["kill", bundle.id(), "USR1"]).output().success();
    assert_eq!(lines.next()["signal"], 10);
}

fn gone(t: &Test, bundle: &Bundle<'_>) {
    t.runtime(["kill", bundle.id(), "KILL"]).output().success();
    t.wait_for("the container's end", || state(t, bundle)["status"] == "stopped");
    t.runtime(["delete", bundle.id()]).output().success();
    assert!(t.leaks_of(bundle.id()).is_empty(), "{:?}", t.leaks_of(bundle.id()));
}

fn goes_on_where_it_was(t: &Test) {
    let _turn = kit::criu::real();
    let bundle = t.bundle().probe("signals");
    let mut lines = running(&bundle);
    answers(t, &bundle, &mut lines);
    checkpoint(t, &bundle, &[]).success();
    // As if it had never been: what managers ask next is answered by what they look for.
    for verb in ["resume", "delete", "state"] {
        t.runtime([verb, bundle.id()]).output().refused(&["does not exist"]);
    }
    t.runtime(["delete", "--force", bundle.id()]).output().success();
    assert!(t.leaks_of(bundle.id()).is_empty(), "{:?}", t.leaks_of(bundle.id()));

    let mut lines = restored(t, &bundle);
    let text = fs::read_to_string(t.dir().join("restored.pid")).unwrap();
    let pid: i32 = text.parse().unwrap();
    let now = state(t, &bundle);
    assert_eq!((&now["pid"], &now["status"]), (&json!(pid), &json!("running")));
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains(&format!("PPid:\t{}\n", std::process::id())), "{status}");
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(cgroups.contains(bundle.id()), "{cgroups}");
    answers(t, &bundle, &mut lines);
    // What protects the host protects it still.
    assert_eq!(exec(t, &bundle, "write /x y")["errno"], "EROFS");
    assert_eq!(exec(t, &bundle, "read /proc/keys")["read"], "");
    assert_eq!(exec(t, &bundle, "write /proc/sys/kernel/hostname x")["errno"], "EROFS");
    assert_eq!(exec(t, &bundle, "read /proc/1/comm")["read"], "probe\n");
    assert!(!t.root().join(bundle.id()).join("criu-root").exists());
    gone(t, &bundle);
}

/// What containerd does: pause, checkpoint, resume.
fn leave_running_and_paused(t: &Test) {
    let _turn = kit::criu::real();
    t.needs_freezer();
    let bundle = t.bundle().probe("signals");
    let mut lines = running(&bundle);
    t.runtime(["pause", bundle.id()]).output().success();
    checkpoint(t, &bundle, &["--leave-running", "--leave-running"]).success();
    assert_eq!(state(t, &bundle)["status"], "paused");
    t.runtime(["resume", bundle.id()]).output().success();
    answers(t, &bundle, &mut lines);
    // From one that stands still, too, another can come.
    gone(t, &bundle);
    let mut lines = restored(t, &bundle);
    answers(t, &bundle, &mut lines);
    gone(t, &bundle);
}

fn bind_mounts_come_from_the_bundle(t: &Test) {
    let _turn = kit::criu::real();
    let dir = |name: &str| {
        let path = t.dir().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let (first, second) = (dir("first"), dir("second"));
    for (path, text) in [(&first, "before"), (&second, "after")] {
        fs::write(path.join("file"), text).unwrap();
    }
    let hosts = t.dir().join("hosts");
    fs::write(&hosts, "names").unwrap();
    let bound = |source: &Path| {
        t.bundle()
            .named("orlop-test-binds")
            .probe("signals")
            .set("/root/readonly", false)
            .link("data", "real/data")
            .directory("real")
            .mount("none", source, "/data", &["rbind", "rw"])
            .mount("none", source, "/fixed", &["bind", "ro", "nosuid"])
            .mount("none", &hosts, "/etc/hosts", &["bind", "ro"])
    };
    let bundle = bound(&first).named(&t.id());
    drop(running(&bundle));
    checkpoint(t, &bundle, &[]).success();
    let id = bundle.id().to_owned();
    let bundle = bound(&second).named(&id);
    restored(t, &bundle);
    assert_eq!(exec(t, &bundle, "read /data/file")["read"], "after");
    assert_eq!(exec(t, &bundle, "write /data/file more")["errno"], "");
    assert_eq!(exec(t, &bundle, "write /fixed/file no")["errno"], "EROFS");
    assert_eq!(exec(t, &bundle, "write /etc/hosts no")["errno"], "EROFS");
    assert_eq!(fs::read_to_string(second.join("file")).unwrap(), "more");
    let mounts = exec(t, &bundle, "read /proc/self/mountinfo");
    let line = mounts["read"].as_str().unwrap().lines().find(|line| line.contains(" /fixed ")).unwrap();
    assert!(line.contains("ro,nosuid"), "{line}");
    gone(t, &bundle);
}

/// The root file system of a migrated container has none of them yet.
fn mount_points_are_made(t: &Test) {
    let _turn = kit::criu::real();
    let file = t.dir().join("resolv.conf");
    fs::write(&file, "nameserver").unwrap();
    let bundle = t.bundle().probe("signals").mount("none", &file, "/etc/resolv.conf", &["bind"]);
    let running = running(&bundle);
    checkpoint(t, &bundle, &[]).success();
    drop(running);
    for left in ["etc/resolv.conf", "etc", "proc", "dev", "sys"] {
        let path = bundle.path(left);
        let _ = if path.is_dir() { fs::remove_dir(&path) } else { fs::remove_file(&path) };
        assert!(!path.exists(), "{left}");
    }
    restored(t, &bundle);
    assert_eq!(exec(t, &bundle, "read /etc/resolv.conf")["read"], "nameserver");
    gone(t, &bundle);
}

fn a_terminal_comes_back(t: &Test) {
    let _turn = kit::criu::real();
    let console = Console::new(t);
    let socket = format!("--console-socket={}", console.path().display());
    let bundle = t.bundle().probe("say ready , line , line , sleep").set("/process/terminal", true);
    bundle.command("run", &["--detach", &socket]).output().success();
    let (_, mut terminal) = console.receive();
    terminal.read_until("ready");
    terminal.type_in("first\n");
    terminal.read_until("\"line\"");
    terminal.resize(31, 97);
    checkpoint(t, &bundle, &[]).success();
    drop(terminal);
    let images = images(t);
    let flags = ["--image-path", &images, "--detach", &socket];
    bundle.command("restore", &flags).output().success();
    let (_, mut terminal) = console.receive();
    assert_eq!(terminal.size(), (31, 97));
    terminal.type_in("second\n");
    let text = terminal.read_until("\"line\"");
    assert!(text.contains("second"), "{text}");
    gone(t, &bundle);
}

fn hooks_of_restore(t: &Test) {
    let _turn = kit::criu::real();
    let log = |kind: &str| t.dir().join(format!("hook-{kind}"));
    let kinds = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    let bundle = kinds.into_iter().fold(t.bundle().probe("signals"), |bundle, kind| {
        bundle.host_hook(kind, &format!("hook {}", log(kind).display()))
    });
    drop(running(&bundle));
    checkpoint(t, &bundle, &[]).success();
    assert!(log("poststop").exists(), "the container is gone");
    for kind in kinds {
        fs::remove_file(log(kind)).unwrap();
    }
    restored(t, &bundle);
    let pid = &state(t, &bundle)["pid"];
    for kind in ["prestart", "createRuntime"] {
        let call: Value = fs::read_to_string(log(kind)).unwrap().parse().unwrap();
        assert_eq!((&call["state"]["pid"], &call["state"]["status"]), (pid, &json!("creating")), "{kind}");
    }
    assert!(!log("createContainer").exists() && !log("poststart").exists());
    gone(t, &bundle);
    assert!(log("poststop").exists());
}

fn user_namespace(t: &Test) {
    let _turn = kit::criu::real();
    let bundle = t.bundle().user_namespace(100_000).probe("signals");
    drop(running(&bundle));
    checkpoint(t, &bundle, &[]).success();
    let mut lines = restored(t, &bundle);
    let pid = state(t, &bundle)["pid"].clone();
    let map = fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap();
    assert!(map.split_whitespace().eq(["0", "100000", "65536"]), "{map}");
    answers(t, &bundle, &mut lines);
    gone(t, &bundle);
}

/// What podman and CRI have: a network namespace that is there before the container and after.
fn joined_network_namespace(t: &Test) {
    let _turn = kit::criu::real();
    let holder = t.bundle().probe("sleep").start();
    let path = format!("/proc/{}/ns/net", holder.pid());
    let inode = |path: &str| fs::read_link(path).unwrap();
    let bundle = t.bundle().probe("signals").join("network", &path);
    drop(running(&bundle));
    checkpoint(t, &bundle, &[]).success();
    let mut lines = restored(t, &bundle);
    let pid = state(t, &bundle)["pid"].clone();
    assert_eq!(inode(&format!("/proc/{pid}/ns/net")), inode(&path));
    answers(t, &bundle, &mut lines);
    gone(t, &bundle);
}

fn the_loopback_device(t: &Test) {
    let _turn = kit::criu::real();
    let bundle = t.bundle().probe("signals");
    let up = |bundle: &Bundle<'_>| exec(t, bundle, "read /sys/class/net/lo/flags")["read"].clone();
    drop(running(&bundle));
    assert_eq!(up(&bundle), "0x9\n");
    checkpoint(t, &bundle, &["--leave-running"]).success();
    gone(t, &bundle);
    restored(t, &bundle);
    assert_eq!(up(&bundle), "0x9\n");
    checkpoint(t, &bundle, &["--empty-ns", "network"]).success();
    restored(t, &bundle);
    assert_eq!(up(&bundle), "0x8\n");
    gone(t, &bundle);
}

fn damaged_images_leave_nothing(t: &Test) {
    let _turn = kit::criu::real();
    let bundle = t.bundle().probe("signals");
    drop(running(&bundle));
    checkpoint(t, &bundle, &[]).success();
    for image in ["core-1.img", "inventory.img"] {
        fs::write(PathBuf::from(images(t)).join(image), "").unwrap();
        let (output, mut lines) = restore(t, &bundle);
        assert_eq!(output.code(), 1);
        let mut said = String::new();
        lines.0.read_line(&mut said).unwrap();
        assert!(said.contains("criu failed: restore: Error (") && said.contains("restore.log"), "{said}");
        t.runtime(["state", bundle.id()]).output().refused(&["does not exist"]);
        assert!(t.leaks_of(bundle.id()).is_empty(), "{:?}", t.leaks_of(bundle.id()));
    }
}

fn a_kernel_that_cannot_track_memory(t: &Test) {
    let _turn = kit::criu::real();
    let bundle = t.bundle().probe("signals");
    let mut lines = running(&bundle);
    let output = checkpoint(t, &bundle, &["--pre-dump"]);
    if output.code() == 0 {
        // This one can: the second dump writes what has changed.
        let second = t.dir().join("second").to_string_lossy().into_owned();
        let flags = ["--image-path", &second, "--parent-path", "../images", bundle.id()];
        t.runtime(["checkpoint"]).args(flags).output().success();
        return;
    }
    output.refused(&["criu is missing features: MemTrack"]);
    answers(t, &bundle, &mut lines);
}

fn no_criu(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    let call = container.command("checkpoint", &[]).env("PATH", "/nowhere");
    call.output().refused(&["criu", "executable file not found in $PATH"]);
    let bundle = t.bundle();
    bundle.command("restore", &[]).env("PATH", "/nowhere").output().refused(&["criu", "not found"]);
    assert_eq!(container.status(), "running");
}

fn a_criu_that_is_too_old(t: &Test) {
    let criu = Criu::new(t).with("version", "3 11 0");
    let container = t.bundle().probe("sleep").start();
    let call = criu.found_by(container.command("checkpoint", &[]));
    call.output().refused(&["criu 3.11.0 is too old", "needs criu 3.15.0"]);
    let criu = criu.with("version", "3 15 0");
    fs::write(t.dir().join("checkpoint/descriptors.json"), "[]").unwrap();
    let bundle = t.bundle();
    let call = criu.found_by(bundle.command("restore", &["--lsm-profile", "selinux:x"]));
    call.output().refused(&["criu 3.15.0 is too old", "LSM"]);
    let call = criu.found_by(container.command("checkpoint", &["--network-lock", "skip"]));
    call.output().refused(&["too old", "network"]);
}

/// criu mounts cgroup2 once more, which sets the options of the one that everybody uses.
fn the_hosts_cgroups_keep_their_options(t: &Test) {
    let _turn = kit::criu::turn();
    if !Path::new("/guest/ctl").exists() {
        kit::skip("the whole machine's cgroup2 file system is changed for a moment");
    }
    let options = || {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        mounts.lines().find_map(|line| Some(line.split_once(" - cgroup2 ")?.1.to_owned())).unwrap()
    };
    let before = options();
    assert!(before.contains("nsdelegate") && before.contains("memory_recursiveprot"), "{before}");
    for file in ["mounts", "fail"] {
        let criu = Criu::new(t).with("mounts", "").with(file, "it does not work");
        let container = t.bundle().probe("sleep").start();
        let _ = criu.found_by(container.command("checkpoint", &[])).output();
        assert_eq!(options(), before);
    }
    // While another one has taken them away, and after the process that was to put them back was killed.
    for end in ["is under way", "was killed"] {
        let criu = Criu::new(t).with("hang", "");
        let pid = t.dir().join("criu/pid");
        let _ = fs::remove_file(&pid);
        let first = t.bundle().probe("sleep").start();
        let hanging = criu.found_by(first.command("checkpoint", &[])).spawn();
        t.wait_for("criu", || pid.exists());
        assert_ne!(options(), before);
        if end == "was killed" {
            hanging.signal(libc::SIGKILL);
        }
        fs::remove_file(t.dir().join("criu/hang")).unwrap();
        let second = t.bundle().probe("sleep").start();
        let _ = criu.found_by(second.command("checkpoint", &[])).output();
        assert_eq!(options(), before, "the first {end}");
        first.command("delete", &["--force"]).output().success();
        hanging.wait();
        assert_eq!(options(), before, "the first {end}");
    }
}

fn a_criu_that_dies(t: &Test) {
    let criu = Criu::new(t).with("die", "");
    let container = t.bundle().probe("sleep").start();
    let call = criu.found_by(container.command("checkpoint", &[]));
    call.output().refused(&["criu has ended without an answer"]);
    assert_eq!(container.status(), "running");
    fs::write(t.dir().join("checkpoint/descriptors.json"), "[]").unwrap();
    let bundle = t.bundle();
    criu.found_by(bundle.command("restore", &[])).output().refused(&["criu has ended"]);
    assert!(t.leaks_of(bundle.id()).is_empty(), "{:?}", t.leaks_of(bundle.id()));
}

/// criu writes names of mounts as `mnt[PATH]:KEY`, and looks for them by their beginning.
fn a_mount_that_could_pass_for_another(t: &Test) {
    let criu = Criu::new(t);
    let source = t.dir().join("]:source");
    fs::create_dir(&source).unwrap();
    let odd = t.bundle().probe("sleep").mount("none", &source, "/a]:/etc", &["bind"]).start();
    criu.found_by(odd.command("checkpoint", &[])).output().refused(&["]:/etc", "mnt[PATH]:KEY"]);
    // What the image makes of an innocent name.
    let linked = t.bundle().probe("sleep").link("data", "/a]:").mount("none", &source, "/data", &["bind"]);
    let linked = linked.start();
    criu.found_by(linked.command("checkpoint", &[])).output().refused(&["/a]:"]);
    // Where it comes from may be called anything.
    let plain = t.bundle().probe("sleep").mount("none", &source, "/data", &["bind"]);
    criu.found_by(plain.start().command("checkpoint", &[])).output().success();
    criu.found_by(plain.command("restore", &["--detach"])).output().success();
    let pair = ("/data".to_owned(), source.to_string_lossy().into_owned());
    assert!(criu.request("restore").pairs(23).contains(&pair));
}

/// criu's options are the caller's to give away.
const ALLOWED: &str = "--allow-annotation=org.criu.config";

/// Whatever it names, and nothing: nothing is made or asked for.
fn options_that_a_container_names(t: &Test) {
    t.only_orlop("others obey it");
    let criu = Criu::new(t);
    for file in ["/etc/other.conf", ""] {
        let bundle = t.bundle().probe("sleep").set("/annotations", json!({"org.criu.config": file}));
        let container = bundle.start();
        let words = [
            "annotation is not allowed",
            "/annotations/org.criu.config",
            "--allow-annotation org.criu.config",
        ];
        criu.found_by(container.command("checkpoint", &["--leave-running"])).output().refused(&words);
        assert!(!t.dir().join("checkpoint").exists() && container.status() == "running");
        let bundle = t.bundle().probe("sleep").set("/annotations", json!({"org.criu.config": file}));
        criu.found_by(bundle.command("restore", &["--detach"])).output().refused(&words);
        t.runtime(["state", bundle.id()]).output().refused(&["does not exist"]);
    }
    // Of no concern to anything else.
    t.bundle().set("/annotations", json!({"org.criu.config": "/etc/shadow"})).run();
}

fn what_criu_is_told_about_a_container(t: &Test) {
    let criu = Criu::new(t);
    let holder = t.bundle().probe("sleep").start();
    let path = format!("/proc/{}/ns/net", holder.pid());
    let file = t.dir().join("with space");
    fs::write(&file, "").unwrap();
    let bundle = t
        .bundle()
        .probe("sleep")
        .join("network", &path)
        .link("etc/link", "/run/target")
        .mount("none", &file, "/etc/link", &["bind"])
        .set("/annotations", json!({"org.criu.config": "/etc/other.conf"}));
    let container = bundle.start();
    let checkpoint = container.command("checkpoint", &["--leave-running"]);
    criu.found_by(checkpoint.global(ALLOWED)).output().success();
    let asked = criu.request("dump");
    assert_eq!(asked.number(2), Some(container.pid() as u64));
    assert_eq!(asked.text(13).as_deref(), bundle.path("/").to_str().map(|path| path.trim_end_matches('/')));
    assert_eq!(asked.text(51).as_deref(), Some("/etc/other.conf"));
    let mounts = asked.pairs(23);
    let has = |point: &str, key: &str| mounts.contains(&(point.to_owned(), key.to_owned()));
    assert!(has("/run/target", "/etc/link") && has("/proc/keys", "/dev/null"), "{mounts:?}");
    assert!(!mounts.iter().any(|(point, _)| point == "/sys/firmware"), "a directory is masked by its own");
    let inode = fs::read_link(&path).unwrap().to_string_lossy().replace("net:[", "net[");
    let externals: Vec<String> =
        asked.all(37).into_iter().map(|text| String::from_utf8(text).unwrap()).collect();
    assert!(externals.contains(&format!("{inode}:extRootNetNS")), "{externals:?}");
    let descriptors: Vec<String> =
        serde(&fs::read_to_string(t.dir().join("checkpoint/descriptors.json")).unwrap());
    assert_eq!(descriptors.len(), 3);
    for file in descriptors.iter().filter(|name| name.starts_with("file[")) {
        // A device's name follows the key.
        let key = file.split(' ').next().unwrap_or(file);
        assert!(externals.iter().any(|external| external == key), "{file}: {externals:?}");
    }
    assert!(
        descriptors[0].starts_with("file[") && descriptors[0].ends_with(" /dev/null"),
        "the host's null device: {descriptors:?}"
    );
    if Path::new("/sys/fs/cgroup/freezer").exists() {
        assert!(asked.text(44).unwrap().ends_with(bundle.id()));
    }
}

fn serde(text: &str) -> Vec<String> {
    let value: Value = text.parse().unwrap();
    value.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn what_criu_is_told_about_a_restored_one(t: &Test) {
    let criu = Criu::new(t);
    let holder = t.bundle().probe("sleep").start();
    let path = |kind: &str| format!("/proc/{}/ns/{kind}", holder.pid());
    fs::create_dir(t.dir().join("checkpoint")).unwrap();
    let names = json!(["file[1b:5]", "pipe:[7]", "pipe:[7]"]);
    fs::write(t.dir().join("checkpoint/descriptors.json"), names.to_string()).unwrap();
    let bundle = t
        .bundle()
        .probe("sleep")
        .join("network", &path("net"))
        .join("ipc", &path("ipc"))
        .set("/annotations", json!({"org.criu.config": ""}));
    criu.found_by(bundle.command("restore", &["--detach"]).global(ALLOWED)).output().success();
    let asked = criu.request("restore");
    assert_eq!(asked.text(51), None);
    assert_eq!(asked.pairs(39), [("ipc".to_owned(), path("ipc"))]);
    let inherited: Vec<_> =
        asked.messages(27).iter().map(|m| (m.text(1).unwrap(), m.number(2).unwrap())).collect();
    assert_eq!(inherited[..2], [("file[1b:5]".to_owned(), 0), ("pipe:[7]".to_owned(), 1)]);
    assert_eq!((inherited.len(), inherited[2].0.as_str()), (3, "extRootNetNS"));
    assert!(asked.text(13).unwrap().ends_with("/criu-root"));
    let roots = asked.pairs(25);
    assert!(!roots.is_empty() && roots.iter().any(|(_, path)| path.ends_with(bundle.id())), "{roots:?}");
    assert_eq!(state(t, &bundle)["status"], "running");
}

fn a_hook_that_fails_at_restore(t: &Test) {
    let criu = Criu::new(t);
    fs::create_dir(t.dir().join("checkpoint")).unwrap();
    fs::write(t.dir().join("checkpoint/descriptors.json"), "[]").unwrap();
    let poststop = t.dir().join("poststop");
    let bundle = t
        .bundle()
        .probe("sleep")
        .host_hook("createRuntime", "complain no network , exit 3")
        .host_hook("poststop", &format!("hook {}", poststop.display()));
    let output = criu.found_by(bundle.command("restore", &["--detach", "--pid-file", "pid"])).output();
    output.refused(&["error running createRuntime hook #0", "exit status 3", "no network"]);
    assert!(poststop.exists(), "what the first hooks have done is undone");
    assert!(!t.dir().join("pid").exists());
    t.runtime(["state", bundle.id()]).output().refused(&["does not exist"]);
    assert!(t.leaks_of(bundle.id()).is_empty(), "{:?}", t.leaks_of(bundle.id()));
}

fn only_what_runs(t: &Test) {
    let criu = Criu::new(t);
    let container = t.bundle().probe("exit 0").create();
    let call = || criu.found_by(container.command("checkpoint", &[]));
    call().output().refused(&["cannot checkpoint a container in the created state"]);
    container.start();
    container.wait();
    call().output().refused(&["container not running"]);
    criu.found_by(t.runtime(["checkpoint", "nobody"])).output().refused(&["does not exist"]);
}

fn restored_id_is_taken(t: &Test) {
    let criu = Criu::new(t);
    fs::create_dir(t.dir().join("checkpoint")).unwrap();
    fs::write(t.dir().join("checkpoint/descriptors.json"), "[]").unwrap();
    let bundle = t.bundle().probe("sleep");
    let container = bundle.start();
    criu.found_by(bundle.command("restore", &[]))
        .output()
        .refused(&["container with given ID already exists"]);
    assert_eq!(container.status(), "running");
}
