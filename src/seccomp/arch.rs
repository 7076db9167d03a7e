//! Architectures: the runtime-spec's names, the kernel's tokens, word size and byte order.

use super::table;

/// An ABI for system calls.
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

/// Set in the number of every x32 call.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// The token is of a 64-bit ABI (`__AUDIT_ARCH_64BIT`).
const WIDE: u32 = 0x8000_0000;
/// The token is of a little-endian ABI (`__AUDIT_ARCH_LE`).
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

    /// The one this program was compiled for; `None` where there is no table for it.
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

    /// The kernel's token, `AUDIT_ARCH_*`, as `seccomp_data` carries it. x32 shares x86_64's.
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

    /// Whether conditions compare 64 bits of an argument. The 32-bit ABIs compare the low word:
    /// their kernel entry zero-extends, or (x32, n32) their C library passes registers whose upper
    /// half means nothing.
    pub const fn wide(self) -> bool {
        self.token() & WIDE != 0 && !matches!(self, Self::X32 | Self::Mips64n32 | Self::Mipsel64n32)
    }

    /// Whether the low word of an argument comes first in memory.
    pub const fn little_endian(self) -> bool {
        self.token() & LITTLE != 0
    }

    /// The number of its first call.
    pub(super) const fn base(self) -> u32 {
        match self {
            Self::X32 => X32_BIT,
            Self::Mips | Self::Mipsel => 4000,
            Self::Mips64 | Self::Mipsel64 => 5000,
            Self::Mips64n32 | Self::Mipsel64n32 => 6000,
            _ => 0,
        }
    }

    /// Whether socketcall(2) and ipc(2) carry what other ABIs have system calls for.
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

    /// The number of a slot of its column.
    pub(super) const fn number_of_slot(self, slot: u16) -> u32 {
        if slot >= table::PRIVATE {
            table::PRIVATE_BASE + (slot - table::PRIVATE) as u32
        } else {
            self.base() + slot as u32
        }
    }

    /// The number of a system call on this architecture, with x32's bit.
    pub fn number(self, name: &str) -> Option<u32> {
        let slot = table::column(self)[usize::from(table::row(name)?)];
        (slot != table::NONE).then(|| self.number_of_slot(slot))
    }

    /// The name of the call with this number.
    pub fn call_name(self, number: u32) -> Option<&'static str> {
        let slot = match number.checked_sub(table::PRIVATE_BASE) {
            Some(private) if self == Self::Arm => private + u32::from(table::PRIVATE),
            _ => number.checked_sub(self.base())?,
        };
        let slot = u16::try_from(slot).ok().filter(|&s| usize::from(s) < table::SLOTS)?;
        table::name_of_slot(self, slot)
    }
}
