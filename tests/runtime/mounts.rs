//! Root file system, mounts, devices, masks, propagation.

use kit::{Bundle, Case, Test, Value, json};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        template_mounts,
        nothing_of_the_host_is_mounted,
        read_only_root,
        writable_root,
        absolute_root_path,
        bind_directory,
        bind_file,
        bind_read_only,
        bind_is_not_recursive,
        rbind_is_recursive,
        rbind_rro_is_recursive,
        bind_source_is_relative_to_the_bundle,
        bind_without_source_is_refused,
        bind_of_a_missing_source_is_refused,
        bind_of_a_file_on_a_directory_is_refused,
        missing_mount_points_are_created,
        mounts_stack_in_order,
        destination_link_stays_inside,
        tmpfs_options_are_passed_on,
        tmpfs_without_mode_takes_that_of_the_directory,
        tmpcopyup_is_refused_on_a_bind,
        tmpfs_copy_up_copies_files,
        tmpfs_copy_up_copies_a_whole_tree,
        overlay_takes_layers_with_long_names,
        unknown_option_is_refused_on_a_bind,
        propagation_options_are_set,
        rootfs_propagation_is_set,
        rootfs_on_a_shared_mount_does_not_propagate_to_the_host,
        shared_volume_is_seen_on_both_sides,
        shared_volumes_are_peers_of_the_host,
        source_may_be_covered_by_an_earlier_mount,
        shared_volume_stays_shared_under_a_private_root,
        mount_label_without_selinux_is_refused,
        mount_of_the_container_does_not_propagate,
        cgroup_mount_shows_the_containers_cgroup,
        cgroup_mount_in_a_cgroup_namespace,
        default_devices,
        default_links,
        devices_of_the_configuration,
        device_outside_dev,
        device_replaces_a_default_one,
        masked_file,
        masked_directory,
        masked_paths_may_be_absent,
        read_only_paths,
        user_namespace_mounts,
    ]
}

fn mounted<'a>(seen: &'a Value, point: &str) -> &'a Value {
    let mut all = seen["mounts"].as_array().unwrap().iter().rev();
    all.find(|one| one["point"] == point)
        .unwrap_or_else(|| panic!("{point} is not a mount: {:#}", seen["mounts"]))
}

fn has(mount: &Value, option: &str) -> bool {
    ["options", "super"].iter().any(|list| mount[*list].as_array().unwrap().iter().any(|o| o == option))
}

/// A directory of the test with a file in it.
fn hold(t: &Test) -> PathBuf {
    let dir = t.dir().join("hold");
    fs::create_dir_all(dir.join("below")).unwrap();
    fs::write(dir.join("cargo"), "tea").unwrap();
    dir
}

/// A tmpfs mounted below the directory, with a file, until the guard is dropped.
struct Below(PathBuf);

