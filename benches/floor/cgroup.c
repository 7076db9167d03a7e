// The container's cgroup, which allows the devices of every container and no others.
#include "floor.h"

#include <linux/bpf.h>
#include <string.h>
#include <sys/stat.h>

int cgroup_v2 = -1;
static int tasks[32];  // v1: each hierarchy's file of that name

enum { ANY = -1 };
static const struct { int major, minor; } allowed[] = {
    {1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9},  // null, zero, full, random, urandom
    {5, 0}, {5, 1}, {5, 2},                  // tty, console, ptmx
    {136, ANY},                              // pseudo-terminals
};

static const char *hierarchy_path(char *to, int hierarchy, const char *file) {
  if (!request.v1_count) return text(to, CGROUP_ROOT, request.cgroup, file, NULL);
  return text(to, CGROUP_ROOT "/", request.v1[hierarchy], request.cgroup, file, NULL);
}

static void allow_devices_v1(int dir) {
  static const char *const rules[] = {"c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm",
                                      "c 1:9 rwm", "c 5:0 rwm", "c 5:1 rwm", "c 5:2 rwm", "c 136:* rwm"};
  write_file(dir, "devices.deny", 0, "a");
  int file = CHECK(openat(dir, "devices.allow", O_WRONLY | O_CLOEXEC));
  for (unsigned i = 0; i < COUNT(rules); i++) check(write(file, rules[i], strlen(rules[i])), rules[i]);
  close(file);
}

// A new cpuset accepts no process until it has processors and memory nodes: it gets its parent's.
static void fill_cpuset(int dir) {
  static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
  char parent[32], value[4096];
  for (unsigned i = 0; i < COUNT(files); i++) {
    CHECK(read_file(dir, text(parent, "../", files[i], NULL), value, sizeof value));
    write_file(dir, files[i], 0, value);
  }
}

#define LOAD(reg, offset) ((struct bpf_insn){BPF_LDX | BPF_W | BPF_MEM, (reg), BPF_REG_1, (offset), 0})
#define ALU(op, reg, value) ((struct bpf_insn){BPF_ALU | (op) | BPF_K, (reg), 0, 0, (value)})
#define COPY(to, from) ((struct bpf_insn){BPF_ALU | BPF_MOV | BPF_X, (to), (from), 0, 0})
#define UNLESS(reg, value, skip) ((struct bpf_insn){BPF_JMP | BPF_JNE | BPF_K, (reg), 0, (skip), (value)})
#define ANSWER(value) ((struct bpf_insn){BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, (value)})
#define EXIT ((struct bpf_insn){BPF_JMP | BPF_EXIT, 0, 0, 0, 0})

// mknod is always allowed; open is allowed if the character device is in the list.
static unsigned device_program(struct bpf_insn *code) {
  enum { TYPE = BPF_REG_2, ACCESS, MAJOR, MINOR };
  struct bpf_insn *at = code;
  *at++ = LOAD(TYPE, offsetof(struct bpf_cgroup_dev_ctx, access_type));
  *at++ = COPY(ACCESS, TYPE);
  *at++ = ALU(BPF_RSH, ACCESS, 16);
  *at++ = ALU(BPF_AND, TYPE, 0xffff);
  *at++ = LOAD(MAJOR, offsetof(struct bpf_cgroup_dev_ctx, major));
  *at++ = LOAD(MINOR, offsetof(struct bpf_cgroup_dev_ctx, minor));
  *at++ = ANSWER(1);
  *at++ = UNLESS(ACCESS, BPF_DEVCG_ACC_MKNOD, 1);
  *at++ = EXIT;
  struct bpf_insn *not_character = at++;
  for (unsigned i = 0; i < COUNT(allowed); i++) {
    bool any = allowed[i].minor == ANY;
    *at++ = UNLESS(MAJOR, allowed[i].major, any ? 1 : 2);
    if (!any) *at++ = UNLESS(MINOR, allowed[i].minor, 1);
    *at++ = EXIT;
  }
  *not_character = UNLESS(TYPE, BPF_DEVCG_DEV_CHAR, at - not_character - 1);
  *at++ = ANSWER(0);
  *at++ = EXIT;
  return at - code;
}

static void allow_devices_v2(int dir) {
  struct bpf_insn code[64];
  union bpf_attr load = {
      .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
      .insn_cnt = device_program(code),
      .insns = (uintptr_t)code,
      .license = (uintptr_t)"GPL",
  };
  int program = CHECK(syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load));
  union bpf_attr attach = {
      .target_fd = dir,
      .attach_bpf_fd = program,
      .attach_type = BPF_CGROUP_DEVICE,
      .attach_flags = BPF_F_ALLOW_MULTI,
  };
  CHECK(syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach));
  close(program);
}

void cgroup_make(void) {
  char path[PATH_SIZE];
  if (!request.v1_count) {
    CHECK(mkdir(hierarchy_path(path, 0, ""), 0755));
    cgroup_v2 = CHECK(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    allow_devices_v2(cgroup_v2);
    return;
  }
  for (int i = 0; i < request.v1_count; i++) {
    CHECK(mkdir(hierarchy_path(path, i, ""), 0755));
    int dir = CHECK(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!strcmp(request.v1[i], "cpuset")) fill_cpuset(dir);
    if (!strcmp(request.v1[i], "devices")) allow_devices_v1(dir);
    tasks[i] = CHECK(openat(dir, "tasks", O_WRONLY | O_CLOEXEC));
    close(dir);
  }
}

void cgroup_open(void) {
  char path[PATH_SIZE];
  if (!request.v1_count) cgroup_v2 = CHECK(open(hierarchy_path(path, 0, ""), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < request.v1_count; i++) tasks[i] = CHECK(open(hierarchy_path(path, i, "/tasks"), O_WRONLY | O_CLOEXEC));
}

// A thread that writes itself to `tasks` does not wait for an RCU grace period; a write to cgroup.procs would.
void cgroup_join(void) {
  for (int i = 0; i < request.v1_count; i++) CHECK(write(tasks[i], "0", 1));
}

void cgroup_remove(void) {
  char path[PATH_SIZE];
  for (int i = 0; i < (request.v1_count ? request.v1_count : 1); i++) CHECK(rmdir(hierarchy_path(path, i, "")));
}
