//! Large configurations: what does not fit into a plan is refused, and never overwrites anything.

use crate::play::{Caller, lines};
use kit::{Bundle, Case, Score, Test, Value, json};
use std::fs;
use std::path::PathBuf;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![binds, binds_in_a_user_namespace, idmapped, idmapped_in_a_pid_namespace, hot_binds]
}

/// Directories, each with its own number in a file.
fn sources(t: &Test, count: usize) -> Vec<PathBuf> {
    (0..count)
        .map(|n| {
            let dir = t.dir().join(format!("sources/{n}"));
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("number"), n.to_string()).unwrap();
            dir
        })
        .collect()
}

fn mounts(sources: &[PathBuf], option: &str) -> Vec<Value> {
    let one = |(n, source): (usize, &PathBuf)| json!({"destination": format!("/many/{n}"), "type": "bind", "source": source, "options": ["bind", option]});
    sources.iter().enumerate().map(one).collect()
}

/// Reads the first, the last and a few others.
fn words(count: usize) -> String {
    [0, 1, count / 2, 78, 79, 80, 81, 95, 96, 254, 255, 256, 257, count - 1]
        .iter()
        .filter(|n| **n < count)
        .map(|n| format!("read /many/{n}/number"))
        .collect::<Vec<_>>()
        .join(" , ")
}

/// Whether a file's content is not the expected one.
fn wrong(said: &[Value], words: &str) -> Option<String> {
    let wanted: Vec<&str> = words.split(" , ").map(|word| word.split('/').nth(2).unwrap()).collect();
    let read: Vec<&str> = said.iter().map(|line| line["read"].as_str().unwrap_or("?")).collect();
    (read != wanted).then(|| format!("{read:?} and not {wanted:?}"))
}

fn try_all(t: &Test, what: &str, option: &str, counts: &[usize], change: fn(Bundle<'_>) -> Bundle<'_>) {
    let mut score = Score::new(t, what);
    let all = sources(t, *counts.iter().max().unwrap());
    let caller = Caller::new(t);
    for &count in counts {
        let words = words(count);
        let bundle =
            mounts(&all[..count], option).into_iter().fold(change(t.bundle()), |b, m| b.push("/mounts", m));
        let bundle = bundle.set("/root/readonly", false).probe(&words);
        bundle.write();
        let said = caller.run(&bundle);
        let lines: Vec<Value> = said.stdout.lines().filter_map(|line| line.parse().ok()).collect();
        let won = match said.code {
            0 => wrong(&lines, &words),
            code => Some(format!("exit {code}: {}", said.stderr.trim())),
        };
        score.attempt(won.map(|how| format!("{count}: {how}")));
    }
    score.end();
}

/// Around the number of registers, around what fits into a byte, and far beyond.
const COUNTS: [usize; 11] = [60, 79, 80, 81, 82, 94, 97, 127, 255, 257, 1000];

fn binds(t: &Test) {
    try_all(t, "many bind mounts do not all work", "ro", &COUNTS, |bundle| bundle);
}

fn binds_in_a_user_namespace(t: &Test) {
    let what = "many bind mounts in a user namespace do not all work";
    try_all(t, what, "ro", &COUNTS, |bundle| bundle.user_namespace(200_000));
}

fn idmapped(t: &Test) {
    t.only_orlop("it does not have this option");
    let what = "many idmapped mounts do not all work";
    try_all(t, what, "idmap", &COUNTS, |bundle| bundle.user_namespace(200_000));
}

/// The host side waits for the exit of a first process there, which waits for mounts.
fn idmapped_in_a_pid_namespace(t: &Test) {
    t.only_orlop("it creates the process in another way");
    let mut score =
        Score::new(t, "many idmapped mounts in another container's pid namespace do not all work");
    let other = t.bundle().probe("sleep").start();
    let all = sources(t, 82);
    let maps = json!([{"containerID": 0, "hostID": 200_000, "size": 65536}]);
    for count in [30, 82] {
        let words = words(count);
        let bundle = mounts(&all[..count], "ro").into_iter().fold(t.bundle(), |bundle, mut mount| {
            mount["uidMappings"] = maps.clone();
            mount["gidMappings"] = maps.clone();
            bundle.push("/mounts", mount)
        });
        let bundle = bundle.join("pid", &format!("/proc/{}/ns/pid", other.pid()));
        let said = bundle.set("/root/readonly", false).probe(&words).try_run();
        let won = match said.code() {
            0 => wrong(&said.lines(), &words),
            code => Some(format!("exit {code}: {}", said.stderr.trim())),
        };
        score.attempt(won.map(|how| format!("{count}: {how}")));
    }
    score.end();
}

fn hot_binds(t: &Test) {
    t.only_orlop("its command is experimental");
    let mut score = Score::new(t, "mounts add of many mounts: not all work");
    let counts = [60, 79, 81, 95, 257];
    let all = sources(t, 257);
    for count in counts {
        let container = t.bundle().set("/root/readonly", false).probe("sleep").start();
        let list = t.dir().join("list");
        fs::write(&list, Value::from(mounts(&all[..count], "ro")).to_string()).unwrap();
        let caller = Caller::new(t);
        let said = caller.call(&["mounts", "add", container.id(), &list.to_string_lossy()]);
        let words = words(count);
        let won = match said.code {
            0 => wrong(&container.exec(&words).success().lines(), &words),
            code => Some(format!("exit {code}: {}", said.stderr.trim())),
        };
        score.attempt(won.map(|how| format!("{count}: {how}")));
        assert!(lines(&container).is_empty());
    }
    score.end();
}
