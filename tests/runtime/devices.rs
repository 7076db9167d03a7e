//! Device nodes, links in /dev, masked and read-only paths.

use kit::{Case, Test, json};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        default_devices,
        default_links,
        devices_of_the_configuration,
        device_outside_dev,
        devices_of_a_user_namespace_are_as_configured,
        device_replaces_a_default_one,
        masked_file,
        masked_directory,
        masked_paths_may_be_absent,
        read_only_paths,
    ]
}

fn default_devices(t: &Test) {
    let seen = t.bundle().report();
    for (name, major, minor) in
        [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)]
    {
        let device = &seen["dev"][name];
        let found = (&device["kind"], &device["major"], &device["minor"], &device["mode"]);
        assert_eq!(found, (&json!("c"), &json!(major), &json!(minor), &json!("0666")), "{name}");
    }
    let lines = t.bundle().probe("write /dev/null x , open /dev/zero r , open /dev/full r").run().lines();
    assert!(lines.iter().all(|line| line["errno"] == ""), "{lines:?}");
}

fn default_links(t: &Test) {
    let seen = t.bundle().report();
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        assert_eq!(seen["dev"][name]["target"], target, "{name}");
    }
}

fn devices_of_the_configuration(t: &Test) {
    let devices = json!([
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 3, "gid": 4},
        {"path": "/dev/loopy", "type": "b", "major": 7, "minor": 250, "fileMode": 0o600},
        {"path": "/dev/pipe", "type": "p", "fileMode": 0o644},
        {"path": "/dev/u", "type": "u", "major": 1, "minor": 3},
        // podman includes the file type in the mode.
        {"path": "/dev/typed", "type": "c", "major": 1, "minor": 3, "fileMode": 0o20_600},
    ]);
    let dev = &t.bundle().set("/linux/devices", devices).report()["dev"];
    let of = |name: &str| {
        [&dev[name]["kind"], &dev[name]["major"], &dev[name]["minor"], &dev[name]["mode"]].map(Clone::clone)
    };
    assert_eq!(of("fuse"), [json!("c"), json!(10), json!(229), json!("0640")]);
    assert_eq!((&dev["fuse"]["uid"], &dev["fuse"]["gid"]), (&json!(3), &json!(4)));
    assert_eq!(of("loopy"), [json!("b"), json!(7), json!(250), json!("0600")]);
    assert_eq!((&dev["pipe"]["kind"], &dev["pipe"]["mode"]), (&json!("p"), &json!("0644")));
    assert_eq!(dev["u"]["kind"], "c");
    assert_eq!(dev["typed"]["mode"], "0600");
}

/// mknod(2) is not permitted there, so the host side makes them: also under a path that the host does not have.
fn devices_of_a_user_namespace_are_as_configured(t: &Test) {
    t.only_orlop("it binds the host's nodes as they are");
    if kit::sys::kernel_before(6, 15) {
        kit::skip("the host's nodes are bound before Linux 6.15");
    }
    let device = |path: &str, minor: u32, more: serde_json::Value| {
        let mut device = json!({"path": path, "type": "c", "major": 1, "minor": minor});
        device.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        device
    };
    let devices = json!([
        device("/dev/zero", 5, json!({"fileMode": 0o640, "uid": 3, "gid": 4})),
        device("/dev/void", 3, json!({"fileMode": 0o606})),
        device("/dev/plain/", 3, json!({})),
    ]);
    let bundle = || t.bundle().user_namespace(100_000).set("/linux/devices", devices.clone());
    let allowed = json!([{"allow": true, "access": "rwm"}]);
    let bundle = || bundle().set("/linux/resources/devices", allowed.clone());
    let seen = bundle().report();
    let of = |name: &str| {
        ["kind", "major", "minor", "mode", "uid", "gid"].map(|key| seen["dev"][name][key].clone())
    };
    assert_eq!(of("zero"), [json!("c"), json!(1), json!(5), json!("0640"), json!(3), json!(4)]);
    assert_eq!(of("void"), [json!("c"), json!(1), json!(3), json!("0606"), json!(0), json!(0)]);
    assert_eq!(of("plain"), [json!("c"), json!(1), json!(3), json!("0666"), json!(0), json!(0)]);
    let lines = bundle().probe("open /dev/void rw , open /dev/zero r , open /dev/plain w").run().lines();
    let errnos: Vec<_> = lines.iter().map(|line| line["errno"].as_str().unwrap()).collect();
    assert_eq!(errnos, ["", "EACCES", ""], "root without CAP_DAC_OVERRIDE is not its owner");
    let unmapped = json!([device("/dev/void", 3, json!({"gid": 4_000_000}))]);
    bundle().set("/linux/devices", unmapped).try_run().refused(&["/linux/devices/0/gid", "not mapped"]);
}

fn device_outside_dev(t: &Test) {
    let device = json!([{"path": "/opt/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]);
    let found = t.bundle().set("/linux/devices", device).probe("stat /opt/null").run().json();
    assert_eq!((&found["kind"], &found["minor"]), (&json!("c"), &json!(3)));
}

fn device_replaces_a_default_one(t: &Test) {
    let device =
        json!([{"path": "/dev/full", "type": "c", "major": 1, "minor": 7, "fileMode": 0o600, "uid": 9}]);
    let dev = &t.bundle().set("/linux/devices", device).report()["dev"]["full"];
    assert_eq!((&dev["mode"], &dev["uid"]), (&json!("0600"), &json!(9)));
}

fn masked_file(t: &Test) {
    let bundle = t
        .bundle()
        .file("/etc/secret", "gold")
        .set("/linux/maskedPaths", json!(["/etc/secret", "/proc/keys"]));
    let lines = bundle.probe("read /etc/secret , read /proc/keys , stat /etc/secret").run().lines();
    assert_eq!((&lines[0]["read"], &lines[1]["read"]), (&json!(""), &json!("")));
    assert_eq!((&lines[2]["major"], &lines[2]["minor"]), (&json!(1), &json!(3)));
}

fn masked_directory(t: &Test) {
    let bundle =
        t.bundle().file("/etc/secrets/key", "gold").set("/linux/maskedPaths", json!(["/etc/secrets"]));
    let bundle = bundle.set("/root/readonly", false);
    let lines = bundle.probe("list /etc/secrets , write /etc/secrets/new x").run().lines();
    assert_eq!(lines[0]["list"], json!([]));
    assert_eq!(lines[1]["errno"], "EROFS");
}

fn masked_paths_may_be_absent(t: &Test) {
    let paths = json!(["/no/such/path", "/proc/no-such", "/etc/secret", "/etc/secret"]);
    t.bundle().file("/etc/secret", "gold").set("/linux/maskedPaths", paths).run();
}

fn read_only_paths(t: &Test) {
    let bundle = t.bundle().file("/etc/a", "x").directory("/etc/d").set("/root/readonly", false);
    let bundle = bundle.set("/linux/readonlyPaths", json!(["/etc/a", "/etc/d", "/proc/sys", "/no/such"]));
    let lines = bundle
        .probe("write /etc/a y , mkdir /etc/d/new , write /proc/sys/kernel/hostname y , write /etc/b y , read /etc/a")
        .run()
        .lines();
    for (n, errno) in [(0, "EROFS"), (1, "EROFS"), (2, "EROFS"), (3, ""), (4, "")] {
        assert_eq!(lines[n]["errno"], errno, "{n}");
    }
}
