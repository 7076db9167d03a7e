//! Errors that hide their reason: with the wrong one, users look in the wrong place and believe the wrong thing.

use kit::{Bundle, Case, Output, Score, Test, json};
use std::fs;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        second_process,
        caller_in_a_chroot,
        caller_at_its_pids_limit,
        few_descriptors,
        oom_score_without_permission
    ]
}

/// Texts that belong to other errors.
const WRONG: [&str; 4] =
    ["/stat", "start.sock", "address already in use", "no cgroup file system is mounted"];

/// One of `reasons` must be in the error, and none of the wrong ones.
fn judge(score: &mut Score, name: &str, output: &Output, reasons: &[&str]) {
    let said = output.stderr.trim();
    let good = output.code() != 0
        && reasons.iter().any(|reason| said.contains(reason))
        && !WRONG.iter().any(|wrong| said.contains(wrong));
    score.attempt((!good).then(|| format!("{name}: exit {}: {said}", output.code())));
}

/// The container's user namespace is created in a second process, and so is a process in a joined pid namespace.
fn two_stages(bundle: Bundle<'_>) -> Bundle<'_> {
    let map = json!([{"containerID": 0, "hostID": 0, "size": 1000}]);
    bundle.namespace("user").set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map)
}

fn second_process(t: &Test) {
    let mut score =
        Score::new(t, "the second process cannot be created: the error gives another reason (by case)");
    for limit in ["pid", "user", "mnt", "net", "uts", "ipc"] {
        let bundle = two_stages(t.bundle()).remove("/linux/cgroupsPath").remove("/linux/resources");
        let call = bundle.command("run", &[]).wrap("userns").wrap("mounts").wrap(&format!("none={limit}"));
        judge(
            &mut score,
            &format!("user.max_{limit}_namespaces is 0"),
            &call.output(),
            &["ENOSPC", "no space left", "max_"],
        );
    }
    if t.has_v1("pids") {
        let holder = t.bundle().probe("sleep").start();
        let bundle = t.bundle().join("pid", &format!("/proc/{}/ns/pid", holder.pid()));
        let output = bundle.set("/linux/resources/pids", json!({"limit": 1})).try_run();
        judge(&mut score, "pids.limit is 1", &output, &["EAGAIN", "resource temporarily unavailable"]);
    }
    // A bind mount keeps a pid namespace after its processes have exited.
    let bound = t.dir().join("pid-namespace");
    fs::write(&bound, "").unwrap();
    let holder = t.bundle().probe("sleep").start();
    let (source, none) = (format!("/proc/{}/ns/pid", holder.pid()), None::<&str>);
    nix::mount::mount(Some(source.as_str()), &bound, none, nix::mount::MsFlags::MS_BIND, none).unwrap();
    holder.kill("KILL");
    holder.wait();
    let output = t.bundle().join("pid", &bound.to_string_lossy()).try_run();
    judge(
        &mut score,
        "the init of the joined pid namespace has exited",
        &output,
        &["ENOMEM", "cannot allocate memory"],
    );
    nix::mount::umount(&bound).unwrap();
    score.end();
}

fn oom_score_without_permission(t: &Test) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    let all = u64::from_str_radix(line.trim(), 16).unwrap();
    let mut score =
        Score::new(t, "oomScoreAdj below what the caller may set: the error gives another reason (by case)");
    let holder = t.bundle().probe("sleep").start();
    let pid = format!("/proc/{}/ns/pid", holder.pid());
    let cases: [(&str, Bundle<'_>); 3] = [
        ("plain", t.bundle()),
        ("in a joined pid namespace", t.bundle().join("pid", &pid)),
        ("in a user namespace", two_stages(t.bundle()).owned_by(0)),
    ];
    for (name, bundle) in cases {
        let bundle = bundle.set("/process/oomScoreAdj", -900);
        let call = bundle.command("run", &[]);
        // CAP_SYS_RESOURCE, which root has on most machines.
        let call = if all & 1 << 24 == 0 { call } else { call.wrap("userns").wrap("mounts") };
        judge(&mut score, name, &call.output(), &["oom_score_adj", "EACCES"]);
    }
    score.end();
}

