//! The table of command lines: manager, words, state before, result.

use Before::{Created, Fresh, Gone, Paused, Running, Stopped, Terminal};

/// What exists of the container when the call is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// A bundle.
    Fresh,
    /// A bundle whose process has a terminal.
    Terminal,
    Created,
    Running,
    Paused,
    Stopped,
    /// The container has been deleted.
    Gone,
}

/// The result that the call must have.
#[derive(Clone, Copy)]
pub(super) enum After {
    /// Success, and then this status.
    Status(&'static str),
    /// Success, and the container does not exist any more.
    Deleted,
    /// Success; the pid file names a process in the container that exits with 7.
    Exec,
    /// Success; the pids limit is 44.
    Updated,
    /// Success; stdout is a JSON array with the pid of the init process.
    Pids,
    /// The exit code of the container's program, 7, and then this status ("": the container does not exist).
    Ran(&'static str),
    /// Success; stdout contains this text.
    Prints(&'static str),
    /// Success; the pid file names the container's process, a child of the caller.
    Restored,
    /// Success in a systemd scope if systemd runs; otherwise a failure that says that it does not.
    Systemd,
    /// Failure with these words.
    Fails(&'static str),
}
use After::{Deleted, Exec, Fails, Pids, Prints, Ran, Restored, Status, Systemd, Updated};

/// Manager, command line, state before, and result.
pub(super) type CommandLine = (&'static str, &'static str, Before, After);

pub(super) const COMMAND_LINES: &[CommandLine] = &[
    ("buildah", "state {id}", Running, Prints("\"status\": \"running\"")),
    ("buildah", "state {id}", Stopped, Prints("\"status\": \"stopped\"")),
    ("buildah", "start {id}", Created, Status("running")),
    ("buildah", "delete {id}", Stopped, Deleted),
    ("buildah", "create --bundle {bundle} --pid-file {pid} {id}", Fresh, Status("created")),
    ("buildah", "create --bundle {bundle} --pid-file {pid} --no-new-keyring {id}", Fresh, Status("created")),
    ("buildah", "kill {id} SIGKILL", Running, Status("stopped")),
    ("buildah", "kill {id}", Running, Status("stopped")),
    (
        "buildah",
        "create --bundle {bundle} --pid-file {pid} --console-socket {console} {id}",
        Terminal,
        Status("created"),
    ),
    (
        "conmon",
        "--log-format=json --log {log} create --bundle {bundle} --pid-file {pid} {id}",
        Fresh,
        Status("created"),
    ),
    (
        "conmon",
        "--log-format=json --log {log} exec --pid-file {pid} --process {process} --detach {id}",
        Running,
        Exec,
    ),
    (
        "conmon",
        "--log-format=json --log {log} exec --pid-file {pid} --process {process} --detach --preserve-fds 1 {id}",
        Running,
        Exec,
    ),
    (
        "conmon",
        "--log-format=json --log {log} create --bundle {bundle} --pid-file {pid} --console-socket {console} {id}",
        Terminal,
        Status("created"),
    ),
    (
        "conmon",
        "--log-format=json --log {log} exec --pid-file {pid} --process {process} --detach --console-socket {console} {id}",
        Running,
        Exec,
    ),
    (
        "conmon",
        "--log-format=json --log {log} --cgroup-manager disabled create --bundle {bundle} --pid-file {pid} {id}",
        Fresh,
        Status("created"),
    ),
    (
        "conmon",
        "--log-format=json --log {log} restore --bundle {bundle} --pid-file {pid} --detach --image-path {image} --work-path {work} {id}",
        Gone,
        Restored,
    ),
    (
        "conmon",
        "--log-format=json --log {log} exec --pid-file {pid} --process {process} --detach --tty --console-socket {console} {id}",
        Running,
        Exec,
    ),
    (
        "conmon",
        "--systemd-cgroup --log-format=json --log {log} create --bundle {bundle} --pid-file {pid} {id}",
        Fresh,
        Systemd,
    ),
    (
        "conmon",
        "--debug --root={root} --log-format=json --log {log} create --bundle {bundle} --pid-file {pid} {id}",
        Fresh,
        Status("created"),
    ),
    (
        "containerd",
        "--root {root} --log {log} --log-format json create --bundle {bundle} --pid-file {pid} {id}",
        Fresh,
        Status("created"),
    ),
    ("containerd", "--root {root} --log {log} --log-format json delete {id}", Stopped, Deleted),
    ("containerd", "--root {root} --log {log} --log-format json delete {id}", Gone, Fails("does not exist")),
    ("containerd", "--root {root} --log {log} --log-format json start {id}", Created, Status("running")),
    ("containerd", "--root {root} --log {log} --log-format json delete --force {id}", Gone, Deleted),
    ("containerd", "--root {root} --log {log} --log-format json delete --force {id}", Running, Deleted),
    (
        "containerd",
        "--root {root} --log {log} --log-format json kill --all {id} 9",
        Running,
        Status("stopped"),
    ),
    (
        "containerd",
        "--root {root} --log {log} --log-format json kill --all {id} 9",
        Stopped,
        Status("stopped"),
    ),
    ("containerd", "--root {root} --log {log} --log-format json kill {id} 15", Running, Status("stopped")),
    ("containerd", "--root {root} --log {log} --log-format json kill {id} 9", Created, Status("stopped")),
    (
        "containerd",
        "--root {root} --log {log} --log-format json kill {id} 9",
        Stopped,
        Fails("container not running"),
    ),
    ("containerd", "--root {root} --log {log} --log-format json kill {id} 9", Gone, Fails("does not exist")),
    (
        "containerd",
        "--root {root} --log {log} --log-format json exec --process {process} --detach --pid-file {pid} {id}",
        Running,
        Exec,
    ),
    ("containerd", "--root {root} --log {log} --log-format json resume {id}", Paused, Status("running")),
    ("containerd", "--root {root} --log {log} --log-format json resume {id}", Gone, Fails("does not exist")),
    ("containerd", "--root {root} --log {log} --log-format json pause {id}", Running, Status("paused")),
    ("containerd", "--root {root} --log {log} --log-format json ps --format json {id}", Running, Pids),
    (
        "containerd",
        "--root {root} --log {log} --log-format json create --bundle {bundle} --pid-file {pid} --console-socket {console} {id}",
        Terminal,
        Status("created"),
    ),
    (
        "containerd",
        "--root {root} --log {log} --log-format json exec --process {process} --console-socket {console} --detach --pid-file {pid} {id}",
        Running,
        Exec,
    ),
    ("containerd", "--root {root} --log {log} --log-format json update --resources=- {id}", Running, Updated),
    ("containerd", "--root {root} --log {log} --log-format json update --resources - {id}", Running, Updated),
    (
        "containerd",
        "--root {root} --log {log} --log-format json checkpoint --image-path {image} --work-path {work} --leave-running {id}",
        Running,
        Status("running"),
    ),
    (
        "containerd",
        "--root {root} --log {log} --log-format json checkpoint --image-path {image} --work-path {work} --file-locks --leave-running {id}",
        Running,
        Status("running"),
    ),
    (
        "containerd",
        "--root {root} --log {log} --log-format json checkpoint --image-path {image} --work-path {work} {id}",
        Running,
        Deleted,
    ),
    (
        "containerd",
        "--root {root} --log {log} --log-format json restore --image-path {image} --work-path {work} --detach --pid-file {pid} -no-subreaper --bundle {bundle} {id}",
        Gone,
        Restored,
    ),
    ("containerd", "features", Fresh, Prints("\"rro\"")),
    (
        "containerd",
        "--root {root} --log {log} --log-format json --systemd-cgroup create --bundle {bundle} --pid-file {pid} {id}",
        Fresh,
        Systemd,
    ),
    (
        "containerd",
        "--root {root} --log {log} --log-format json create --bundle {bundle} --pid-file {pid} --no-pivot {id}",
        Fresh,
        Status("created"),
    ),
    ("dockerd", "--version", Fresh, Prints(" version ")),
    ("dockerd", "features", Fresh, Prints("\"mountOptions\"")),
    ("BuildKit", "--log {log} --log-format json run --bundle {bundle} --keep {id}", Fresh, Ran("stopped")),
    ("BuildKit", "--log {log} --log-format json delete {id}", Stopped, Deleted),
    ("BuildKit", "--log {log} --log-format json run --bundle {bundle} {id}", Fresh, Ran("")),
    ("podman", "delete --force {id}", Gone, Deleted),
    ("podman", "delete --force {id}", Created, Deleted),
    ("podman", "start {id}", Created, Status("running")),
    ("podman", "start {id}", Gone, Fails("does not exist")),
    ("podman", "kill {id} 15", Running, Status("stopped")),
    ("podman", "checkpoint --help", Fresh, Prints("checkpoint")),
    ("podman", "resume {id}", Paused, Status("running")),
    ("podman", "pause {id}", Running, Status("paused")),
    ("podman", "--version", Fresh, Prints(" version ")),
    ("podman", "checkpoint --image-path {image} --work-path {work} {id}", Running, Deleted),
    (
        "podman",
        "checkpoint --image-path {image} --work-path {work} --leave-running --leave-running {id}",
        Running,
        Status("running"),
    ),
    (
        "podman",
        "checkpoint --image-path {image} --work-path {work} --pre-dump {id}",
        Running,
        Status("running"),
    ),
    ("podman", "restore --lsm-mount-context", Fresh, Fails("flag needs an argument")),
    ("podman", "update --resources={resources} {id}", Running, Updated),
    ("podman", "kill --all {id} 9", Running, Status("stopped")),
    ("podman", "--debug --root={root} start {id}", Created, Status("running")),
    ("podman", "--debug --root={root} delete --force {id}", Created, Deleted),
];
