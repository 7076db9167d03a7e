//! Masks, devices and the file systems below /proc and /sys, if the image or the host is not as it should be.

use crate::play::Canary;
use kit::{Bundle, Case, Score, Test, json};
use std::fs;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![masks_without_effect, null_device_of_the_host, binds_on_links, step_number_overflow]
}

/// Either the path is refused, or the mask hides the file.
fn masks_without_effect(t: &Test) {
    let what = "a masked or read-only path is malformed or leads elsewhere: it is skipped, or the file stays visible";
    let mut score = Score::new(t, what);
    for (path, link) in [
        ("/etc/file/secret", None),
        ("/etc/file/secret/deep", None),
        ("/etc/secret", None),
        ("/link", Some("/etc/secret")),
        ("/link/secret", Some("/etc")),
        ("/link", Some("../../../../etc/secret")),
        ("/link", Some("/etc/file/x")),
    ] {
        for list in ["/linux/maskedPaths", "/linux/readonlyPaths"] {
            let bundle = link.into_iter().fold(gold(t), |bundle, target| bundle.link("/link", target));
            let bundle = bundle
                .set(list, json!([path]))
                .probe(&format!("read {path} , write {path} lead , read /etc/secret"));
            let output = bundle.try_run();
            if output.code() != 0 {
                score.attempt(None);
                continue;
            }
            let said = output.lines();
            let hidden = match list {
                "/linux/maskedPaths" => said[0]["read"] != "gold",
                _ => said[1]["errno"] == "EROFS",
            };
            // The path does not name a file of the image: it was meant to be hidden, and nothing is.
            let nothing = said[0]["errno"] == "ENOTDIR";
            score.attempt((!hidden || nothing).then(|| format!("{list} {path} {link:?}: {said:?}")));
        }
    }
    score.end();
}

fn gold(t: &Test) -> Bundle<'_> {
    t.bundle().file("/etc/secret", "gold").file("/etc/file", "").set("/root/readonly", false)
}

/// The source of masks for files comes from the host.
fn null_device_of_the_host(t: &Test) {
    t.only_orlop("others may use another source");
    let mut score =
        Score::new(t, "the host's /dev/null is a file of another user: masked files show it, or write to it");
    let canary = Canary::new(t);
    for file in [canary.dir.join("bird"), t.dir().join("tmp-null")] {
        if !file.exists() {
            fs::write(&file, "").unwrap();
        }
        let bundle = t.bundle().file("/etc/secret", "gold").set("/linux/maskedPaths", json!(["/etc/secret"]));
        let bundle = bundle.probe("read /etc/secret , write /etc/secret lead , stat /etc/secret");
        let output = bundle.command("run", &[]).wrap(&format!("null={}", file.display())).output();
        let won = if output.code() == 0 {
            let said = output.lines();
            (said[2]["kind"] != "c" || said[0]["read"] != "").then(|| format!("the mask is {}", said[2]))
        } else {
            None
        };
        score.attempt(won.or(canary.hurt()));
    }
    score.end();
}

/// CVE-2019-19921 and similar, with another kind of mount.
fn binds_on_links(t: &Test) {
    let mut score = Score::new(
        t,
        "/proc or /sys of the image is a link, and something is bound or mounted on it or below it",
    );
    let fake = t.dir().join("fake");
    fs::create_dir_all(fake.join("self/attr")).unwrap();
    fs::create_dir_all(fake.join("fs/cgroup")).unwrap();
    for name in ["/proc", "/sys"] {
        for (kind, at) in [("bind", ""), ("tmpfs", ""), ("bind", "/fs"), ("tmpfs", "/self")] {
            for target in ["/elsewhere", "elsewhere/below"] {
                let bundle = t.bundle().only_mounts(&["/dev"]).directory("/elsewhere/below/fs");
                let bundle = bundle
                    .directory("/elsewhere/fs")
                    .directory("/elsewhere/self")
                    .directory("/elsewhere/below/self");
                let bundle =
                    bundle.link(name, target).remove("/linux/maskedPaths").remove("/linux/readonlyPaths");
                let source = if kind == "bind" { fake.clone() } else { "tmpfs".into() };
                let options: &[&str] = if kind == "bind" { &["bind"] } else { &[] };
                let output =
                    bundle.mount(kind, source, &format!("{name}{at}"), options).probe("exit 0").try_run();
                score.attempt(
                    (output.code() == 0).then(|| format!("{kind} on {name}{at}, which leads to {target}")),
                );
            }
        }
    }
    score.end();
}

/// Errors name a step by its number.
fn step_number_overflow(t: &Test) {
    t.only_orlop("it does not have plans");
    let mut score = Score::new(t, "a plan of more than 65536 steps: an error names another step");
    let paths: Vec<String> = (0..70_000).map(|n| format!("/proc/none-{n}")).collect();
    let bundle = t.bundle().set("/linux/maskedPaths", json!(paths)).set("/process/args", json!(["/none"]));
    let output = bundle.try_run();
    let said = output.stderr.trim();
    // A plan that is too long may be refused by pointer, but the error must not be about a mask.
    let refused = said.contains("/linux/maskedPaths") && !said.contains("/proc/none-");
    let good = output.code() != 0 && (said.contains("/none: no such file") || refused);
    score.attempt((!good).then(|| format!("exit {}: {said}", output.code())));
    score.end();
}
