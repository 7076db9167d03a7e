//! A simulated kernel that returns what the fuzzer provides, and affects only the memory that it is given.
//!
//! The calls that the interpreter makes itself (for a path, a tree, a listener, PID 1) are checked: every address
//! lies in the blob or in the interpreter's own memory, is read or written up to the last byte that the real call
//! would access, and names and descriptors are valid. Calls of a blob are not checked: they get any result, and
//! nothing is accessed.

use super::stub::arch::nr;
use super::stub::machine::op;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

/// keyctl(2).
const KEYCTL_JOIN_SESSION_KEYRING: u64 = 1;

thread_local! {
    pub(super) static KERNEL: RefCell<Kernel> = RefCell::new(Kernel::default());
}

/// Why the interpreter has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Exit(i32),
    /// It could run for ever.
    OutOfFuel,
}

/// The result of a system call.
pub(super) enum Outcome {
    Answer(i64),
    End(End),
}

type Thread = (unsafe extern "C" fn(u64), u64);

#[derive(Default)]
pub(super) struct Kernel {
    /// The fuzzer's bytes, used repeatedly.
    answers: Vec<u8>,
    at: usize,
    /// How many more calls are allowed.
    fuel: u32,
    /// The current operation.
    pub(super) op: u8,
    /// The mapping with the blob and the control page, and the ranges of both.
    pub(super) mapping: Range<usize>,
    pub(super) blob: Range<usize>,
    pub(super) control: Range<usize>,
    /// Whether the blob comes from a plan, so that its calls are valid.
    pub(super) is_plan: bool,
    /// Descriptors that the operation has opened.
    open: BTreeSet<i64>,
    next: i64,
    waiting: Option<Thread>,
    in_thread: bool,
}

/// The arguments that are addresses, in the system calls of plans.
const ADDRESSES: [(libc::c_long, &[usize]); 40] = [
    (libc::SYS_capset, &[0, 1]),
    (libc::SYS_chdir, &[0]),
    (libc::SYS_chroot, &[0]),
    (libc::SYS_execve, &[0, 1, 2]),
    (libc::SYS_faccessat2, &[1]),
    (libc::SYS_fchmodat, &[1]),
    (libc::SYS_fchownat, &[1]),
    (libc::SYS_fsconfig, &[2, 3]),
    (libc::SYS_fsetxattr, &[1, 2]),
    (libc::SYS_fsopen, &[0]),
    (libc::SYS_fspick, &[1]),
    (libc::SYS_fstat, &[1]),
    (libc::SYS_fstatfs, &[1]),
    (libc::SYS_ioctl, &[2]),
    (libc::SYS_keyctl, &[1]),
    (libc::SYS_mkdirat, &[1]),
    (libc::SYS_mknodat, &[1]),
    (libc::SYS_mount_setattr, &[1, 3]),
    (libc::SYS_move_mount, &[1, 3]),
    (libc::SYS_newfstatat, &[1, 2]),
    (libc::SYS_open_tree, &[1]),
    (libc::SYS_openat, &[1]),
    (libc::SYS_openat2, &[1, 2]),
    (libc::SYS_pivot_root, &[0, 1]),
    (libc::SYS_prlimit64, &[2, 3]),
    (libc::SYS_read, &[1]),
    (libc::SYS_readlinkat, &[1, 2]),
    (libc::SYS_recvmsg, &[1]),
    (libc::SYS_rt_sigaction, &[1, 2]),
    (libc::SYS_rt_sigprocmask, &[1, 2]),
    (libc::SYS_sched_setaffinity, &[2]),
    (libc::SYS_sched_setattr, &[1]),
    (libc::SYS_seccomp, &[2]),
    (libc::SYS_sendmsg, &[1]),
    (libc::SYS_set_mempolicy, &[1]),
    (libc::SYS_setgroups, &[1]),
    (libc::SYS_sethostname, &[0]),
    (libc::SYS_symlinkat, &[0, 2]),
    (libc::SYS_umount2, &[0]),
    (libc::SYS_write, &[1]),
];
const FUEL: u32 = 1 << 14;
/// The first descriptor that an operation opens.
const FIRST: i64 = 1000;
const PATH_MAX: usize = 4096;
const ERRNOS: [i64; 16] = [1, 2, 4, 11, 13, 17, 20, 21, 22, 24, 36, 40, 38, 95, 34, 4095];
/// `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`, and `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS`.
const IN_ROOT: u64 = 0x12;
const BENEATH: u64 = 0x0e;

