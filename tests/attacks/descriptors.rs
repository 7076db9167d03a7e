//! Descriptors of the runtime that end up in a container because more are preserved than the caller has open.

use kit::{Case, Score, Test, Value};
use orlop::container::{CreateOptions, ExecOptions, Runtime, Stdio};
use std::fs::{self, File};
use std::path::Path;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![preserved_by_the_library, preserved_by_the_command]
}

fn output_to(path: &Path) -> Stdio {
    let file = || File::options().append(true).create(true).open(path).unwrap().into();
    Stdio::Fds([File::open("/dev/null").unwrap().into(), file(), file()])
}

/// The first descriptor in a report that belongs to the runtime and was not open in the caller before.
fn foreign(report: &Value, before: &[String]) -> Option<String> {
    let list = report["fds"].as_object().cloned().unwrap_or_default();
    let of_runtime = |link: &str| {
        link.starts_with("/memfd:orlop")
            || link.starts_with("anon_inode:[pidfd]")
            || (link.starts_with("socket:") && !before.iter().any(|known| known == link))
    };
    list.iter().find_map(|(number, link)| {
        let link = link.as_str().unwrap_or_default();
        of_runtime(link).then(|| format!("descriptor {number} in the container is {link}"))
    })
}

fn own_descriptors() -> Vec<String> {
    let entries = fs::read_dir("/proc/self/fd").unwrap().flatten();
    entries
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|to| to.to_string_lossy().into_owned())
        .collect()
}

/// The last complete line that a container has printed.
fn last(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().last().and_then(|line| line.parse().ok()).unwrap_or_default()
}

/// The library is called by a program with many descriptors and threads: this one.
fn preserved_by_the_library(t: &Test) {
    let what = "CreateOptions and ExecOptions::preserve_fds above the open descriptors: the container gets the control socket or the plan";
    let mut score = Score::new(t, what);
    let bundle = t.bundle().probe("report , sleep");
    bundle.write();
    let bundle = orlop::bundle::Bundle::load(bundle.dir()).unwrap();
    let runtime = Runtime::new(t.root()).unwrap();
    for (listen_fds, preserve_fds) in
        [(0, 8), (0, 40), (0, 200), (0, 600), (3, 100), (600, 0), (0, u32::MAX - 3)]
    {
        let (id, out) = (t.id(), t.dir().join(format!("out-{listen_fds}-{preserve_fds}")));
        let before = own_descriptors();
        let options =
            CreateOptions { preserve_fds, listen_fds, stdio: output_to(&out), ..CreateOptions::default() };
        // A refusal is fine, too.
        let made = runtime
            .create(&id, &bundle, &options)
            .and_then(|container| container.start().map(|()| container));
        let won = made.ok().and_then(|container| {
            t.wait_for("a report", || last(&out).is_object());
            // Other threads may have opened descriptors meanwhile.
            let won = foreign(&last(&out), &[before, own_descriptors()].concat());
            let out = t.dir().join(format!("exec-{listen_fds}-{preserve_fds}"));
            let mut process = container.spec().unwrap().process.unwrap();
            process.args = ["/probe", "report"].map(String::from).to_vec();
            let before = own_descriptors();
            let options = ExecOptions { preserve_fds, stdio: output_to(&out), ..ExecOptions::default() };
            let exec = container.exec(&process, &options).ok().and_then(|child| {
                child.wait().unwrap();
                foreign(&last(&out), &[before, own_descriptors()].concat())
            });
            container.delete(true).unwrap();
            won.or(exec.map(|what| format!("exec: {what}")))
        });
        score.attempt(won.map(|what| format!("{preserve_fds} kept, {listen_fds} listened on: {what}")));
    }
    score.end();
}

fn preserved_by_the_command(t: &Test) {
    let what = "--preserve-fds and LISTEN_FDS above the open descriptors";
    let mut score = Score::new(t, what);
    for count in ["1", "5", "20", "100", "4294967295", "4294967296", "-1"] {
        for listen in ["", "5", "4000000000"] {
            let bundle = t.bundle().probe("report");
            let flag = format!("--preserve-fds={count}");
            let call = bundle.command("run", &[&flag]).env("LISTEN_FDS", listen);
            let output = call.output();
            let won = if output.code() == 0 { foreign(&output.json(), &[]) } else { None };
            score.attempt(won.map(|what| format!("{count} kept, {listen:?} listened on: {what}")));
        }
    }
    score.end();
}
