//! Cgroups on the real kernel, with the hierarchies of this host. A test that cannot run here is skipped, with the
//! reason.
#![allow(unsafe_code, clippy::unwrap_used, clippy::panic)]

#[path = "cgroup/devices.rs"]
mod devices;
#[path = "cgroup/host.rs"]
mod host;
#[path = "cgroup/trees.rs"]
mod trees;

use host::{Host, clone_into, enter, wait};
use orlop::bundle::spec::{Cpu, HugepageLimit, Memory, Pids, Resources};
use orlop::cgroup::systemd::{Systemd, SystemdBus};
use orlop::cgroup::{Cgroup, CgroupOptions, CgroupPath, Controller, FreezerState};
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let cases = kit::plain_cases![
        a_cgroup_is_created_joined_listed_killed_and_removed,
        descendants_are_removed_too,
        memory_limits_can_be_raised_and_lowered,
        a_memory_limit_below_usage_is_explained,
        an_oom_kill_is_reported_with_limit_and_usage,
        a_cgroup_that_allows_no_task_can_be_joined,
        cpu_limits_are_written_and_updated,
        processes_are_frozen_and_thawed,
        processes_are_frozen_and_thawed_on_cgroup2,
        processes_that_fork_are_killed,
        a_signal_is_sent_to_all_processes,
        a_killed_cgroup_is_created_again_before_processes_are_cloned_into_it,
        hugetlb_limits_are_written_and_measured,
        a_refused_value_is_reported_and_no_directory_is_left,
        missing_parents_are_created_with_cpus,
        pressure_is_measured_on_cgroup2,
        a_parent_with_processes_cannot_have_a_limited_child_on_cgroup2,
        a_child_of_a_threaded_cgroup_is_threaded,
        without_systemd_connecting_fails_with_one_sentence,
    ];
    kit::main_plain(cases.into_iter().chain(trees::cases()).chain(devices::cases()).collect())
}

fn pid(child: &Child) -> i32 {
    child.id() as i32
}

fn a_cgroup_is_created_joined_listed_killed_and_removed() {
    let host = Host::new("life");
    let (cgroup, join) = host.create(&Resources::default()).unwrap();
    assert!(cgroup.paths().all(Path::is_dir));
    assert!(cgroup.processes().unwrap().is_empty());
    let mut child = enter(&join, &cgroup, "exec sleep 600");
    assert_eq!(cgroup.processes().unwrap(), [pid(&child)]);
    let seen = Cgroup::of_process(&host.layout, pid(&child)).unwrap();
    assert_eq!(seen.record().v1, cgroup.record().v1);

    let e = host.create(&Resources::default()).unwrap_err();
    assert!(e.to_string().contains("container's cgroup is not empty"), "{e}");
    let e = cgroup.remove_within(Duration::from_millis(20)).unwrap_err();
    assert!(e.to_string().contains(&pid(&child).to_string()), "{e}");

    let again = Cgroup::open(cgroup.record().clone());
    let mut second = Command::new("sleep").arg("600").spawn().unwrap();
    again.add(pid(&second)).unwrap();
    assert_eq!(again.processes().unwrap().len(), 2);
    cgroup.kill(Duration::from_secs(10)).unwrap();
    assert!(cgroup.processes().unwrap().is_empty());
    child.wait().unwrap();
    second.wait().unwrap();
    cgroup.remove().unwrap();
    assert!(!cgroup.exists().unwrap());
    cgroup.remove().unwrap();
}

fn descendants_are_removed_too() {
    let host = Host::new("below");
    let (cgroup, _join) = host.create(&Resources::default()).unwrap();
    for path in cgroup.paths() {
        std::fs::create_dir_all(path.join("a/b")).unwrap();
        std::fs::create_dir(path.join("c")).unwrap();
    }
    let inner = cgroup.sub(None, &CgroupPath::sub("c").unwrap()).unwrap();
    assert!(inner.exists().unwrap());
    cgroup.remove().unwrap();
    assert!(!cgroup.exists().unwrap() && !inner.exists().unwrap());
}

