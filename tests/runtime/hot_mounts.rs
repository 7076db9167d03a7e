//! `mounts add` and `mounts remove`: the mounts of a running container.

use kit::{Bundle, Case, Container, Output, Test, Value, json};
use std::fs;
use std::path::PathBuf;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        a_directory_is_bound_and_removed,
        a_file_is_bound_and_removed,
        new_file_systems_are_mounted_and_removed,
        a_procfs_is_mounted_after_many_other_mounts,
        options_are_those_of_a_configuration,
        mounts_are_added_in_a_user_namespace,
        mounts_are_added_to_a_created_and_a_paused_container,
        destinations_stay_inside,
        a_failed_mount_undoes_those_before_it,
        removal_does_not_follow_links,
        bad_destinations_and_verbs_are_refused,
        unusable_files_are_refused,
        nothing_is_left_on_the_host,
    ]
}

fn change(t: &Test, verb: &str, container: &Container<'_>, mounts: &Value) -> Output {
    t.only_orlop("its command is experimental");
    t.runtime(["mounts", verb, container.id(), "-"]).input(&mounts.to_string()).output()
}

fn add(t: &Test, container: &Container<'_>, mounts: &Value) {
    change(t, "add", container, mounts).success();
}

/// A directory of the host with a file in it.
fn cargo(t: &Test) -> PathBuf {
    let dir = t.dir().join("cargo");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("bale"), "tea").unwrap();
    dir
}

fn bind(source: &std::path::Path, destination: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": options})
}

fn writable(t: &Test) -> Bundle<'_> {
    t.bundle().set("/root/readonly", false).probe("sleep")
}

fn read(container: &Container<'_>, path: &str) -> Value {
    container.exec(&format!("read {path}")).success().json()
}

fn a_directory_is_bound_and_removed(t: &Test) {
    let container = writable(t).start();
    let mount = json!([bind(&cargo(t), "/hold/fore", &["rbind"])]);
    add(t, &container, &mount);
    assert_eq!(read(&container, "/hold/fore/bale")["read"], "tea");
    change(t, "remove", &container, &mount).success();
    assert_eq!(read(&container, "/hold/fore/bale")["errno"], "ENOENT");
    change(t, "remove", &container, &mount).refused(&["/hold/fore", "nothing is mounted there"]);
    // With its name, as config.json has it; only the destination matters for removal.
    add(t, &container, &json!({"mounts": mount}));
    let only = json!({"mounts": [{"destination": "/hold/./fore/"}]});
    change(t, "remove", &container, &only).success();
    assert_eq!(read(&container, "/hold/fore/bale")["errno"], "ENOENT");
}

fn a_file_is_bound_and_removed(t: &Test) {
    let container = writable(t).start();
    let mount = json!([bind(&cargo(t).join("bale"), "/etc/manifest", &["bind", "ro"])]);
    add(t, &container, &mount);
    assert_eq!(read(&container, "/etc/manifest")["read"], "tea");
    assert_eq!(container.exec("open /etc/manifest w").success().json()["errno"], "EROFS");
    change(t, "remove", &container, &mount).success();
    assert_eq!(read(&container, "/etc/manifest")["read"], "");
}

fn new_file_systems_are_mounted_and_removed(t: &Test) {
    let container = writable(t).start();
    let mounts = json!([
        {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "mode=0700"]},
        {"destination": "/scratch/proc", "type": "proc", "source": "proc", "options": ["ro"]},
    ]);
    add(t, &container, &mounts);
    // The new procfs shows the container's processes: the reader is the second.
    assert_eq!(container.exec("read /scratch/proc/1/comm").success().json()["read"], "probe\n");
    let pids = container.exec("list /scratch/proc").success().stdout;
    assert!(!pids.contains(&container.pid().to_string()), "{pids}");
    let seen = container.exec("report").success().json()["mounts"].to_string();
    assert!(seen.contains("/scratch") && seen.contains("size=1024k"), "{seen}");
    change(t, "remove", &container, &json!([mounts[0]])).success();
    let seen = container.exec("report").success().json()["mounts"].to_string();
    assert!(!seen.contains("/scratch"), "with all mounts below it: {seen}");
}

