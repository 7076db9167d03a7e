//! Architectures: the runtime-spec's names, the kernel's tokens, word size and byte order.

use super::table::{self, Column, LIMIT, NONE, PRIVATE, PRIVATE_BASE, numbers};

/// An architecture, as seccomp tells them apart: an ABI of system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Arch {
    X86_64,
    X86,
    X32,
    Arm,
    Aarch64,
    Mips,
    Mips64,
    Mips64n32,
    Mipsel,
    Mipsel64,
    Mipsel64n32,
    Ppc,
    Ppc64,
    Ppc64le,
    S390,
    S390x,
    Parisc,
    Parisc64,
    Riscv64,
    Loongarch64,
    M68k,
    Sh,
    Sheb,
}

/// `__X32_SYSCALL_BIT`, set in the number of every x32 call.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// Set in the token of a 64-bit ABI (`__AUDIT_ARCH_64BIT`).
const WIDE: u32 = 0x8000_0000;
/// Set in the token of a little-endian ABI (`__AUDIT_ARCH_LE`).
const LITTLE: u32 = 0x4000_0000;

impl Arch {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::X86_64,
        Self::X86,
        Self::X32,
        Self::Arm,
        Self::Aarch64,
        Self::Mips,
        Self::Mips64,
        Self::Mips64n32,
        Self::Mipsel,
        Self::Mipsel64,
        Self::Mipsel64n32,
        Self::Ppc,
        Self::Ppc64,
        Self::Ppc64le,
        Self::S390,
        Self::S390x,
        Self::Parisc,
        Self::Parisc64,
        Self::Riscv64,
        Self::Loongarch64,
        Self::M68k,
        Self::Sh,
        Self::Sheb,
    ];

    /// The name in `config.json`, such as `SCMP_ARCH_X86_64`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "SCMP_ARCH_X86_64",
            Self::X86 => "SCMP_ARCH_X86",
            Self::X32 => "SCMP_ARCH_X32",
            Self::Arm => "SCMP_ARCH_ARM",
            Self::Aarch64 => "SCMP_ARCH_AARCH64",
            Self::Mips => "SCMP_ARCH_MIPS",
            Self::Mips64 => "SCMP_ARCH_MIPS64",
            Self::Mips64n32 => "SCMP_ARCH_MIPS64N32",
            Self::Mipsel => "SCMP_ARCH_MIPSEL",
            Self::Mipsel64 => "SCMP_ARCH_MIPSEL64",
            Self::Mipsel64n32 => "SCMP_ARCH_MIPSEL64N32",
            Self::Ppc => "SCMP_ARCH_PPC",
            Self::Ppc64 => "SCMP_ARCH_PPC64",
            Self::Ppc64le => "SCMP_ARCH_PPC64LE",
            Self::S390 => "SCMP_ARCH_S390",
            Self::S390x => "SCMP_ARCH_S390X",
            Self::Parisc => "SCMP_ARCH_PARISC",
            Self::Parisc64 => "SCMP_ARCH_PARISC64",
            Self::Riscv64 => "SCMP_ARCH_RISCV64",
            Self::Loongarch64 => "SCMP_ARCH_LOONGARCH64",
            Self::M68k => "SCMP_ARCH_M68K",
            Self::Sh => "SCMP_ARCH_SH",
            Self::Sheb => "SCMP_ARCH_SHEB",
        }
    }

    /// The architecture with this name of `config.json`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name() == name)
    }

    /// The one that this program was compiled for; `None` if there is no table for it.
    pub const fn native() -> Option<Self> {
        let little = cfg!(target_endian = "little");
        let wide = cfg!(target_pointer_width = "64");
        if cfg!(target_arch = "x86_64") {
            Some(if wide { Self::X86_64 } else { Self::X32 })
        } else if cfg!(target_arch = "x86") {
            Some(Self::X86)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Aarch64)
        } else if cfg!(target_arch = "arm") {
            Some(Self::Arm)
        } else if cfg!(target_arch = "riscv64") {
            Some(Self::Riscv64)
        } else if cfg!(target_arch = "loongarch64") {
            Some(Self::Loongarch64)
        } else if cfg!(target_arch = "s390x") {
            Some(Self::S390x)
        } else if cfg!(target_arch = "powerpc64") {
            Some(if little { Self::Ppc64le } else { Self::Ppc64 })
        } else if cfg!(target_arch = "powerpc") {
            Some(Self::Ppc)
        } else if cfg!(target_arch = "mips64") {
            Some(if little { Self::Mipsel64 } else { Self::Mips64 })
        } else if cfg!(target_arch = "mips") {
            Some(if little { Self::Mipsel } else { Self::Mips })
        } else if cfg!(target_arch = "m68k") {
            Some(Self::M68k)
        } else {
            None
        }
    }

    /// `AUDIT_ARCH_*`, the kernel's token in `struct seccomp_data`. x32 shares that of x86_64.
    pub const fn token(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0x3e | WIDE | LITTLE,
            Self::X86 => 0x3 | LITTLE,
            Self::Arm => 0x28 | LITTLE,
            Self::Aarch64 => 0xb7 | WIDE | LITTLE,
            Self::Mips => 8,
            Self::Mips64 => 0x8 | WIDE,
            Self::Mips64n32 => 0x8 | WIDE | 0x2000_0000,
            Self::Mipsel => 0x8 | LITTLE,
            Self::Mipsel64 => 0x8 | WIDE | LITTLE,
            Self::Mipsel64n32 => 0x8 | WIDE | LITTLE | 0x2000_0000,
            Self::Ppc => 20,
            Self::Ppc64 => 0x15 | WIDE,
            Self::Ppc64le => 0x15 | WIDE | LITTLE,
            Self::S390 => 22,
            Self::S390x => 0x16 | WIDE,
            Self::Parisc => 15,
            Self::Parisc64 => 0xf | WIDE,
            Self::Riscv64 => 0xf3 | WIDE | LITTLE,
            Self::Loongarch64 => 0x102 | WIDE | LITTLE,
            Self::M68k => 4,
            Self::Sh => 0x2a | LITTLE,
            Self::Sheb => 42,
        }
    }

    /// Whether conditions compare 64 bits of an argument. The 32-bit ABIs compare the lower half: the kernel
    /// zero-extends their arguments, or (x32, n32) the upper half of the register is meaningless.
    pub const fn wide(self) -> bool {
        self.token() & WIDE != 0 && !matches!(self, Self::X32 | Self::Mips64n32 | Self::Mipsel64n32)
    }

    /// Whether the lower half of an argument comes first in memory.
    pub const fn little_endian(self) -> bool {
        self.token() & LITTLE != 0
    }

    /// The number of its first system call.
    pub(super) const fn base(self) -> u32 {
        match self {
            Self::X32 => X32_BIT,
            Self::Mips | Self::Mipsel => 4000,
            Self::Mips64 | Self::Mipsel64 => 5000,
            Self::Mips64n32 | Self::Mipsel64n32 => 6000,
            _ => 0,
        }
    }

    /// Whether socketcall(2) and ipc(2) stand for calls that other ABIs have as separate system calls.
    pub(super) const fn multiplexed(self) -> bool {
        matches!(
            self,
            Self::X86
                | Self::Mips
                | Self::Mipsel
                | Self::Ppc
                | Self::Ppc64
                | Self::Ppc64le
                | Self::S390
                | Self::S390x
                | Self::M68k
                | Self::Sh
                | Self::Sheb
        )
    }

    /// The architecture's column of the table.
    pub(super) fn column(self) -> &'static Column {
        match self {
            Self::X86_64 => &numbers::X86_64,
            Self::X86 => &numbers::X86,
            Self::X32 => &numbers::X32,
            Self::Arm => &numbers::ARM,
            Self::Aarch64 => &numbers::AARCH64,
            Self::Mips | Self::Mipsel => &numbers::MIPS,
            Self::Mips64 | Self::Mipsel64 => &numbers::MIPS64,
            Self::Mips64n32 | Self::Mipsel64n32 => &numbers::MIPS64N32,
            Self::Ppc => &numbers::PPC,
            Self::Ppc64 | Self::Ppc64le => &numbers::PPC64,
            Self::S390 => &numbers::S390,
            Self::S390x => &numbers::S390X,
            Self::Parisc => &numbers::PARISC,
            Self::Parisc64 => &numbers::PARISC64,
            Self::Riscv64 => &numbers::RISCV64,
            Self::Loongarch64 => &numbers::LOONGARCH64,
            Self::M68k => &numbers::M68K,
            Self::Sh | Self::Sheb => &numbers::SH,
        }
    }

    /// The number of a call, from its compact number.
    pub(super) const fn expand(self, compact: u16) -> u32 {
        if compact >= PRIVATE {
            PRIVATE_BASE + (compact - PRIVATE) as u32
        } else {
            self.base() + compact as u32
        }
    }

    /// The number of a system call on this architecture, with x32's bit.
    pub fn number(self, name: &str) -> Option<u32> {
        let compact = self.column()[usize::from(table::row(name)?)];
        (compact != NONE).then(|| self.expand(compact))
    }

    /// The name of the call with this number.
    pub fn call_name(self, number: u32) -> Option<&'static str> {
        let compact = match number.checked_sub(PRIVATE_BASE) {
            Some(private) if self == Self::Arm => private + u32::from(PRIVATE),
            _ => number.checked_sub(self.base())?,
        };
        let compact = u16::try_from(compact).ok().filter(|&c| usize::from(c) < LIMIT)?;
        let row = self.column().iter().position(|&c| c == compact)?;
        Some(table::name(row as u16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_compact_number_is_below_the_limit() {
        for arch in Arch::ALL {
            assert!(arch.column().iter().all(|&c| c == NONE || usize::from(c) < LIMIT), "{arch:?}");
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
    fn well_known_calls_have_their_numbers() {
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
