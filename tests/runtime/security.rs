//! Published advisories of container runtimes, as far as a test without a race can check them.
//!
//! Each case names the class that it covers. The canary is a directory outside the root file system; nothing in it
//! may change, no matter what the image or the configuration contains.

use kit::{Bundle, Case, Test, Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        a_numeric_user_is_not_a_name,
        exe_link_does_not_lead_to_the_runtime,
        script_interpreter_proc_self_exe_is_not_the_runtime,
        mount_over_proc_does_not_catch_labels,
        destination_links_do_not_leave_the_root,
        proc_or_sys_as_a_link_is_refused,
        devices_are_an_allow_list,
        long_id_maps_and_paths_are_refused,
        inheritable_capabilities_are_empty,
        no_procfs_without_the_masks_can_be_mounted,
        leaked_descriptors_as_cwd_are_refused,
        leaked_descriptors_as_exec_cwd_are_refused,
        masked_path_source_is_the_hosts_null,
        console_as_a_link_is_not_followed,
        proc_redirected_by_a_hook_is_not_written,
        exec_user_is_parsed_strictly,
        dev_as_a_link_stays_inside,
        null_as_a_link_is_not_followed,
        exec_cgroup_cannot_leave_the_containers_cgroup,
        propagation_of_the_host_root_does_not_change,
        waiting_init_shows_no_host_file,
        runtime_binary_cannot_be_written,
        containers_run_without_executable_memfds,
    ]
}

/// The content of a directory outside: names, modes, owners, sizes, contents.
struct Canary {
    dir: PathBuf,
    before: Vec<String>,
}

impl Canary {
    fn new(t: &Test) -> Self {
        let dir = t.dir().join("canary");
        fs::create_dir_all(dir.join("sub")).unwrap();
        fs::write(dir.join("bird"), "sings").unwrap();
        fs::set_permissions(dir.join("bird"), fs::Permissions::from_mode(0o640)).unwrap();
        let before = snapshot(&dir);
        Self { dir, before }
    }

    /// The path to the canary from the root file system, by `..`.
    fn relative(&self, depth: usize) -> PathBuf {
        let up: PathBuf = std::iter::repeat_n("..", depth + 12).collect();
        up.join(self.dir.strip_prefix("/").unwrap())
    }

    fn check(&self, what: &str) {
        assert_eq!(snapshot(&self.dir), self.before, "the canary has changed: {what}");
    }
}

fn snapshot(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let (path, data) = (entry.path(), fs::symlink_metadata(entry.path()).unwrap());
        let text = if data.is_file() { fs::read_to_string(&path).unwrap() } else { String::new() };
        found.push(format!("{} {:o} {}:{} {text}", path.display(), data.mode(), data.uid(), data.gid()));
        if data.is_dir() {
            found.extend(snapshot(&path));
        }
    }
    found.sort();
    found
}

/// Either the runtime refuses, or what it runs is harmless; the canary decides.
fn run_either_way(bundle: &Bundle<'_>, canary: &Canary, what: &str) -> kit::Output {
    let output = bundle.try_run();
    assert!(output.code() == 0 || output.code() == 1, "{what}: {output}");
    canary.check(what);
    output
}

/// CVE-2016-3697
fn a_numeric_user_is_not_a_name(t: &Test) {
    let bundle = t.bundle().file("/etc/passwd", "1000:x:0:0::/:/bin/sh\nroot:x:0:0::/:/bin/sh\n");
    let container = bundle.probe("sleep").start();
    let words = ["exec", "--user", "1000", container.id(), "/probe", "report"];
    let seen = t.runtime(words).output().success().json();
    assert_eq!(seen["uid"], json!([1000, 1000, 1000, 1000]));
}

/// CVE-2019-5736: what the kernel executes here must not be a writable file of the host.
fn exe_link_does_not_lead_to_the_runtime(t: &Test) {
    for args in [json!(["/proc/self/exe"]), json!(["/link"])] {
        let bundle = t.bundle().link("/link", "/proc/self/exe").set("/process/args", args);
        let output = bundle.try_run();
        assert!(!output.stdout.contains("orlop"), "the runtime ran inside: {output}");
    }
}

