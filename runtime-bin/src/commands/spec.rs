//! `spec`

use super::{Failure, Outcome};
use crate::args::Args;
use nix::errno::Errno;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::unistd::{getegid, geteuid};
use orlop::bundle::{CONFIG, Spec};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

pub(super) fn spec(args: &Args) -> Outcome {
    let path = args.bundle.as_deref().unwrap_or(Path::new("")).join(CONFIG);
    let pure = is_pure_cgroup2()?;
    let template = if args.spec_rootless {
        Spec::rootless_template(pure, geteuid().as_raw(), getegid().as_raw())
    } else {
        Spec::template(pure)
    };
    let text = template.to_json_pretty()?;
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::new(format!("File {CONFIG} exists. Remove it first"), 1));
        }
        Err(e) => return Err(Failure::io("create", &path, &e)),
    };
    file.write_all(&text).map(|()| 0).map_err(|e| {
        // Half a configuration would be in the way of the next try.
        let _ = std::fs::remove_file(&path);
        Failure::io("write", &path, &e)
    })
}

/// Whether cgroup2 is all that the host has.
fn is_pure_cgroup2() -> Result<bool, Failure> {
    loop {
        match statfs("/sys/fs/cgroup") {
            Ok(fs) => return Ok(fs.filesystem_type() == CGROUP2_SUPER_MAGIC),
            Err(Errno::EINTR) => {}
            Err(Errno::ENOENT | Errno::EACCES) => return Ok(false),
            Err(e) => return Err(Failure::system("statfs /sys/fs/cgroup", e)),
        }
    }
}
