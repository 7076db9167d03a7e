// For the programs without a libc: the system call, and the entry point: begin(stack), with argc in stack[0].
#ifndef BARE_H
#define BARE_H

#include <asm/unistd.h>

#if defined __x86_64__
static long call(long number, long a, long b, long c, long d) {
  long result;
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = 0;
  __asm__ volatile("syscall" : "=a"(result) : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return result;
}
__asm__(".globl _start\n_start:\n  mov %rsp, %rdi\n  and $-16, %rsp\n  call begin\n");
#elif defined __aarch64__
static long call(long number, long a, long b, long c, long d) {
  register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c, x3 __asm__("x3") = d, x4 __asm__("x4") = 0;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
}
__asm__(".globl _start\n_start:\n  mov x0, sp\n  bl begin\n");
#else
#error "the bench's programs support x86_64 and aarch64"
#endif

__attribute__((used, noreturn)) void begin(long *stack);

#endif
