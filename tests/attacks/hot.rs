//! Hot operations (`mounts add`) on a running container that has prepared its root file system for them.

use crate::moments::{self, Swing};
use crate::play::{self, Caller, turn};
use kit::score::rounds;
use kit::{Bundle, Case, Container, Score, Test, Value, json};
use std::fs;
use std::path::PathBuf;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        remount_through_a_link,
        remount_during_exchange_with_a_link,
        remount_of_masks_and_read_only_paths
    ]
}

fn read_write(destination: &str) -> Value {
    json!([{"destination": destination, "type": "none", "source": "none", "options": ["remount", "bind", "rw"]}])
}

fn list(t: &Test, name: &str, mounts: &Value) -> PathBuf {
    let path = t.dir().join(name);
    fs::write(&path, mounts.to_string()).unwrap();
    path
}

/// Mount points of the container that were read-only and can be written to now.
fn writable(container: &Container<'_>, points: &[&str]) -> Vec<String> {
    let table = fs::read_to_string(format!("/proc/{}/mountinfo", container.pid())).unwrap();
    let mut found = Vec::new();
    for line in table.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if points.contains(&words[4]) && words[5].split(',').any(|option| option == "rw") {
            found.push(format!("{} can be written", words[4]));
        }
    }
    found
}

fn victim(t: &Test) -> Bundle<'_> {
    t.bundle()
        .set("/root/readonly", false)
        .link("/data", "/proc/sys")
        .link("/deep/link", "../proc")
        .link("/etc/up", "/")
}

const PROTECTED: [&str; 4] = ["/proc/sys", "/proc/sysrq-trigger", "/proc/bus", "/proc/irq"];

fn remount_through_a_link(t: &Test) {
    t.only_orlop("its command is experimental");
    let mut score = Score::new(t, "a hot remount (rw) of a link, or below one, that leads to /proc/sys");
    for destination in
        ["/data", "/data/", "/data/.", "/deep/link/sys", "/etc/up/proc/sys", "/etc/../data", "/deep/link/bus"]
    {
        let container = victim(t).probe("sleep").start();
        let list = list(t, "mounts", &read_write(destination));
        t.runtime(["mounts", "add", container.id(), &list.to_string_lossy()]).output();
        let now = writable(&container, &PROTECTED);
        score.attempt(now.first().map(|what| format!("{destination}: {what}")));
    }
    score.end();
}

/// The caller cannot change a mask or a read-only path of the configuration, under any spelling of its name.
fn remount_of_masks_and_read_only_paths(t: &Test) {
    t.only_orlop("its command is experimental");
    let what = "a hot remount (rw), or a mount, of a mask or a read-only path of the configuration itself";
    let mut score = Score::new(t, what);
    for destination in PROTECTED.iter().chain(&["/proc/./sys", "//proc/sys/", "/sys/firmware", "/proc/keys"])
    {
        let container = victim(t).probe("sleep").start();
        let file = list(t, "mounts", &read_write(destination));
        t.runtime(["mounts", "add", container.id(), &file.to_string_lossy()]).output();
        let masks = ["/sys/firmware"];
        let now = writable(&container, &[&PROTECTED[..], &masks].concat());
        score.attempt(now.first().map(|what| format!("{destination}: {what}")));
        // Neither can it remove what hides a file.
        let gone = json!([{"destination": destination}]);
        let file = list(t, "unmounts", &gone);
        t.runtime(["mounts", "remove", container.id(), &file.to_string_lossy()]).output();
        let table = fs::read_to_string(format!("/proc/{}/mountinfo", container.pid())).unwrap();
        let clean = destination.replace("/./", "/").replace("//", "/");
        let clean = clean.trim_end_matches('/');
        let there = table.lines().any(|line| line.split(' ').nth(4) == Some(clean));
        score.attempt(
            (!there && fs::metadata(format!("/proc/{}/root{clean}", container.pid())).is_ok())
                .then(|| format!("{destination}: what was mounted on it is gone")),
        );
    }
    score.end();
}

/// A directory is exchanged with a link while it is remounted.
fn remount_during_exchange_with_a_link(t: &Test) {
    t.only_orlop("its command is experimental");
    let _turn = turn();
    let what = "a hot remount (rw) of a directory that is exchanged with a link to /proc/sys";
    let file = list(t, "mounts", &read_write("/w/a")).to_string_lossy().into_owned();
    let bundle = || t.bundle().set("/root/readonly", false).directory("/w/a").link("/w/b", "/proc/sys");
    let attacker = || {
        let container = bundle().probe("swing /w/a /w/b exchange").start();
        container.first_line();
        container
    };
    let add = |caller: &Caller<'_>, container: &Container<'_>| {
        caller.call(&["mounts", "add", container.id(), &file]);
        writable(container, &PROTECTED).first().cloned()
    };
    let (caller, mut victim) = (Caller::new(t), attacker());
    let mut chance = Score::part(t, "chance", what);
    for _ in 0..rounds() / 2 {
        let won = add(&caller, &victim);
        let again = won.is_some();
        chance.attempt(won);
        if again {
            // A mount that was won stays writable: the next round uses another one.
            play::end(t, &std::mem::replace(&mut victim, attacker()));
        }
    }
    play::end(t, &victim);
    let victim = bundle().probe("sleep").start();
    let root = PathBuf::from(format!("/proc/{}/root/w", victim.pid()));
    let mut each = Score::part(t, "each call", what);
    let swing = Swing::exchange(root.join("a"), root.join("b"));
    moments::each(&mut each, &swing, || Caller::new(t), |caller| add(caller, &victim));
    Score::end_all([chance, each]);
}
