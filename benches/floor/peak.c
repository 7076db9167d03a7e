// Runs a command and prints its peak resident memory in KiB: peak PROGRAM ARG...
// exec carries the peak of the memory that it replaces over to the new program's figure. A figure of the command
// alone therefore needs a parent that is smaller than any command: this one has no libc.
#include "bare.h"

#include <linux/resource.h>

enum { SIGNAL_AT_EXIT = 17 /* SIGCHLD */, STANDARD_OUTPUT = 1 };

void begin(long *stack) {
  long argc = stack[0];
  char **argv = (char **)(stack + 1), **environment = argv + argc + 1;
  struct rusage usage = {0};
  int status = 1 << 8;
  long child = call(__NR_clone, SIGNAL_AT_EXIT, 0, 0, 0);
  if (!child) {
    call(__NR_execve, (long)argv[1], (long)(argv + 1), (long)environment, 0);
    call(__NR_exit_group, 127, 0, 0, 0);
  }
  call(__NR_wait4, child, (long)&status, 0, (long)&usage);
  char digits[24], *end = digits + sizeof digits, *digit = end;
  unsigned long kib = usage.ru_maxrss;
  *--digit = '\n';
  do *--digit = '0' + kib % 10;
  while (kib /= 10);
  call(__NR_write, STANDARD_OUTPUT, (long)digit, end - digit, 0);
  for (;;) call(__NR_exit_group, status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff, 0, 0, 0);
}
