// The container's mounts, each by descriptor, in the order of config.json.
#include "floor.h"

#include <linux/mount.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr 467
#endif
enum {
  RO = MOUNT_ATTR_RDONLY, NOSUID = MOUNT_ATTR_NOSUID, NODEV = MOUNT_ATTR_NODEV, NOEXEC = MOUNT_ATTR_NOEXEC,
  PROPAGATE_NOTHING = 1 << 18,  // MS_PRIVATE; <sys/mount.h> and <linux/mount.h> cannot be included together
  DETACH = 2,                   // MNT_DETACH
};
int umount2(const char *target, int flags);

static struct mount_attr make_private = {.propagation = PROPAGATE_NOTHING};
static struct mount_attr make_root = {.attr_set = RO, .propagation = PROPAGATE_NOTHING};
static struct mount_attr make_readonly = {.attr_set = RO};
static struct mount_attr make_cgroup = {.attr_set = RO | NOSUID | NODEV | NOEXEC};

static void set_attributes(int dir, const char *path, int flags, struct mount_attr *attributes) {
  check(syscall(SYS_mount_setattr, dir, path, flags, attributes, sizeof *attributes), path);
}

// A detached instance of a file system, given keys and values up to a null key; an empty value means a flag.
static int instance(const char *type, unsigned attributes, ...) {
  int context = check(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC), type);
  va_list settings;
  va_start(settings, attributes);
  for (const char *key; (key = va_arg(settings, const char *));) {
    const char *value = va_arg(settings, const char *);
    if (*value) check(syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, value, 0), key);
    else check(syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, key, NULL, 0), key);
  }
  va_end(settings);
  check(syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0), type);
  int mount = check(syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes), type);
  close(context);
  return mount;
}

// A detached copy of the mount at path, or -1. Since Linux 6.15 one system call also sets its attributes.
static int copy(int dir, const char *path, unsigned flags, struct mount_attr *attributes) {
  static bool two_calls;
  flags |= OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
  if (!attributes) return syscall(SYS_open_tree, dir, path, flags);
  if (!two_calls) {
    int tree = syscall(SYS_open_tree_attr, dir, path, flags, attributes, sizeof *attributes);
    if (tree >= 0 || errno != ENOSYS) return tree;
    two_calls = true;
  }
  int tree = syscall(SYS_open_tree, dir, path, flags);
  if (tree >= 0) set_attributes(tree, "", AT_EMPTY_PATH | (flags & AT_RECURSIVE), attributes);
  return tree;
}

static int attach(int mount, int dir, const char *path) {
  check(syscall(SYS_move_mount, mount, "", dir, path, MOVE_MOUNT_F_EMPTY_PATH), path);
  return mount;
}

static int make_dev(int root) {
  static const struct { const char *name; int major, minor; } nodes[] = {
      {"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
  static const struct { const char *name, *target; } links[] = {
      {"ptmx", "pts/ptmx"}, {"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
      {"stderr", "/proc/self/fd/2"}, {"core", "/proc/kcore"}};
  static const char *const dirs[] = {"pts", "shm", "mqueue"};
  int dev = instance("tmpfs", NOSUID | MOUNT_ATTR_STRICTATIME, "mode", "755", "size", "65536k", NULL);
  mode_t mask = umask(0);
  for (unsigned i = 0; i < COUNT(nodes); i++)
    check(mknodat(dev, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)), nodes[i].name);
  for (unsigned i = 0; i < COUNT(links); i++) check(symlinkat(links[i].target, dev, links[i].name), links[i].name);
  for (unsigned i = 0; i < COUNT(dirs); i++) check(mkdirat(dev, dirs[i], 0755), dirs[i]);
  umask(mask);
  return attach(dev, root, "dev");
}

static void mount_cgroup(int sys) {
  char path[PATH_SIZE];
  if (!request.v1_count) {
    text(path, CGROUP_ROOT, request.cgroup, NULL);
    close(attach(check(copy(AT_FDCWD, path, 0, &make_cgroup), path), sys, "fs/cgroup"));
    return;
  }
  int top = instance("tmpfs", NOSUID | NODEV | NOEXEC, "mode", "755", NULL);
  for (int i = 0; i < request.v1_count; i++) CHECK(mkdirat(top, request.v1[i], 0755));
  attach(top, sys, "fs/cgroup");
  for (int i = 0; i < request.v1_count; i++) {
    text(path, CGROUP_ROOT "/", request.v1[i], request.cgroup, NULL);
    close(attach(check(copy(AT_FDCWD, path, 0, &make_cgroup), path), top, request.v1[i]));
  }
  set_attributes(top, "", AT_EMPTY_PATH, &make_readonly);
  close(top);
}

// Directories are covered by one empty tmpfs and further copies of it, files by /dev/null.
static void mask(int proc, int sys, int dev) {
  static const char *const names[] = {"acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi"};
  int empty = attach(instance("tmpfs", RO, NULL), sys, "firmware");
  for (unsigned i = 0; i < COUNT(names); i++) {
    struct stat there;
    if (fstatat(proc, names[i], &there, AT_SYMLINK_NOFOLLOW)) continue;
    int cover = S_ISDIR(there.st_mode) ? copy(empty, "", 0, NULL) : copy(dev, "null", 0, NULL);
    close(attach(check(cover, names[i]), proc, names[i]));
  }
  close(empty);
}

static void write_protect(int proc) {
  static const char *const names[] = {"bus", "fs", "irq", "sys", "sysrq-trigger"};
  for (unsigned i = 0; i < COUNT(names); i++) {
    int same = copy(proc, names[i], 0, &make_readonly);
    if (same >= 0) close(attach(same, proc, names[i]));
    else if (errno != ENOENT) check(same, names[i]);
  }
}

void rootfs_enter(void) {
  char path[PATH_SIZE];
  set_attributes(AT_FDCWD, "/", AT_RECURSIVE, &make_private);
  text(path, request.bundle, "/rootfs", NULL);
  int root = attach(check(copy(AT_FDCWD, path, AT_RECURSIVE, &make_root), path), AT_FDCWD, path);
  CHECK(fchdir(root));
  mark("root");
  int proc = attach(instance("proc", 0, NULL), root, "proc");
  mark("proc");
  int dev = make_dev(root);
  mark("dev");
  close(attach(instance("devpts", NOSUID | NOEXEC, "newinstance", "", "ptmxmode", "0666", "mode", "0620", "gid", "5", NULL), dev, "pts"));
  close(attach(instance("tmpfs", NOSUID | NOEXEC | NODEV, "mode", "1777", "size", "65536k", NULL), dev, "shm"));
  close(attach(instance("mqueue", NOSUID | NOEXEC | NODEV, NULL), dev, "mqueue"));
  mark("pts, shm, mqueue");
  int sys = attach(instance("sysfs", NOSUID | NOEXEC | NODEV | RO, NULL), root, "sys");
  mark("sys");
  mount_cgroup(sys);
  mark("cgroup mounts");
  mask(proc, sys, dev);
  mark("masked paths");
  write_protect(proc);
  mark("read-only paths");
  CHECK(syscall(SYS_pivot_root, ".", "."));
  CHECK(umount2(".", DETACH));
  CHECK(chdir("/"));
  mark("pivot_root");
}
