//! The mount options of the specification, each on a file system of its own and on a bind mount.

use kit::{Case, Test, Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// What an option changes in the line of /proc/self/mountinfo.
#[derive(Clone, Copy)]
enum Effect {
    /// The word is shown.
    Shows(&'static str),
    /// The words are not shown, although the option before this one requested the first.
    Clears(&'static str, &'static [&'static str]),
    /// Accepted; the kernel shows nothing.
    Accepted,
    /// A propagation tag is shown (for `""`, none).
    Propagates(&'static str),
    /// The kernel has nothing to remount on a new mount.
    Refused,
}
use Effect::{Accepted, Clears, Propagates, Refused, Shows};

/// The mounts to which an option applies.
#[derive(Clone, Copy, PartialEq)]
enum On {
    Both,
    Tmpfs,
    Bind,
}
use On::{Bind, Both, Tmpfs};

const OPTIONS: [(&str, On, Effect); 59] = [
    ("async", Both, Accepted),
    ("atime", Both, Clears("noatime", &["noatime"])),
    ("bind", Bind, Accepted),
    ("defaults", Both, Accepted),
    ("dev", Both, Clears("nodev", &["nodev"])),
    ("diratime", Both, Clears("nodiratime", &["nodiratime"])),
    ("dirsync", Tmpfs, Shows("dirsync")),
    ("exec", Both, Clears("noexec", &["noexec"])),
    ("iversion", Tmpfs, Accepted),
    ("lazytime", Tmpfs, Shows("lazytime")),
    ("loud", Both, Accepted),
    ("mand", Tmpfs, Accepted),
    ("noatime", Both, Shows("noatime")),
    ("nodev", Both, Shows("nodev")),
    ("nodiratime", Both, Shows("nodiratime")),
    ("noexec", Both, Shows("noexec")),
    ("noiversion", Tmpfs, Accepted),
    ("nolazytime", Tmpfs, Clears("lazytime", &["lazytime"])),
    ("nomand", Both, Accepted),
    ("norelatime", Both, Accepted),
    ("nostrictatime", Both, Accepted),
    ("nosuid", Both, Shows("nosuid")),
    ("nosymfollow", Both, Shows("nosymfollow")),
    ("private", Both, Propagates("")),
    ("ratime", Bind, Clears("rnoatime", &["noatime"])),
    ("rbind", Bind, Accepted),
    ("rdev", Both, Clears("rnodev", &["nodev"])),
    ("rdiratime", Bind, Clears("rnodiratime", &["nodiratime"])),
    ("relatime", Both, Shows("relatime")),
    ("remount", Both, Refused),
    ("rexec", Both, Clears("rnoexec", &["noexec"])),
    ("rnoatime", Both, Shows("noatime")),
    ("rnodev", Both, Shows("nodev")),
    ("rnodiratime", Both, Shows("nodiratime")),
    ("rnoexec", Both, Shows("noexec")),
    ("rnorelatime", Both, Accepted),
    ("rnostrictatime", Both, Accepted),
    ("rnosuid", Both, Shows("nosuid")),
    ("rnosymfollow", Both, Shows("nosymfollow")),
    ("ro", Both, Shows("ro")),
    ("rprivate", Both, Propagates("")),
    ("rrelatime", Both, Shows("relatime")),
    ("rro", Both, Shows("ro")),
    ("rrw", Both, Clears("rro", &["ro"])),
    ("rshared", Both, Propagates("shared:")),
    ("rslave", Bind, Propagates("master:")),
    ("rstrictatime", Both, Clears("", &["relatime", "noatime"])),
    ("rsuid", Both, Clears("rnosuid", &["nosuid"])),
    ("rsymfollow", Both, Clears("rnosymfollow", &["nosymfollow"])),
    ("runbindable", Bind, Propagates("unbindable")),
    ("rw", Both, Clears("ro", &["ro"])),
    ("shared", Both, Propagates("shared:")),
    ("silent", Both, Accepted),
    ("slave", Bind, Propagates("master:")),
    ("strictatime", Both, Clears("", &["relatime", "noatime"])),
    ("suid", Both, Clears("nosuid", &["nosuid"])),
    ("symfollow", Both, Clears("nosymfollow", &["nosymfollow"])),
    ("sync", Tmpfs, Shows("sync")),
    ("unbindable", Both, Propagates("unbindable")),
];

/// What a runtime under test in place of this one does not support (it fails, or does nothing).
const ONLY_ORLOP: [&str; 5] =
    ["tmpfs_defaults", "bind_defaults", "tmpfs_runbindable", "bind_runbindable", "bind_rnostrictatime"];

pub(crate) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (option, on, effect) in OPTIONS {
        for (kind, here) in [("tmpfs", on != Bind), ("bind", on != Tmpfs)] {
            if here {
                let name = format!("runtime::mount_options::{kind}_{option}");
                all.push(Case::new(name, move |t| check(t, kind, option, effect)));
            }
        }
    }
    all.extend(kit::cases![
        idmap_uses_the_map_of_the_container,
        idmap_uses_a_map_of_the_mount,
        idmap_uses_a_map_in_the_option,
        idmap_uses_the_map_of_a_joined_namespace,
        idmap_of_what_an_earlier_mount_has_put_there,
        missing_mount_point_on_a_read_only_mount_is_named,
        only_ridmap_covers_mounts_below,
        idmap_of_a_new_tmpfs_applies_to_its_files,
        idmap_without_a_map_or_owners_is_refused,
        idmap_names_the_file_system_without_support,
        idmap_is_refused_without_root,
    ]);
    all
}

fn check(t: &Test, kind: &str, option: &str, effect: Effect) {
    if ONLY_ORLOP.contains(&format!("{kind}_{option}").as_str())
        || (kind == "tmpfs"
            && option.starts_with('r')
            && !["ro", "rw", "relatime", "remount"].contains(&option))
        || option.ends_with("symfollow")
        || (option.starts_with('r') && matches!(effect, Clears(..)))
    {
        t.only_orlop("it does not support this option there");
    }
    let source = t.dir().join("source");
    fs::create_dir(&source).unwrap();
    let mut options =
        if kind == "bind" && option != "bind" && option != "rbind" { vec!["bind"] } else { vec![] };
    if let Clears(before, _) = effect {
        options.extend(Some(before).filter(|word| !word.is_empty()));
    }
    options.push(option);
    let bundle = t.bundle().mount(kind, source, "/m", &options);
    if matches!(effect, Refused) {
        bundle.try_run().refused(&[]);
        return;
    }
    let seen = bundle.report();
    let found = seen["mounts"].as_array().unwrap().iter().find(|one| one["point"] == "/m").unwrap();
    let shown: Vec<&str> =
        ["options", "super", "propagation"].iter().flat_map(|list| words(&found[*list])).collect();
    let has = |word: &str| {
        words(&found["options"]).contains(&word)
            || (kind == "tmpfs" && words(&found["super"]).contains(&word))
    };
    match effect {
        Shows(word) => assert!(has(word), "{shown:?}"),
        Clears(_, gone) => assert!(gone.iter().all(|word| !has(word)), "{shown:?}"),
        Propagates("") => assert!(words(&found["propagation"]).is_empty(), "{shown:?}"),
        Propagates(tag) => {
            assert!(words(&found["propagation"]).iter().any(|word| word.starts_with(tag)), "{shown:?}");
        }
        Accepted | Refused => {}
    }
}

fn words(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// On disk the file belongs to root; through the container's map it belongs to the container's root.
fn idmap_uses_the_map_of_the_container(t: &Test) {
    t.only_orlop("it does not have this option");
    let source = owned_by_root(t);
    for option in ["idmap", "ridmap"] {
        let bundle = t.bundle().user_namespace(200_000).mount("bind", &source, "/m", &["rbind", option]);
        let seen = bundle.probe("stat /m/file , write /m/new x").run().lines();
        assert_eq!(seen[0]["uid"], 0, "{option}: {seen:?}");
        assert_eq!(seen[1]["errno"], "", "{option}");
        let new = fs::metadata(source.join("new")).unwrap();
        assert_eq!((new.uid(), new.gid()), (0, 0), "{option}");
        fs::remove_file(source.join("new")).unwrap();
    }
}

/// Without a user namespace as well, by a map of the mount's own.
fn idmap_uses_a_map_of_the_mount(t: &Test) {
    t.only_orlop("it does not have this option");
    let source = owned_by_root(t);
    let bundle = t.bundle().mount("bind", &source, "/m", &["bind", "ro"]);
    let map = |host: u32| json!([{ "containerID": 0, "hostID": host, "size": 10 }]);
    let bundle = bundle.set("/mounts/7/uidMappings", map(3000)).set("/mounts/7/gidMappings", map(4000));
    let seen = bundle.probe("stat /m/file , write /m/new x").run().lines();
    assert_eq!((&seen[0]["uid"], &seen[0]["gid"]), (&3000.into(), &4000.into()));
    assert_eq!(seen[1]["errno"], "EROFS");
}

fn idmap_uses_a_map_in_the_option(t: &Test) {
    t.only_orlop("it does not have this option");
    let source = owned_by_root(t);
    let option = "idmap=uids=0-3000-1#1-9-1;gids=0-4000-1";
    let seen = t.bundle().mount("bind", &source, "/m", &["bind", option]).probe("stat /m/file").run().json();
    assert_eq!((&seen["uid"], &seen["gid"]), (&3000.into(), &4000.into()));
    // IDs inside the container.
    let bundle = t.bundle().user_namespace(200_000);
    let option = "idmap=uids=@0-7-1;gids=@0-8-1";
    let seen = bundle.mount("bind", &source, "/m", &["bind", option]).probe("stat /m/file").run().json();
    assert_eq!((&seen["uid"], &seen["gid"]), (&7.into(), &8.into()));
    let refused = t.bundle().mount("bind", &source, "/m", &["bind", "idmap=uids=0-1;gids=0-0-1"]).try_run();
    refused.refused(&["FROM-TO-SIZE", "/mounts/7/options/1"]);
}

/// As in a pod: the container joins the user namespace of another container.
fn idmap_uses_the_map_of_a_joined_namespace(t: &Test) {
    t.only_orlop("it does not have this option");
    let source = owned_by_root(t);
    let first = t.bundle().user_namespace(200_000).probe("sleep").start();
    let path = format!("/proc/{}/ns/user", first.pid());
    let bundle =
        t.bundle().owned_by(200_000).join("user", &path).mount("bind", &source, "/m", &["bind", "idmap"]);
    let seen = bundle.probe("stat /m/file , write /m/new x").run().lines();
    assert_eq!((&seen[0]["uid"], &seen[1]["errno"]), (&0.into(), &"".into()), "{seen:?}");
    assert_eq!(fs::metadata(source.join("new")).unwrap().uid(), 0);
    let map = json!([{ "containerID": 0, "hostID": 200_005, "size": 10 }]);
    let bundle = t.bundle().owned_by(200_000).join("user", &path).mount("bind", &source, "/m", &["bind"]);
    let bundle = bundle.set("/mounts/7/uidMappings", map.clone()).set("/mounts/7/gidMappings", map);
    assert_eq!(bundle.probe("stat /m/file").run().json()["uid"], 5);
}

/// The source lies in the container's own root file system, below an earlier mount: the stub copies it, the host maps it.
fn idmap_of_what_an_earlier_mount_has_put_there(t: &Test) {
    let source = owned_by_root(t);
    let of = |bundle: kit::Bundle<'_>, option: &str| {
        let own = bundle.path("/first");
        let bundle =
            bundle.mount("bind", &source, "/first", &["rbind"]).mount("bind", own, "/m", &["bind", option]);
        let lines = bundle.probe("stat /first/file , stat /m/file , read /m/file").run().lines();
        assert_eq!(lines[2]["errno"], "");
        (lines[0]["uid"].clone(), lines[1]["uid"].clone(), lines[1]["gid"].clone())
    };
    let mapped = of(t.bundle(), "idmap=uids=0-3000-1;gids=0-4000-1");
    assert_eq!(mapped, (json!(0), json!(3000), json!(4000)));
    assert_eq!(of(t.bundle().user_namespace(200_000), "idmap"), (json!(65534), json!(0), json!(0)));
    let bundle = t.bundle().user_namespace(200_000);
    let own = bundle.path("/proc/sys");
    let bundle = bundle.mount("bind", own, "/m", &["bind", "idmap"]);
    bundle
        .probe("exit 0")
        .try_run()
        .fails_with(1, &["does not support idmapped mounts", "proc", "/mounts/7"]);
}

fn missing_mount_point_on_a_read_only_mount_is_named(t: &Test) {
    let source = owned_by_root(t);
    let bundle =
        t.bundle().mount("bind", &source, "/m", &["bind", "ro"]).mount("tmpfs", "t", "/m/not/there", &[]);
    let output = bundle.probe("exit 0").try_run();
    let output = output.fails_with(1, &["read-only file system"]);
    if t.is_orlop() {
        output.fails_with(1, &["/m/not/there", "/mounts/8", "mount point does not exist"]);
    }
}

fn only_ridmap_covers_mounts_below(t: &Test) {
    t.only_orlop("it does not have this option");
    let source = owned_by_root(t);
    let below = source.join("below");
    fs::create_dir(&below).unwrap();
    nix::mount::mount(Some("tmpfs"), &below, Some("tmpfs"), nix::mount::MsFlags::empty(), None::<&str>)
        .unwrap();
    fs::write(below.join("file"), "x").unwrap();
    let seen: Vec<Vec<Value>> = ["ridmap", "idmap"]
        .map(|option| {
            let bundle = t.bundle().user_namespace(200_000).mount("bind", &source, "/m", &["rbind", option]);
            bundle.probe("stat /m/file , stat /m/below/file").run().lines()
        })
        .into();
    nix::mount::umount2(&below, nix::mount::MntFlags::MNT_DETACH).unwrap();
    assert_eq!((&seen[0][0]["uid"], &seen[0][1]["uid"]), (&0.into(), &0.into()));
    assert_eq!((&seen[1][0]["uid"], &seen[1][1]["uid"]), (&0.into(), &65534.into()));
}

/// The file system belongs to the host, and its files to the container's root.
fn idmap_of_a_new_tmpfs_applies_to_its_files(t: &Test) {
    t.only_orlop("only bind mounts can be idmapped there");
    let bundle = t.bundle().user_namespace(200_000).directory("/m");
    fs::set_permissions(bundle.path("/m"), fs::Permissions::from_mode(0o751)).unwrap();
    nix::unistd::chown(&bundle.path("/m"), Some(200_000.into()), Some(200_000.into())).unwrap();
    let options = ["idmap", "size=64k", "nosuid", "ro", "tmpcopyup"];
    let bundle = bundle.file("/m/there", "x").mount("tmpfs", "tmpfs", "/m", &options);
    let seen = bundle.probe("stat /m , stat /m/there , write /m/new x , report").run().lines();
    assert_eq!((&seen[0]["uid"], &seen[0]["mode"]), (&0.into(), &"0751".into()), "{seen:?}");
    assert_eq!((&seen[1]["kind"], &seen[2]["errno"]), (&"file".into(), &"EROFS".into()));
    let found = seen[3]["mounts"].as_array().unwrap().iter().find(|one| one["point"] == "/m").unwrap();
    assert!(words(&found["options"]).contains(&"nosuid") && words(&found["super"]).contains(&"size=64k"));
    // Without a user namespace, and owned by the ID that the map gives.
    let map = |host: u32| json!([{ "containerID": 0, "hostID": host, "size": 1 }]);
    let bundle = t.bundle().mount("tmpfs", "tmpfs", "/m", &["mode=700"]);
    let bundle = bundle.set("/mounts/7/uidMappings", map(3000)).set("/mounts/7/gidMappings", map(4000));
    let seen = bundle.probe("stat /m").run().json();
    assert_eq!((&seen["uid"], &seen["gid"], &seen["mode"]), (&3000.into(), &4000.into(), &"0700".into()));
}

fn idmap_without_a_map_or_owners_is_refused(t: &Test) {
    t.only_orlop("it does not have this option");
    let source = owned_by_root(t);
    let refused = t.bundle().mount("bind", &source, "/m", &["bind", "idmap"]).try_run();
    refused.refused(&["idmap needs uidMappings", "/mounts/7"]);
    let refused = t.bundle().user_namespace(200_000).mount("proc", "proc", "/m", &["idmap"]).try_run();
    refused.refused(&["proc shows a namespace", "/mounts/7/type"]);
    let refused = t.bundle().user_namespace(200_000).mount("cgroup", "cgroup", "/m", &["idmap"]).try_run();
    refused.refused(&["can be idmapped", "/mounts/7"]);
}

fn idmap_names_the_file_system_without_support(t: &Test) {
    t.only_orlop("it does not have this option");
    let bundle = t.bundle().user_namespace(200_000).mount("bind", "/proc/sys", "/m", &["bind", "idmap"]);
    bundle.try_run().refused(&["/proc/sys", "file system proc, Linux ", "/mounts/7", "EINVAL"]);
    let bundle = t.bundle().user_namespace(200_000).mount("ramfs", "ramfs", "/m", &["idmap"]);
    bundle.try_run().refused(&["file system ramfs, Linux ", "/mounts/7", "EINVAL"]);
}

fn idmap_is_refused_without_root(t: &Test) {
    t.only_orlop("it does not have this option");
    let source = owned_by_root(t);
    let bundle = t.bundle().owned_by(1000).namespace("user").mount("bind", &source, "/m", &["bind", "idmap"]);
    let map = json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]);
    let bundle = bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    let bundle = bundle.remove("/linux/cgroupsPath").remove("/linux/resources");
    let output = bundle.command("run", &[]).wrap("uid=1000").output();
    output.refused(&["need CAP_SYS_ADMIN in the initial user namespace", "rootless", "/mounts/7/options/1"]);
}

fn owned_by_root(t: &Test) -> std::path::PathBuf {
    let source = t.dir().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "x").unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o755)).unwrap();
    source
}
