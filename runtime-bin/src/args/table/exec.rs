//! `exec`

use super::{ANY, Command, Flag, Name, digits, list, number, path, switch, text};

static EXEC_FLAGS: &[Flag] = &[
    path(
        "console-socket",
        None,
        "SOCKET",
        "unix socket which is sent the master of the process's terminal",
        |a, v| a.console_socket = Some(v),
    ),
    path("pidfd-socket", None, "SOCKET", "unix socket which is sent a pidfd of the process", |a, v| {
        a.pidfd_socket = Some(v);
    }),
    text("cwd", None, "DIR", "working directory in the container", |a, v| {
        a.cwd = Some(v);
        Ok(())
    }),
    list(text("env", Some('e'), "NAME=VALUE", "set an environment variable", |a, v| {
        match v.split_once('=') {
            Some((name, _)) if !name.is_empty() => a.env.push(v),
            _ => return Err("must be NAME=VALUE".into()),
        }
        Ok(())
    })),
    switch("tty", Some('t'), "give the process a terminal", |a, on| a.tty = on),
    text("user", Some('u'), "UID[:GID]", "numeric user, and group, in the container", |a, v| {
        let number = |s: &str| digits(s).ok_or_else(|| "must be UID or UID:GID, as numbers".to_owned());
        a.user = Some(match v.split_once(':') {
            None => (number(&v)?, None),
            Some((uid, gid)) => (number(uid)?, Some(number(gid)?)),
        });
        Ok(())
    }),
    list(number("additional-gids", Some('g'), "GID", "add a supplementary group", |a, v| {
        a.additional_gids.push(v);
    })),
    path(
        "process",
        Some('p'),
        "FILE",
        "read the process object from FILE (JSON), or from stdin with -",
        |a, v| {
            a.process = Some(v);
        },
    ),
    switch("detach", Some('d'), "do not wait for the process's end", |a, on| a.detach = on),
    path("pid-file", None, "FILE", "write the process id to FILE", |a, v| a.pid_file = Some(v)),
    text("process-label", None, "LABEL", "SELinux label of the process", |a, v| {
        a.process_label = Some(v);
        Ok(())
    }),
    text("apparmor", None, "PROFILE", "AppArmor profile of the process", |a, v| {
        a.apparmor = Some(v);
        Ok(())
    }),
    switch("no-new-privs", None, "set no_new_privs for the process", |a, on| a.no_new_privs = on),
    list(text("cap", Some('c'), "CAP", "add a capability to the process's sets", |a, v| {
        a.caps.push(v);
        Ok(())
    })),
    number(
        "preserve-fds",
        None,
        "N",
        "pass N more descriptors to the process: stdio, then N (default: 0)",
        |a, v| a.preserve_fds = v,
    ),
    list(text(
        "cgroup",
        None,
        "[CONTROLLER:]PATH",
        "run in an existing cgroup below the container's",
        |a, v| {
            a.cgroups.push(v);
            Ok(())
        },
    )),
    switch("ignore-paused", None, "exec also in a paused container", |a, on| a.ignore_paused = on),
];

pub(super) static EXEC: Command = Command {
    word: "exec",
    name: Name::Exec,
    summary: "execute a new process in a running container",
    usage: "<container-id> <command> [argument...]  ||  --process process.json <container-id>",
    text: "Runs a command beside the container's own, with the identity and limits of the latter unless\n\
        flags say otherwise. Flags end at the first word of the command.\n\n\
        The exit code is the process's own, 128+n after signal n, and 255 if it could not be run.\n\n\
        EXAMPLE:\n    {name} exec box ps -ef",
    words: (1, ANY),
    flags: &[EXEC_FLAGS],
};
