//! Cases that are known not to be clean: how they show, and which code has to be fixed.
//!
//! A case here does not fail the test; the full form names those entries which no case needs any more.

/// One cause.
pub(crate) struct Known {
    /// How the name of the case begins: the call, and as much of its path as it takes.
    pub(crate) call: &'static str,
    /// What every finding of the case has one of.
    pub(crate) words: &'static [&'static str],
    /// What has to be fixed.
    pub(crate) place: &'static str,
}

/// All of them.
pub(crate) static KNOWN: &[Known] = &[
    Known {
        call: "flock",
        words: &[
            "Failed to remove flock",
            "interrupted system call (EINTR)",
            // What comes of the panic.
            "exit code 134",
            "it fails and leaves",
            "it fails and changes",
            "it fails half-way",
            "it hangs",
        ],
        place: "src/container/lock.rs: nix's Flock panics where LOCK_UN fails; flock(2) is not repeated after EINTR",
    },
    Known {
        call: "pread64",
        words: &[
            "was killed",
            "its exit status is unknown: no child processes",
            "wait for the process: no child processes",
            "wait for container: no child processes",
            "/stat: no such process (ESRCH)",
            "it fails and changes /mounts",
            "it fails and changes /members",
        ],
        place: "src/init/launch.rs, Memory::words: zeros where the control page cannot be read",
    },
    Known {
        call: "read#",
        words: &["it fails and changes /mounts"],
        place: "src/container/mounts.rs, change: how far the stub has come is not asked where its answer cannot be \
                read; Stub needs a way to tell after destroy",
    },
    Known {
        call: "pidfd_open",
        words: &["it fails and changes /members", "it fails and changes /mounts"],
        place: "src/init/launch.rs, Stub::follow: forgets the second process where it gets no descriptor of it",
    },
    Known {
        call: "waitid",
        words: &["it fails and changes /members", "it fails and changes /mounts"],
        place: "src/init/launch.rs, Stub::follow: forgets the second process where the first cannot be waited for",
    },
    Known {
        call: "",
        words: &["start.sock state of container"],
        place: "src/container/create.rs, Making::spawn: every failure of a birth in a cgroup2 directory is tried again \
                by its files, and the second try fails at start.sock",
    },
    Known {
        call: "openat(/sys/fs/cgroup/",
        words: &["an interrupted call is not repeated: time"],
        place: "src/cgroup/file.rs, subdirectories: opendir(3) is not repeated after EINTR",
    },
];

/// The entry of a case with these findings.
pub(crate) fn find(case: &str, wrong: &[String]) -> Option<usize> {
    let fits = |known: &Known| {
        case.starts_with(known.call)
            && wrong.iter().all(|text| known.words.iter().any(|words| text.contains(words)))
    };
    KNOWN.iter().position(fits)
}