impl Kernel {
    pub(super) fn new(answers: &[u8]) -> Self {
        Self { answers: answers.to_vec(), fuel: FUEL, next: FIRST, ..Self::default() }
    }

    /// The next byte of the fuzzer.
    fn byte(&mut self) -> u8 {
        let Some(round) = self.at.checked_div(self.answers.len()) else { return 0 };
        let byte = self.answers[self.at % self.answers.len()];
        self.at += 1;
        byte.wrapping_add(round as u8)
    }

    /// A byte, or a negative errno.
    fn byte_or_errno(&mut self) -> Result<u8, i64> {
        match self.byte() {
            byte @ 0..0xc0 => Ok(byte),
            byte => Err(-ERRNOS[usize::from(byte) % ERRNOS.len()]),
        }
    }

    /// A small number, any number, or an errno.
    fn any(&mut self) -> i64 {
        match self.byte_or_errno() {
            Ok(byte @ 0..0x80) => byte.into(),
            Ok(_) => i64::from_ne_bytes(std::array::from_fn(|_| self.byte())),
            Err(errno) => errno,
        }
    }

    /// Success without a number, or an errno.
    fn done(&mut self) -> i64 {
        self.byte_or_errno().map_or_else(|errno| errno, |_| 0)
    }

    fn spend(&mut self) -> Option<Outcome> {
        // Unwinding may close descriptors; a thread is waited for.
        if self.in_thread || std::thread::panicking() {
            return None;
        }
        if self.fuel == 0 {
            return Some(Outcome::End(End::OutOfFuel));
        }
        self.fuel -= 1;
        None
    }

    pub(super) fn wait(&mut self) -> Outcome {
        self.spend().unwrap_or(Outcome::Answer(0))
    }

    pub(super) fn call(&mut self, number: u64, args: [u64; 6]) -> Outcome {
        if number == nr::EXIT_GROUP {
            return Outcome::End(End::Exit(args[0] as i32));
        }
        if let Some(end) = self.spend() {
            return end;
        }
        if self.op != op::CALL {
            return Outcome::Answer(self.own(number, args));
        }
        if self.is_plan {
            self.assert_addresses(number, args);
        }
        Outcome::Answer(self.any())
    }

    /// An address that a plan passes to the kernel is in its data, or null.
    fn assert_addresses(&self, number: u64, args: [u64; 6]) {
        let Some((_, addresses)) = ADDRESSES.iter().find(|(known, _)| *known as u64 == number) else {
            return;
        };
        // keyctl(2) has the name of a keyring there to join one, and its number to change its permissions.
        if number == libc::SYS_keyctl as u64 && args[0] != KEYCTL_JOIN_SESSION_KEYRING {
            return;
        }
        for address in addresses.iter().map(|i| args[*i]).filter(|address| *address != 0) {
            let inside = (self.blob.start..=self.blob.end).contains(&(address as usize));
            assert!(inside, "system call {number} with {args:x?}");
        }
    }

    /// Begins an operation.
    pub(super) fn begin(&mut self, op: u8) {
        self.op = op;
        self.open.clear();
    }

    /// After a successful operation nothing is open except what it returns.
    pub(super) fn end(&self, op: u8) {
        let left = usize::from(op == op::MAKE_PATH);
        assert_eq!(self.open.len(), left, "operation {op} has left descriptors open");
    }

