//! The processes that act for an operation on a container: stubs, hooks, criu.
//!
//! The operation records each of them as a line of the file `helpers` in the state directory: pid, start time, boot id
//! and, if the operation removes the container, the word `removal`. Lines are never removed, because the start time tells
//! whether a process has exited. So the file also lists the helpers of a lock holder that was killed. It is only a hint:
//! a process is signalled only if its pid, start time and boot id are those that were recorded.

use crate::container::process::group;
use crate::container::process::identity::{ProcessIdentity, boot_id};
use crate::sys::{self, process::pidfd_send_signal};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

/// The file's name.
pub(super) const FILE: &CStr = c"helpers";
/// The size in bytes from which on lines of exited processes are removed before another one is added.
const SIZE_LIMIT: usize = 4096;
/// The last word of a line if the operation removes the container.
const REMOVAL: &str = "removal";

/// A recorded process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Helper {
    identity: ProcessIdentity,
    boot: String,
    /// Its operation removes the container: it is a poststop hook.
    pub(crate) removes: bool,
}

impl Helper {
    /// Parses a line of the file; `None` if it has another form.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (pid, start_time) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let boot = words.next()?.to_owned();
        let removes = match words.next() {
            None => false,
            Some(REMOVAL) => true,
            Some(_) => return None,
        };
        let identity = words.next().is_none().then_some(ProcessIdentity { pid, start_time });
        Some(Self { identity: identity?, boot, removes })
    }

    fn line(&self) -> String {
        let ProcessIdentity { pid, start_time } = self.identity;
        let removal = if self.removes { format!(" {REMOVAL}") } else { String::new() };
        format!("{pid} {start_time} {}{removal}\n", self.boot)
    }

    /// A pidfd of the process if it is alive.
    fn alive_pidfd(&self) -> Option<OwnedFd> {
        let pidfd = self.identity.open().ok()?.alive_pidfd()?;
        (boot_id().ok()? == self.boot).then_some(pidfd)
    }

    /// Kills the process, and its process group if it leads one.
    fn kill(&self) {
        let Some(leader) = self.alive_pidfd() else { return };
        let members: Vec<OwnedFd> = group::members_without_leader(self.identity.pid).unwrap_or_default();
        // The group id cannot be reused until the leader is reaped.
        if pidfd_send_signal(&leader, 0) == Err(Errno::ESRCH) {
            return;
        }
        for process in members.iter().chain([&leader]) {
            let _ = pidfd_send_signal(process, libc::SIGKILL);
        }
    }
}

/// Records a child of the caller that is not reaped yet.
pub(super) fn record(directory: impl AsFd, pid: i32, removes: bool) -> Result<()> {
    let boot = boot_id()?.to_owned();
    let helper = Helper { identity: ProcessIdentity::of(pid)?, boot, removes };
    add(directory.as_fd(), &helper).map_err(|e| Error::sys(Phase::State, "write", e).on("helpers"))
}

fn add(directory: impl AsFd, helper: &Helper) -> Result<(), Errno> {
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_NOFOLLOW;
    let file = sys::fs::openat(&directory, FILE, flags, 0o600)?;
    let length = nix::sys::stat::fstat(&file)?.st_size;
    if length < SIZE_LIMIT as libc::off_t {
        return sys::fs::write_all(&file, helper.line().as_bytes()).inspect_err(|_| {
            // A partial line would spoil the next one.
            let _ = nix::unistd::ftruncate(&file, length);
        });
    }
    let mut text: String = alive(&directory).iter().map(Helper::line).collect();
    text.push_str(&helper.line());
    sys::fs::replace_at(&directory, FILE, text.as_bytes(), 0o600)
}

/// The recorded processes that are alive; none if the file is missing or cannot be read.
pub(crate) fn alive(directory: impl AsFd) -> Vec<Helper> {
    alive_except(directory, 0)
}

fn alive_except(directory: impl AsFd, excluded: i32) -> Vec<Helper> {
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let text = sys::fs::openat(directory, FILE, flags, 0).and_then(sys::fs::read_regular);
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    let helpers = text.lines().filter_map(Helper::parse).filter(|helper| helper.identity.pid != excluded);
    helpers.filter(|helper| helper.alive_pidfd().is_some()).collect()
}

/// Whether a recorded process other than `excluded` is alive.
pub(crate) fn any_alive(directory: impl AsFd, excluded: i32) -> bool {
    !alive_except(directory, excluded).is_empty()
}