fn script_interpreter_proc_self_exe_is_not_the_runtime(t: &Test) {
    let bundle = t.bundle().file("/script", "#!/proc/self/exe --version\n");
    fs::set_permissions(bundle.path("/script"), fs::Permissions::from_mode(0o755)).unwrap();
    let output = bundle.set("/process/args", json!(["/script"])).try_run();
    assert!(!t.is_orlop() || !output.stdout.contains("orlop version"), "the runtime ran inside: {output}");
}

fn runtime_binary_cannot_be_written(t: &Test) {
    let path = if t.is_orlop() { env!("CARGO_BIN_EXE_orlop") } else { return };
    let before = fs::metadata(path).unwrap();
    let bundle = t.bundle().probe("open /proc/1/exe rw , open /proc/self/exe rw");
    let lines = bundle.run().lines();
    // The probe cannot be written either while it runs.
    assert!(lines.iter().all(|line| line["errno"] != ""), "{lines:?}");
    let after = fs::metadata(path).unwrap();
    assert_eq!((before.mtime_nsec(), before.len()), (after.mtime_nsec(), after.len()));
}

/// The attacks cover the file that takes its place; here it works, also for a container of another user.
fn containers_run_without_executable_memfds(t: &Test) {
    if !Path::new("/proc/sys/vm/memfd_noexec").exists() {
        kit::skip("the kernel has no vm.memfd_noexec");
    }
    for bundle in [t.bundle(), t.bundle().user_namespace(100_000)] {
        let bundle = bundle.host_hook("createRuntime", "exit 0").set("/hostname", "a-ship");
        let seen = bundle.command("run", &[]).wrap("memfd_noexec=2").output().success().json();
        assert_eq!(seen["hostname"], "a-ship");
        assert!(t.leaks_of(bundle.id()).is_empty());
    }
}

/// CVE-2019-16884: a file system chosen by the image at the place where the runtime writes labels.
fn mount_over_proc_does_not_catch_labels(t: &Test) {
    let fake = t.dir().join("fake");
    fs::create_dir_all(fake.join("self/attr")).unwrap();
    fs::write(fake.join("self/attr/exec"), "").unwrap();
    let cases = [
        t.bundle().only_mounts(&["/dev"]).mount("tmpfs", "tmpfs", "/proc", &[]),
        t.bundle().only_mounts(&["/dev"]).mount("bind", &fake, "/proc", &["bind"]),
        t.bundle().mount("bind", fake.join("self/attr/exec"), "/proc/self/attr/exec", &["bind"]),
    ];
    for bundle in cases {
        let output = bundle.remove("/linux/maskedPaths").remove("/linux/readonlyPaths").try_run();
        assert!(output.code() == 0 || output.code() == 1, "{output}");
        assert_eq!(fs::read_to_string(fake.join("self/attr/exec")).unwrap(), "");
    }
}

/// CVE-2019-18837, CVE-2021-30465, CVE-2024-45310 without their races.
fn destination_links_do_not_leave_the_root(t: &Test) {
    let canary = Canary::new(t);
    let source = t.dir().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "x").unwrap();
    for (n, target) in [canary.dir.clone(), canary.relative(0)].into_iter().enumerate() {
        for (kind, from, at) in [
            ("tmpfs", PathBuf::from("tmpfs"), "/link"),
            ("tmpfs", PathBuf::from("tmpfs"), "/link/new/deeper"),
            ("bind", source.clone(), "/link"),
            ("bind", source.clone(), "/link/new"),
            ("bind", source.join("file"), "/link/made"),
            ("bind", source.join("file"), "/link/bird"),
            ("bind", source.join("file"), "/dangling"),
        ] {
            let bundle = t.bundle().link("/link", &target).link("/dangling", target.join("made"));
            let options: &[&str] = if kind == "bind" { &["bind"] } else { &[] };
            run_either_way(&bundle.mount(kind, from, at, options), &canary, &format!("{n} {kind} {at}"));
        }
    }
}

/// CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-54867
fn proc_or_sys_as_a_link_is_refused(t: &Test) {
    let canary = Canary::new(t);
    for name in ["/proc", "/sys"] {
        for target in ["/tmp/x", "/elsewhere", canary.dir.to_str().unwrap()] {
            let bundle = t.bundle().directory("/elsewhere").link(name, target);
            let output = run_either_way(&bundle, &canary, name);
            output.refused(&[name.trim_start_matches('/')]);
        }
    }
}

