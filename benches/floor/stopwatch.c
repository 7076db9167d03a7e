// Times commands from their spawn to their exit. It reads one request per line from standard input, with fields
// separated by tabs, and answers each with one line, `ok MICROSECONDS` or `fail STATUS`:
//
//   run STATUS PROGRAM ARG...                 the command must exit with STATUS
//   burst STATUS WIDTH BATCH PROGRAM ARG...   BATCH such commands, WIDTH at a time; in an ARG, @ is the number of the
//                                             command in the batch and % the place among WIDTH that it takes
//   reap STATUS FILE                          the process whose pid is in FILE must exit with STATUS
//
// Orphans become its children, so it can reap a container's process. The commands' stderr is appended to the file
// that is its only argument, and their stdout is dropped.
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Long enough for a command that `runtime-bin/order/record` single-steps.
enum { MAX_FIELDS = 64, MAX_WIDTH = 64, PATIENCE_MS = 60000, TOO_LATE = -1, NO_PROCESS = -2 };
static int nowhere, errors;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static pid_t spawn(char **argv) {
  pid_t child = vfork();
  if (child) return child;
  dup2(nowhere, STDIN_FILENO);
  dup2(nowhere, STDOUT_FILENO);
  dup2(errors, STDERR_FILENO);
  execv(argv[0], argv);
  _exit(127);
}

static int exit_status(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

static int wait_for(pid_t child) {
  int status, pidfd = syscall(SYS_pidfd_open, child, 0);
  struct pollfd end = {pidfd, POLLIN, 0};
  if (pidfd < 0) return NO_PROCESS;
  bool late = poll(&end, 1, PATIENCE_MS) == 0;
  if (late) kill(child, SIGKILL);
  close(pidfd);
  if (waitpid(child, &status, 0) != child) return NO_PROCESS;
  return late ? TOO_LATE : exit_status(status);
}

static void answer(int status, int wanted, double since) {
  if (status == wanted) printf("ok\t%.1f\n", now() - since);
  else printf("fail\t%d\n", status);
}

static int reap(const char *file) {
  char digits[24] = "";
  int pid_file = open(file, O_RDONLY | O_CLOEXEC);
  if (pid_file < 0 || read(pid_file, digits, sizeof digits - 1) <= 0) return NO_PROCESS;
  close(pid_file);
  return atoi(digits) > 0 ? wait_for(atoi(digits)) : NO_PROCESS;
}

// argv with @ and % filled in; both stand for numbers, which take six bytes at most.
static char **fill(char **argv, int number, int place) {
  static char *filled[MAX_FIELDS], room[64 * 1024];
  char *to = room;
  int i = 0;
  for (; argv[i]; i++) {
    filled[i] = to;
    for (const char *from = argv[i]; *from && to < room + sizeof room - 8; from++) {
      if (*from == '@') to += sprintf(to, "%d", number);
      else if (*from == '%') to += sprintf(to, "%d", place);
      else *to++ = *from;
    }
    *to++ = 0;
  }
  filled[i] = NULL;
  return filled;
}

static int burst(int wanted, int width, int batch, char **argv) {
  pid_t at[MAX_WIDTH] = {0};
  int begun = 0, ended = 0, worst = wanted, status;
  if (width < 1 || width > MAX_WIDTH) return NO_PROCESS;
  while (ended < batch) {
    for (int place = 0; place < width && begun < batch; place++) {
      if (at[place]) continue;
      at[place] = spawn(fill(argv, begun, place));
      begun++;
    }
    pid_t gone = waitpid(-1, &status, 0);
    if (gone < 0) return NO_PROCESS;
    for (int place = 0; place < width; place++) {
      if (at[place] != gone) continue;
      at[place] = 0;
      ended++;
      if (exit_status(status) != wanted) worst = exit_status(status);
    }
  }
  return worst;
}

static void serve(char **field, int count) {
  bool is_burst = count > 5 && !strcmp(field[0], "burst");
  int wanted = count > 2 ? atoi(field[1]) : 0;
  double since = now();
  if (is_burst) answer(burst(wanted, atoi(field[2]), atoi(field[3]), field + 4), wanted, since);
  else if (count > 2 && !strcmp(field[0], "run")) answer(wait_for(spawn(field + 2)), wanted, since);
  else if (count > 2 && !strcmp(field[0], "reap")) answer(reap(field[2]), wanted, since);
  else puts("fail\t-3");
  // Reaps other orphans; not after `run`, since the next request may `reap` that process.
  if (strcmp(field[0], "run")) while (waitpid(-1, NULL, WNOHANG) > 0);
}

int main(int argc, char **argv) {
  static char line[64 * 1024];
  if (argc != 2) return 2;
  nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
  errors = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (nowhere < 0 || errors < 0) return 1;
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  setpriority(PRIO_PROCESS, 0, -20);  // as far as permitted
  setvbuf(stdout, NULL, _IOLBF, 4096);
  while (fgets(line, sizeof line, stdin)) {
    char *field[MAX_FIELDS], *rest = line;
    int count = 0;
    line[strcspn(line, "\n")] = 0;
    while (count < MAX_FIELDS - 1 && (field[count] = strsep(&rest, "\t"))) count++;
    field[count] = NULL;
    serve(field, count);
  }
  return 0;
}
