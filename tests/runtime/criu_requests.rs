//! What checkpoint and restore request of criu, recorded by a simulated criu.

use crate::checkpoint::state;
use kit::criu::Criu;
use kit::{Case, Test, Value, json};
use std::fs;
use std::path::Path;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        checkpoint_describes_the_container_to_criu,
        restore_describes_the_container_to_criu,
        a_mount_whose_path_criu_could_confuse_is_refused,
        a_criu_configuration_named_by_the_container_needs_permission,
    ]
}

/// criu writes names of mounts as `mnt[PATH]:KEY`, and finds them by prefix.
fn a_mount_whose_path_criu_could_confuse_is_refused(t: &Test) {
    let criu = Criu::new(t);
    let source = t.dir().join("]:source");
    fs::create_dir(&source).unwrap();
    let odd = t.bundle().probe("sleep").mount("none", &source, "/a]:/etc", &["bind"]).start();
    criu.found_by(odd.command("checkpoint", &[])).output().refused(&["]:/etc", "mnt[PATH]:KEY"]);
    // What the image makes of a harmless name.
    let linked = t.bundle().probe("sleep").link("data", "/a]:").mount("none", &source, "/data", &["bind"]);
    let linked = linked.start();
    criu.found_by(linked.command("checkpoint", &[])).output().refused(&["/a]:"]);
    // The source may have any name.
    let plain = t.bundle().probe("sleep").mount("none", &source, "/data", &["bind"]);
    criu.found_by(plain.start().command("checkpoint", &[])).output().success();
    criu.found_by(plain.command("restore", &["--detach"])).output().success();
    let pair = ("/data".to_owned(), source.to_string_lossy().into_owned());
    assert!(criu.request("restore").pairs(23).contains(&pair));
}

/// The caller decides whether a container may set options of criu.
const ALLOWED: &str = "--allow-annotation=org.criu.config";

/// An annotation that is not allowed is refused before anything is created.
fn a_criu_configuration_named_by_the_container_needs_permission(t: &Test) {
    t.only_orlop("others read the file");
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
    // Other commands ignore the annotation.
    t.bundle().set("/annotations", json!({"org.criu.config": "/etc/shadow"})).run();
}

fn checkpoint_describes_the_container_to_criu(t: &Test) {
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
    assert!(
        !mounts.iter().any(|(point, _)| point == "/sys/firmware"),
        "a directory is masked by another directory"
    );
    let inode = fs::read_link(&path).unwrap().to_string_lossy().replace("net:[", "net[");
    let externals: Vec<String> =
        asked.all(37).into_iter().map(|text| String::from_utf8(text).unwrap()).collect();
    assert!(externals.contains(&format!("{inode}:extRootNetNS")), "{externals:?}");
    let descriptors: Vec<String> =
        strings(&fs::read_to_string(t.dir().join("checkpoint/descriptors.json")).unwrap());
    assert_eq!(descriptors.len(), 3);
    for file in descriptors.iter().filter(|name| name.starts_with("file[")) {
        // The name of a device follows the key.
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

fn strings(text: &str) -> Vec<String> {
    let value: Value = text.parse().unwrap();
    value.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn restore_describes_the_container_to_criu(t: &Test) {
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
        .mount("none", ".", "/whole", &["bind"])
        .mount("none", "./sub//dir/.", "/part", &["bind"])
        .set("/annotations", json!({"org.criu.config": ""}));
    bundle.write();
    fs::create_dir_all(bundle.dir().join("sub/dir")).unwrap();
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
    let (mounts, here) = (asked.pairs(23), bundle.dir().display().to_string());
    for (key, source) in [("/whole", here.clone()), ("/part", here + "/sub/dir")] {
        assert!(mounts.contains(&(key.to_owned(), source)), "a clean path: {mounts:?}");
    }
    assert!(!roots.is_empty() && roots.iter().any(|(_, path)| path.ends_with(bundle.id())), "{roots:?}");
    assert_eq!(state(t, &bundle)["status"], "running");
}