fn limits(memory: Option<(i64, Option<i64>)>, pids: Option<i64>) -> Resources {
    Resources {
        memory: memory.map(|(limit, swap)| Memory { limit: Some(limit), swap, ..Memory::default() }),
        pids: pids.map(|limit| Pids { limit: Some(limit) }),
        ..Resources::default()
    }
}

fn memory_limits_can_be_raised_and_lowered() {
    let host = Host::new("memory");
    host.needs(Controller::Memory);
    let mib = |n: i64| n << 20;
    let (cgroup, _join) = host.create(&limits(Some((mib(64), None)), None)).unwrap();
    let limit = |c: &Cgroup| Host::read(c, Controller::Memory, "memory.limit_in_bytes", "memory.max");
    assert_eq!(limit(&cgroup), mib(64).to_string());
    let swap_file = cgroup
        .record()
        .v1_of(Controller::Memory)
        .map_or("memory.swap.max", |_| "memory.memsw.limit_in_bytes");
    let swap = cgroup.paths().any(|d| d.join(swap_file).exists());
    if !swap {
        kit::skip("no swap accounting");
    }
    // Each order of the two files is the only right one for one of these.
    for (memory, both) in [(32, 48), (128, 256), (16, 16), (-1, -1), (8, 9)] {
        let at = |n: i64| if n < 0 { n } else { mib(n) };
        cgroup.update(&host.layout, &limits(Some((at(memory), Some(at(both)))), None)).unwrap();
        let stats = cgroup.stats().unwrap().memory.unwrap();
        assert_eq!(stats.memory.limit, u64::try_from(at(memory)).ok());
        let seen = stats.memory_and_swap.map(|c| c.limit).or(stats.swap.map(|c| c.limit)).unwrap();
        let expected = if stats.memory_and_swap.is_some() { at(both) } else { at(both) - at(memory).max(0) };
        assert_eq!(seen, u64::try_from(expected).ok());
    }
}

fn a_memory_limit_below_usage_is_explained() {
    let host = Host::new("oom");
    host.needs(Controller::Memory);
    let (cgroup, join) = host.create(&limits(Some((64 << 20, None)), None)).unwrap();
    // `tail` holds the bytes until its input ends. How much a shell needs for a variable differs from shell to shell.
    let script =
        "exec 3>&1; { head -c 12000000 /dev/zero; echo full >&3; sleep 600; } | tail -c 12000000 >/dev/null";
    let mut child = enter(&join, &cgroup, script);
    let mut word = [0; 5];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut word).unwrap();
    let mut small = limits(Some((1 << 20, None)), None);
    small.memory.as_mut().unwrap().check_before_update = Some(true);
    let e = cgroup.update(&host.layout, &small).unwrap_err();
    assert!(e.to_string().contains("rejecting memory limit 1048576: below current usage"), "{e}");
    assert!(cgroup.out_of_memory().unwrap().is_none());
    // Without the check v1 refuses with the numbers (or swaps), and v2 kills.
    small.memory.as_mut().unwrap().check_before_update = None;
    match cgroup.update(&host.layout, &small) {
        Err(e) => {
            assert!(e.to_string().contains("unable to set memory limit to 1048576 (current usage: "), "{e}");
        }
        Ok(_) => println!("the kernel has reclaimed memory for a limit below the usage"),
    }
    cgroup.kill(Duration::from_secs(10)).unwrap();
    child.wait().unwrap();
}

fn an_oom_kill_is_reported_with_limit_and_usage() {
    let host = Host::new("oomkill");
    host.needs(Controller::Memory);
    let (cgroup, join) = host.create(&limits(Some((4 << 20, Some(4 << 20))), None)).unwrap();
    let mut child = enter(&join, &cgroup, "exec tail /dev/zero");
    assert!(!child.wait().unwrap().success());
    let text = cgroup.out_of_memory().unwrap().unwrap().to_string();
    assert!(text.contains("unable to set memory limit to 4194304 (current usage: "), "{text}");
    assert!(text.contains("/linux/resources/memory/limit"), "{text}");
}

