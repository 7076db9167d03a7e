//! The flags before the command.

use super::Effect;
use kit::{Test, Value, json};
use std::fs;
use std::path::Path;

pub(super) const EFFECTS: &[Effect] = &[
    ("", "root", root),
    ("", "log", log),
    ("", "log-format", log_format),
    ("", "log-level", |t| levels(t, "--log-level=debug")),
    ("", "debug", |t| levels(t, "--debug")),
    ("", "systemd-cgroup", |t| systemd(t, &["--systemd-cgroup"])),
    ("", "cgroup-manager", cgroup_manager),
    ("", "rootless", rootless),
    ("", "allow-annotation", allow_annotation),
];

fn root(t: &Test) {
    let container = t.bundle().probe("sleep").create();
    assert!(t.root().join(container.id()).is_dir());
    t.bare(["--root", t.dir().to_str().unwrap(), "state", container.id()])
        .output()
        .refused(&["does not exist"]);
}

fn log(t: &Test) {
    let log = t.dir().join("log");
    t.runtime(["state", "no-such-container"])
        .global("--log")
        .global(log.to_str().unwrap())
        .output()
        .refused(&["no-such-container"]);
    assert!(fs::read_to_string(log).unwrap().contains("no-such-container"));
}

fn log_format(t: &Test) {
    let call =
        |words: &str| t.runtime(["state", "no-such-container"]).global(words).output().refused(&[]).stderr;
    let json: Value = call("--log-format=json").parse().unwrap();
    assert_eq!(json["level"], "error");
    assert!(call("--log-format=text").starts_with("time=\""));
}

fn levels(t: &Test, flag: &str) {
    let log = t.dir().join("log");
    let call = |word: &str| {
        let call =
            t.bundle().probe("exit 0").command("run", &[]).global("--log").global(log.to_str().unwrap());
        call.global(word).output().success();
        fs::read_to_string(&log).unwrap_or_default()
    };
    assert!(!call("--log-level=info").contains("level=debug"));
    assert!(call(flag).contains("level=debug"));
}

/// If systemd runs, it creates the cgroup; otherwise the error says that it does not.
fn systemd(t: &Test, globals: &[&str]) {
    let bundle =
        t.bundle().probe("sleep").set("/linux/cgroupsPath", format!("system.slice:orlop:{}", t.id()));
    let mut call = bundle.command("create", &[]);
    for word in globals {
        call = call.global(word);
    }
    if !Path::new("/run/systemd/system").exists() {
        call.output().refused(&["systemd"]);
        return;
    }
    call.output().success();
    let state = t.runtime(["state", bundle.id()]).output().success().document();
    let pid = state["pid"].as_i64().unwrap() as i32;
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    t.runtime(["delete", "--force", bundle.id()]).output().success();
    kit::sys::reap(pid, std::time::Duration::from_secs(5));
    assert!(cgroup.contains("/system.slice/orlop-") && cgroup.contains(".scope"), "{cgroup}");
}

fn cgroup_manager(t: &Test) {
    systemd(t, &["--cgroup-manager", "systemd"]);
    let cgroup = |manager: &str| {
        let bundle = t.bundle().remove("/linux/resources");
        let call = bundle.command("run", &[]).global("--cgroup-manager").global(manager);
        let seen = call.output().success().json();
        (seen["cgroup"].to_string().contains(bundle.id()), fs::read_to_string("/proc/self/cgroup").unwrap())
    };
    assert!(cgroup("cgroupfs").0);
    assert!(!cgroup("disabled").0);
}

fn allow_annotation(t: &Test) {
    let criu = kit::criu::Criu::new(t);
    let bundle = t.bundle().probe("sleep").set("/annotations", json!({"org.criu.config": "/etc/mine.conf"}));
    let container = bundle.start();
    let checkpoint = || criu.found_by(container.command("checkpoint", &["--leave-running"]));
    checkpoint().output().refused(&["org.criu.config", "--allow-annotation"]);
    let words = ["--allow-annotation", "org.criu.config"];
    words.iter().fold(checkpoint(), |call, word| call.global(word)).output().success();
    assert_eq!(criu.request("dump").text(51).as_deref(), Some("/etc/mine.conf"));
    t.runtime(["list"])
        .global("--allow-annotation=org.orlop.init")
        .output()
        .refused(&["must be org.criu.config or"]);
}

/// A caller without permission to create a cgroup goes on without one, unless it says that it is not rootless.
fn rootless(t: &Test) {
    let id = 54_329;
    let map = json!([{"containerID": 0, "hostID": id, "size": 1}]);
    for dir in [t.dir().to_owned(), t.root(), t.dir().join("tmp")] {
        fs::create_dir_all(&dir).unwrap();
        nix::unistd::chown(&dir, Some(id.into()), Some(id.into())).unwrap();
    }
    let call = |word: &str| {
        let bundle = t.bundle().user_namespace(id).remove("/linux/cgroupsPath").remove("/linux/resources");
        let bundle = bundle.only_mounts(&["/proc", "/dev"]).set("/linux/uidMappings", map.clone());
        let bundle = bundle.set("/linux/gidMappings", map.clone()).probe("exit 3");
        bundle.command("run", &[]).global(word).wrap(&format!("uid={id}")).output()
    };
    call("--rootless=auto").exits(3);
    call("--rootless=true").exits(3);
    call("--rootless=false").refused(&["cgroup", "permission denied"]);
}