/// The host side sends mounts in batches, of which each is opened when the one before it is used up.
fn a_procfs_is_mounted_after_many_other_mounts(t: &Test) {
    let (container, cargo) = (writable(t).start(), cargo(t));
    let mut mounts: Vec<Value> = (0..40).map(|n| bind(&cargo, &format!("/hold/{n}"), &["bind"])).collect();
    mounts.push(json!({"destination": "/proc-too", "type": "proc", "source": "proc"}));
    add(t, &container, &json!(mounts));
    assert_eq!(read(&container, "/hold/39/bale")["read"], "tea");
    assert_eq!(read(&container, "/proc-too/1/comm")["read"], "probe\n");
}

fn options_are_those_of_a_configuration(t: &Test) {
    let container = writable(t).start();
    add(
        t,
        &container,
        &json!([bind(&cargo(t), "/c", &["rbind", "ro", "nosuid", "nodev", "noexec", "rslave"])]),
    );
    let mounts = container.exec("report").success().json()["mounts"].clone();
    let text = mounts.to_string();
    for word in ["/c", "nosuid", "noexec"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let mount = json!([{"destination": "/c", "type": "none", "source": "none", "options": ["remount", "bind", "rw"]}]);
    add(t, &container, &mount);
    assert_eq!(container.exec("write /c/note x").success().json()["errno"], "");
    change(t, "add", &container, &json!([bind(&cargo(t), "/d", &["rbind", "frobnicate"])]))
        .refused(&["frobnicate", "/mounts/0/options/1"]);
}

fn mounts_are_added_in_a_user_namespace(t: &Test) {
    let bundle = t.bundle().user_namespace(200_000).set("/root/readonly", false).probe("sleep");
    nix::unistd::chown(&bundle.path("/"), Some(200_000.into()), Some(200_000.into())).unwrap();
    let container = bundle.start();
    // The container's root has no access there on the host.
    let secret = t.dir().join("locked");
    fs::create_dir_all(secret.join("inner")).unwrap();
    fs::write(secret.join("inner/word"), "open").unwrap();
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    add(t, &container, &json!([bind(&secret.join("inner"), "/in", &["bind"])]));
    assert_eq!(read(&container, "/in/word")["read"], "open");
    change(t, "remove", &container, &json!([{"destination": "/in"}])).success();
    assert_eq!(read(&container, "/in/word")["errno"], "ENOENT");
}

fn mounts_are_added_to_a_created_and_a_paused_container(t: &Test) {
    let bundle = t.bundle().set("/root/readonly", false).probe("read /early/bale , sleep");
    let container = bundle.create();
    add(t, &container, &json!([bind(&cargo(t), "/early", &["bind"])]));
    container.start();
    assert_eq!(container.first_line()["read"], "tea");
    t.needs_freezer();
    t.runtime(["pause", container.id()]).output().success();
    add(t, &container, &json!([bind(&cargo(t), "/late", &["bind"])]));
    t.runtime(["resume", container.id()]).output().success();
    assert_eq!(read(&container, "/late/bale")["read"], "tea");
    container.kill("KILL");
    container.wait();
    for verb in ["add", "remove"] {
        let output = change(t, verb, &container, &json!([bind(&cargo(t), "/early", &["bind"])]));
        output.refused(&["container not running"]);
    }
}

fn destinations_stay_inside(t: &Test) {
    let outside = t.dir().join("outside");
    fs::create_dir_all(&outside).unwrap();
    let bundle =
        writable(t).link("/trap", &outside).link("/up", std::path::Path::new("../../../../../../tmp"));
    let container = bundle.start();
    add(t, &container, &json!([bind(&cargo(t), "/trap", &["bind"])]));
    add(t, &container, &json!([bind(&cargo(t), "/up/deep", &["bind"])]));
    assert_eq!(
        read(&container, &format!("{}/bale", outside.display()))["read"],
        "tea",
        "below the container's root"
    );
    assert_eq!(read(&container, "/tmp/deep/bale")["read"], "tea");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(!std::path::Path::new("/tmp/deep").exists());
}

fn a_failed_mount_undoes_those_before_it(t: &Test) {
    let container = writable(t).start();
    let mounts = json!([
        bind(&cargo(t), "/one", &["bind"]),
        {"destination": "/two", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/three", "type": "tmpfs", "source": "tmpfs", "options": ["no_such_option=1"]},
    ]);
    change(t, "add", &container, &mounts).refused(&["/three", "/mounts/2"]);
    let seen = container.exec("report").success().json()["mounts"].to_string();
    assert!(!seen.contains("\"/one\"") && !seen.contains("\"/two\""), "{seen}");
    change(t, "add", &container, &json!([mounts[0], bind(&t.dir().join("no-such"), "/x", &["bind"])]))
        .refused(&["no-such", "/mounts/1"]);
    assert_eq!(read(&container, "/one/bale")["errno"], "ENOENT");
}

/// A container that puts a link in place of a mount point does not get another mount removed.
fn removal_does_not_follow_links(t: &Test) {
    let bundle = writable(t).link("/data", std::path::Path::new("/proc"));
    let container = bundle.start();
    change(t, "remove", &container, &json!([{"destination": "/data/bus"}])).refused(&["/data"]);
    let masks = container.exec("report").success().json()["mounts"].to_string();
    assert!(masks.contains("\"/proc/bus\""), "{masks}");
}

fn bad_destinations_and_verbs_are_refused(t: &Test) {
    let container = writable(t).start();
    for (destination, word) in
        [("relative", "relative"), ("/", "root"), ("/a/../..", "root"), ("//.", "root")]
    {
        change(t, "remove", &container, &json!([{"destination": destination}])).refused(&[word]);
    }
    change(t, "add", &container, &json!([{"destination": "/cg", "type": "cgroup", "source": "cgroup"}]))
        .refused(&["/mounts/0/type"]);
    change(t, "add", &container, &json!([{"destination": "/x"}])).refused(&["/mounts/0"]);
    t.runtime(["mounts", "swap", container.id(), "-"]).output().refused(&["swap", "add or remove"]);
    t.runtime(["mounts", "add", "no-such-container", "-"]).output().refused(&["does not exist"]);
    t.runtime(["mounts", "add", container.id()]).output().refused(&["3 argument"]);
}

fn unusable_files_are_refused(t: &Test) {
    t.only_orlop("its command is experimental");
    let container = writable(t).start();
    let file = t.dir().join("mounts.json");
    let path = file.to_str().unwrap();
    let call = || t.runtime(["mounts", "add", container.id(), path]).output();
    call().refused(&[path, "no such file or directory"]);
    for (text, fragments) in [
        ("[{\"destination\": \"/a\",\n oops}]", &["line 2", "column 2"][..]),
        ("{}", &["/mounts"]),
        ("[{\"type\": \"tmpfs\"}]", &["/0/destination"]),
        ("3", &["object"]),
    ] {
        fs::write(&file, text).unwrap();
        call().refused(&[&[path], fragments].concat());
    }
    fs::write(&file, "[]").unwrap();
    call().success();
}

fn nothing_is_left_on_the_host(t: &Test) {
    let own = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = own();
    let container = writable(t).start();
    let mount = json!([bind(&cargo(t), "/c", &["rbind", "rshared"])]);
    for _ in 0..3 {
        add(t, &container, &mount);
        change(t, "remove", &container, &mount).success();
    }
    add(t, &container, &mount);
    let mine = |text: String| text.lines().filter(|l| l.contains(&*t.dir().to_string_lossy())).count();
    assert_eq!(mine(own()), mine(before));
}
