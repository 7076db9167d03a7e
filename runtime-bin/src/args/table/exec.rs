//! `exec`

use super::super::values::user;
use super::command::{Command, CommandId, UNLIMITED};
use super::flag::{Flag, number, path, repeated, switch, text};

static EXEC_FLAGS: &[Flag] = &[
    path(
        "console-socket",
        None,
        "SOCKET",
        "Unix socket that receives the process's pseudo-terminal master",
        |args, v| args.console_socket = Some(v),
    ),
    path("pidfd-socket", None, "SOCKET", "Unix socket that receives a pidfd of the process", |args, v| {
        args.pidfd_socket = Some(v);
    }),
    text("cwd", None, "DIR", "working directory in the container", |args, v| {
        args.cwd = Some(v);
        Ok(())
    }),
    repeated(text("env", Some('e'), "NAME=VALUE", "set an environment variable", |args, v| {
        match v.split_once('=') {
            Some((name, _)) if !name.is_empty() => args.env.push(v),
            _ => return Err("must be NAME=VALUE".into()),
        }
        Ok(())
    })),
    switch("tty", Some('t'), "give the process a terminal", |args, on| args.tty = on),
    text("user", Some('u'), "UID[:GID]", "numeric user, and group, in the container", |args, v| {
        args.user = Some(user(&v)?);
        Ok(())
    }),
    repeated(number("additional-gids", Some('g'), "GID", "add a supplementary group", |args, v| {
        args.additional_gids.push(v);
    })),
    path(
        "process",
        Some('p'),
        "FILE",
        "read the process object from FILE (JSON), or from stdin if FILE is -",
        |args, v| args.process = Some(v),
    ),
    switch("detach", Some('d'), "detach: return without waiting for the process to exit", |args, on| {
        args.detach = on;
    }),
    path("pid-file", None, "FILE", "write the process id to FILE", |args, v| args.pid_file = Some(v)),
    text("process-label", None, "LABEL", "SELinux label of the process", |args, v| {
        args.process_label = Some(v);
        Ok(())
    }),
    text("apparmor", None, "PROFILE", "AppArmor profile of the process", |args, v| {
        args.apparmor = Some(v);
        Ok(())
    }),
    switch("no-new-privs", None, "set no_new_privs for the process", |args, on| args.no_new_privs = on),
    repeated(text("cap", Some('c'), "CAP", "add a capability to the process's sets", |args, v| {
        args.caps.push(v);
        Ok(())
    })),
    number(
        "preserve-fds",
        None,
        "N",
        "pass N extra file descriptors to the process, after stdio (default: 0)",
        |args, v| args.preserve_fds = v,
    ),
    repeated(text(
        "cgroup",
        None,
        "[CONTROLLER:]PATH",
        "run in an existing cgroup below the container's",
        |args, v| {
            args.cgroups.push(v);
            Ok(())
        },
    )),
    switch("ignore-paused", None, "run even if the container is paused", |args, on| args.ignore_paused = on),
];

pub(super) static EXEC: Command = Command {
    name: "exec",
    id: CommandId::Exec,
    summary: "execute a new process in a running container",
    usage: "<container-id> <command> [argument...]  ||  --process process.json <container-id>",
    description: "Runs another command in the container, with the identity and limits of the container's own\n\
        process unless flags say otherwise. Flags end at the first word of the command.\n\n\
        The exit code is that of the process, 128+n after signal n, and 255 if it could not be run.\n\n\
        EXAMPLE:\n    {name} exec box ps -ef",
    operands: (1, UNLIMITED),
    flags: &[EXEC_FLAGS],
};