fn a_cgroup_that_allows_no_task_can_be_joined() {
    let host = Host::new("pids");
    host.needs(Controller::Pids);
    let (cgroup, join) = host.create(&limits(None, Some(0))).unwrap();
    assert!(join.directory().is_none());
    assert_eq!(Host::read(&cgroup, Controller::Pids, "pids.max", "pids.max"), "0");
    let mut child = enter(&join, &cgroup, "/bin/true || exit 7; exit 8");
    assert_ne!(child.wait().unwrap().code(), Some(8), "a fork was possible");
    cgroup.update(&host.layout, &limits(None, Some(-1))).unwrap();
    assert_eq!(cgroup.stats().unwrap().pids.unwrap().limit, None);
}

fn cpu_limits_are_written_and_updated() {
    let host = Host::new("cpu");
    host.needs(Controller::Cpu);
    host.needs(Controller::CpuSet);
    let cpu = |quota, period, shares| Resources {
        cpu: Some(Cpu { quota, period, shares, cpus: Some("0".into()), ..Cpu::default() }),
        ..Resources::default()
    };
    let (cgroup, join) = host.create(&cpu(Some(20_000), Some(50_000), Some(512))).unwrap();
    assert_eq!(Host::read(&cgroup, Controller::CpuSet, "cpuset.cpus", "cpuset.cpus"), "0");
    let max = |c: &Cgroup| Host::read(c, Controller::Cpu, "cpu.cfs_quota_us", "cpu.max");
    assert!(["20000", "20000 50000"].contains(&max(&cgroup).as_str()));
    cgroup.update(&host.layout, &cpu(None, Some(100_000), None)).unwrap();
    assert!(["20000", "20000 100000"].contains(&max(&cgroup).as_str()));
    cgroup.update(&host.layout, &cpu(Some(-1), None, None)).unwrap();
    assert!(["-1", "max 100000"].contains(&max(&cgroup).as_str()));
    let mut child = enter(&join, &cgroup, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");
    child.wait().unwrap();
    let stats = cgroup.stats().unwrap().cpu.unwrap();
    assert!(stats.usage > 0 && stats.throttling.is_some());
}

fn processes_are_frozen_and_thawed() {
    let host = Host::new("freeze");
    check_freezing(&host);
}

fn processes_are_frozen_and_thawed_on_cgroup2() {
    let host = Host::unified("freeze2");
    check_freezing(&host);
}

fn check_freezing(host: &Host) {
    let (cgroup, join) = host.create(&Resources::default()).unwrap();
    let out = std::env::temp_dir().join(format!("{}-ticks", host.path.name()));
    let mut child =
        enter(&join, &cgroup, &format!("while :; do echo x >> {}; sleep 0.01; done", out.display()));
    let ticks = || std::fs::metadata(&out).map_or(0, |m| m.len());
    let until = |what: &dyn Fn() -> bool| {
        let end = Instant::now() + Duration::from_secs(20);
        while !what() {
            assert!(Instant::now() < end, "timed out");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    until(&|| ticks() > 2);
    cgroup.freeze(Duration::from_secs(10)).unwrap();
    assert_eq!(cgroup.freezer_state().unwrap(), FreezerState::Frozen);
    let then = ticks();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(ticks(), then);
    cgroup.thaw().unwrap();
    assert_eq!(cgroup.freezer_state().unwrap(), FreezerState::Thawed);
    until(&|| ticks() > then);
    // A frozen cgroup can be killed.
    cgroup.freeze(Duration::from_secs(10)).unwrap();
    cgroup.kill(Duration::from_secs(10)).unwrap();
    child.wait().unwrap();
    // A frozen cgroup is not reused.
    if cgroup.freezer_state().unwrap() == FreezerState::Thawed {
        cgroup.freeze(Duration::from_secs(10)).unwrap();
    }
    let e = host.create(&Resources::default()).unwrap_err();
    assert!(e.to_string().contains("container's cgroup unexpectedly frozen"), "{e}");
    std::fs::remove_file(out).unwrap();
    cgroup.remove().unwrap();
}

fn processes_that_fork_are_killed() {
    let host = Host::new("forks");
    let (cgroup, join) = host.create(&limits(None, host.has(Controller::Pids).then_some(60))).unwrap();
    let script = "f() { while :; do (sleep 0.001; f) & sleep 0.01; done; }; f 2>/dev/null";
    let mut child = enter(&join, &cgroup, script);
    std::thread::sleep(Duration::from_millis(100));
    cgroup.kill(Duration::from_secs(20)).unwrap();
    child.wait().unwrap();
    cgroup.remove().unwrap();
}

fn a_signal_is_sent_to_all_processes() {
    let host = Host::new("signal");
    let (cgroup, join) = host.create(&Resources::default()).unwrap();
    let mut child = enter(&join, &cgroup, "sleep 600 & exec sleep 600");
    while cgroup.processes().unwrap().len() < 2 {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(cgroup.signal(libc::SIGTERM).unwrap(), 2);
    child.wait().unwrap();
    cgroup.remove().unwrap();
}

fn a_killed_cgroup_is_created_again_before_processes_are_cloned_into_it() {
    let host = Host::unified("killed");
    let (cgroup, join) = host.create(&Resources::default()).unwrap();
    let pause = || {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() }
    };
    let child = clone_into(&join, pause);
    assert_eq!(cgroup.processes().unwrap(), [child]);
    assert_eq!(Cgroup::of_process(&host.layout, child).unwrap().record().unified, cgroup.record().unified);
    cgroup.kill(Duration::from_secs(10)).unwrap();
    assert_eq!(wait(child), libc::SIGKILL);
    // The directory is still there: the same path again.
    let (_cgroup, mut join) = host.create(&Resources::default()).unwrap();
    assert_eq!(wait(clone_into(&join, || 5)), 5 << 8);
    join.use_files().unwrap();
    assert!(join.directory().is_none() && join.files().len() == 1);
}

fn hugetlb_limits_are_written_and_measured() {
    let host = Host::new("huge");
    host.needs(Controller::HugeTlb);
    let limit = HugepageLimit { page_size: "2MB".into(), limit: 4 << 20 };
    let resources = Resources { hugepage_limits: vec![limit], ..Resources::default() };
    let (cgroup, join) = host.create(&resources).unwrap();
    let mut child = enter(&join, &cgroup, "exec sleep 600");
    let stats = cgroup.stats().unwrap();
    assert_eq!(stats.hugetlb["2MB"].used.limit, Some(4 << 20));
    assert_eq!(cgroup.processes().unwrap(), [pid(&child)]);
    cgroup.kill(Duration::from_secs(10)).unwrap();
    child.wait().unwrap();
    let unknown = HugepageLimit { page_size: "3MB".into(), limit: 4 };
    cgroup.remove().unwrap();
    let e = host.create(&Resources { hugepage_limits: vec![unknown], ..Resources::default() }).unwrap_err();
    assert_eq!(e.pointer(), Some("/linux/resources/hugepageLimits/0/limit"));
    assert!(!cgroup.exists().unwrap(), "a failed creation leaves nothing");
}

fn a_refused_value_is_reported_and_no_directory_is_left() {
    let host = Host::new("refused");
    host.needs(Controller::CpuSet);
    let cpu = Cpu { cpus: Some("1000-1001".into()), ..Cpu::default() };
    let e = host.create(&Resources { cpu: Some(cpu), ..Resources::default() }).unwrap_err();
    let text = e.to_string();
    assert_eq!(e.pointer(), Some("/linux/resources/cpu/cpus"));
    assert!(text.contains("cpuset.cpus") && text.contains("1000-1001"), "{text}");
    assert!(e.errno().is_some());
    let left: Vec<_> = host.layout.directories(&host.path).unwrap();
    assert!(left.iter().all(|d| !d.exists()));
}

fn missing_parents_are_created_with_cpus() {
    let host = Host::new("parents");
    let path = CgroupPath::new(&format!("{}/a/b", host.path)).unwrap();
    let (cgroup, join) =
        Cgroup::create(&host.layout, &path, &Resources::default(), &CgroupOptions::default()).unwrap();
    let mut child = enter(&join, &cgroup, "exit 0");
    assert!(child.wait().unwrap().success());
    cgroup.remove().unwrap();
}

fn pressure_is_measured_on_cgroup2() {
    let host = Host::unified("psi");
    let (cgroup, _join) = host.create(&Resources::default()).unwrap();
    let cpu = cgroup.stats().unwrap().cpu.unwrap();
    if !cgroup.record().unified.as_ref().unwrap().join("cpu.pressure").exists() {
        kit::skip("the kernel has no pressure stall information");
    }
    assert!(cpu.pressure.is_some());
}

/// Creates the cgroup of `host` by hand, with a process in it.
fn occupied_parent(host: &Host) -> (std::path::PathBuf, Child) {
    let parent = host.layout.unified_directory(&host.path).unwrap().unwrap();
    std::fs::create_dir(&parent).unwrap();
    let child = Command::new("sleep").arg("600").spawn().unwrap();
    std::fs::write(parent.join("cgroup.procs"), child.id().to_string()).unwrap();
    (parent, child)
}

fn a_parent_with_processes_cannot_have_a_limited_child_on_cgroup2() {
    let host = Host::unified("internal");
    host.needs(Controller::HugeTlb);
    let (parent, mut child) = occupied_parent(&host);
    let path = CgroupPath::new(&format!("{}/inner", host.path)).unwrap();
    let limit = HugepageLimit { page_size: "2MB".into(), limit: 4 << 20 };
    let resources = Resources { hugepage_limits: vec![limit], ..Resources::default() };
    let e = Cgroup::create(&host.layout, &path, &resources, &CgroupOptions::default()).unwrap_err();
    assert_eq!(e.pointer(), Some("/linux/resources/hugepageLimits/0/limit"), "{e}");
    assert!(e.hint().unwrap().contains("holds processes itself"), "{e}");
    let kind = std::fs::read_to_string(parent.join("cgroup.type")).unwrap();
    assert_eq!(kind.trim(), "domain", "the parent is left as it was");
    // Without a limit there is no need for the controller.
    let (cgroup, join) =
        Cgroup::create(&host.layout, &path, &Resources::default(), &CgroupOptions::default()).unwrap();
    assert_eq!(wait(clone_into(&join, || 3)), 3 << 8);
    cgroup.remove().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}

fn a_child_of_a_threaded_cgroup_is_threaded() {
    let host = Host::unified("threaded");
    let parent = host.layout.unified_directory(&host.path).unwrap().unwrap();
    std::fs::create_dir(&parent).unwrap();
    std::fs::write(parent.join("cgroup.type"), "threaded").unwrap();
    let path = CgroupPath::new(&format!("{}/inner", host.path)).unwrap();
    let (cgroup, _join) =
        Cgroup::create(&host.layout, &path, &Resources::default(), &CgroupOptions::default()).unwrap();
    let kind =
        std::fs::read_to_string(cgroup.record().unified.as_ref().unwrap().join("cgroup.type")).unwrap();
    assert_eq!(kind.trim(), "threaded");
    if host.has(Controller::HugeTlb) {
        cgroup.remove().unwrap();
        let limit = HugepageLimit { page_size: "2MB".into(), limit: 4 << 20 };
        let resources = Resources { hugepage_limits: vec![limit], ..Resources::default() };
        let e = Cgroup::create(&host.layout, &path, &resources, &CgroupOptions::default()).unwrap_err();
        assert!(e.to_string().contains("domain controller hugetlb"), "{e}");
        assert_eq!(e.pointer(), Some("/linux/resources/hugepageLimits/0/limit"));
    }
}

fn without_systemd_connecting_fails_with_one_sentence() {
    if Path::new("/run/systemd/system").exists() {
        kit::skip("systemd runs here");
    }
    let e = Systemd::connect(&SystemdBus::system()).unwrap_err();
    assert_eq!(e.to_string(), "systemd not running on this host, cannot use systemd cgroups manager");
}