/// GHSA-g54h-m393-cpwq: without a rule nothing is permitted.
fn devices_are_an_allow_list(t: &Test) {
    t.needs_device_rules();
    let all = json!(["CAP_MKNOD"]);
    for resources in [Some(json!({"devices": []})), None] {
        let mut bundle = t
            .bundle()
            .set("/process/capabilities", json!({"bounding": all, "effective": all, "permitted": all}));
        bundle = bundle.mount("tmpfs", "tmpfs", "/m", &["dev"]);
        bundle = match resources {
            Some(some) => bundle.set("/linux/resources", some),
            None => bundle.remove("/linux/resources"),
        };
        let lines = bundle
            .probe("mknod /m/kmsg c 1 11 , open /m/kmsg r , mknod /m/mem c 1 1 , open /m/mem r")
            .run()
            .lines();
        assert!(lines[1]["errno"] != "" && lines[3]["errno"] != "", "{lines:?}");
    }
}

/// CVE-2021-43784: lengths in netlink messages.
fn long_id_maps_and_paths_are_refused(t: &Test) {
    let maps: Vec<Value> =
        (0..1000).map(|n| json!({"containerID": n, "hostID": 200_000 + n, "size": 1})).collect();
    let bundle = t.bundle().user_namespace(200_000).set("/linux/uidMappings", json!(maps));
    bundle.set("/linux/gidMappings", json!(maps)).try_run().refused(&[]);
    let path = format!("/proc/self/ns/{}", "x".repeat(70_000));
    t.bundle().join("network", &path).try_run().refused(&[]);
    // As many as fit into a page, the kernel's limit, are accepted.
    let few = json!(maps[..150]);
    t.bundle()
        .user_namespace(200_000)
        .set("/linux/uidMappings", few.clone())
        .set("/linux/gidMappings", few)
        .run();
}

/// CVE-2022-29162 and similar.
/// In namespaces of its own. With --no-pivot the host's mounts are below the container's root.
fn no_procfs_without_the_masks_can_be_mounted(t: &Test) {
    const UNSHARE: &str = "syscall 272 805437440"; // CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID
    let sets = json!(["CAP_SETFCAP", "CAP_SYS_ADMIN"]);
    let words = format!("{UNSHARE} , write /proc/self/uid_map 0 0 1 , spawn mount /m proc , sleep 1");
    for flags in [&[][..], &["--no-pivot"]] {
        for user in [false, true] {
            let bundle = t.bundle().directory("/m").probe(&words);
            let bundle = if user { bundle.user_namespace(200_000) } else { bundle };
            let sets = json!({"bounding": sets, "effective": sets, "permitted": sets});
            let bundle = bundle.set("/process/capabilities", sets).set("/linux/readonlyPaths", json!([]));
            let bundle = bundle.set("/linux/maskedPaths", json!(["/proc/keys"]));
            let output = bundle.command("run", flags).output().success();
            let lines = output.lines();
            assert_eq!((&lines[0]["errno"], &lines[1]["errno"]), (&json!(""), &json!("")), "{output}");
            let mount = lines.iter().find(|line| line["mount"] == "/m").unwrap();
            assert_eq!(mount["errno"], "EPERM", "{flags:?} {user}: {output}");
        }
    }
}

fn inheritable_capabilities_are_empty(t: &Test) {
    let container = t.bundle().probe("report , sleep").start();
    assert_eq!(container.first_line()["caps"]["inheritable"], json!([]));
    assert_eq!(container.exec("report").success().json()["caps"]["inheritable"], json!([]));
    let words = ["exec", "--cap", "CAP_NET_RAW", container.id(), "/probe", "report"];
    let caps = t.runtime(words).output().success().json()["caps"].clone();
    assert_eq!(caps["inheritable"], json!([]), "{caps}");
}

/// CVE-2024-21626
fn leaked_descriptors_as_cwd_are_refused(t: &Test) {
    for n in (3..20).chain([30, 40]) {
        let bundle = t.bundle().set("/process/cwd", format!("/proc/self/fd/{n}"));
        let call = bundle.command("run", &[]).wrap("fd=/").wrap("fd=/").wrap("fd=/");
        let output = call.output();
        assert!(output.code() == 1, "{n}: {output}");
        assert!(t.leaks_of(bundle.id()).is_empty());
    }
}

