//! The processes that act for an operation on a container: stubs, hooks, criu.
//!
//! The holder of the lock records each in the file `helpers` of the state directory, one line each: pid, start time, boot
//! and, if the operation removes the container, the word `removal`. Nothing takes a line out again: a process that has
//! ended is known by its start time. So the file tells of the helpers of a killed holder too. It is only a hint: whatever
//! it says, a process is signalled only if pid, start time and boot are those which were recorded.

use super::liveness::{self, Identity};
use super::population;
use crate::sys::{self, process::pidfd_send_signal};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

/// The file's name.
pub(super) const FILE: &CStr = c"helpers";
/// How long the file may get before what has ended is left out, in bytes.
const ROOM: usize = 4096;
/// What a line ends with if the operation removes the container.
const REMOVAL: &str = "removal";

/// A recorded process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Helper {
    identity: Identity,
    boot: String,
    /// It runs to remove the container: a poststop hook.
    pub(super) removes: bool,
}

impl Helper {
    /// Reads one line of the file; `None` if it is anything else.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (pid, start_time) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let boot = words.next()?.to_owned();
        let removes = match words.next() {
            None => false,
            Some(REMOVAL) => true,
            Some(_) => return None,
        };
        let known = words.next().is_none().then_some(Identity { pid, start_time });
        Some(Self { identity: known?, boot, removes })
    }

    fn line(&self) -> String {
        let Identity { pid, start_time } = self.identity;
        let removal = if self.removes { format!(" {REMOVAL}") } else { String::new() };
        format!("{pid} {start_time} {}{removal}\n", self.boot)
    }

    /// The process, if it lives.
    fn alive(&self) -> Option<OwnedFd> {
        let found = self.identity.find().ok()?.alive()?;
        (liveness::boot_id().ok()? == self.boot).then_some(found)
    }

    /// Kills it with its process group, if it leads one.
    fn end(&self) {
        let Some(leader) = self.alive() else { return };
        let members: Vec<OwnedFd> = population::of_group(self.identity.pid).unwrap_or_default();
        // As long as the leader is not reaped, no other group has its number.
        if pidfd_send_signal(&leader, 0) == Err(Errno::ESRCH) {
            return;
        }
        for process in members.iter().chain([&leader]) {
            let _ = pidfd_send_signal(process, libc::SIGKILL);
        }
    }
}

/// Records a child of the caller that was not reaped yet.
pub(super) fn record(directory: impl AsFd, pid: i32, removes: bool) -> Result<()> {
    let boot = liveness::boot_id()?.to_owned();
    let helper = Helper { identity: Identity::of(pid)?, boot, removes };
    add(directory.as_fd(), &helper).map_err(|e| Error::sys(Phase::State, "write", e).on("helpers"))
}

fn add(directory: impl AsFd, helper: &Helper) -> Result<(), Errno> {
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_NOFOLLOW;
    let file = sys::fs::openat(&directory, FILE, flags, 0o600)?;
    let length = nix::sys::stat::fstat(&file)?.st_size;
    if length < ROOM as libc::off_t {
        return sys::fs::write_all(&file, helper.line().as_bytes()).inspect_err(|_| {
            // A part of a line would spoil the next one.
            let _ = nix::unistd::ftruncate(&file, length);
        });
    }
    let mut text: String = living(&directory).iter().map(Helper::line).collect();
    text.push_str(&helper.line());
    sys::fs::replace_at(&directory, FILE, text.as_bytes(), 0o600)
}

/// The recorded processes that live. A file that is missing or cannot be read tells of none.
pub(super) fn living(directory: impl AsFd) -> Vec<Helper> {
    living_but(directory, 0)
}

/// The same but for one process, which is not looked at.
fn living_but(directory: impl AsFd, but: i32) -> Vec<Helper> {
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let text = sys::fs::openat(directory, FILE, flags, 0).and_then(sys::fs::read_regular);
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    let helpers = text.lines().filter_map(Helper::parse).filter(|helper| helper.identity.pid != but);
    helpers.filter(|helper| helper.alive().is_some()).collect()
}

/// Whether any of the recorded processes lives, but for one.
pub(super) fn any(directory: impl AsFd, but: i32) -> bool {
    !living_but(directory, but).is_empty()
}

