//! Flags before the command.

use super::{CgroupManager, Flag, Format, Level, list, path, switch, text};
use orlop::bundle::annotations::{self, Annotation};

/// Flags before the command.
pub(crate) static GLOBAL: &[Flag] = &[
    path(
        "root",
        None,
        "DIR",
        "directory of the containers' state, which only its owner may write to (default: /run/orlop, or \
         $XDG_RUNTIME_DIR/orlop when not really root)",
        |a, v| a.root = Some(v),
    ),
    path(
        "log",
        None,
        "FILE",
        "append log records to FILE, which is no symbolic link, instead of writing them to stderr",
        |a, v| {
            a.log = Some(v);
        },
    ),
    text("log-format", None, "text|json", "form of a log record (default: text)", |a, v| {
        a.log_format = Some(match v.as_str() {
            "text" => Format::Text,
            "json" => Format::Json,
            _ => return Err("must be text or json".into()),
        });
        Ok(())
    }),
    text(
        "log-level",
        None,
        "error|warning|info|debug",
        "least severity that is logged (default: info)",
        |a, v| {
            a.log_level = Some(match v.as_str() {
                "error" => Level::Error,
                "warning" | "warn" => Level::Warning,
                "info" => Level::Info,
                "debug" => Level::Debug,
                _ => return Err("must be error, warning, info or debug".into()),
            });
            Ok(())
        },
    ),
    switch("debug", None, "log at level debug", |a, on| {
        a.log_level = if on { Some(Level::Debug) } else { a.log_level.filter(|l| *l != Level::Debug) };
    }),
    switch("systemd-cgroup", None, "the same as --cgroup-manager systemd", |a, on| {
        a.cgroup_manager = Some(if on { CgroupManager::Systemd } else { CgroupManager::Cgroupfs });
    }),
    text(
        "cgroup-manager",
        None,
        "cgroupfs|systemd|disabled",
        "who makes the container's cgroup; disabled: it has none of its own (default: cgroupfs)",
        |a, v| {
            a.cgroup_manager = Some(match v.as_str() {
                "cgroupfs" => CgroupManager::Cgroupfs,
                "systemd" => CgroupManager::Systemd,
                "disabled" => CgroupManager::Disabled,
                _ => return Err("must be cgroupfs, systemd or disabled".into()),
            });
            Ok(())
        },
    ),
    text(
        "rootless",
        None,
        "true|false|auto",
        "whether to go on without the cgroups which this user may not make (default: auto)",
        |a, v| {
            a.rootless = match v.as_str() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                "auto" => None,
                _ => return Err("must be true, false or auto".into()),
            };
            Ok(())
        },
    ),
    list(text(
        "allow-annotation",
        None,
        "NAME",
        "let this annotation take effect beyond the container: org.criu.config, org.systemd.property.",
        |a, v| {
            let names = guarded().collect::<Vec<_>>();
            if !names.contains(&v.as_str()) {
                return Err(format!("must be {}", names.join(" or ")));
            }
            a.allowed_annotations.push(v);
            Ok(())
        },
    )),
];

/// The annotations that need to be allowed.
fn guarded() -> impl Iterator<Item = &'static str> {
    annotations::ALL.into_iter().filter(|one| one.needs_permission().is_some()).map(Annotation::name)
}
