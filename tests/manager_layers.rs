//! The configurations that real managers wrote, read by the layers: they understand every option, namespace, name
//! and parameter.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may panic.

use orlop::bundle::Spec;
use orlop::bundle::spec::Process;
use orlop::namespace::{NamespaceKind, Namespaces};
use orlop::process::sysctl::SysctlNamespace;
use orlop::process::{
    capability, env, io_priority, memory_policy, personality, rlimit, scheduler, sysctl, user,
};
use orlop::{Problem, mount};
use std::path::PathBuf;

/// Name and configuration of each recording.
fn recordings() -> Vec<(String, Spec)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/managers");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, Spec::from_json(&std::fs::read(path).unwrap()).unwrap())
        })
        .collect();
    assert!(found.len() >= 40, "only {} recordings", found.len());
    found
}

#[test]
fn mount_options_are_understood() {
    // Data of the managers' file systems; a word that is neither here nor in the table of options is an omission in
    // the table.
    const DATA: [&str; 12] = [
        "mode",
        "size",
        "gid",
        "uid",
        "ptmxmode",
        "newinstance",
        "lowerdir",
        "upperdir",
        "workdir",
        "index",
        "userxattr",
        "nr_inodes",
    ];
    for (name, spec) in recordings() {
        for (i, m) in spec.mounts.iter().enumerate() {
            let options = mount::options::parse(&m.options).unwrap_or_else(|e| panic!("{name} {i}: {e}"));
            if mount::filesystem_type::is_bind(m.kind.as_deref(), options.bind.is_some()) {
                options.refuse_data().unwrap_or_else(|e| panic!("{name} {i}: {e}"));
            }
            for data in &options.data {
                assert!(DATA.contains(&data.key.as_str()), "{name} {i}: {data}");
                assert!(m.kind.as_deref() == Some("overlay") || data.fits_fsconfig(), "{name} {i}: {data}");
            }
            if m.kind.as_deref() == Some("overlay") {
                assert!(!mount::Overlay::from_options(&options).unwrap().lower_layers().is_empty(), "{name}");
            }
        }
    }
}

#[test]
fn namespaces_and_parameters_are_understood() {
    for (name, spec) in recordings() {
        let Some(linux) = &spec.linux else { continue };
        let set = Namespaces::from_spec(linux, "/linux").unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(
            linux.namespaces.len(),
            set.joined().count() + NamespaceKind::ALL.iter().filter(|k| set.is_new(**k)).count(),
            "{name}"
        );
        let own = |namespace: SysctlNamespace| {
            NamespaceKind::from_name(namespace.name()).is_some_and(|kind| set.has(kind))
        };
        let sysctls = sysctl::parse(&linux.sysctl, own, "/linux").unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(sysctls.len(), linux.sysctl.len(), "{name}");
        if let Some(p) = &linux.personality {
            personality::parse(p, "/linux").unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        if let Some(p) = &linux.memory_policy {
            memory_policy::parse(p, "/linux").unwrap_or_else(|e| panic!("{name}: {e:?}"));
        }
    }
}

#[test]
fn processes_are_understood() {
    for (name, spec) in recordings() {
        if let Some(process) = &spec.process {
            read_process(process).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        }
    }
}

fn read_process(process: &Process) -> Result<(), Vec<Problem>> {
    let at = "/process";
    let environment = env::compose(&process.env, at)?;
    assert!(!env::candidates(&process.args[0], &environment, &process.cwd).is_empty());
    user::parse(&process.user, at)?;
    rlimit::parse(&process.rlimits, at)?;
    if let Some(s) = &process.scheduler {
        scheduler::parse(s, at)?;
    }
    if let Some(p) = &process.io_priority {
        io_priority::parse(p, at).map_err(|p| vec![p])?;
    }
    if let Some(c) = &process.capabilities {
        let (sets, warnings) = capability::parse(c, 40, at);
        assert_eq!(warnings, []);
        assert_eq!(sets.bounding.names().count(), c.bounding.len());
    }
    Ok(())
}
