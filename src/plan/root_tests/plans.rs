//! The plans that are followed: every recorded configuration, changed in ways that change what the root is; and every
//! plan that no configuration asks for.

use super::super::blob::{HEADER, INSN};
use super::*;

pub(super) fn host(v2: bool, privileged: bool, kernel: (u32, u32)) -> Host {
    Host { kernel, privileged, makes_namespaces: privileged, apparmor: true, ..made_up::host(v2) }
}

pub(super) fn one() -> Spec {
    recorded().into_iter().find(|(name, _)| name == "docker28-run").unwrap().1
}

pub(super) fn namespace(spec: &mut Spec, kind: &str, path: Option<&str>) {
    let linux = spec.linux.get_or_insert_default();
    linux.namespaces.retain(|namespace| namespace.kind != kind);
    let path = path.map(str::to_owned);
    linux.namespaces.push(crate::bundle::spec::Namespace { kind: kind.into(), path });
}

fn ids() -> Vec<IdMapping> {
    vec![IdMapping { container_id: 0, host_id: 100_000, size: 65_536 }]
}

fn user_namespace(spec: &mut Spec) {
    namespace(spec, "user", None);
    let linux = spec.linux.get_or_insert_default();
    (linux.uid_mappings, linux.gid_mappings) = (ids(), ids());
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: Some(kind.into()),
        source: Some(source.into()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

fn many(spec: &mut Spec, mapped: bool) {
    for n in 0..200 {
        let mut one = mount(&format!("/many/{n}"), "bind", &format!("/srv/{n}"), &["rbind", "ro"]);
        if mapped {
            (one.uid_mappings, one.gid_mappings) = (ids(), ids());
        }
        spec.mounts.push(one);
    }
}

/// Mounts of every kind that matters for where a path is looked up.
fn mounts() -> Vec<Mount> {
    let own = "/var/lib/manager/bundle/rootfs/data";
    vec![
        mount("/disk", "ext4", "/dev/vdb", &["ro"]),
        mount("/layers", "overlay", "overlay", &["lowerdir=/a:/b", "upperdir=/c", "workdir=/d"]),
        mount("/copied", "tmpfs", "tmpfs", &["tmpcopyup", "ro"]),
        mount("/own", "bind", own, &["rbind"]),
        mount("relative", "bind", "below/the/bundle", &["bind", "ro", "rslave"]),
        mount("/proc/driver", "tmpfs", "tmpfs", &[]),
        mount("/sys/kernel", "bind", "/srv", &["bind"]),
        mount("/x/../proc", "bind", "/srv", &["bind"]),
        mount("/proc", "bind", "/srv", &["rbind"]),
        mount("/proc", "proc", "proc", &["hidepid=2"]),
        mount("/sys", "sysfs", "sysfs", &["ro"]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro"]),
        mount("/", "bind", "", &["remount", "bind", "nosuid"]),
        mount("/disk", "", "", &["remount", "rw"]),
        mount("/own", "bind", "", &["remount", "bind", "ro"]),
    ]
}

/// A way to change a configuration.
type Change = fn(&mut Spec);

const CHANGES: [(&str, Change); 14] = [
    ("as it is", |_| {}),
    ("user namespace", user_namespace),
    ("joined user namespace", |spec| namespace(spec, "user", Some("/proc/9/ns/user"))),
    ("joined pid namespace", |spec| namespace(spec, "pid", Some("/proc/9/ns/pid"))),
    ("user namespace, joined pid namespace", |spec| {
        user_namespace(spec);
        namespace(spec, "pid", Some("/proc/9/ns/pid"));
    }),
    ("joined mount namespace", |spec| {
        namespace(spec, "mount", Some("/proc/9/ns/mnt"));
        namespace(spec, "time", None);
        spec.process.get_or_insert_default().apparmor_profile = Some("profile".into());
        let linux = spec.linux.get_or_insert_default();
        linux.time_offsets =
            [("boottime".to_owned(), crate::bundle::spec::TimeOffset { secs: Some(9), nanosecs: Some(0) })]
                .into();
    }),
    ("no mount namespace", |spec| {
        let linux = spec.linux.get_or_insert_default();
        linux.namespaces.retain(|namespace| namespace.kind != "mount");
        (linux.masked_paths, linux.readonly_paths) = (Vec::new(), Vec::new());
        (linux.devices, linux.rootfs_propagation) = (Vec::new(), None);
    }),
    ("200 binds", |spec| many(spec, false)),
    ("200 binds in a user namespace", |spec| {
        user_namespace(spec);
        many(spec, false);
    }),
    ("200 idmapped mounts, joined pid namespace", |spec| {
        namespace(spec, "pid", Some("/proc/9/ns/pid"));
        many(spec, true);
    }),
    ("mounts of every kind", |spec| spec.mounts.extend(mounts())),
    ("shared with the host", |spec| {
        spec.mounts.extend(mounts());
        spec.linux.get_or_insert_default().rootfs_propagation = Some("rshared".into());
    }),
    ("hooks and a filter", |spec| {
        let hook = Hook { path: "/bin/hook".into(), ..Hook::default() };
        let hooks = spec.hooks.get_or_insert_default();
        hooks.create_container.push(hook.clone());
        hooks.start_container.push(hook);
        spec.process.get_or_insert_default().no_new_privileges = false;
    }),
    ("no process", |spec| spec.process = None),
];

fn born_late(spec: &Spec) -> bool {
    let namespaces = spec.linux.iter().flat_map(|linux| &linux.namespaces);
    namespaces.into_iter().any(|namespace| namespace.kind == "pid" && namespace.path.is_some())
}

/// Compiles a configuration for one of eight combinations of hosts and options, and follows the plan, and those that
/// are made from it; how many lookups there were, if there is a plan.
fn follow_variant(name: &str, bundle: &Bundle, n: usize) -> Option<usize> {
    let host = host(name.contains("v2"), n & 4 == 0, if n & 2 == 0 { (6, 18) } else { (5, 14) });
    let options = Options {
        id: "x".into(),
        wait_for_start: n & 1 == 0,
        init: n & 3 == 1,
        no_pivot: n & 3 == 2,
        notify: (n & 1 == 1).then(|| "/run/notify-of-x".to_owned()),
        console: bundle.spec.process.as_ref().is_some_and(|process| process.terminal),
        cgroup_manager: CgroupManager::Cgroupfs,
        ..Options::default()
    };
    let plan = compile(bundle, &host, &options).ok()?;
    let seen = born_late(&bundle.spec);
    let lookups = follow(name, &plan, seen);
    for (joined_by_file, moved, skipped) in
        [(true, false, false), (false, false, true), (true, false, true), (false, true, false)]
    {
        let outcome = CgroupOutcome { joined_by_file, moved, skipped };
        let again = compile_with_cgroup(bundle, &host, &options, outcome).unwrap();
        assert_eq!(
            again.slots, plan.slots,
            "{name}: what was opened for the first plan is used for this one"
        );
        assert!(!joined_by_file || !again.starts_in_cgroup(), "{name}: {again}");
        follow(name, &again, seen);
    }
    if bundle.spec.process.is_some() {
        let points = compile_mount_points(&plan, "/root", host.kernel).unwrap();
        follow(&format!("{name}, mount points"), &points, false);
    }
    Some(lookups)
}

#[test]
fn no_path_of_a_container_is_looked_up_from_the_hosts_root() {
    let mut followed = Vec::new();
    for (i, (name, spec)) in recorded().into_iter().enumerate() {
        for (j, (what, change)) in CHANGES.into_iter().enumerate() {
            if what.starts_with("200") && i % 8 != 0 {
                continue;
            }
            let mut spec = spec.clone();
            change(&mut spec);
            if let Some(linux) = spec.linux.as_mut().filter(|_| !what.contains("filter")) {
                // It takes a long time to compile, and changes nothing here.
                linux.seccomp = None;
            }
            // All eight for each change, by different configurations.
            followed.extend(follow_variant(&format!("{name}, {what}"), &bundle(spec), (i + j) % 8));
        }
    }
    let (plans, lookups) = (followed.len(), followed.iter().sum::<usize>());
    assert!(plans > 300 && lookups > 10_000, "{plans} plans, {lookups} lookups");
}

const ALL: u64 = NamespaceKind::Mount.flag()
    | NamespaceKind::Pid.flag()
    | NamespaceKind::User.flag()
    | NamespaceKind::Network.flag();

#[test]
fn what_joins_a_container_is_in_its_root() {
    for (name, spec) in recorded() {
        let Some(mut process) = spec.process.clone() else { continue };
        for terminal in [false, true] {
            process.terminal = terminal;
            process.apparmor_profile = Some("profile".into());
            let mut spec = spec.clone();
            // See above.
            spec.linux.get_or_insert_default().seccomp = None;
            let bound = Policy::of(&spec, None).bind(&process);
            let options = Options { id: "x".into(), console: terminal, ..Options::default() };
            for namespaces in [ALL, ALL & !NamespaceKind::Mount.flag()] {
                let joined = JoinedContainer { cgroup_files: 3, namespaces, ..JoinedContainer::default() };
                let plan = compile_exec(&bound, &host(false, true, (6, 18)), &options, &joined).unwrap();
                assert!(follow(&format!("exec in {name}"), &plan, true) > 0);
            }
        }
    }
}

#[test]
fn hot_mounts_are_made_in_the_containers_root() {
    let host = host(false, true, (6, 18));
    let mut spec = one();
    spec.mounts = mounts();
    spec.mounts.retain(|mount| mount.kind.as_deref() != Some("cgroup") && mount.destination != "/");
    many(&mut spec, true);
    let path = Path::new("/var/lib/manager/bundle");
    let paths = BundlePaths { bundle: path, rootfs: &path.join("rootfs") };
    let plan = compile_mounts(&spec, paths, &host, ALL).unwrap();
    assert!(follow("mounts add", &plan, false) > 200);
    let places: Vec<&str> = ["/own", "/copied/below", "/x"].into();
    let plan = compile_unmounts(&spec, &places, host.kernel, ALL).unwrap();
    assert_eq!(follow("mounts remove", &plan, false), 3);
}

#[test]
fn hooks_and_services_look_nothing_up_in_a_container() {
    let host = host(false, true, (6, 18));
    let hook = Hook { path: "/bin/hook".into(), ..Hook::default() };
    for root in [false, true] {
        for pid in [None, Some("/proc/9/ns/pid")] {
            for rootfs in [ContainerRoot::At("/bundle/rootfs"), ContainerRoot::OverHost] {
                let place = HookPlace::Container { namespaces: ALL, pid, cgroup_files: 2, root, rootfs };
                let plan = compile_hook(&hook, host.kernel, place).unwrap();
                assert_eq!(follow("a createContainer hook", &plan, false), 0);
            }
        }
    }
    let plan = compile_hook(&hook, host.kernel, HookPlace::Host("/bundle")).unwrap();
    assert_eq!(follow("a hook of the host", &plan, false), 0);
    for root in [None, Some("/mnt")] {
        let words = ["criu".to_owned()];
        let service = Service {
            program: "/sbin/criu",
            args: &words,
            env: &[],
            cgroup_files: 2,
            root,
            session: true,
            keep: 3,
        };
        assert_eq!(follow("criu", &compile_service(&service, host.kernel).unwrap(), false), 0);
    }
    follow("loopback", &compile_loopback(host.kernel).unwrap(), false);
    follow("a read-only root", &compile_readonly_root(host.kernel).unwrap(), false);
    let options = Box::new(MountOptions::default());
    for user in [None, Some("/proc/9/ns/user".to_owned())] {
        let proc = Slot::Proc { namespace: Some("/proc/9/ns/pid".into()), user, options: options.clone() };
        for kernel in [(6, 17), (6, 18)] {
            follow("a procfs", &compile_proc(&proc, kernel).unwrap(), false);
        }
    }
}

/// What is wrong with a plan of which the lines, or the instructions, were changed.
fn broken(lines: impl Fn(&mut Vec<Line>), instructions: impl Fn(&Plan, &Listing, &mut [u8])) -> String {
    let mut spec = one();
    namespace(&mut spec, "pid", Some("/proc/9/ns/pid"));
    let options = Options { id: "x".into(), wait_for_start: true, ..Options::default() };
    let mut plan = compile(&bundle(spec), &host(false, true, (6, 18)), &options).unwrap();
    lines(&mut plan.lines);
    let mut blob = plan.encode().unwrap().as_ref().to_vec();
    let listing = Listing::decode(&blob).unwrap();
    instructions(&plan, &listing, &mut blob);
    let listing = Listing::decode(&blob).unwrap();
    Follow { plan: &plan, listing: &listing, seen: true, lookups: 0 }.all().unwrap_err()
}

/// The check sees a plan that breaks a rule.
#[test]
fn a_plan_that_breaks_a_rule_is_found() {
    let at =
        |lines: &[Line], what: fn(&Step) -> bool| lines.iter().position(|line| what(&line.step)).unwrap();
    let changed = |lines: fn(&mut Vec<Line>), told: &str| {
        let found = broken(lines, |_, _, _| ());
        assert!(found.contains(told), "{found}");
    };
    changed(
        |lines| lines.retain(|line| line.step != ProcessStep::NewSession.into()),
        "where it is seen, in its caller's session",
    );
    let birth = |step: &Step| matches!(step, Step::Control(ControlStep::HandOver { .. }));
    let found = broken(
        |lines| {
            let line = lines.remove(at(lines, birth));
            lines.insert(1, line);
            lines.retain(|line| !matches!(line.step, Step::Control(ControlStep::AwaitStart { .. })));
        },
        |_, _, _| (),
    );
    assert!(found.contains("where it is seen, with the root Host"), "{found}");
    let join = |step: &Step| matches!(step, Step::Namespace(NamespaceStep::JoinNamespace { .. }));
    let twice = |lines: &mut Vec<Line>| lines.insert(at(lines, join), lines[at(lines, join)].clone());
    let found = broken(twice, |_, _, _| ());
    assert!(found.contains("is closed"), "{found}");

    // Another system call in the place of the first one of a number in a step.
    let instead = |step: fn(&Step) -> bool, number: libc::c_long| {
        move |plan: &Plan, listing: &Listing, blob: &mut [u8]| {
            let at = listing.instructions().iter().position(|insn| {
                let of_step = step(&plan.lines[usize::from(insn.step)].step);
                of_step && insn.op == op::CALL && libc::c_long::from(insn.nr) == number
            });
            let place = HEADER + at.unwrap() * INSN + 8;
            blob[place..place + 2].copy_from_slice(&(libc::SYS_getpid as u16).to_ne_bytes());
        }
    };
    let attaches = |step: &Step| matches!(step, Step::Rootfs(RootfsStep::Root { .. }));
    let found = broken(|_| (), instead(attaches, libc::SYS_chroot));
    assert!(found.contains("a path of the container is looked up while the root is Host"), "{found}");
    let found = broken(|_| (), instead(attaches, libc::SYS_fchdir));
    assert!(found.contains("the root becomes Other"), "{found}");
    let found = broken(|_| (), instead(attaches, libc::SYS_move_mount));
    assert!(found.contains("the root becomes Other"), "{found}");
    let pivots = |step: &Step| matches!(step, Step::Rootfs(RootfsStep::Pivot { .. }));
    let found = broken(|_| (), instead(pivots, libc::SYS_pivot_root));
    assert!(found.contains("while the root is Host"), "{found}");
}