/// Kills the recorded processes except `excluded`, and their process groups. With `spare_removal`, processes whose
/// operation removes the container are spared.
pub(crate) fn kill_all(directory: impl AsFd, spare_removal: bool, excluded: i32) {
    let found = alive_except(directory, excluded);
    found.iter().filter(|helper| !(spare_removal && helper.removes)).for_each(Helper::kill);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::process::identity::ProcessState;
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
            alive(&self.1).iter().map(|helper| helper.identity.pid).collect()
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

    fn exits(child: &mut Child) -> bool {
        (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            child.try_wait().unwrap().is_some()
        })
    }

    #[test]
    fn only_recorded_processes_are_killed() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new("end");
        assert_eq!(scratch.pids(), [0_i32; 0], "the file does not exist yet");
        let (mut ours, mut poststop, mut kept) = (sleeper(), sleeper(), sleeper());
        record(&scratch.1, pid(&ours), false).unwrap();
        record(&scratch.1, pid(&poststop), true).unwrap();
        record(&scratch.1, pid(&kept), false).unwrap();
        let mode = std::fs::metadata(scratch.0.join("helpers")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        kill_all(&scratch.1, true, pid(&kept));
        assert!(exits(&mut ours));
        assert_eq!(
            scratch.pids(),
            [pid(&poststop), pid(&kept)],
            "a helper that removes the container is spared"
        );
        kill_all(&scratch.1, false, pid(&kept));
        assert!(exits(&mut poststop));
        assert_eq!(scratch.pids(), [pid(&kept)]);
        kept.kill().unwrap();
        kept.wait().unwrap();
    }

    #[test]
    fn a_stopped_leader_is_killed_with_its_group() {
        let scratch = Scratch::new("group");
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 60 & echo $!; kill -STOP $$; wait"]).process_group(0);
        let mut leader = shell.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut text = String::new();
        let mut out = std::io::BufReader::new(leader.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut text).unwrap();
        let member = ProcessIdentity::of(text.trim().parse().unwrap()).unwrap();
        record(&scratch.1, pid(&leader), false).unwrap();
        kill_all(&scratch.1, false, 0);
        assert!(exits(&mut leader));
        let gone = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            !matches!(member.open().unwrap(), ProcessState::Alive(_))
        });
        assert!(gone, "the leader's child has survived it");
    }

    #[test]
    fn another_process_with_the_same_pid_is_not_killed() {
        let scratch = Scratch::new("reused");
        let mut child = sleeper();
        let ProcessIdentity { pid, start_time } = ProcessIdentity::of(pid(&child)).unwrap();
        let boot = boot_id().unwrap();
        scratch.write(&format!(
            "{pid} {} {boot}\n{pid} {start_time} another-boot\n{pid} {start_time}\n{pid}\n\n\0\u{fffd}\n\
             x {start_time} {boot}\n{pid} {start_time} {boot} other\n{pid} {start_time} {boot} removal more\n\
             0 0 {boot}\n-1 0 {boot}\n1 1 {boot}\n{pid} {start_time} {}",
            start_time + 1,
            &boot[..8]
        ));
        assert_eq!(scratch.pids(), [0_i32; 0]);
        kill_all(&scratch.1, false, 0);
        assert!(child.try_wait().unwrap().is_none());
        scratch.write(&format!("garbage\n{pid} {start_time} {boot} removal\n"));
        assert_eq!(scratch.pids(), [pid]);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_file_size_is_bounded() {
        let scratch = Scratch::new("room");
        let (mut one, mut last) = (sleeper(), sleeper());
        record(&scratch.1, pid(&one), true).unwrap();
        for _ in 0..300 {
            record(&scratch.1, pid(&last), false).unwrap();
        }
        let gone = Helper {
            identity: ProcessIdentity { pid: pid(&one), start_time: 1 },
            boot: boot_id().unwrap().to_owned(),
            removes: false,
        };
        for _ in 0..300 {
            add(&scratch.1, &gone).unwrap();
        }
        last.kill().unwrap();
        last.wait().unwrap();
        add(&scratch.1, &gone).unwrap();
        assert_eq!(scratch.pids(), [pid(&one)], "a line of a process that is alive is kept");
        for _ in 0..300 {
            add(&scratch.1, &gone).unwrap();
        }
        let size = std::fs::metadata(scratch.0.join("helpers")).unwrap().len();
        assert!(size < 2 * SIZE_LIMIT as u64, "{size}");
        assert_eq!(scratch.pids(), [pid(&one)]);
        one.kill().unwrap();
        one.wait().unwrap();
    }
}
