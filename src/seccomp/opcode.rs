//! Operation codes of classic BPF (linux/filter.h), as far as this compiler writes them.

/// `A = data[k]`: `BPF_LD | BPF_W | BPF_ABS`.
pub(super) const LOAD: u16 = 0x20;
/// `A &= k`: `BPF_ALU | BPF_AND | BPF_K`.
pub(super) const AND: u16 = 0x54;
/// Skip `k` instructions: `BPF_JMP | BPF_JA`.
pub(super) const JUMP: u16 = 0x05;
/// Whether `A == k`: `BPF_JMP | BPF_JEQ | BPF_K`.
pub(super) const EQUAL: u16 = 0x15;
/// Whether `A > k`: `BPF_JMP | BPF_JGT | BPF_K`.
pub(super) const GREATER: u16 = 0x25;
/// Whether `A >= k`: `BPF_JMP | BPF_JGE | BPF_K`.
pub(super) const GREATER_EQUAL: u16 = 0x35;
/// Whether `A & k != 0`: `BPF_JMP | BPF_JSET | BPF_K`.
pub(super) const ANY_BIT: u16 = 0x45;
/// Return `k`: `BPF_RET | BPF_K`.
pub(super) const RETURN: u16 = 0x06;
