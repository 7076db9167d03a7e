//! `spec`

use crate::args::SpecArgs;
use crate::failure::{Failure, Outcome};
use nix::errno::Errno;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::unistd::{getegid, geteuid};
use orlop::bundle::{CONFIG, Spec};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

pub(super) fn spec(args: &SpecArgs) -> Outcome {
    let path = args.directory.as_deref().unwrap_or(Path::new("")).join(CONFIG);
    let only_cgroup2 = has_only_cgroup2()?;
    let template = if args.rootless {
        Spec::rootless_template(only_cgroup2, geteuid().as_raw(), getegid().as_raw())
    } else {
        Spec::template(only_cgroup2)
    };
    let text = template.to_json_pretty()?;
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::new(format!("File {CONFIG} exists. Remove it first")));
        }
        Err(e) => return Err(Failure::io("create", &path, &e)),
    };
    file.write_all(&text).map(|()| 0).map_err(|e| {
        // An incomplete file would make the next attempt fail.
        let _ = std::fs::remove_file(&path);
        Failure::io("write", &path, &e)
    })
}

/// Whether the host has cgroup v2 alone.
fn has_only_cgroup2() -> Result<bool, Failure> {
    loop {
        match statfs("/sys/fs/cgroup") {
            Ok(fs) => return Ok(fs.filesystem_type() == CGROUP2_SUPER_MAGIC),
            Err(Errno::EINTR) => {}
            Err(Errno::ENOENT | Errno::EACCES) => return Ok(false),
            Err(e) => return Err(Failure::system("statfs /sys/fs/cgroup", e)),
        }
    }
}
