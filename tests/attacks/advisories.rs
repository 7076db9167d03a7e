//! Published advisories of container runtimes with their races, and those that `tests/runtime/security.rs` does not
//! cover.

use crate::moments::{self, Swing};
use crate::play::{self, Caller, Canary, turn};
use kit::criu::Criu;
use kit::score::rounds;
use kit::{Bundle, Case, Console, Container, Score, Test, Value, json};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        proc_swap,
        sys_swap,
        dev_swap,
        null_swap,
        console_swap,
        destination_swap,
        new_file_swap,
        masked_path_swap,
        cgroup_of_a_user_namespace,
        release_agent,
        readonly_mounts_with_the_images_proc,
        criu_keys,
        exec_user,
    ]
}

/// A root file system that two containers share: the attacker keeps exchanging two names in it.
fn sharer<'t>(t: &'t Test, root: &std::path::Path, a: &str, b: &str) -> Container<'t> {
    let bundle = t.bundle().mount("bind", root, "/r", &["bind", "rw"]);
    let container =
        bundle.remove("/process/capabilities").probe(&format!("swing /r/{a} /r/{b} exchange")).start();
    container.first_line();
    container
}

/// Runs the victim again and again; `judge` returns what its program printed that it should not have.
fn race(
    t: &Test,
    what: &str,
    canary: &Canary,
    victim: &Bundle<'_>,
    swap: (&str, &str),
    judge: fn(&[Value]) -> Option<String>,
) {
    victim.write();
    swapped(t, what, &victim.path("/"), swap, 2, |caller| {
        let said = caller.run(victim);
        let lines: Vec<Value> = said.stdout.lines().filter_map(|line| line.parse().ok()).collect();
        let told = if said.code == 0 { judge(&lines) } else { None };
        canary.hurt().or(told)
    });
}

