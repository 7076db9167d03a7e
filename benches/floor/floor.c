// The floor under every runtime: the kernel work of the container that config.json beside this file describes, and nothing else.
// Its time is the kernel's; a runtime's ratio to it shows what that runtime adds. It has a runtime's commands:
//
//   floor [--root DIR] [--cgroup PATH] [--v1 NAME,NAME...] run|create [--bundle DIR] [--pid-file FILE] [--bpf FILE] ID PROGRAM [ARG...]
//   floor [the same] start|state|kill ID      delete [--force] ID      exec [--process FILE] ID PROGRAM [ARG...]      list
//
// --cgroup is the cgroupsPath of config.json; --v1 names the v1 hierarchies (without it /sys/fs/cgroup is a cgroup2);
// --bpf is a compiled seccomp program; --stages prints on stderr how many microseconds each stage of `run` took.
#include "floor.h"

#include <dirent.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

struct request request = {.root = "/run/floor", .bundle = ".", .cgroup = "/floor"};
static char config[64 * 1024], record[4096];

// clone3 roots a new cgroup namespace in the cgroup that it clones into. The default config has none on v1.
static uint64_t namespaces(void) {
  return CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS | (request.v1_count ? 0 : CLONE_NEWCGROUP);
}

// ---- the state of a container: ROOT/ID/state.json, and ROOT/ID/start until it is started ----

static int state_open(void) {
  char path[PATH_SIZE];
  text(path, request.root, "/", request.id, NULL);
  return check(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), path);
}

static int state_make(void) {
  char path[PATH_SIZE];
  mkdir(request.root, 0700);
  check(mkdir(text(path, request.root, "/", request.id, NULL), 0700), path);
  return state_open();
}

static void state_write(int dir, int pid) {
  char number[24];
  const char *digits = decimal(number, pid);
  text(record, "{\"ociVersion\":\"1.3.0\",\"id\":\"", request.id, "\",\"pid\":", digits, ",\"bundle\":\"", request.bundle,
       "\",\"cgroup\":\"", request.cgroup, "\"}", NULL);
  write_file(dir, ".state", O_CREAT | O_TRUNC, record);
  CHECK(renameat(dir, ".state", dir, "state.json"));
  if (request.pid_file) write_file(AT_FDCWD, request.pid_file, O_CREAT | O_TRUNC, digits);
}

static int state_pid(int dir) {
  CHECK(read_file(dir, "state.json", record, sizeof record));
  const char *pid = strstr(record, "\"pid\":");
  return check(pid ? atoi(pid + strlen("\"pid\":")) : -1, "state.json");
}

static void state_remove(int dir) {
  char path[PATH_SIZE];
  CHECK(unlinkat(dir, "state.json", 0));
  CHECK(rmdir(text(path, request.root, "/", request.id, NULL)));
}

static void state_print(int dir) {
  char path[64], number[24], stat[512];
  int pid = state_pid(dir);
  bool alive = read_file(AT_FDCWD, text(path, "/proc/", decimal(number, pid), "/stat", NULL), stat, sizeof stat) > 0;
  if (alive) alive = !strchr("ZX", strrchr(stat, ')')[2]);
  const char *status = !alive ? "stopped" : faccessat(dir, "start", F_OK, 0) ? "running" : "created";
  char *brace = record + strlen(record) - 1;
  text(brace, ",\"status\":\"", status, "\"}\n", NULL);
  CHECK(write(STDOUT_FILENO, record, strlen(record)));
}

// ---- the container's first process ----

static int gate = -1;  // create: a fifo from which it reads before it execs
static int ready;      // create: set, and the waiting thread woken, once it has reached that point

static void wait_for_start(void) {
  char byte;
  __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
  syscall(SYS_futex, &ready, FUTEX_WAKE, 1, NULL, NULL, 0);
  if (read(gate, &byte, 1) != 1) _exit(1);
}

static int first_process(void) {
  mark("clone3");
  cgroup_join();
  mark("cgroup join");
  rootfs_enter();
  network_up();
  CHECK(sethostname("runc", 4));
  mark("loopback, host name");
  identity();
  mark("identity");
  if (gate >= 0) wait_for_start();
  program_exec();
}

static int further_process(void) {
  cgroup_join();
  identity();
  program_exec();
}

// ---- the commands ----

static void read_bundle(void) {
  char path[PATH_SIZE];
  check(read_file(AT_FDCWD, text(path, request.bundle, "/config.json", NULL), config, sizeof config), path);
  filter_load();
  mark("config.json");
}

