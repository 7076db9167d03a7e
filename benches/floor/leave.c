// The container's program in timed runs: it exits with 42 at once, or, given an argument, waits for a signal.
// It has no libc, so it adds no cost of its own.
#include "bare.h"

void begin(long *stack) {
  while (stack[0] > 1) call(__NR_ppoll, 0, 0, 0, 0);
  for (;;) call(__NR_exit_group, 42, 0, 0, 0);
}