fn leaked_descriptors_as_exec_cwd_are_refused(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    for n in (3..20).chain([30, 40]) {
        let cwd = format!("/proc/self/fd/{n}");
        let call = t.runtime(["exec", "--cwd", &cwd, container.id(), "/probe", "list", "."]);
        let output = call.wrap("fd=/").wrap("fd=/").output();
        assert_ne!(output.code(), 0, "{n}: {output}");
    }
}

/// CVE-2025-31133: the image's /dev/null is another file.
fn masked_path_source_is_the_hosts_null(t: &Test) {
    t.only_orlop("it opens the image's file as its standard output");
    let canary = Canary::new(t);
    // The host name belongs to the container's UTS namespace: a runtime with this weakness damages nothing else.
    let victim = "/proc/sys/kernel/domainname";
    let before = fs::read_to_string(victim).unwrap();
    for own in [Some(victim), None] {
        let mut bundle = t.bundle().only_mounts(&["/proc"]).directory("/dev");
        bundle = match own {
            Some(target) => bundle.link("/dev/null", target),
            None => bundle.file("/dev/null", "not null"),
        };
        let bundle = bundle
            .file("/etc/secret", "gold")
            .set("/linux/maskedPaths", json!(["/etc/secret", "/proc/keys"]));
        let output = run_either_way(&bundle.probe("read /etc/secret , stat /etc/secret"), &canary, "null");
        if output.code() == 0 {
            let lines = output.lines();
            assert_eq!(lines.len(), 2, "{output}");
            assert_eq!(lines[0]["read"], "", "{output}");
            assert_eq!((&lines[1]["major"], &lines[1]["minor"]), (&json!(1), &json!(3)), "{output}");
        }
    }
    assert_eq!(fs::read_to_string(victim).unwrap(), before);
}

/// CVE-2025-52565, CVE-2026-88264
fn console_as_a_link_is_not_followed(t: &Test) {
    let canary = Canary::new(t);
    for target in [
        canary.dir.join("made"),
        canary.dir.join("bird"),
        canary.relative(1).join("made"),
        "/proc/sys/kernel/domainname".into(),
    ] {
        for mounts in [&["/proc"][..], &["/proc", "/dev", "/dev/pts"][..]] {
            let console = kit::Console::new(t);
            let bundle = t.bundle().only_mounts(mounts).directory("/dev").link("/dev/console", &target);
            let bundle = bundle.set("/process/terminal", true).probe("exit 0");
            let pid_file = t.dir().join("console-pid");
            let flags = [
                "--console-socket",
                console.path().to_str().unwrap(),
                "--pid-file",
                pid_file.to_str().unwrap(),
            ];
            let output = bundle.command("create", &flags).output();
            canary.check("console");
            if output.code() == 0 {
                t.runtime(["start", bundle.id()]).output();
                let pid: i32 = fs::read_to_string(pid_file).unwrap().parse().unwrap();
                kit::sys::reap(pid, std::time::Duration::from_secs(5));
                t.runtime(["delete", "--force", bundle.id()]).output().success();
            }
            canary.check("console");
            let _ = fs::remove_file(console.path());
        }
    }
}

/// CVE-2025-52881: /proc/sys in the container is another file by the time it is written.
fn proc_redirected_by_a_hook_is_not_written(t: &Test) {
    let fake = t.dir().join("fake");
    fs::create_dir_all(fake.join("net/ipv4")).unwrap();
    fs::write(fake.join("net/ipv4/ip_unprivileged_port_start"), "untouched").unwrap();
    let bundle = t.bundle().mount("bind", &fake, "/proc/sys", &["bind"]);
    let bundle =
        bundle.set("/linux/sysctl", json!({"net.ipv4.ip_unprivileged_port_start": "81"})).probe("exit 0");
    let output = bundle.try_run();
    assert!(output.code() == 0 || output.code() == 1, "{output}");
    let text = fs::read_to_string(fake.join("net/ipv4/ip_unprivileged_port_start")).unwrap();
    assert_eq!(text, "untouched", "{output}");
}

