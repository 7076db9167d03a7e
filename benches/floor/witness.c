// Runs as the container's process, prints on stdout how the container differs from config.json beside this file,
// and exits with 42 if it does not. Only subjects that pass are timed: it shows that the work has been done.
//
//   witness init|exec|seccomp CGROUPSPATH v1|v2 NAMESPACE...
//
// `exec` is another process of the container, `seccomp` one under a filter; each NAMESPACE is the host's link in
// /proc/self/ns, such as uts:[4026531838].
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
enum { AS_ASKED = 42, DIFFERENT = 1, MISUSED = 2 };
static int differences;
static bool v2;

__attribute__((format(printf, 1, 2))) static void differs(const char *format, ...) {
  va_list values;
  va_start(values, format);
  vprintf(format, values);
  va_end(values);
  putchar('\n');
  differences++;
}

static FILE *lines_of(const char *path) {
  FILE *file = fopen(path, "re");
  if (!file) differs("%s: %s", path, strerror(errno));
  return file;
}

// ---- the process ----

static void check_status(bool filtered) {
  static const struct { const char *name; unsigned long long value; } hexadecimal[] = {
      {"CapInh", 0}, {"CapPrm", 0x20000420}, {"CapEff", 0x20000420}, {"CapBnd", 0x20000420}, {"CapAmb", 0}, {"NoNewPrivs", 1}};
  char line[1024], name[64];
  unsigned long long value;
  unsigned found = 0;
  FILE *status = lines_of("/proc/self/status");
  while (status && fgets(line, sizeof line, status)) {
    if (sscanf(line, "%63[^:]: %llx", name, &value) != 2) continue;
    for (unsigned i = 0; i < COUNT(hexadecimal); i++) {
      if (strcmp(name, hexadecimal[i].name)) continue;
      found++;
      if (value != hexadecimal[i].value) differs("%s is %llx", name, value);
    }
    if (!strcmp(name, "Seccomp") && (value == 2) != filtered) differs("Seccomp is %llu", value);
  }
  if (status) fclose(status);
  if (found != COUNT(hexadecimal)) differs("/proc/self/status tells %u of %zu things", found, COUNT(hexadecimal));
}

