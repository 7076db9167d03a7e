//! Commands for a running container: `pause`, `resume`, `events`.

use super::super::values::duration;
use super::command::{Command, CommandId};
use super::flag::{Flag, switch, text};
use std::time::Duration;

static EVENTS_FLAGS: &[Flag] = &[
    text(
        "interval",
        None,
        "TIME",
        "how often statistics are printed, such as 100ms (default: 5s)",
        |args, v| {
            let interval = if v == "0" || v.starts_with('-') { Duration::ZERO } else { duration(&v)? };
            if interval.is_zero() {
                return Err("duration interval must be greater than 0".into());
            }
            args.interval = Some(interval);
            Ok(())
        },
    ),
    switch("stats", None, "print the statistics once and exit", |args, on| args.stats = on),
];

pub(super) static PAUSE: Command = Command {
    name: "pause",
    id: CommandId::Pause,
    summary: "suspend all processes of a container",
    usage: "<container-id>",
    description: "Returns once every process is frozen. \"{name} resume\" undoes it.",
    operands: (1, 1),
    flags: &[],
};

pub(super) static RESUME: Command = Command {
    name: "resume",
    id: CommandId::Resume,
    summary: "resume a paused container",
    usage: "<container-id>",
    description: "Undoes \"{name} pause\".",
    operands: (1, 1),
    flags: &[],
};

pub(super) static EVENTS: Command = Command {
    name: "events",
    id: CommandId::Events,
    summary: "print a container's statistics, and report when it runs out of memory",
    usage: "<container-id>",
    description: "Prints one JSON object per line: {\"type\":\"stats\",...} at each interval, and {\"type\":\"oom\",...}\n\
        when the container has run out of memory. Exits with the container.\n\n\
        EXAMPLE:\n    {name} events --interval 1s box",
    operands: (1, 1),
    flags: &[EVENTS_FLAGS],
};
