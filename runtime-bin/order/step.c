// Runs PROGRAM with the arguments given to it, one instruction at a time, and says which addresses of its code it went
// through: one line each, in a new file RECORDS/COMMAND.PID. Its children go at their own pace.
//   cc -DPROGRAM='"..."' -DRECORDS='"..."' step.c
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

struct range { unsigned long from, to; };

// Where the program's code is mapped.
static struct range code_of(pid_t pid) {
  char line[4096], modes[8], name[32];
  struct range code = {0, 0}, one;
  snprintf(name, sizeof name, "/proc/%d/maps", pid);
  FILE *maps = fopen(name, "re");
  if (!maps) return code;
  while (fgets(line, sizeof line, maps))
    if (sscanf(line, "%lx-%lx %7s", &one.from, &one.to, modes) == 3 && modes[2] == 'x' && strstr(line, PROGRAM)) code = one;
  fclose(maps);
  return code;
}

// The first word which is no option: `--root DIRECTORY` comes before it.
static const char *command(int count, char **words) {
  for (int i = 1; i < count; i++) {
    if (!strcmp(words[i], "--root")) i++;
    else if (words[i][0] != '-') return words[i];
  }
  return "none";
}

static void write_record(const char *name, pid_t pid, struct range code, const char *seen) {
  char path[4096];
  snprintf(path, sizeof path, RECORDS "/%s.%d", name, pid);
  FILE *record = fopen(path, "wxe");
  if (!record) return;
  for (unsigned long at = code.from; at < code.to; at++)
    if (seen[at - code.from]) fprintf(record, "%016lx\n", at);
  fclose(record);
}

int main(int count, char **words) {
  pid_t pid = fork();
  if (!pid) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    execv(PROGRAM, words);
    _exit(127);
  }
  int status, signal = 0;
  if (waitpid(pid, &status, 0) < 0 || !WIFSTOPPED(status)) return 127;
  struct range code = code_of(pid);
  char *seen = calloc(code.to - code.from + 1, 1);
  while (seen) {
    struct user_regs_struct registers;
    if (!ptrace(PTRACE_GETREGS, pid, 0, &registers) && registers.rip >= code.from && registers.rip < code.to)
      seen[registers.rip - code.from] = 1;
    if (ptrace(PTRACE_SINGLESTEP, pid, 0, signal)) break;
    while (waitpid(pid, &status, 0) < 0)
      if (errno != EINTR) return 127;
    if (!WIFSTOPPED(status)) break;
    signal = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
  }
  if (seen) write_record(command(count, words), pid, code, seen);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