static void check_process(bool first) {
  struct rlimit files;
  gid_t groups[64];
  char where[256] = "";
  const char *term = getenv("TERM"), *path = getenv("PATH");
  if (first && (getpid() != 1 || getsid(0) != 1)) differs("pid %d in session %d, not 1 in 1", getpid(), getsid(0));
  if (getuid() || geteuid() || getgid() || getegid()) differs("user %d, group %d", getuid(), getgid());
  if (getgroups(COUNT(groups), groups)) differs("there are additional groups");
  if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur != 1024 || files.rlim_max != 1024)
    differs("RLIMIT_NOFILE is %llu of %llu", (unsigned long long)files.rlim_cur, (unsigned long long)files.rlim_max);
  if (!term || strcmp(term, "xterm")) differs("TERM is %s", term ? term : "not set");
  if (!path || strcmp(path, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")) differs("PATH is %s", path ? path : "not set");
  if (!getcwd(where, sizeof where) || strcmp(where, "/")) differs("working directory %s", where);
}

static void check_descriptors(void) {
  DIR *open_ones = opendir("/proc/self/fd");
  for (struct dirent *entry; open_ones && (entry = readdir(open_ones));) {
    char target[256] = "";
    int number = atoi(entry->d_name);
    if (number <= STDERR_FILENO || number == dirfd(open_ones)) continue;
    if (readlinkat(dirfd(open_ones), entry->d_name, target, sizeof target - 1) < 0) continue;
    differs("descriptor %d is open: %s", number, target);
  }
  if (open_ones) closedir(open_ones);
  else differs("/proc/self/fd: %s", strerror(errno));
}

// ---- namespaces and what is in them ----

static void check_namespace(const char *host) {
  char path[64], here[64] = "";
  snprintf(path, sizeof path, "/proc/self/ns/%.*s", (int)strcspn(host, ":"), host);
  if (readlink(path, here, sizeof here - 1) < 0) differs("%s: %s", path, strerror(errno));
  if (!strcmp(here, host)) differs("%s is the host's", here);
}

static void check_names_and_network(void) {
  struct ifreq loopback = {.ifr_name = "lo"};
  char name[256] = "";
  if (gethostname(name, sizeof name - 1) || strcmp(name, "runc")) differs("host name %s", name);
  int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (any < 0 || ioctl(any, SIOCGIFFLAGS, &loopback) || !(loopback.ifr_flags & IFF_UP)) differs("lo is not up");
  if (any >= 0) close(any);
}

static void check_cgroup(const char *wanted) {
  char line[4096];
  FILE *cgroups = lines_of("/proc/self/cgroup");
  while (cgroups && fgets(line, sizeof line, cgroups)) {
    line[strcspn(line, "\n")] = 0;
    char *path = strchr(line, '/');
    bool unified = !strncmp(line, "0::", 3);
    if (!path || unified != v2) continue;  // on a hybrid host only one half is checked
    if (strcmp(path, v2 ? "/" : wanted)) differs("cgroup %s", line);
  }
  if (cgroups) fclose(cgroups);
  if (!v2) return;
  FILE *members = lines_of("/sys/fs/cgroup/cgroup.procs");
  if (members && (!fgets(line, sizeof line, members) || atoi(line) != 1)) differs("/sys/fs/cgroup is not the container's own");
  if (members) fclose(members);
}

// ---- mounts ----

static struct { const char *at, *type, *flags; bool seen; } mounts[] = {
    {"/", NULL, "ro", 0},
    {"/proc", "proc", "", 0},
    {"/dev", "tmpfs", "nosuid", 0},
    {"/dev/pts", "devpts", "nosuid,noexec", 0},
    {"/dev/shm", "tmpfs", "nosuid,nodev,noexec", 0},
    {"/dev/mqueue", "mqueue", "nosuid,nodev,noexec", 0},
    {"/sys", "sysfs", "ro,nosuid,nodev,noexec", 0},
    {"/sys/fs/cgroup", NULL, "nosuid,nodev,noexec", 0},
};

static bool has_flag(const char *flags, const char *wanted, size_t length) {
  for (const char *at = flags; *at; at += strcspn(at, ","), at += *at == ',')
    if (strcspn(at, ",") == length && !strncmp(at, wanted, length)) return true;
  return false;
}

static void check_flags(const char *at, const char *wanted, const char *flags) {
  for (; *wanted; wanted += strcspn(wanted, ","), wanted += *wanted == ',') {
    size_t length = strcspn(wanted, ",");
    if (!has_flag(flags, wanted, length)) differs("%s is not %.*s: %s", at, (int)length, wanted, flags);
  }
}

static void check_mount(const char *at, const char *type, const char *flags) {
  bool known = !strncmp(at, "/proc/", 6) || !strncmp(at, "/sys/", 5);  // covers, and v1's hierarchies
  if (!strncmp(at, "/sys/fs/cgroup/", 15)) check_flags(at, "ro,nosuid,nodev,noexec", flags);
  for (unsigned i = 0; i < COUNT(mounts); i++) {
    if (strcmp(at, mounts[i].at)) continue;
    known = mounts[i].seen = true;
    if (mounts[i].type && strcmp(type, mounts[i].type)) differs("%s is a %s", at, type);
    check_flags(at, mounts[i].flags, flags);
  }
  if (!known) differs("a %s is mounted at %s", type, at);
}

static void check_mounts(void) {
  char line[4096], at[1024], flags[1024], type[64];
  int hierarchies = 0;
  FILE *table = lines_of("/proc/self/mountinfo");
  while (table && fgets(line, sizeof line, table)) {
    const char *behind = strstr(line, " - ");
    if (!behind || sscanf(line, "%*d %*d %*s %*s %1023s %1023s", at, flags) != 2 || sscanf(behind, " - %63s", type) != 1) continue;
    check_mount(at, type, flags);
    hierarchies += !strcmp(type, v2 ? "cgroup2" : "cgroup");
    // On v1 the directory of the hierarchies is a tmpfs, which peers leave writable: `ro` is checked on v2 only.
    if (v2 && !strcmp(at, "/sys/fs/cgroup")) check_flags(at, "ro", flags);
  }
  if (table) fclose(table);
  if (!hierarchies) differs("no cgroup is mounted");
  for (unsigned i = 0; i < COUNT(mounts); i++)
    if (!mounts[i].seen) differs("nothing is mounted at %s", mounts[i].at);
}

// ---- devices and covered paths ----

static void check_devices(void) {
  static const struct { const char *path; unsigned major, minor; } nodes[] = {
      {"/dev/null", 1, 3}, {"/dev/zero", 1, 5}, {"/dev/full", 1, 7}, {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0}};
  static const struct { const char *path, *target; } links[] = {
      {"/dev/fd", "/proc/self/fd"}, {"/dev/stdin", "/proc/self/fd/0"}, {"/dev/stdout", "/proc/self/fd/1"}, {"/dev/stderr", "/proc/self/fd/2"}};
  struct stat there;
  for (unsigned i = 0; i < COUNT(nodes); i++) {
    if (stat(nodes[i].path, &there)) differs("%s: %s", nodes[i].path, strerror(errno));
    else if (!S_ISCHR(there.st_mode) || (there.st_mode & 07777) != 0666 || there.st_rdev != makedev(nodes[i].major, nodes[i].minor))
      differs("%s has mode %o, number %u:%u", nodes[i].path, there.st_mode, major(there.st_rdev), minor(there.st_rdev));
  }
  for (unsigned i = 0; i < COUNT(links); i++) {
    char target[64] = "";
    if (readlink(links[i].path, target, sizeof target - 1) < 0 || strcmp(target, links[i].target)) differs("%s leads to %s", links[i].path, target);
  }
  if (stat("/dev/ptmx", &there)) differs("/dev/ptmx: %s", strerror(errno));
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) differs("/dev/null cannot be opened: %s", strerror(errno));
  else close(null);
  // The bench creates a device node in the root file system that no container may use.
  if (open("/forbidden", O_RDONLY | O_CLOEXEC) >= 0 || errno != EPERM) differs("a device is not denied: %s", strerror(errno));
}

