// Runs PROGRAM with the arguments given to it, and records the functions that it enters: one address per line, in a new file
// RECORDS/COMMAND.PID. ENTRIES is a file with the addresses of all functions, in hexadecimal, one per line.
//   cc -DPROGRAM='"..."' -DENTRIES='"..."' -DRECORDS='"..."' visit.c
//
// Each function begins with a breakpoint, which is removed when it is hit: the program stops once per function instead of
// once per instruction. A child inherits the breakpoints with the memory, so it is traced until it executes another program.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BREAKPOINT = 0xcc };

struct function {
  unsigned long address;
  unsigned char original, visited;
};

static struct function *functions;
static size_t count;

static int by_address(const void *a, const void *b) {
  const struct function *one = a, *other = b;
  return (one->address > other->address) - (one->address < other->address);
}

static struct function *find(unsigned long address) {
  struct function key = {address, 0, 0};
  return bsearch(&key, functions, count, sizeof key, by_address);
}

static int read_functions(void) {
  FILE *list = fopen(ENTRIES, "re");
  if (!list) return 0;
  unsigned long address;
  for (size_t room = 0; fscanf(list, "%lx", &address) == 1; count++) {
    if (count == room) {
      room = room ? 2 * room : 4096;
      functions = realloc(functions, room * sizeof *functions);
      if (!functions) return 0;
    }
    functions[count] = (struct function){address, 0, 0};
  }
  fclose(list);
  qsort(functions, count, sizeof *functions, by_address);
  // A function may have two names.
  size_t kept = 0;
  for (size_t i = 0; i < count; i++)
    if (!kept || functions[kept - 1].address != functions[i].address) functions[kept++] = functions[i];
  count = kept;
  return count > 0;
}

static int memory_of(pid_t pid) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/mem", pid);
  return open(path, O_RDWR | O_CLOEXEC);
}

static int set_breakpoints(pid_t pid) {
  const unsigned char breakpoint = BREAKPOINT;
  int memory = memory_of(pid), good = memory >= 0;
  for (struct function *f = functions; good && f < functions + count; f++)
    good = pread(memory, &f->original, 1, f->address) == 1 && pwrite(memory, &breakpoint, 1, f->address) == 1;
  if (memory >= 0) close(memory);
  return good;
}

// Whether the process has stopped at a breakpoint, which is then gone.
static int pass_breakpoint(pid_t pid) {
  struct user_regs_struct registers;
  if (ptrace(PTRACE_GETREGS, pid, 0, &registers)) return 0;
  struct function *f = find(registers.rip - 1);
  if (!f) return 0;
  f->visited = 1;
  int memory = memory_of(pid);
  if (memory < 0) return 0;
  int written = pwrite(memory, &f->original, 1, f->address) == 1;
  close(memory);
  registers.rip--;
  return written && !ptrace(PTRACE_SETREGS, pid, 0, &registers);
}

// The first word that is not an option: `--root DIRECTORY` comes before it.
static const char *command(int number, char **words) {
  for (int i = 1; i < number; i++) {
    if (!strcmp(words[i], "--root")) i++;
    else if (words[i][0] != '-') return words[i];
  }
  return "none";
}

static void write_record(const char *name, pid_t pid) {
  char path[4096];
  snprintf(path, sizeof path, RECORDS "/%s.%d", name, pid);
  FILE *record = fopen(path, "wxe");
  if (!record) return;
  for (struct function *f = functions; f < functions + count; f++)
    if (f->visited) fprintf(record, "%016lx\n", f->address);
  fclose(record);
}

// Continues a stopped process: with the signal that stopped it, or without if the stop was the tracer's.
static void go_on(pid_t pid, pid_t program, int status) {
  int signal = WSTOPSIG(status), event = status >> 16;
  if (event == PTRACE_EVENT_EXEC && pid != program) {
    ptrace(PTRACE_DETACH, pid, 0, 0);
    return;
  }
  // A new child starts with SIGSTOP.
  int ours = event || signal == SIGSTOP || (signal == SIGTRAP && pass_breakpoint(pid));
  ptrace(PTRACE_CONT, pid, 0, ours ? 0 : signal);
}

int main(int number, char **words) {
  if (!read_functions()) return 127;
  pid_t program = fork();
  if (!program) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    execv(PROGRAM, words);
    _exit(127);
  }
  int status;
  if (waitpid(program, &status, 0) < 0 || !WIFSTOPPED(status) || !set_breakpoints(program)) return 127;
  long options = PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC;
  ptrace(PTRACE_SETOPTIONS, program, 0, options);
  ptrace(PTRACE_CONT, program, 0, 0);
  for (;;) {
    pid_t pid = waitpid(-1, &status, __WALL);
    if (pid < 0 && errno == EINTR) continue;
    if (pid < 0) return 127;
    if (WIFSTOPPED(status)) go_on(pid, program, status);
    else if (pid == program) break;
  }
  write_record(command(number, words), program);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
