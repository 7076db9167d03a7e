// Declarations shared by the parts of the floor. The floor creates the container of benches/floor/config.json
// with as little work as the kernel allows: it parses no JSON, trusts every path and undoes nothing after a failure.
#ifndef FLOOR_H
#define FLOOR_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define CGROUP_ROOT "/sys/fs/cgroup"
#define PATH_SIZE 1024

// The command line.
struct request {
  const char *root;       // state directory
  const char *bundle;     // holds config.json and rootfs
  const char *cgroup;     // cgroupsPath of config.json
  const char *v1[32];     // hierarchies below CGROUP_ROOT; none: cgroup2 is mounted there
  int v1_count;
  const char *filter;     // file with a compiled seccomp program
  const char *pid_file;
  const char *process;    // exec: a file that a runtime would read
  const char *id;
  char **program;         // null-terminated argv of the container's process
  bool force;
};
extern struct request request;

// base.c: failure, time, text, small files, clone3
int check(long result, const char *what);  // exits if result is negative
#define CHECK(call) check((call), #call)
void mark(const char *stage);              // does nothing without --stages
extern bool marking;
void print_marks(void);
const char *text(char *to, ...);           // joins strings up to a null pointer
const char *decimal(char to[24], unsigned long number);
long read_file(int dir, const char *name, char *to, size_t size);  // -1 if it cannot be opened; adds a zero byte
void write_file(int dir, const char *name, int flags, const char *content);
int clone_into(uint64_t flags, int cgroup, int (*body)(void), int *pidfd);
int wait_exit(int pidfd);

// cgroup.c
void cgroup_make(void);
void cgroup_open(void);     // exec: of a container that exists
void cgroup_join(void);     // in the child; with v2 it is created inside
void cgroup_remove(void);
extern int cgroup_v2;       // descriptor for CLONE_INTO_CGROUP, or -1

// rootfs.c
void rootfs_enter(void);

// process.c
void filter_load(void);
void network_up(void);
void identity(void);
_Noreturn void program_exec(void);

#endif
