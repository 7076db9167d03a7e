//! Known differences between orlop and runc, with their reasons.

/// A difference between orlop and runc, and why it is there.
struct Explanation {
    /// A part of the JSON pointer, and its end.
    at: (&'static str, &'static str),
    /// In orlop's value.
    ours: &'static str,
    /// In the other value.
    theirs: &'static str,
    why: &'static str,
}

const EXPLANATIONS: [Explanation; 11] = [
    Explanation {
        at: ("/mounts/", "/propagation"),
        ours: "[\"master\"]",
        theirs: "[]",
        why: "What comes from the mount that has the bundle is a slave of it; runc makes that mount private first.",
    },
    Explanation {
        at: ("/mounts/|sys|fs|cgroup ", "/options"),
        ours: "\"ro\"",
        theirs: "\"rw\"",
        why: "The directory of the v1 hierarchies is read-only as requested, too.",
    },
    Explanation {
        at: ("", "/signals_ignored"),
        ours: "0000000000001000",
        theirs: "",
        why: "Signals that the caller ignores have their default action again.",
    },
    Explanation {
        at: ("/dev/mqueue/", "gid"),
        ours: "0",
        theirs: "65534",
        why: "In a user namespace /dev/mqueue belongs to the group of the container's root.",
    },
    Explanation {
        at: ("/mounts/", "/options"),
        ours: "nosymfollow",
        theirs: "\"ro\"",
        why: "A read-only path keeps the other flags of the mount that it is on.",
    },
    Explanation {
        at: ("/mounts/|etc|file ", "/options"),
        ours: "\"ro\"",
        theirs: "\"rw\"",
        why: "A read-only path is read-only with all mounts below it.",
    },
    Explanation {
        at: ("/write /etc/file", "/errno"),
        ours: "EROFS",
        theirs: "",
        why: "A read-only path is read-only with all mounts below it.",
    },
    Explanation {
        at: ("", "/exit"),
        ours: "0 ",
        theirs: "error mounting \\\"sysfs\\\"",
        why: "A user namespace that shares the host's network gets the host's /sys, read-only; runc refuses it.",
    },
    Explanation {
        at: ("", "/exit"),
        ours: "0 ",
        theirs: "error mounting \\\"proc\\\"",
        why: "A user namespace that shares the host's pid namespace gets the host's /proc; runc refuses it.",
    },
    Explanation {
        at: ("", "/exit"),
        ours: "0 ",
        theirs: "error mounting \\\"mqueue\\\"",
        why: "A user namespace that shares the host's IPC namespace gets the host's /dev/mqueue; runc refuses it.",
    },
    Explanation {
        at: ("", "/exit"),
        ours: "0 ",
        theirs: "open sysctl",
        why: "Sysctls are written before a read-only /proc is mounted.",
    },
];

/// Why a difference is there, if that is known.
pub(crate) fn reason(pointer: &str, ours: &str, theirs: &str) -> Option<&'static str> {
    let matches = |one: &&Explanation| {
        pointer.contains(one.at.0)
            && pointer.ends_with(one.at.1)
            && ours.contains(one.ours)
            && theirs.contains(one.theirs)
    };
    EXPLANATIONS.iter().find(matches).map(|one| one.why)
}
