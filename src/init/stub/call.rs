//! A system call whose errno is an error.

use super::abi::MAX_ERRNO;
use super::arch::syscall;
use super::walk::CallFailure;

/// The result of a system call, from the value that it returned.
pub fn result(number: u64, answer: i64) -> Result<i64, CallFailure> {
    if (-MAX_ERRNO..0).contains(&answer) {
        Err(CallFailure { call: number as u32, errno: -answer as u32 })
    } else {
        Ok(answer)
    }
}

/// Makes a system call.
pub fn checked(number: u64, args: [u64; 6]) -> Result<i64, CallFailure> {
    result(number, syscall(number, args))
}