static int command_run(void) {
  int pidfd;
  mark("");
  read_bundle();
  int dir = state_make();
  mark("state directory");
  cgroup_make();
  mark("cgroup make");
  int pid = clone_into(CLONE_VFORK | namespaces(), cgroup_v2, first_process, &pidfd);
  mark("exec");
  state_write(dir, pid);
  mark("state file");
  int status = wait_exit(pidfd);
  mark("exit, wait");
  cgroup_remove();
  mark("cgroup remove");
  state_remove(dir);
  mark("state remove");
  print_marks();
  return status;
}

static int command_create(void) {
  int pidfd;
  read_bundle();
  int dir = state_make();
  CHECK(mkfifoat(dir, "start", 0600));
  gate = CHECK(openat(dir, "start", O_RDWR | O_CLOEXEC));
  cgroup_make();
  int pid = clone_into(namespaces(), cgroup_v2, first_process, &pidfd);
  while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE)) {
    const struct timespec second = {1, 0};
    siginfo_t ended = {0};
    syscall(SYS_futex, &ready, FUTEX_WAIT, 0, &second, NULL, 0);
    if (!ready && !waitid(P_PIDFD, pidfd, &ended, WEXITED | WNOHANG) && ended.si_pid) return 1;
  }
  state_write(dir, pid);
  return 0;
}

static int command_start(void) {
  int dir = state_open(), fifo = CHECK(openat(dir, "start", O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  CHECK(write(fifo, "", 1));
  CHECK(unlinkat(dir, "start", 0));
  return 0;
}

static int command_state(void) {
  state_print(state_open());
  return 0;
}

static int command_list(void) {
  DIR *root = opendir(request.root);
  for (struct dirent *entry; root && (entry = readdir(root));) {
    if (*entry->d_name == '.') continue;
    int dir = CHECK(openat(dirfd(root), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    state_print(dir);
    close(dir);
  }
  return 0;
}

static int kill_process(int dir) {
  int pidfd = CHECK(syscall(SYS_pidfd_open, state_pid(dir), 0));
  CHECK(syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0));
  return pidfd;
}

static int command_kill(void) {
  kill_process(state_open());
  return 0;
}

static int command_delete(void) {
  int dir = state_open();
  if (request.force) {
    struct pollfd dead = {kill_process(dir), POLLIN, 0};
    CHECK(poll(&dead, 1, -1));
  }
  cgroup_remove();
  unlinkat(dir, "start", 0);  // absent once it was started
  state_remove(dir);
  return 0;
}

static int command_exec(void) {
  int pidfd;
  if (request.process) check(read_file(AT_FDCWD, request.process, config, sizeof config), request.process);
  int container = CHECK(syscall(SYS_pidfd_open, state_pid(state_open()), 0));
  cgroup_open();
  CHECK(setns(container, namespaces()));
  clone_into(CLONE_VFORK, cgroup_v2, further_process, &pidfd);
  return wait_exit(pidfd);
}

// ---- the command line ----

typedef int command(void);

static command *command_named(const char *name) {
  static const struct { const char *name; command *body; } commands[] = {
      {"run", command_run}, {"create", command_create}, {"start", command_start}, {"state", command_state},
      {"kill", command_kill}, {"delete", command_delete}, {"exec", command_exec}, {"list", command_list}};
  for (unsigned i = 0; i < COUNT(commands); i++)
    if (!strcmp(name, commands[i].name)) return commands[i].body;
  return NULL;
}

static const char **option_named(const char *name) {
  static const struct { const char *name, **value; } options[] = {
      {"--root", &request.root}, {"--bundle", &request.bundle}, {"--cgroup", &request.cgroup}, {"--bpf", &request.filter},
      {"--pid-file", &request.pid_file}, {"--process", &request.process}};
  for (unsigned i = 0; i < COUNT(options); i++)
    if (!strcmp(name, options[i].name)) return options[i].value;
  return NULL;
}

int main(int argc, char **argv) {
  command *body = NULL;
  for (char **at = argv + 1; at < argv + argc; at++) {
    const char **value = option_named(*at);
    if (value && at[1]) *value = *++at;
    else if (!strcmp(*at, "--force")) request.force = true;
    else if (!strcmp(*at, "--stages")) marking = true;
    else if (!strcmp(*at, "--v1") && at[1])
      for (char *name = strtok(*++at, ","); name && request.v1_count < (int)COUNT(request.v1); name = strtok(NULL, ",")) request.v1[request.v1_count++] = name;
    else if (!body) {
      if (!(body = command_named(*at))) break;
    } else if (!request.id) request.id = *at;
    else { request.program = at; break; }
  }
  if (!body || (body != command_list && !request.id)) {
    fputs("floor: which command, on which container?\n", stderr);
    return 2;
  }
  return body();
}