static bool is_empty(const char *path) {
  DIR *dir = opendir(path);
  int entries = 0;
  while (dir && readdir(dir)) entries++;
  if (dir) closedir(dir);
  return entries <= 2;
}

static void check_covers(void) {
  static const char *const masked[] = {"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                                       "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"};
  static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
  struct stat there;
  struct statvfs mount;
  for (unsigned i = 0; i < COUNT(masked); i++) {
    if (stat(masked[i], &there)) continue;
    bool covered = S_ISDIR(there.st_mode) ? is_empty(masked[i]) : S_ISCHR(there.st_mode) && there.st_rdev == makedev(1, 3);
    if (!covered) differs("%s can be seen", masked[i]);
  }
  for (unsigned i = 0; i < COUNT(readonly); i++)
    if (!statvfs(readonly[i], &mount) && !(mount.f_flag & ST_RDONLY)) differs("%s can be written", readonly[i]);
}

int main(int argc, char **argv) {
  if (argc < 4) return MISUSED;
  v2 = !strcmp(argv[3], "v2");
  check_descriptors();
  check_process(strcmp(argv[1], "exec"));
  check_status(!strcmp(argv[1], "seccomp"));
  for (int i = 4; i < argc; i++) check_namespace(argv[i]);
  check_names_and_network();
  check_cgroup(argv[2]);
  check_mounts();
  check_devices();
  check_covers();
  return differences ? DIFFERENT : AS_ASKED;
}