/// A caller in a chroot(2) may not create user namespaces.
fn caller_in_a_chroot(t: &Test) {
    let mut score = Score::new(
        t,
        "the caller is in a chroot and cannot create user namespaces: the error gives another reason",
    );
    let cage = t.dir().join("cage");
    fs::create_dir(&cage).unwrap();
    let runtime = t.dir().join("runtime");
    fs::copy(t.program(), &runtime).unwrap();
    for verb in ["run", "create"] {
        let bundle = two_stages(t.bundle());
        bundle.write();
        t.adopt(bundle.id());
        let words = [verb, "--bundle", &bundle.dir().to_string_lossy(), bundle.id()].map(str::to_owned);
        let output = t.bare(words).root(&t.root()).wrap(&format!("chroot={}", cage.display()));
        let output = output.program(&runtime).output();
        judge(&mut score, verb, &output, &["EPERM", "chroot"]);
    }
    score.end();
}

/// No process can be created: neither in its cgroup, nor outside of it.
fn caller_at_its_pids_limit(t: &Test) {
    let mut score =
        Score::new(t, "the caller's cgroup is at its pids limit: the error gives another reason (by case)");
    let home = t.v1("pids", &t.id());
    fs::create_dir(&home).unwrap();
    fs::write(home.join("pids.max"), "1").unwrap();
    for layout in ["v1", "cgroup2"] {
        for verb in ["run", "create"] {
            let mut bundle = t.bundle();
            if layout == "cgroup2" {
                bundle = bundle.remove("/linux/resources").only_mounts(&["/proc", "/dev", "/sys"]);
            }
            let mut call = bundle.command(verb, &[]).wrap(&format!("cgroup={}", home.display()));
            if layout == "cgroup2" {
                call = call.wrap("cgroup2");
            }
            let output = call.output();
            judge(
                &mut score,
                &format!("{layout}, {verb}"),
                &output,
                &["EAGAIN", "resource temporarily unavailable"],
            );
        }
    }
    fs::remove_dir(&home).unwrap();
    score.end();
}

/// The error must not say that the host lacks what was not checked, nor may a container run without what it
/// requests.
fn few_descriptors(t: &Test) {
    let what = "few descriptors (RLIMIT_NOFILE from 4 to 40): a wrong reason, a container without a cgroup, or something left";
    let mut score = Score::new(t, what);
    for limit in 4..40 {
        for asks in [true, false] {
            let mut bundle = t.bundle().remove("/process/rlimits");
            if !asks {
                // Only the rule that a container has a cgroup.
                bundle = bundle.remove("/linux/resources").only_mounts(&["/proc", "/dev"]);
            }
            let output = bundle.command("run", &[]).wrap(&format!("nofile={limit}")).output();
            let won = without_descriptors(&bundle, &output);
            let left = t.leaks_of(bundle.id());
            let won = won.or((!left.is_empty()).then(|| format!("left {left:?}")));
            score.attempt(won.map(|how| format!("{limit}, limits {asks}: {how}")));
            if !left.is_empty() {
                // The state of a container that never existed.
                t.runtime(["delete", "--force", bundle.id()]).output();
            }
        }
    }
    score.end();
}

fn without_descriptors(bundle: &Bundle<'_>, output: &Output) -> Option<String> {
    let said = output.stderr.trim();
    if output.code() == 0 {
        let cgroup = output.json()["cgroup"].to_string();
        return (!cgroup.contains(bundle.id())).then(|| format!("it runs in {cgroup}"));
    }
    let wrong = WRONG.iter().any(|wrong| said.contains(wrong));
    let reason =
        ["EMFILE", "too many open files", "Too many open files"].iter().any(|reason| said.contains(reason));
    (wrong || !reason).then(|| said.to_owned())
}
