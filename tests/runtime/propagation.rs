//! Mount propagation between the container and the host.

use crate::mounts::{hold, mounted};
use kit::{Bundle, Case, Test, json};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        propagation_options_are_set,
        rootfs_propagation_is_set,
        rootfs_on_a_shared_mount_does_not_propagate_to_the_host,
        shared_volume_is_seen_on_both_sides,
        shared_volumes_are_peers_of_the_host,
        source_may_be_covered_by_an_earlier_mount,
        shared_volume_stays_shared_under_a_private_root,
        mount_of_the_container_does_not_propagate,
    ]
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
