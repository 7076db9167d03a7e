//! Directories whose content is trusted: owned by the caller or root, or refused by name.

use kit::criu::Criu;
use kit::{Case, Output, Test};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        a_new_state_root_is_private,
        a_state_root_of_another_user_is_refused,
        a_state_root_that_others_can_write_to_is_refused,
        entries_of_others_in_a_sticky_state_root_are_refused,
        an_image_directory_of_another_user_is_refused,
    ]
}

const OTHER: u32 = 54_331;

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn chown(path: &Path, uid: u32) {
    nix::unistd::chown(path, Some(uid.into()), None).unwrap();
}

fn a_new_state_root_is_private(t: &Test) {
    t.only_orlop("others use other modes");
    let root = t.dir().join("new/deeper");
    let bundle = t.bundle().probe("exit 0");
    bundle.write();
    let words = ["run", "--bundle", bundle.dir().to_str().unwrap(), bundle.id()];
    t.bare(["--root", root.to_str().unwrap()]).args(words).wrap("umask=0").output().success();
    assert_eq!(fs::metadata(root).unwrap().mode() & 0o7777, 0o700);
}

/// Every command that reads the state root.
fn all_commands(t: &Test) -> Vec<Output> {
    let bundle = t.bundle().probe("exit 0");
    let calls: [&[&str]; 8] = [
        &["list"],
        &["state", "x"],
        &["delete", "--force", "x"],
        &["kill", "x"],
        &["exec", "x", "/probe"],
        &["start", "x"],
        &["ps", "x"],
        &["events", "x"],
    ];
    let mut outputs: Vec<Output> =
        calls.iter().map(|words| t.runtime(words.iter().copied()).output()).collect();
    outputs.extend([bundle.command("create", &[]).output(), bundle.command("run", &[]).output()]);
    outputs
}

fn refused(t: &Test, why: &str) {
    let root = t.root().to_string_lossy().into_owned();
    for output in all_commands(t) {
        assert_ne!(output.code(), 0, "{output}");
        for fragment in ["cannot trust state root", &root, why] {
            assert!(output.stderr.contains(fragment), "no {fragment:?} in {output}");
        }
        // Managers would read this as a container that does not exist.
        assert!(!output.stderr.contains("does not exist"), "{output}");
    }
}

fn a_state_root_of_another_user_is_refused(t: &Test) {
    t.only_orlop("others do not check");
    fs::create_dir(t.root()).unwrap();
    chown(&t.root(), OTHER);
    refused(t, &format!("owned by user {OTHER}"));
    // Its owner may use it, and every user may if it belongs to root.
    mode(t.dir(), 0o755);
    t.runtime(["list"]).wrap(&format!("uid={OTHER}")).output().success();
    chown(&t.root(), 0);
    mode(&t.root(), 0o755);
    t.runtime(["list"]).wrap(&format!("uid={OTHER}")).output().success();
}

fn a_state_root_that_others_can_write_to_is_refused(t: &Test) {
    t.only_orlop("others do not check");
    fs::create_dir(t.root()).unwrap();
    for bits in [0o770, 0o702] {
        mode(&t.root(), bits);
        refused(t, &format!("mode {bits:04o}"));
    }
    mode(&t.root(), 0o755);
    t.runtime(["list"]).output().success();
    // The target of a link is what matters.
    let link = t.dir().join("link");
    fs::create_dir(t.dir().join("open")).unwrap();
    mode(&t.dir().join("open"), 0o777);
    symlink(t.dir().join("open"), &link).unwrap();
    t.bare(["--root", link.to_str().unwrap(), "list"]).output().refused(&["cannot trust"]);
}

/// With the sticky bit, other users can create entries, which are not trusted.
fn entries_of_others_in_a_sticky_state_root_are_refused(t: &Test) {
    t.only_orlop("others do not check");
    fs::create_dir(t.root()).unwrap();
    mode(&t.root(), 0o1777);
    let container = t.bundle().probe("sleep").start();
    let theirs = t.root().join("theirs");
    fs::create_dir(&theirs).unwrap();
    // A record that names the process of another container.
    let state = fs::read_to_string(t.root().join(container.id()).join("journal")).unwrap();
    fs::write(theirs.join("journal"), state.replace(container.id(), "theirs")).unwrap();
    chown(&theirs, OTHER);
    for words in [&["state", "theirs"][..], &["kill", "theirs", "KILL"], &["delete", "--force", "theirs"]] {
        let output = t.runtime(words.iter().copied()).output();
        output.refused(&["cannot trust state directory of container theirs", &format!("user {OTHER}")]);
    }
    let listed = t.runtime(["list", "--quiet"]).output().success();
    assert_eq!(listed.stdout, format!("{}\n", container.id()));
    assert!(listed.stderr.contains("theirs"), "{listed}");
    // Neither is an entry that others can write to.
    chown(&theirs, 0);
    mode(&theirs, 0o777);
    t.runtime(["kill", "theirs", "KILL"]).output().refused(&["cannot trust"]);
    assert_eq!(container.status(), "running");
}

fn an_image_directory_of_another_user_is_refused(t: &Test) {
    t.only_orlop("others do not check");
    let criu = Criu::new(t);
    let container = t.bundle().probe("sleep").start();
    let restored = t.bundle().probe("sleep");
    let dir = t.dir().join("images");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("descriptors.json"), "[]").unwrap();
    let (path, plain) = (dir.to_str().unwrap(), t.dir().join("plain"));
    let plain = plain.to_str().unwrap();
    let spoil: [&dyn Fn(); 3] =
        [&|| chown(&dir, OTHER), &|| (chown(&dir, 0), mode(&dir, 0o775)).0, &|| mode(&dir, 0o1777)];
    for spoil in spoil {
        spoil();
        for flags in [&["--image-path", path][..], &["--image-path", plain, "--work-path", path]] {
            let kind = if flags.len() == 2 { "image path" } else { "work path" };
            let words = [&["--leave-running"], flags].concat();
            criu.found_by(container.command("checkpoint", &words)).output().refused(&[
                "cannot trust",
                kind,
                path,
            ]);
            if flags.len() == 2 {
                let words = [&["--detach"], flags].concat();
                criu.found_by(restored.command("restore", &words)).output().refused(&[
                    "cannot trust",
                    kind,
                    path,
                ]);
            }
        }
    }
    mode(&dir, 0o755);
    criu.found_by(container.command("checkpoint", &["--leave-running", "--image-path", path]))
        .output()
        .success();
}