    /// A system call that the interpreter makes itself.
    fn own(&mut self, number: u64, [a, b, c, d, ..]: [u64; 6]) -> i64 {
        match number {
            nr::CLOSE => {
                assert!(self.open.remove(&(a as i64)), "close({a}) of a descriptor that is not open");
                0
            }
            nr::OPENAT2 => self.openat2(b, c, d),
            nr::OPENAT => {
                self.name(b, true);
                self.open()
            }
            nr::MKDIRAT | nr::MKNODAT | nr::FCHMODAT | nr::FCHOWNAT => {
                self.name(b, false);
                self.done()
            }
            nr::SYMLINKAT => {
                self.text(a);
                self.name(c, false);
                self.done()
            }
            nr::UTIMENSAT => {
                self.name(b, false);
                self.read(c, 32);
                self.done()
            }
            nr::READLINKAT => {
                self.name(b, false);
                self.readlink(c, d as usize)
            }
            nr::GETDENTS64 => self.getdents(b, c as usize),
            nr::NEWFSTATAT => {
                self.name(b, false);
                self.stat(c)
            }
            nr::FLISTXATTR => self.attribute_names(b, c as usize),
            nr::FGETXATTR => {
                self.text(b);
                self.filled(c, d as usize)
            }
            nr::FSETXATTR => {
                self.text(b);
                self.read(c, d as usize);
                self.done()
            }
            nr::SENDFILE => self.byte_or_errno().map_or_else(|errno| errno, |byte| (byte % 4).into()),
            nr::WAIT4 => self.wait4(b),
            nr::RT_SIGTIMEDWAIT => {
                self.read(a, d as usize);
                self.byte_or_errno().map_or_else(|errno| errno, |byte| i64::from(byte % 65))
            }
            nr::KILL | nr::SCHED_YIELD | nr::SENDMSG | nr::MUNMAP => self.done(),
            nr::SECCOMP => self.byte_or_errno().map_or_else(|errno| errno, i64::from),
            other => panic!("operation {} has made the system call {other}", self.op),
        }
    }

    fn open(&mut self) -> i64 {
        match self.byte_or_errno() {
            Ok(_) => {
                self.next += 1;
                self.open.insert(self.next);
                self.next
            }
            Err(errno) => errno,
        }
    }

    fn openat2(&mut self, path: u64, how: u64, size: u64) -> i64 {
        assert_eq!(size, 24, "struct open_how");
        let how = self.read(how, 24);
        match u64::from_ne_bytes(std::array::from_fn(|i| how[16 + i])) {
            IN_ROOT => drop(self.text(path)),
            BENEATH => self.name(path, false),
            other => panic!("resolve {other:#x}"),
        }
        self.open()
    }

    fn readlink(&mut self, place: u64, room: usize) -> i64 {
        const TARGETS: [&[u8]; 6] = [b"/", b"..", b"a/../../b", b"x", b"/x/./y//", b"../x"];
        match self.byte_or_errno() {
            Ok(byte @ 0..0x80) => {
                let target = TARGETS[usize::from(byte) % TARGETS.len()];
                let target = &target[..target.len().min(room)];
                self.write(place, target);
                target.len() as i64
            }
            Ok(byte) => {
                let target: Vec<u8> = (0..room >> (byte % 8)).map(|_| self.byte().max(b'.')).collect();
                self.write(place, &target);
                target.len() as i64
            }
            Err(errno) => errno,
        }
    }

    /// Complete entries, or the end.
    fn getdents(&mut self, place: u64, room: usize) -> i64 {
        let count = match self.byte_or_errno() {
            Ok(byte @ 0..0x60) => byte % 2,
            Ok(byte) => byte % 16,
            Err(errno) => return errno,
        };
        let mut entries = Vec::new();
        for _ in 0..count {
            let name = match self.byte() {
                0 => b".".to_vec(),
                1 => b"..".to_vec(),
                2 => b"...".to_vec(),
                length => (0..length).map(|_| self.byte().max(b'0')).collect(),
            };
            let length = (19 + name.len() + 1).next_multiple_of(8);
            if entries.len() + length > room {
                break;
            }
            let end = entries.len() + length;
            entries.extend_from_slice(&[0xff; 16]);
            entries.extend_from_slice(&(length as u16).to_ne_bytes());
            entries.push(0);
            entries.extend_from_slice(&name);
            entries.resize(end, 0);
        }
        self.write(place, &entries);
        entries.len() as i64
    }

    fn stat(&mut self, place: u64) -> i64 {
        let kind: u32 = match self.byte_or_errno() {
            Ok(byte) => {
                [0o040_000, 0o100_000, 0o120_000, 0o020_000, 0o010_000, 0o140_000][usize::from(byte) % 6]
            }
            Err(errno) => return errno,
        };
        let mut stat = vec![0x5a; size_of::<libc::stat>()];
        let at = std::mem::offset_of!(libc::stat, st_mode);
        stat[at..at + 4].copy_from_slice(&(kind | 0o6755).to_ne_bytes());
        self.write(place, &stat);
        0
    }

