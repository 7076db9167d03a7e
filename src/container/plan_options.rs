//! The options that a container's plan is compiled with.

use super::home;
use super::options::{Console, CreateOptions};
use crate::bundle::annotations::INIT;
use crate::bundle::{Bundle, Spec};
use crate::cgroup::systemd::SystemdInstance;
use crate::namespace;
use crate::plan;

/// The options of a new container. With `wait_for_start` the program waits for `start`.
pub(super) fn new(id: &str, bundle: &Bundle, options: &CreateOptions, wait_for_start: bool) -> plan::Options {
    let mut extra_env = Vec::new();
    let init_annotation = bundle.spec.annotations.value(&INIT) == Some("true");
    let init = options.init || init_annotation;
    if options.listen_fds > 0 {
        extra_env.push(format!("LISTEN_FDS={}", options.listen_fds));
        // The pid of any other program is not known before it runs, and a wrong one would say that the descriptors are for
        // another process.
        if !init && has_new_pid_namespace(&bundle.spec) {
            extra_env.push("LISTEN_PID=1".to_owned());
        }
    }
    plan::Options {
        id: id.to_owned(),
        wait_for_start,
        program: None,
        console: !matches!(options.console, Console::None),
        keep_console: matches!(options.console, Console::Keep),
        preserve_fds: options.preserve_fds.saturating_add(options.listen_fds),
        extra_env,
        home: home::in_bundle(bundle),
        no_pivot: options.no_pivot,
        no_new_keyring: options.no_new_keyring,
        init,
        optional_cgroup: options.optional_cgroup,
        cgroup_manager: options.cgroup_manager,
        systemd: SystemdInstance::default(),
        notify: None,
    }
}

/// Whether the container's program is the first process of a new pid namespace.
fn has_new_pid_namespace(spec: &Spec) -> bool {
    let namespaces = spec.linux.iter().flat_map(|linux| &linux.namespaces);
    let pid = Some(namespace::NamespaceKind::Pid);
    namespaces
        .filter(|one| one.path.is_none())
        .any(|one| namespace::NamespaceKind::from_name(&one.kind) == pid)
}