/// CVE-2026-30892
fn exec_user_is_parsed_strictly(t: &Test) {
    t.only_orlop("it takes 4294967296 for 0");
    let container = t.bundle().probe("sleep").start();
    for user in
        ["abc", "1000:", ":5", "-1", "4294967296", "99999999999", "+5", " 5", "5 ", "0x10", "5:6:7", "5:-1"]
    {
        let words = [&format!("--user={user}"), container.id(), "/probe", "report"];
        let output = t.runtime(["exec"]).args(words).output();
        if output.code() == 0 {
            let uid = output.json()["uid"][0].to_string();
            assert!(user.split(':').next() == Some(uid.as_str()), "{user:?} became {uid}");
        }
        assert!(
            output.code() != 0 || output.json()["uid"][0] != 0 || user.starts_with(':'),
            "{user:?} became root"
        );
    }
}

/// CVE-2026-41579
fn dev_as_a_link_stays_inside(t: &Test) {
    t.only_orlop("it writes outside the root");
    let canary = Canary::new(t);
    for target in [canary.dir.clone(), canary.relative(0)] {
        for mounts in [&["/proc"][..], &["/proc", "/dev", "/dev/pts", "/dev/shm"][..]] {
            let bundle = t.bundle().only_mounts(mounts).link("/dev", &target).probe("exit 0");
            run_either_way(&bundle, &canary, &format!("{} {mounts:?}", target.display()));
        }
    }
    // The same with a twin of the target inside the root file system, which may be used.
    let bundle = t.bundle().only_mounts(&["/proc"]).link("/dev", &canary.dir);
    fs::create_dir_all(bundle.path(canary.dir.to_str().unwrap())).unwrap();
    run_either_way(&bundle.probe("exit 0"), &canary, "twin");
}

/// CVE-2026-88265: standard streams must not be opened again by a name in the image.
fn null_as_a_link_is_not_followed(t: &Test) {
    let canary = Canary::new(t);
    for target in [canary.dir.join("bird"), canary.relative(1).join("bird"), canary.dir.join("made")] {
        let bundle = t.bundle().only_mounts(&["/proc"]).directory("/dev").link("/dev/null", &target);
        let bundle = bundle.set("/process/user", json!({"uid": 1000, "gid": 1000})).probe("exit 0");
        run_either_way(&bundle, &canary, &target.display().to_string());
    }
}

/// `exec --cgroup`: paths are compared by component.
fn exec_cgroup_cannot_leave_the_containers_cgroup(t: &Test) {
    let bundle = t.bundle().probe("sleep");
    let container = bundle.start();
    for path in ["../x", "/../x", "a/../../x", &format!("../{}-evil", bundle.id())] {
        let output = t.runtime(["exec", "--cgroup", path, container.id(), "/probe", "exit", "0"]).output();
        assert_ne!(output.code(), 0, "{path}: {output}");
    }
}

fn root_mount() -> String {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap().to_owned()
}

fn propagation_of_the_host_root_does_not_change(t: &Test) {
    let before = root_mount();
    for word in ["private", "rshared", "slave", "rprivate", "unbindable"] {
        t.bundle().set("/linux/rootfsPropagation", word).try_run();
        assert_eq!(root_mount(), before, "{word}");
    }
}

/// The process that waits for `start` is only the stub: it has no file, directory or socket of the host.
fn waiting_init_shows_no_host_file(t: &Test) {
    t.only_orlop("its waiting process is the runtime");
    let bundle = t.bundle();
    let container = bundle.create();
    let link = |what: &str| {
        let path = fs::read_link(format!("/proc/{}/{what}", container.pid()));
        path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
    };
    assert!(!link("exe").contains("debug/orlop"), "{}", link("exe"));
    assert!(link("exe").contains("memfd:") || link("exe").contains("(deleted)"), "{}", link("exe"));
    for entry in fs::read_dir(format!("/proc/{}/fd", container.pid())).unwrap().flatten() {
        let (number, target) = (
            entry.file_name().to_string_lossy().into_owned(),
            fs::read_link(entry.path()).unwrap_or_default(),
        );
        let target = target.to_string_lossy().into_owned();
        // 0 to 2 are passed by the caller.
        let own = ["0", "1", "2"].contains(&number.as_str());
        let harmless = ["socket:", "anon_inode:", "/memfd:", "pipe:"].iter().any(|start| target.starts_with(start))
                || target == "/probe"
                || target.ends_with("/rootfs/probe")
            // The container's own root.
            || fs::metadata(entry.path()).unwrap().ino() == fs::metadata(bundle.path("/")).unwrap().ino();
        assert!(own || harmless, "descriptor {number} is {target}");
    }
}