/// Kills the recorded processes that live but one, with their process groups; of those which remove the container none
/// if they are to be `spared`.
pub(super) fn end(directory: impl AsFd, spared: bool, but: i32) {
    let found = living_but(directory, but);
    found.iter().filter(|helper| !(spared && helper.removes)).for_each(Helper::end);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::liveness::Presence;
    use std::os::unix::process::CommandExt;
    use std::path::PathBuf;
    use std::process::{Child, Command};
    use std::time::Duration;

    struct Scratch(PathBuf, OwnedFd);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("orlop-helpers-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            let directory = std::fs::File::open(&path).unwrap().into();
            Self(path, directory)
        }

        fn write(&self, text: &str) {
            std::fs::write(self.0.join("helpers"), text).unwrap();
        }

        fn pids(&self) -> Vec<i32> {
            living(&self.1).iter().map(|helper| helper.identity.pid).collect()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").spawn().unwrap()
    }

    fn pid(child: &Child) -> i32 {
        child.id().cast_signed()
    }

    fn has_ended(child: &mut Child) -> bool {
        (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            child.try_wait().unwrap().is_some()
        })
    }

    #[test]
    fn the_recorded_are_ended_and_nothing_else() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new("end");
        assert_eq!(scratch.pids(), [0_i32; 0], "there is no file yet");
        let (mut ours, mut poststop, mut kept) = (sleeper(), sleeper(), sleeper());
        record(&scratch.1, pid(&ours), false).unwrap();
        record(&scratch.1, pid(&poststop), true).unwrap();
        record(&scratch.1, pid(&kept), false).unwrap();
        let mode = std::fs::metadata(scratch.0.join("helpers")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        end(&scratch.1, true, pid(&kept));
        assert!(has_ended(&mut ours));
        assert_eq!(scratch.pids(), [pid(&poststop), pid(&kept)], "what removes the container is spared");
        end(&scratch.1, false, pid(&kept));
        assert!(has_ended(&mut poststop));
        assert_eq!(scratch.pids(), [pid(&kept)]);
        kept.kill().unwrap();
        kept.wait().unwrap();
    }

    #[test]
    fn a_stopped_leader_ends_with_its_group() {
        let scratch = Scratch::new("group");
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 60 & echo $!; kill -STOP $$; wait"]).process_group(0);
        let mut leader = shell.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut text = String::new();
        let mut out = std::io::BufReader::new(leader.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut text).unwrap();
        let member = Identity::of(text.trim().parse().unwrap()).unwrap();
        record(&scratch.1, pid(&leader), false).unwrap();
        end(&scratch.1, false, 0);
        assert!(has_ended(&mut leader));
        let gone = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            !matches!(member.find().unwrap(), Presence::Alive(_))
        });
        assert!(gone, "the leader's child has outlived it");
    }

    #[test]
    fn another_process_with_the_number_is_left_alone() {
        let scratch = Scratch::new("reused");
        let mut child = sleeper();
        let Identity { pid, start_time } = Identity::of(pid(&child)).unwrap();
        let boot = liveness::boot_id().unwrap();
        scratch.write(&format!(
            "{pid} {} {boot}\n{pid} {start_time} another-boot\n{pid} {start_time}\n{pid}\n\n\0\u{fffd}\n\
             x {start_time} {boot}\n{pid} {start_time} {boot} other\n{pid} {start_time} {boot} removal more\n\
             0 0 {boot}\n-1 0 {boot}\n1 1 {boot}\n{pid} {start_time} {}",
            start_time + 1,
            &boot[..8]
        ));
        assert_eq!(scratch.pids(), [0_i32; 0]);
        end(&scratch.1, false, 0);
        assert!(child.try_wait().unwrap().is_none());
        scratch.write(&format!("garbage\n{pid} {start_time} {boot} removal\n"));
        assert_eq!(scratch.pids(), [pid]);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let scratch = Scratch::new("room");
        let (mut one, mut last) = (sleeper(), sleeper());
        record(&scratch.1, pid(&one), true).unwrap();
        for _ in 0..300 {
            record(&scratch.1, pid(&last), false).unwrap();
        }
        let gone = Helper {
            identity: Identity { pid: pid(&one), start_time: 1 },
            boot: liveness::boot_id().unwrap().to_owned(),
            removes: false,
        };
        for _ in 0..300 {
            add(&scratch.1, &gone).unwrap();
        }
        last.kill().unwrap();
        last.wait().unwrap();
        add(&scratch.1, &gone).unwrap();
        assert_eq!(scratch.pids(), [pid(&one)], "who lives stays");
        for _ in 0..300 {
            add(&scratch.1, &gone).unwrap();
        }
        let size = std::fs::metadata(scratch.0.join("helpers")).unwrap().len();
        assert!(size < 2 * ROOM as u64, "{size}");
        assert_eq!(scratch.pids(), [pid(&one)]);
        one.kill().unwrap();
        one.wait().unwrap();
    }
}
