//! Flags before the command.

use super::flag::{Flag, path, repeated, switch, text};
use crate::log::{LogFormat, LogLevel};
use orlop::bundle::annotations::{self, Annotation};
use orlop::container::CgroupManager;

/// Flags before the command.
pub(in crate::args) static GLOBAL_FLAGS: &[Flag] = &[
    path(
        "root",
        None,
        "DIR",
        "directory of the containers' state, writable by its owner only (default: /run/orlop, or \
         $XDG_RUNTIME_DIR/orlop when not running as real root)",
        |args, v| args.root = Some(v),
    ),
    path(
        "log",
        None,
        "FILE",
        "append log records to FILE, which must not be a symbolic link, instead of writing them to stderr",
        |args, v| args.log = Some(v),
    ),
    text("log-format", None, "text|json", "format of a log record (default: text)", |args, v| {
        args.log_format = Some(match v.as_str() {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            _ => return Err("must be text or json".into()),
        });
        Ok(())
    }),
    text(
        "log-level",
        None,
        "error|warning|info|debug",
        "least severe level that is logged (default: info)",
        |args, v| {
            args.log_level = Some(match v.as_str() {
                "error" => LogLevel::Error,
                "warning" | "warn" => LogLevel::Warning,
                "info" => LogLevel::Info,
                "debug" => LogLevel::Debug,
                _ => return Err("must be error, warning, info or debug".into()),
            });
            Ok(())
        },
    ),
    switch("debug", None, "log at level debug", |args, on| {
        let level = args.log_level.filter(|level| *level != LogLevel::Debug);
        args.log_level = if on { Some(LogLevel::Debug) } else { level };
    }),
    switch("systemd-cgroup", None, "the same as --cgroup-manager systemd", |args, on| {
        args.cgroup_manager = Some(if on { CgroupManager::Systemd } else { CgroupManager::Cgroupfs });
    }),
    text(
        "cgroup-manager",
        None,
        "cgroupfs|systemd|disabled",
        "how the container's cgroup is created; disabled: it does not get one (default: cgroupfs)",
        |args, v| {
            args.cgroup_manager = Some(match v.as_str() {
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
        "whether to ignore cgroup permission errors (default: auto)",
        |args, v| {
            args.rootless = match v.as_str() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                "auto" => None,
                _ => return Err("must be true, false or auto".into()),
            };
            Ok(())
        },
    ),
    repeated(text(
        "allow-annotation",
        None,
        "NAME",
        "let this annotation take effect beyond the container: org.criu.config, org.systemd.property.",
        |args, v| {
            let names = guarded_annotations().collect::<Vec<_>>();
            if !names.contains(&v.as_str()) {
                return Err(format!("must be {}", names.join(" or ")));
            }
            args.allowed_annotations.push(v);
            Ok(())
        },
    )),
];

/// The annotations that need to be allowed.
fn guarded_annotations() -> impl Iterator<Item = &'static str> {
    annotations::ALL.into_iter().filter(|one| one.needs_permission().is_some()).map(Annotation::name)
}