/// Plays rounds beside an attacker that exchanges two names below `root`, then with an exchange at each call.
fn swapped(
    t: &Test,
    what: &str,
    root: &Path,
    (a, b): (&str, &str),
    share: u64,
    mut round: impl FnMut(&Caller<'_>) -> Option<String>,
) {
    let _turn = turn();
    let mut chance = Score::part(t, "chance", what);
    let swing = Swing::exchange(root.join(a), root.join(b));
    let first = fs::symlink_metadata(root.join(a)).unwrap().ino();
    {
        let attacker = sharer(t, root, a, b);
        let caller = Caller::new(t);
        for _ in 0..=rounds() / share {
            chance.attempt(round(&caller));
        }
        assert_eq!(attacker.status(), "running", "the attacker has exited");
        play::end(t, &attacker);
    }
    swing.settle(fs::symlink_metadata(root.join(a)).unwrap().ino() != first);
    let mut each = Score::part(t, "each call", what);
    moments::each(&mut each, &swing, || Caller::new(t), round);
    Score::end_all([chance, each]);
}

/// The mounts that protect a procfs must be on every procfs that the container can reach.
fn unprotected(lines: &[Value], kind: &str, wanted: &[&str]) -> Option<String> {
    let mounts = lines.first()?["mounts"].as_array()?.clone();
    let of_kind = mounts.iter().filter(|mount| mount["type"] == kind && mount["root"] == "/");
    for mount in of_kind {
        let point = mount["point"].as_str().unwrap_or_default().to_owned();
        let at = if kind == "proc" { "/proc" } else { "/sys" };
        // Not every kernel has all of them.
        for path in wanted.iter().filter(|path| Path::new(&format!("{at}{path}")).exists()) {
            // Names of mount points change while the table is read; the parent of a mount does not.
            let on_it = |other: &&Value| other["parent"] == mount["id"];
            let ends = |other: &Value| other["point"].as_str().is_some_and(|point| point.ends_with(path));
            if !mounts.iter().filter(on_it).any(ends) {
                return Some(format!("a {kind} on {point} without what covers {path}"));
            }
        }
    }
    None
}

/// CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-54867
fn proc_swap(t: &Test) {
    let what = "/proc of the image is exchanged with a link while it is mounted and masked";
    let canary = Canary::new(t);
    let victim = t
        .bundle()
        .set("/root/readonly", false)
        .directory("/proc")
        .directory("/elsewhere")
        .link("/p2", "elsewhere");
    race(t, what, &canary, &victim.probe("report"), ("proc", "p2"), |lines| {
        unprotected(lines, "proc", &["/sys", "/sysrq-trigger", "/bus"])
    });
}

fn sys_swap(t: &Test) {
    let what = "/sys of the image is exchanged with a link while it is mounted and masked";
    let canary = Canary::new(t);
    let victim = t
        .bundle()
        .set("/root/readonly", false)
        .directory("/sys")
        .directory("/elsewhere")
        .link("/s2", "elsewhere");
    race(t, what, &canary, &victim.probe("report"), ("sys", "s2"), |lines| {
        unprotected(lines, "sysfs", &["/firmware"])
    });
}

fn climbing(canary: &Canary, depth: usize) -> PathBuf {
    let up: PathBuf = std::iter::repeat_n("..", depth + canary.dir.components().count() + 4).collect();
    up.join(canary.dir.strip_prefix("/").unwrap())
}

/// CVE-2026-41579, CVE-2026-88264
fn dev_swap(t: &Test) {
    let what = "/dev of the image is exchanged with a link to the host while it is filled";
    let canary = Canary::new(t);
    let victim = t.bundle().set("/root/readonly", false).only_mounts(&["/proc"]).directory("/dev");
    let victim = victim.link("/d2", climbing(&canary, 0)).probe("exit 0");
    race(t, what, &canary, &victim, ("dev", "d2"), |_| None);
}

/// CVE-2025-31133, CVE-2026-88265
fn null_swap(t: &Test) {
    let what = "/dev/null of the image is exchanged with a link to /proc/sys while files are masked";
    let canary = Canary::new(t);
    let victim = t.bundle().set("/root/readonly", false).only_mounts(&["/proc"]).directory("/dev");
    let victim = victim.link("/dev/n2", "/proc/sys/kernel/domainname").file("/etc/secret", "gold");
    let victim = victim.set("/linux/maskedPaths", json!(["/etc/secret", "/proc/keys"]));
    let victim = victim.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let (kind, mode) = (SFlag::S_IFCHR, Mode::from_bits_truncate(0o666));
    mknod(&victim.path("/dev/null"), kind, mode, makedev(1, 3)).unwrap();
    let victim = victim.probe("read /etc/secret , stat /etc/secret");
    race(t, what, &canary, &victim, ("dev/null", "dev/n2"), |lines| {
        let good =
            lines.len() == 2 && lines[0]["read"] == "" && lines[1]["kind"] == "c" && lines[1]["minor"] == 3;
        (!good).then(|| format!("the mask shows {lines:?}"))
    });
}

/// CVE-2025-52565
fn console_swap(t: &Test) {
    let what = "/dev/console of the image is exchanged with a link while the terminal is bound there";
    let canary = Canary::new(t);
    let victim =
        t.bundle().set("/root/readonly", false).only_mounts(&["/proc", "/dev/pts"]).file("/dev/console", "");
    let victim = victim
        .link("/dev/c2", climbing(&canary, 1).join("made"))
        .set("/process/terminal", true)
        .probe("sleep");
    victim.write();
    let (dir, pid_file) = (victim.dir().display().to_string(), t.dir().join("pid"));
    swapped(t, what, &victim.path("/"), ("dev/console", "dev/c2"), 3, |caller| {
        // A failed one has left its connection.
        let _ = fs::remove_file(t.dir().join("console.sock"));
        let console = Console::new(t);
        let words = [
            "create",
            "--console-socket",
            console.path().to_str().unwrap(),
            "--pid-file",
            pid_file.to_str().unwrap(),
        ];
        let said = caller.call(&[&words[..], &["--bundle", &dir, victim.id()]].concat());
        let mut won = canary.hurt();
        if said.code == 0 {
            // Without it the process is hung up.
            let _terminal = console.receive();
            let pid: i32 = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
            let table = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
            // The terminal is on the console, or on its previous name.
            let points = table
                .lines()
                .filter(|line| line.contains(" - devpts "))
                .filter_map(|line| line.split(' ').nth(4));
            let odd =
                points.into_iter().find(|point| !["/dev/pts", "/dev/console", "/dev/c2"].contains(point));
            won = won.or(odd.map(|point| format!("the terminal is mounted on {point}")));
            caller.call(&["delete", "--force", victim.id()]);
            kit::sys::reap(pid, std::time::Duration::from_secs(5));
        }
        won
    });
}

/// A volume in which the attacker exchanges `d` with a link that leads outside.
fn volume(t: &Test, canary: &Canary, name: &str) -> PathBuf {
    let dir = t.dir().join("volume");
    fs::create_dir_all(dir.join("d")).unwrap();
    symlink(climbing(canary, 1).join(name), dir.join("l")).unwrap();
    for path in [dir.clone(), dir.join("d")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    dir
}

fn source(t: &Test) -> PathBuf {
    let dir = t.dir().join("source");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("file"), "x").unwrap();
    dir
}

fn in_volume(t: &Test, what: &str, name: &str, mount: impl FnOnce(Bundle<'_>) -> Bundle<'_>) {
    let canary = Canary::new(t);
    let volume = volume(t, &canary, name);
    let victim = mount(t.bundle().mount("bind", &volume, "/v", &["bind", "rw"])).probe("exit 0");
    victim.write();
    let inside = victim.path(canary.dir.components().nth(1).unwrap().as_os_str().to_str().unwrap());
    swapped(t, what, &volume, ("d", "l"), 2, |caller| {
        caller.run(&victim);
        let won = canary.hurt();
        let _ = fs::remove_dir_all(&inside);
        won
    });
}

/// CVE-2019-18837, CVE-2021-30465
fn destination_swap(t: &Test) {
    let what = "a mount's destination in a shared volume is exchanged with a link to the host";
    in_volume(t, what, "", |bundle| {
        bundle.mount("tmpfs", "tmpfs", "/v/d", &[]).mount("bind", source(t), "/v/d", &["bind"])
    });
}

/// CVE-2024-45310
fn new_file_swap(t: &Test) {
    let what = "the directory in which a mount point is created is exchanged with a link to the host";
    in_volume(t, what, "", |bundle| {
        let bundle = bundle.mount("bind", source(t).join("file"), "/v/d/new/file", &["bind"]);
        bundle.mount("bind", source(t), "/v/d/other", &["bind"])
    });
}

/// CVE-2025-31133, CVE-2025-62161 through the masked path itself.
fn masked_path_swap(t: &Test) {
    let what =
        "a directory above a masked path is exchanged with a link to /proc: the masked file is visible";
    let canary = Canary::new(t);
    let victim =
        t.bundle().set("/root/readonly", false).file("/m/sys/kernel/secret", "gold").link("/m2", "proc");
    let victim =
        victim.set("/linux/maskedPaths", json!(["/m/sys"])).set("/linux/readonlyPaths", json!(["/proc/sys"]));
    let victim = victim.probe("write /proc/sys/kernel/domainname - , report");
    race(t, what, &canary, &victim, ("m", "m2"), |lines| {
        (lines.first()?["errno"] == "").then(|| "/proc/sys can be written".to_owned())
    });
}

/// CVE-2023-25809
fn cgroup_of_a_user_namespace(t: &Test) {
    let what =
        "a user namespace without a cgroup namespace, with the host's /sys: its cgroups can be written";
    let mut score = Score::new(t, what);
    for way in ["sysfs of the template", "the host's /sys, bound", "the host's /sys, bound read-only"] {
        let bundle = t.bundle().user_namespace(200_000);
        let bundle = if way.starts_with("sysfs") {
            bundle
        } else {
            let option = if way.ends_with("only") { "ro" } else { "rw" };
            bundle.only_mounts(&["/proc", "/dev"]).mount("bind", "/sys", "/sys", &["rbind", option])
        };
        let cgroup = bundle.id().to_owned();
        let words = ["systemd", "unified", "pids", "memory", "cpu"]
            .map(|name| format!("open /sys/fs/cgroup/{name}/cgroup.procs w , open /sys/fs/cgroup/{name}/{cgroup}/cgroup.procs w"));
        let output = bundle.probe(&words.join(" , ")).try_run();
        let lines = if output.code() == 0 { output.lines() } else { Vec::new() };
        let opened = lines.iter().find(|line| line["errno"] == "");
        score.attempt(opened.map(|line| format!("{way}: {}", line["open"])));
    }
    score.end();
}

/// CVE-2022-0492: a program of the host's that the kernel executes.
fn release_agent(t: &Test) {
    let mut score = Score::new(t, "release_agent of a cgroup hierarchy can be written (by options)");
    if !t.has_v1("pids") {
        kit::skip("no cgroup v1 hierarchy");
    }
    for option in ["ro", "rw"] {
        for namespace in [false, true] {
            let mut bundle = t.bundle().only_mounts(&["/proc", "/dev", "/sys"]);
            bundle =
                bundle.mount("cgroup", "cgroup", "/sys/fs/cgroup", &["nosuid", "noexec", "nodev", option]);
            if namespace {
                bundle = bundle.namespace("cgroup");
            }
            let words = ["pids", "memory", "cpu", "systemd", "freezer"]
                .map(|name| format!("open /sys/fs/cgroup/{name}/release_agent w"));
            let output = bundle.probe(&words.join(" , ")).run();
            let opened = output.lines().into_iter().find(|line| line["errno"] == "");
            score.attempt(
                opened.map(|line| format!("{option}, cgroup namespace {namespace}: {}", line["open"])),
            );
        }
    }
    score.end();
}

/// CVE-2026-115521: the image controls the container's /proc/self/fd.
fn readonly_mounts_with_the_images_proc(t: &Test) {
    let mut score =
        Score::new(t, "read-only mounts with a /proc that the image controls: one of them can be written");
    let fake = t.dir().join("fake");
    fs::create_dir_all(fake.join("self/fd")).unwrap();
    for n in 0..64 {
        symlink("/elsewhere", fake.join(format!("self/fd/{n}"))).unwrap();
    }
    let mut bundle =
        t.bundle().only_mounts(&["/dev"]).directory("/elsewhere").mount("bind", &fake, "/proc", &["bind"]);
    bundle = bundle
        .remove("/linux/maskedPaths")
        .set("/linux/readonlyPaths", json!(["/etc/kept"]))
        .file("/etc/kept", "x");
    for (n, kind) in ["bind", "bind", "tmpfs", "tmpfs", "bind"].into_iter().enumerate() {
        let source = if kind == "bind" { source(t) } else { "tmpfs".into() };
        let options: &[&str] = if kind == "bind" { &["bind", "ro"] } else { &["ro"] };
        bundle = bundle.mount(kind, source, &format!("/m{n}"), options);
    }
    let bundle = bundle.set("/root/readonly", false).probe("sleep");
    let container = bundle.start();
    let table = fs::read_to_string(format!("/proc/{}/mountinfo", container.pid())).unwrap();
    for point in ["/m0", "/m1", "/m2", "/m3", "/m4", "/etc/kept"] {
        let line = table.lines().find(|line| line.split(' ').nth(4) == Some(point));
        let locked =
            line.is_some_and(|line| line.split(' ').nth(5).unwrap().split(',').any(|option| option == "ro"));
        score.attempt((!locked).then(|| format!("{point}: {line:?}")));
    }
    let odd = table.lines().find(|line| line.split(' ').nth(4).unwrap().starts_with("/elsewhere"));
    score.attempt(odd.map(|line| format!("a mount appeared at the target of the image's links: {line}")));
    score.end();
}

/// CVE-2026-119101, CVE-2026-115520, CVE-2026-119614
fn criu_keys(t: &Test) {
    t.only_orlop("it uses criu in another way");
    let mut score = Score::new(
        t,
        "a mount whose path criu could mistake for another mount's key (with a simulated criu)",
    );
    let criu = Criu::new(t);
    let source = source(t);
    for (destination, link) in [
        ("/a]:/etc", None),
        ("/a]:b", None),
        ("/x/a]/b", None),
        ("/data", Some("/a]:")),
        ("/data", Some("/a]:/etc")),
    ] {
        let bundle = link.into_iter().fold(t.bundle(), |bundle, target| bundle.link("/data", target));
        let container = bundle.probe("sleep").mount("none", &source, destination, &["bind"]).start();
        let _ = fs::remove_file(t.dir().join("criu/dump"));
        let words = ["--leave-running", "--empty-ns", "network"];
        let output = criu.found_by(container.command("checkpoint", &words)).output();
        let pairs = if output.code() == 0 { criu.request("dump").pairs(23) } else { Vec::new() };
        let odd = pairs.into_iter().find(|(point, key)| point.contains(']') || key.contains(']'));
        score.attempt(odd.map(|(point, key)| format!("criu is told {point}:{key}")));
    }
    score.end();
}

/// CVE-2016-3697, CVE-2026-30892
fn exec_user(t: &Test) {
    let mut score = Score::new(t, "exec --user with a malformed number: the process runs as another user");
    let passwd = "1000:x:0:0::/:/bin/sh\n-1:x:0:0::/:/bin/sh\nabc:x:0:0::/:/bin/sh\n";
    let container = t.bundle().file("/etc/passwd", passwd).probe("sleep").start();
    for (user, asked) in [
        ("1000", Some(1000)),
        ("01000", Some(1000)),
        ("1000:", Some(1000)),
        (":5", None),
        ("-1", None),
        ("4294967295", None),
        ("4294967296", None),
        ("99999999999999999999", None),
        ("+5", Some(5)),
        (" 5", Some(5)),
        ("5 ", Some(5)),
        ("0x5", Some(5)),
        ("5:abc", Some(5)),
        ("5:-1", Some(5)),
        ("5:4294967296", Some(5)),
        ("5:5:5", Some(5)),
        ("", None),
    ] {
        let output = t.runtime(["exec", "--user", user, container.id(), "/probe", "report"]).output();
        let got = (output.code() == 0)
            .then(|| (output.json()["uid"][0].as_i64().unwrap(), output.json()["gid"][0].as_i64().unwrap()));
        // ":5" and "" leave the user unchanged, which is root; no other value may give root or its group.
        let wrong = got
            .filter(|(uid, _)| asked.map_or(*uid == 0 && !matches!(user, ":5" | ""), |asked| *uid != asked));
        score.attempt(wrong.map(|got| format!("{user:?} is {got:?}")));
    }
    score.end();
}
