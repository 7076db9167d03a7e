// Properties of the container's process: session, limits, ids, capabilities, filter, program.
#include "floor.h"

#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

static struct sock_filter instructions[4096];
static struct sock_fprog program;

void filter_load(void) {
  if (!request.filter) return;
  long length = check(read_file(AT_FDCWD, request.filter, (char *)instructions, sizeof instructions), request.filter);
  program.len = length / sizeof *instructions;
  program.filter = instructions;
}

void network_up(void) {
  struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  int any = CHECK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  CHECK(ioctl(any, SIOCSIFFLAGS, &loopback));
  close(any);
}

void identity(void) {
  const uint32_t keep = 1u << CAP_AUDIT_WRITE | 1u << CAP_KILL | 1u << CAP_NET_BIND_SERVICE;
  const struct rlimit files = {1024, 1024};
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  const struct __user_cap_data_struct sets[2] = {{.effective = keep, .permitted = keep}};
  CHECK(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, request.id));
  setsid();  // fails in a process group leader, which exec's process is not
  CHECK(setrlimit(RLIMIT_NOFILE, &files));
  for (unsigned i = 0; i <= CAP_LAST_CAP; i++)
    if (i >= 32 || !(keep >> i & 1)) CHECK(prctl(PR_CAPBSET_DROP, i, 0, 0, 0));
  // The libc's own functions would synchronise all threads.
  CHECK(syscall(SYS_setgroups, 0, NULL));
  CHECK(syscall(SYS_setresgid, 0, 0, 0));
  CHECK(syscall(SYS_setresuid, 0, 0, 0));
  CHECK(syscall(SYS_capset, &header, sets));
  CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  CHECK(syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC));
}

void program_exec(void) {
  static char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm", NULL};
  if (program.len) CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
  mark("seccomp");
  execve(*request.program, request.program, environment);
  check(-1, *request.program);
  _exit(1);
}