impl Below {
    fn new(dir: PathBuf) -> Self {
        mount(Some("tmpfs"), &dir, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        fs::write(dir.join("deep"), "water").unwrap();
        Self(dir)
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn template_mounts(t: &Test) {
    let seen = t.bundle().report();
    let wanted = [
        ("/proc", "proc", vec!["rw"]),
        ("/dev", "tmpfs", vec!["rw", "nosuid", "size=65536k", "mode=755"]),
        ("/dev/pts", "devpts", vec!["rw", "nosuid", "noexec", "gid=5", "mode=620", "ptmxmode=666"]),
        ("/dev/shm", "tmpfs", vec!["rw", "nosuid", "nodev", "noexec", "size=65536k"]),
        ("/dev/mqueue", "mqueue", vec!["rw", "nosuid", "nodev", "noexec"]),
        ("/sys", "sysfs", vec!["ro", "nosuid", "nodev", "noexec"]),
    ];
    for (point, kind, options) in wanted {
        let found = mounted(&seen, point);
        assert_eq!(found["type"], kind, "{point}");
        for option in options {
            assert!(has(found, option), "{point} {option}: {found}");
        }
    }
    assert!(!has(mounted(&seen, "/dev"), "relatime"), "strictatime");
}

fn nothing_of_the_host_is_mounted(t: &Test) {
    let bundle = t.bundle();
    let seen = bundle.report();
    let root = mounted(&seen, "/");
    let rootfs = bundle.path("/");
    assert!(
        rootfs.to_string_lossy().trim_end_matches('/').ends_with(root["root"].as_str().unwrap()),
        "{root}"
    );
    for one in seen["mounts"].as_array().unwrap() {
        let point = one["point"].as_str().unwrap();
        let expected = ["/", "/proc", "/dev", "/sys"].contains(&point)
            || ["/proc/", "/dev/", "/sys/"].iter().any(|start| point.starts_with(start));
        assert!(expected, "{one}");
    }
    let count = seen["mounts"].as_array().unwrap().iter().filter(|one| one["point"] == "/").count();
    assert_eq!(count, 1, "mounts on /");
}

fn read_only_root(t: &Test) {
    let lines = t.bundle().probe("write /new text , mkdir /dir").run().lines();
    assert_eq!(lines[0]["errno"], "EROFS");
    assert_eq!(lines[1]["errno"], "EROFS");
}

fn writable_root(t: &Test) {
    let bundle = t.bundle().set("/root/readonly", false).probe("write /new text");
    assert_eq!(bundle.run().json()["errno"], "");
    assert_eq!(fs::read_to_string(bundle.path("/new")).unwrap(), "text");
}

fn absolute_root_path(t: &Test) {
    let bundle = t.bundle();
    let path = bundle.path("/").to_string_lossy().into_owned();
    bundle.set("/root/path", path).run();
}

fn bind_directory(t: &Test) {
    let bundle = t.bundle().mount("bind", hold(t), "/hold", &["bind"]);
    let lines = bundle.probe("read /hold/cargo , write /hold/new text").run().lines();
    assert_eq!(lines[0]["read"], "tea");
    assert_eq!(fs::read_to_string(t.dir().join("hold/new")).unwrap(), "text");
}

fn bind_file(t: &Test) {
    let bundle = t.bundle().mount("bind", hold(t).join("cargo"), "/etc/cargo", &["bind", "ro"]);
    let lines = bundle.probe("read /etc/cargo , write /etc/cargo x").run().lines();
    assert_eq!(lines[0]["read"], "tea");
    assert_eq!(lines[1]["errno"], "EROFS");
}

fn bind_read_only(t: &Test) {
    let bundle = t.bundle().mount("bind", hold(t), "/hold", &["rbind", "ro", "nosuid", "nodev"]);
    let lines = bundle.probe("write /hold/new text , report").run().lines();
    assert_eq!(lines[0]["errno"], "EROFS");
    for option in ["ro", "nosuid", "nodev"] {
        assert!(has(mounted(&lines[1], "/hold"), option), "{option}");
    }
}

fn bind_is_not_recursive(t: &Test) {
    let dir = hold(t);
    let _below = Below::new(dir.join("below"));
    let bundle = t.bundle().mount("bind", &dir, "/hold", &["bind"]);
    assert_eq!(bundle.probe("read /hold/below/deep").run().json()["errno"], "ENOENT");
}

fn rbind_is_recursive(t: &Test) {
    let dir = hold(t);
    let _below = Below::new(dir.join("below"));
    let bundle = t.bundle().mount("bind", &dir, "/hold", &["rbind", "ro"]);
    let lines = bundle.probe("read /hold/below/deep , write /hold/below/new x").run().lines();
    assert_eq!(lines[0]["read"], "water");
    assert_eq!(lines[1]["errno"], "", "ro applies to the top mount only");
}

fn rbind_rro_is_recursive(t: &Test) {
    let dir = hold(t);
    let _below = Below::new(dir.join("below"));
    let bundle = t.bundle().mount("bind", &dir, "/hold", &["rbind", "rro"]);
    let lines = bundle.probe("write /hold/new x , write /hold/below/new x").run().lines();
    assert_eq!((&lines[0]["errno"], &lines[1]["errno"]), (&json!("EROFS"), &json!("EROFS")));
}

fn bind_source_is_relative_to_the_bundle(t: &Test) {
    let bundle = t.bundle().mount("bind", "volume", "/hold", &["bind"]);
    fs::create_dir(bundle.dir().join("volume")).unwrap();
    fs::write(bundle.dir().join("volume/cargo"), "salt").unwrap();
    assert_eq!(bundle.probe("read /hold/cargo").run().json()["read"], "salt");
}

fn bind_without_source_is_refused(t: &Test) {
    t.only_orlop("it uses the bundle instead");
    let bundle =
        t.bundle().push("/mounts", json!({"destination": "/hold", "type": "bind", "options": ["bind"]}));
    bundle.try_run().refused(&[]);
}

fn bind_of_a_missing_source_is_refused(t: &Test) {
    let source = t.dir().join("not-there");
    let fragments = [source.to_string_lossy().into_owned(), "no such file or directory".to_owned()];
    let output = t.bundle().mount("bind", source, "/hold", &["bind"]).try_run();
    output.refused(&[&fragments[0], &fragments[1]]);
}

/// Engines match these words.
fn bind_of_a_file_on_a_directory_is_refused(t: &Test) {
    for (source, destination) in [(hold(t).join("cargo"), "/there"), (hold(t), "/there/file")] {
        let bundle = t.bundle().directory("/there");
        fs::write(bundle.dir().join("rootfs/there/file"), "").unwrap();
        let output = bundle.mount("bind", source, destination, &["bind"]).try_run();
        output.refused(&["not a directory", destination]);
    }
}

fn missing_mount_points_are_created(t: &Test) {
    let bundle = t.bundle().mount("tmpfs", "tmpfs", "/a/b/c", &["mode=700"]);
    let bundle = bundle.mount("bind", hold(t).join("cargo"), "/d/e/file", &["bind"]);
    let lines = bundle.probe("stat /a/b/c , stat /d/e/file , stat /a").run().lines();
    assert_eq!(lines[0]["mode"], "0700");
    assert_eq!(lines[1]["kind"], "file");
    assert_eq!(lines[2]["mode"], "0755");
}

fn mounts_stack_in_order(t: &Test) {
    let bundle =
        t.bundle().mount("tmpfs", "tmpfs", "/m", &["size=1m"]).mount("bind", hold(t), "/m/in", &["bind"]);
    let lines = bundle.probe("read /m/in/cargo , list /m").run().lines();
    assert_eq!(lines[0]["read"], "tea");
    assert_eq!(lines[1]["list"], json!(["in"]));
}

fn destination_link_stays_inside(t: &Test) {
    let bundle =
        t.bundle().directory("/real").link("/alias", "/real").mount("bind", hold(t), "/alias", &["bind"]);
    assert_eq!(bundle.probe("read /real/cargo").run().json()["read"], "tea");
}

fn tmpfs_options_are_passed_on(t: &Test) {
    let options = ["nosuid", "size=512k", "nr_inodes=100", "mode=1770", "uid=7", "gid=8"];
    let lines = t.bundle().mount("tmpfs", "name", "/m", &options).probe("stat /m , report").run().lines();
    assert_eq!(
        (&lines[0]["mode"], &lines[0]["uid"], &lines[0]["gid"]),
        (&json!("1770"), &json!(7), &json!(8))
    );
    let found = mounted(&lines[1], "/m");
    assert_eq!(found["source"], "name");
    for option in ["nosuid", "size=512k", "nr_inodes=100"] {
        assert!(has(found, option), "{option}: {found}");
    }
}

fn tmpfs_without_mode_takes_that_of_the_directory(t: &Test) {
    let bundle = t.bundle().directory("/m");
    fs::set_permissions(bundle.path("/m"), fs::Permissions::from_mode(0o711)).unwrap();
    let lines = bundle.mount("tmpfs", "tmpfs", "/m", &[]).probe("stat /m").run().lines();
    assert_eq!(lines[0]["mode"], "0711");
    let lines = t.bundle().mount("tmpfs", "tmpfs", "/absent", &[]).probe("stat /absent").run().lines();
    assert_eq!(lines[0]["mode"], "1777");
}

fn tmpfs_copy_up_copies_files(t: &Test) {
    let bundle = t.bundle().file("/m/cargo", "tea").mount("tmpfs", "tmpfs", "/m", &["tmpcopyup"]);
    let bundle = bundle.probe("read /m/cargo , write /m/cargo x");
    let lines = bundle.run().lines();
    assert_eq!(lines[0]["read"], "tea");
    assert_eq!(lines[1]["errno"], "");
    assert_eq!(fs::read_to_string(bundle.path("/m/cargo")).unwrap(), "tea");
}

fn overlay_takes_layers_with_long_names(t: &Test) {
    // Together longer than a string of fsconfig(2); one name contains a separator.
    let layers: Vec<_> =
        ["a", "b:c", "d"].map(|name| t.dir().join(format!("{name}{}", "x".repeat(150)))).into();
    for (number, layer) in layers.iter().enumerate() {
        fs::create_dir(layer).unwrap();
        fs::write(layer.join(format!("file-{number}")), "x").unwrap();
    }
    let names: Vec<_> = layers.iter().map(|layer| layer.to_str().unwrap().replace("b:c", "b\\:c")).collect();
    let bundle = t.bundle().mount("overlay", "overlay", "/m", &[&format!("lowerdir={}", names.join(":"))]);
    for line in bundle.probe("read /m/file-0 , read /m/file-1 , read /m/file-2").run().lines() {
        assert_eq!(line["read"], "x");
    }
}

/// Everything in a directory is copied, including what its user may not read, and more entries than one
/// getdents64(2) returns.
fn tmpfs_copy_up_copies_a_whole_tree(t: &Test) {
    t.only_orlop("it copies other attributes of an inode");
    let bundle = t.bundle().file("/m/a/b/c/deep", "gold").file("/m/secret", "s");
    for n in 0..300 {
        fs::write(bundle.path(&format!("/m/a/a-file-with-a-long-name-{n}")), n.to_string()).unwrap();
    }
    fs::write(bundle.path("/m/big"), vec![b'x'; 3 << 20]).unwrap();
    fs::set_permissions(bundle.path("/m/secret"), fs::Permissions::from_mode(0o4400)).unwrap();
    std::os::unix::fs::lchown(bundle.path("/m/secret"), Some(7), Some(8)).unwrap();
    fs::set_permissions(bundle.path("/m/secret"), fs::Permissions::from_mode(0o4400)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", bundle.path("/m/link")).unwrap();
    fs::set_permissions(bundle.path("/m/a/b"), fs::Permissions::from_mode(0o1711)).unwrap();
    let bundle = bundle.mount("tmpfs", "tmpfs", "/m", &["tmpcopyup", "ro", "size=8m"]);
    let bundle = bundle.probe(
        "read /m/a/b/c/deep , stat /m/secret , stat /m/a/b , read /m/a/a-file-with-a-long-name-299 , \
         write /m/x x , stat /m/big",
    );
    let lines = bundle.run().lines();
    assert_eq!(lines[0]["read"], "gold");
    assert_eq!(
        (&lines[1]["mode"], &lines[1]["uid"], &lines[1]["gid"]),
        (&"4400".into(), &7.into(), &8.into())
    );
    assert_eq!(lines[2]["mode"], "1711");
    assert_eq!(lines[3]["read"], "299");
    assert_eq!(lines[4]["errno"], "EROFS");
    assert_eq!(lines[5]["size"], 3 << 20);
}

fn tmpcopyup_is_refused_on_a_bind(t: &Test) {
    t.only_orlop("it ignores the option");
    let bundle = t.bundle().mount("bind", hold(t), "/hold", &["bind", "tmpcopyup"]);
    bundle.try_run().refused(&["tmpcopyup", "/options/1"]);
}

fn unknown_option_is_refused_on_a_bind(t: &Test) {
    t.only_orlop("it ignores the option");
    t.bundle().mount("bind", hold(t), "/hold", &["bind", "size=1m"]).try_run().refused(&["size=1m"]);
}

fn propagation_options_are_set(t: &Test) {
    for (option, sign) in
        [("shared", "shared:"), ("rshared", "shared:"), ("slave", "master:"), ("unbindable", "unbindable")]
    {
        let seen = t.bundle().mount("bind", hold(t), "/hold", &["bind", option]).report();
        let found = mounted(&seen, "/hold")["propagation"].as_array().unwrap();
        assert!(found.iter().any(|tag| tag.as_str().unwrap().starts_with(sign)), "{option}: {found:?}");
    }
    let seen = t.bundle().mount("bind", hold(t), "/hold", &["bind", "private"]).report();
    assert_eq!(mounted(&seen, "/hold")["propagation"], json!([]));
}

fn rootfs_propagation_is_set(t: &Test) {
    for (word, signs) in [
        ("slave", vec!["master:"]),
        ("rslave", vec!["master:"]),
        ("private", vec![]),
        ("shared", vec!["shared:"]),
        ("unbindable", vec!["unbindable"]),
    ] {
        if !t.is_orlop() && ["shared", "unbindable"].contains(&word) {
            continue; // A runtime under test in place of this one loses them.
        }
        let seen = t.bundle().set("/linux/rootfsPropagation", word).report();
        let found = mounted(&seen, "/")["propagation"].as_array().unwrap();
        for sign in &signs {
            assert!(found.iter().any(|tag| tag.as_str().unwrap().starts_with(sign)), "{word}: {found:?}");
        }
        assert!(!signs.is_empty() || found.is_empty(), "{word}: {found:?}");
    }
    t.bundle().set("/linux/rootfsPropagation", "sideways").try_run().refused(&["sideways"]);
}

/// The root is on a shared mount, as /var, /tmp or /home often are: no mount of the container may propagate to the
/// host, and the old root can be unmounted.
fn rootfs_on_a_shared_mount_does_not_propagate_to_the_host(t: &Test) {
    let none = None::<&str>;
    for word in ["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"] {
        let bundle = t.bundle().set("/linux/rootfsPropagation", word);
        let table = || -> Vec<String> {
            let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
            let here = bundle.dir().display().to_string();
            text.lines().filter(|line| line.contains(&here)).map(str::to_owned).collect()
        };
        mount(Some(bundle.dir()), bundle.dir(), none, MsFlags::MS_BIND, none).unwrap();
        mount(none, bundle.dir(), none, MsFlags::MS_SHARED, none).unwrap();
        let before = table();
        let output = bundle.try_run();
        let after = table();
        for line in after.iter().rev() {
            let _ = umount2(line.split(' ').nth(4).unwrap(), MntFlags::MNT_DETACH);
        }
        assert_eq!(before, after, "{word}");
        output.success();
    }
}

/// A mount that the container makes in a shared volume propagates to the host, and a mount of the host below a
/// shared mount stays when the container leaves its old root.
fn shared_volume_is_seen_on_both_sides(t: &Test) {
    let none = None::<&str>;
    let volume = t.dir().join("volume");
    fs::create_dir_all(&volume).unwrap();
    mount(Some("tmpfs"), &volume, Some("tmpfs"), MsFlags::empty(), none).unwrap();
    mount(none, &volume, none, MsFlags::MS_SHARED, none).unwrap();
    for name in ["own", "hosts"] {
        fs::create_dir(volume.join(name)).unwrap();
    }
    mount(Some("tmpfs"), &volume.join("hosts"), Some("tmpfs"), MsFlags::empty(), none).unwrap();
    let bundle = may_mount(t.bundle().mount("bind", &volume, "/volume", &["rbind", "rshared"]))
        .set("/linux/rootfsPropagation", "shared")
        .probe("mount /volume/own tmpfs , report");
    let lines = bundle.run().lines();
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let is_mounted = |name: &str| table.contains(&format!(" {} ", volume.join(name).display()));
    let (own, hosts) = (is_mounted("own"), is_mounted("hosts"));
    umount2(&volume, MntFlags::MNT_DETACH).unwrap();
    assert_eq!(lines[0]["errno"], "");
    let found = mounted(&lines[1], "/volume")["propagation"].to_string();
    assert!(found.contains("shared:"), "{found}");
    assert!(own, "the container's mount did not propagate to the host");
    assert!(hosts, "a mount of the host has disappeared");
}

/// What engines do for `rshared` volumes: the root is a mount of its own, the volume a directory of the host's
/// root, and mounts propagate both ways. Nothing else on the host changes.
fn shared_volumes_are_peers_of_the_host(t: &Test) {
    let none = None::<&str>;
    let points = || -> Vec<String> {
        let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let own = t.dir().display().to_string();
        let mut all: Vec<String> = text.lines().map(|l| l.split(' ').nth(4).unwrap().to_owned()).collect();
        // Mounts of other tests appear and disappear.
        all.retain(|point| point.starts_with(&own) || !point.contains("orlop-test"));
        all
    };
    for word in ["shared", "rshared", "rslave", "rprivate"] {
        let bundle = may_mount(t.bundle()).set("/linux/rootfsPropagation", word);
        let root = bundle.path("/");
        mount(Some(&root), &root, none, MsFlags::MS_BIND, none).unwrap();
        let volume = t.dir().join(format!("volume-{word}"));
        fs::create_dir_all(volume.join("below")).unwrap();
        let before = points();
        let bundle = bundle.mount("bind", &volume, "/volume", &["rbind", "rshared"]);
        let output = bundle.probe("mount /volume/below tmpfs").try_run();
        let after = points();
        let _ = umount2(&volume.join("below"), MntFlags::MNT_DETACH);
        let _ = umount2(&root, MntFlags::MNT_DETACH);
        assert_eq!(output.success().json()["errno"], "");
        let mut expected = before;
        if word.ends_with("shared") {
            expected.push(volume.join("below").display().to_string());
        }
        assert_eq!(after, expected, "{word}");
    }
}

/// With a root that receives nothing from the host, and with one whose peers do.
fn source_may_be_covered_by_an_earlier_mount(t: &Test) {
    t.only_orlop("it opens sources on the host");
    for word in ["rslave", "shared", "private"] {
        let bundle = t.bundle().set("/linux/rootfsPropagation", word).directory("/first");
        let source = bundle.path("/first");
        let bundle = bundle.mount("tmpfs", "tmpfs", "/first", &["size=64k"]).mount(
            "bind",
            source,
            "/second",
            &["rbind"],
        );
        let seen = bundle.report();
        assert_eq!(mounted(&seen, "/second")["type"], "tmpfs", "{word}");
    }
}

/// A volume keeps its propagation under a private root.
fn shared_volume_stays_shared_under_a_private_root(t: &Test) {
    let bundle = t.bundle().set("/linux/rootfsPropagation", "rprivate");
    let seen = bundle.mount("bind", hold(t), "/hold", &["rbind", "rshared"]).report();
    let found = mounted(&seen, "/hold")["propagation"].as_array().unwrap();
    assert!(found.iter().any(|tag| tag.as_str().unwrap().starts_with("shared:")), "{found:?}");
    assert_eq!(mounted(&seen, "/")["propagation"], json!([]));
}

/// Without SELinux no label is enforced; with SELinux the golden plans show where the label goes.
fn mount_label_without_selinux_is_refused(t: &Test) {
    if fs::metadata("/sys/fs/selinux/enforce").is_ok() {
        kit::skip("SELinux is on");
    }
    let bundle = t.bundle().set("/linux/mountLabel", "system_u:object_r:container_file_t:s0");
    bundle.try_run().refused(&[]);
    if t.is_orlop() {
        bundle.try_run().refused(&["SELinux is not enabled", "/linux/mountLabel"]);
    }
}

fn may_mount(bundle: Bundle<'_>) -> Bundle<'_> {
    let all = json!(["CAP_SYS_ADMIN"]);
    bundle.set("/process/capabilities", json!({"bounding": all, "effective": all, "permitted": all}))
}

/// The leak check of the run would see the mount on the host, whose `/` is shared.
fn mount_of_the_container_does_not_propagate(t: &Test) {
    let bundle = may_mount(t.bundle().directory("/m").mount("bind", hold(t), "/hold", &["rbind"]));
    let lines = bundle.probe("mount /m tmpfs , mount /hold/below tmpfs").run().lines();
    assert_eq!((&lines[0]["errno"], &lines[1]["errno"]), (&json!(""), &json!("")));
}

fn cgroup_mount_shows_the_containers_cgroup(t: &Test) {
    t.v1("memory", "");
    let bundle = t
        .bundle()
        .probe("report , write /sys/fs/cgroup/memory/memory.limit_in_bytes 1 , list /sys/fs/cgroup");
    let lines = bundle.run().lines();
    let found = mounted(&lines[0], "/sys/fs/cgroup/memory");
    assert_eq!(found["type"], "cgroup");
    assert!(has(found, "ro") && has(found, "memory"), "{found}");
    // Without a cgroup namespace the mount shows only the container's own subtree.
    assert_eq!(found["root"], format!("/{}", bundle.id()));
    assert_eq!(lines[1]["errno"], "EROFS");
    let names = lines[2]["list"].as_array().unwrap();
    for name in ["cpu", "memory", "pids", "freezer", "devices"] {
        assert!(names.contains(&json!(name)), "{names:?}");
    }
}

fn cgroup_mount_in_a_cgroup_namespace(t: &Test) {
    t.v1("memory", "");
    let bundle = t.bundle().namespace("cgroup").probe("report , read /sys/fs/cgroup/pids/cgroup.procs");
    let lines = bundle.run().lines();
    assert_eq!(mounted(&lines[0], "/sys/fs/cgroup/memory")["root"], "/");
    assert_eq!(lines[1]["read"], "1\n", "the namespace's root is the container's cgroup");
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

fn user_namespace_mounts(t: &Test) {
    let dir = hold(t);
    let seen = t.bundle().user_namespace(200_000).mount("bind", &dir, "/hold", &["rbind", "ro"]).report();
    for point in ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/hold"] {
        mounted(&seen, point);
    }
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        assert_eq!(seen["dev"][name]["kind"], "c", "{name}");
    }
}
