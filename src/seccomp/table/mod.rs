//! System call names to numbers, for every architecture the runtime-spec names.
//!
//! One sorted list of names and one column of 16-bit *slots* for each architecture: a name is
//! looked up once for a whole profile, after which each architecture is an array access. A slot is
//! the number less the architecture's base; slots from [`PRIVATE`] on stand for the numbers from
//! [`PRIVATE_BASE`] on (Arm's private calls).

mod names;
mod numbers;

use super::Arch;
use names::NAMES;

/// No such call on this architecture.
pub(super) const NONE: u16 = u16::MAX;
/// The first slot which stands for a number above [`PRIVATE_BASE`].
pub(super) const PRIVATE: u16 = 1024;
/// Where Arm's private calls begin.
pub(super) const PRIVATE_BASE: u32 = 0x000f_0000;
/// One more than the largest slot.
pub(super) const SLOTS: usize = 1040;

/// A column: the slot of each name.
pub(super) type Column = [u16; NAMES.len()];

const BUCKETS: usize = 2048;

/// An open-addressed hash table over the names, made by the compiler.
static INDEX: [u16; BUCKETS] = index();

const fn hash(name: &[u8]) -> usize {
    let mut h: u32 = 0x811c_9dc5;
    let mut i = 0;
    while i < name.len() {
        h = (h ^ name[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    (h ^ (h >> 15)) as usize % BUCKETS
}

const fn index() -> [u16; BUCKETS] {
    let mut table = [NONE; BUCKETS];
    let mut i = 0;
    while i < NAMES.len() {
        let mut at = hash(NAMES[i].as_bytes());
        while table[at] != NONE {
            at = (at + 1) % BUCKETS;
        }
        table[at] = i as u16;
        i += 1;
    }
    table
}

/// The row of a name; `None` where no architecture knows it.
pub(super) fn row(name: &str) -> Option<u16> {
    let mut at = hash(name.as_bytes());
    loop {
        match INDEX[at] {
            NONE => return None,
            row if NAMES[row as usize] == name => return Some(row),
            _ => at = (at + 1) % BUCKETS,
        }
    }
}

/// The name in a row.
pub(super) fn name(row: u16) -> &'static str {
    NAMES[row as usize]
}

/// The name of the call with this slot.
pub(super) fn name_of_slot(arch: Arch, slot: u16) -> Option<&'static str> {
    column(arch).iter().position(|&s| s == slot && s != NONE).map(|row| NAMES[row])
}

/// The architecture's column.
pub(super) fn column(arch: Arch) -> &'static Column {
    match arch {
        Arch::X86_64 => &numbers::X86_64,
        Arch::X86 => &numbers::X86,
        Arch::X32 => &numbers::X32,
        Arch::Arm => &numbers::ARM,
        Arch::Aarch64 => &numbers::AARCH64,
        Arch::Mips | Arch::Mipsel => &numbers::MIPS,
        Arch::Mips64 | Arch::Mipsel64 => &numbers::MIPS64,
        Arch::Mips64n32 | Arch::Mipsel64n32 => &numbers::MIPS64N32,
        Arch::Ppc => &numbers::PPC,
        Arch::Ppc64 | Arch::Ppc64le => &numbers::PPC64,
        Arch::S390 => &numbers::S390,
        Arch::S390x => &numbers::S390X,
        Arch::Parisc => &numbers::PARISC,
        Arch::Parisc64 => &numbers::PARISC64,
        Arch::Riscv64 => &numbers::RISCV64,
        Arch::Loongarch64 => &numbers::LOONGARCH64,
        Arch::M68k => &numbers::M68K,
        Arch::Sh | Arch::Sheb => &numbers::SH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_its_row() {
        for (i, name) in NAMES.iter().enumerate() {
            assert_eq!(row(name), Some(i as u16), "{name}");
        }
        assert_eq!(row("no_such_call"), None);
        assert_eq!(row(""), None);
        assert!(NAMES.is_sorted());
    }

    #[test]
    fn slots_fit() {
        for arch in Arch::ALL {
            assert!(column(arch).iter().all(|&s| s == NONE || usize::from(s) < SLOTS), "{arch:?}");
        }
    }

    #[test]
    fn the_native_column_agrees_with_libc() {
        let of = |name| Arch::native().and_then(|a| a.number(name)).map(libc::c_long::from);
        assert_eq!(of("read"), Some(libc::SYS_read));
        assert_eq!(of("openat2"), Some(libc::SYS_openat2));
        assert_eq!(of("seccomp"), Some(libc::SYS_seccomp));
        assert_eq!(of("execveat"), Some(libc::SYS_execveat));
        assert_eq!(of("clone3"), Some(libc::SYS_clone3));
    }

    #[test]
    fn known_numbers() {
        for (arch, name, number) in [
            (Arch::X86, "socketcall", 102),
            (Arch::X32, "execve", 0x4000_0000 + 520),
            (Arch::Arm, "set_tls", 0x000f_0005),
            (Arch::Mips, "read", 4003),
            (Arch::Mips64, "read", 5000),
            (Arch::Mipsel64n32, "read", 6000),
            (Arch::S390x, "clone", 120),
            (Arch::Aarch64, "execve", 221),
            (Arch::Riscv64, "riscv_hwprobe", 258),
            (Arch::Ppc64le, "openat2", 437),
        ] {
            assert_eq!(arch.number(name), Some(number), "{arch:?} {name}");
        }
    }
}
