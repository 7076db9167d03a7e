//! Kernel parameters of a namespace that the configuration names and that is the host's own.

use kit::{Case, Score, Test, json};
use std::fs;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![sysctl_in_the_hosts_namespace]
}

fn sysctl_in_the_hosts_namespace(t: &Test) {
    let mut score = Score::new(t, "a sysctl is written although its namespace is the host's, named by path");
    let parameters = [
        ("network", "net", "net.ipv4.ip_unprivileged_port_start"),
        ("network", "net", "net/ipv4/ip_forward"),
        ("ipc", "ipc", "kernel.shm_rmid_forced"),
        ("ipc", "ipc", "kernel.msgmax"),
        ("ipc", "ipc", "fs.mqueue.msg_max"),
        ("uts", "uts", "kernel.domainname"),
    ];
    let bound = t.dir().join("namespace");
    fs::write(&bound, "").unwrap();
    for (kind, file, name) in parameters {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        let Ok(now) = fs::read_to_string(&path) else { continue };
        let link = t.dir().join("link");
        std::os::unix::fs::symlink(format!("/proc/self/ns/{file}"), &link).unwrap();
        let none = None::<&str>;
        let own = format!("/proc/self/ns/{file}");
        nix::mount::mount(Some(own.as_str()), &bound, none, nix::mount::MsFlags::MS_BIND, none).unwrap();
        let pid = std::process::id();
        let places = [
            own.clone(),
            format!("/proc/1/ns/{file}"),
            format!("/proc/{pid}/ns/{file}"),
            link.display().to_string(),
            bound.display().to_string(),
        ];
        for place in places {
            // The current value: writing it does no harm, and success shows the flaw.
            let bundle = t.bundle().join(kind, &place).set("/linux/sysctl", json!({name: now.trim()}));
            let bundle = if kind == "uts" { bundle.remove("/hostname") } else { bundle };
            // The sysfs of another network namespace and message queues do not matter here.
            let output = bundle.only_mounts(&["/proc"]).probe("exit 0").try_run();
            score.attempt((output.code() == 0).then(|| format!("{name} with {place}")));
        }
        nix::mount::umount(&bound).unwrap();
        fs::remove_file(&link).unwrap();
    }
    score.end();
}