    /// Names, each with a zero byte at its end.
    fn attribute_names(&mut self, place: u64, room: usize) -> i64 {
        let count = match self.byte_or_errno() {
            Ok(byte) => byte % 32,
            Err(errno) => return errno,
        };
        let mut names: Vec<u8> = Vec::new();
        for _ in 0..count {
            let length = usize::from(self.byte());
            if names.len() + length + 1 > room {
                break;
            }
            names.resize(names.len() + length, b'u');
            names.push(0);
        }
        self.write(place, &names);
        names.len() as i64
    }

    /// Any number of bytes up to `room`.
    fn filled(&mut self, place: u64, room: usize) -> i64 {
        match self.byte_or_errno() {
            Ok(byte) => {
                let length = room >> (byte % 16);
                self.write(place, &vec![byte; length]);
                length as i64
            }
            Err(errno) => errno,
        }
    }

    fn wait4(&mut self, place: u64) -> i64 {
        match self.byte_or_errno() {
            Ok(byte) => {
                let status: [u8; 4] = std::array::from_fn(|_| self.byte());
                self.write(place, &status);
                i64::from(byte % 16)
            }
            Err(errno) => errno,
        }
    }

    pub(super) fn hand_over(&mut self, _: u64, place: u64) -> i64 {
        assert!(self.control.contains(&(place as usize)) && self.control.contains(&(place as usize + 3)));
        match self.byte_or_errno() {
            Ok(byte) => {
                self.write(place, &7u32.to_ne_bytes());
                (byte % 2).into()
            }
            Err(errno) => errno,
        }
    }

    pub(super) fn thread(&mut self, stack: u64, run: unsafe extern "C" fn(u64), argument: u64) -> Outcome {
        // The thread pushes something, and must not start inside its argument.
        assert!(
            stack.is_multiple_of(16) && argument + 1024 < stack,
            "a stack from {argument:#x} to {stack:#x}"
        );
        for place in argument..stack {
            assert!(self.blob.contains(&(place as usize)), "a stack outside of the blob");
        }
        match self.byte_or_errno() {
            Ok(byte) => {
                self.waiting = Some((run, argument));
                Outcome::Answer(i64::from(byte) + 1)
            }
            Err(errno) => Outcome::Answer(errno),
        }
    }

    pub(super) fn begin_thread(&mut self) -> Option<Thread> {
        let thread = self.waiting.take();
        self.in_thread = thread.is_some();
        thread
    }

    pub(super) fn end_thread(&mut self) {
        self.in_thread = false;
    }
}

/// Memory access.
impl Kernel {
    /// The end of the accessible range at an address.
    fn end_of(&self, place: usize) -> usize {
        if !self.mapping.contains(&place) {
            return usize::MAX; // The interpreter's own memory: AddressSanitizer checks it.
        }
        let both = [&self.blob, &self.control];
        both.into_iter().find(|range| range.contains(&place)).map_or(place, |range| range.end)
    }

    fn read(&self, place: u64, length: usize) -> Vec<u8> {
        let place = place as usize;
        assert!(length <= self.end_of(place) - place, "{length} bytes are read at {place:#x}");
        // SAFETY: this is what is tested.
        (0..length).map(|i| unsafe { (place as *const u8).add(i).read_volatile() }).collect()
    }

    fn write(&self, place: u64, bytes: &[u8]) {
        let place = place as usize;
        assert!(bytes.len() <= self.end_of(place) - place, "{} bytes are written at {place:#x}", bytes.len());
        for (i, byte) in bytes.iter().enumerate() {
            // SAFETY: this is what is tested.
            unsafe { (place as *mut u8).add(i).write_volatile(*byte) };
        }
    }

    /// A path: the kernel reads no more than this.
    fn text(&self, place: u64) -> Vec<u8> {
        let place = place as usize;
        let end = self.end_of(place);
        let mut text = Vec::new();
        while text.len() < PATH_MAX {
            assert!(place + text.len() < end, "a path has no terminator");
            // SAFETY: this is what is tested.
            match unsafe { (place as *const u8).add(text.len()).read_volatile() } {
                0 => break,
                byte => text.push(byte),
            }
        }
        text
    }

    /// A name of one component.
    fn name(&self, place: u64, or_itself: bool) {
        let name = self.text(place);
        let plain = !name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/');
        assert!(plain || or_itself && name == b".", "{:?} is not a name", String::from_utf8_lossy(&name));
    }
}
