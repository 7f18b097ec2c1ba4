// The v2 device filter. The kernel asks the program on every open and mknod of a device, with
// bpf_cgroup_dev_ctx{access << 16 | type, major, minor}; 1 allows (bpf.h,
// BPF_PROG_TYPE_CGROUP_DEVICE).
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/os/cgroup_internal.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::os::cgroup_internal {
namespace {

constexpr uint8_t kResult = BPF_REG_0, kContext = BPF_REG_1, kType = BPF_REG_2, kAccess = BPF_REG_3,
                  kMajor = BPF_REG_4, kMinor = BPF_REG_5, kScratch = BPF_REG_6;
constexpr int kAllAccess = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE;

bpf_insn Insn(uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm) {
  bpf_insn insn{};
  insn.code = code;
  insn.dst_reg = dst & 0xf;
  insn.src_reg = src & 0xf;
  insn.off = off;
  insn.imm = imm;
  return insn;
}
bpf_insn Load(uint8_t dst, size_t offset) {
  return Insn(BPF_LDX | BPF_MEM | BPF_W, dst, kContext, static_cast<int16_t>(offset), 0);
}
bpf_insn Alu(uint8_t op, uint8_t dst, int32_t imm) {
  return Insn(BPF_ALU | op | BPF_K, dst, 0, 0, imm);
}
bpf_insn Move(uint8_t dst, uint8_t src) { return Insn(BPF_ALU | BPF_MOV | BPF_X, dst, src, 0, 0); }
// Offset filled in later. 32-bit compares: a 64-bit one would sign-extend a large number.
bpf_insn JumpIf(uint8_t op, uint8_t reg, int32_t imm) {
  return Insn(BPF_JMP32 | op | BPF_K, reg, 0, 0, imm);
}
void Return(std::vector<bpf_insn>* program, int32_t value) {
  program->push_back(Alu(BPF_MOV, kResult, value));
  program->push_back(Insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

int AccessMask(const std::string& access) {
  int mask = 0;
  for (char c : access) {
    mask |= c == 'r' ? BPF_DEVCG_ACC_READ : c == 'w' ? BPF_DEVCG_ACC_WRITE : BPF_DEVCG_ACC_MKNOD;
  }
  return mask;
}

// Appends one rule: compares that jump behind it when they do not fit, then what it decides. The
// accesses that are still undecided are in kAccess: a denial of one of them denies, an allowance
// takes its own away, and the last one taken allows. True when nothing behind it can be reached.
bool AppendRule(const CgroupLimits::DeviceRule& rule, std::vector<bpf_insn>* program) {
  const size_t begin = program->size();
  if (rule.type != 'a') {
    const int32_t type = rule.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR;
    program->push_back(JumpIf(BPF_JNE, kType, type));
  }
  if (rule.major.value_or(-1) >= 0) {
    program->push_back(JumpIf(BPF_JNE, kMajor, static_cast<int32_t>(*rule.major)));
  }
  if (rule.minor.value_or(-1) >= 0) {
    program->push_back(JumpIf(BPF_JNE, kMinor, static_cast<int32_t>(*rule.minor)));
  }
  const int access = AccessMask(rule.access);
  if (access != kAllAccess && rule.allow) {
    program->push_back(Alu(BPF_AND, kAccess, kAllAccess & ~access));
    program->push_back(JumpIf(BPF_JNE, kAccess, 0));
  } else if (access != kAllAccess) {
    program->push_back(Move(kScratch, kAccess));
    program->push_back(Alu(BPF_AND, kScratch, access));
    program->push_back(JumpIf(BPF_JEQ, kScratch, 0));
  }
  const bool always = program->size() == begin;
  Return(program, rule.allow ? 1 : 0);
  for (size_t i = begin; i < program->size(); ++i) {
    bpf_insn& insn = (*program)[i];
    if (BPF_CLASS(insn.code) == BPF_JMP32) insn.off = static_cast<int16_t>(program->size() - i - 1);
  }
  return always;
}

long Bpf(int command, bpf_attr* attr) { return syscall(SYS_bpf, command, attr, sizeof *attr); }

absl::StatusOr<UniqueFd> LoadProgram(const std::vector<bpf_insn>& program) {
  bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.insns = reinterpret_cast<uint64_t>(program.data());
  attr.insn_cnt = static_cast<uint32_t>(program.size());
  attr.license = reinterpret_cast<uint64_t>("Apache-2.0");
  const long fd = Bpf(BPF_PROG_LOAD, &attr);
  if (fd < 0) return ErrnoStatus(errno, "load device program");
  return UniqueFd(static_cast<int>(fd));
}

absl::StatusOr<std::vector<uint32_t>> AttachedTo(int group_fd) {
  std::vector<uint32_t> ids(64);  // the kernel's own limit for one group
  bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.query.target_fd = static_cast<uint32_t>(group_fd);
  attr.query.attach_type = BPF_CGROUP_DEVICE;
  attr.query.prog_ids = reinterpret_cast<uint64_t>(ids.data());
  attr.query.prog_cnt = static_cast<uint32_t>(ids.size());
  if (Bpf(BPF_PROG_QUERY, &attr) < 0) return ErrnoStatus(errno, "list device programs");
  ids.resize(attr.query.prog_cnt);
  return ids;
}

absl::Status Detach(int group_fd, uint32_t id) {
  bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.prog_id = id;
  const UniqueFd program(static_cast<int>(Bpf(BPF_PROG_GET_FD_BY_ID, &attr)));
  if (!program.valid()) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, "open device program");
  }
  memset(&attr, 0, sizeof attr);
  attr.target_fd = static_cast<uint32_t>(group_fd);
  attr.attach_bpf_fd = static_cast<uint32_t>(program.get());
  attr.attach_type = BPF_CGROUP_DEVICE;
  if (Bpf(BPF_PROG_DETACH, &attr) < 0 && errno != ENOENT) {
    return ErrnoStatus(errno, "detach device program");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<bpf_insn>> DeviceProgram(
    const std::vector<CgroupLimits::DeviceRule>& rules) {
  std::vector<bpf_insn> program;
  program.push_back(Load(kAccess, offsetof(bpf_cgroup_dev_ctx, access_type)));
  program.push_back(Load(kMajor, offsetof(bpf_cgroup_dev_ctx, major)));
  program.push_back(Load(kMinor, offsetof(bpf_cgroup_dev_ctx, minor)));
  program.push_back(Move(kType, kAccess));
  program.push_back(Alu(BPF_AND, kType, 0xffff));
  program.push_back(Alu(BPF_RSH, kAccess, 16));
  for (auto rule = rules.rbegin(); rule != rules.rend(); ++rule) {
    RETURN_IF_ERROR(CheckDeviceRule(*rule));
    if (AppendRule(*rule, &program)) return program;  // the verifier refuses dead code
  }
  Return(&program, 1);
  return program;
}

absl::Status AttachDeviceProgram(const std::string& dir, const std::vector<bpf_insn>& program) {
  const std::string what = absl::StrCat("limit devices of ", dir);
  ASSIGN_OR_RETURN(const UniqueFd group, Open(dir, O_RDONLY | O_DIRECTORY));
  ASSIGN_OR_RETURN_CTX(const UniqueFd loaded, LoadProgram(program), what);
  ASSIGN_OR_RETURN_CTX(const std::vector<uint32_t> before, AttachedTo(group.get()), what);
  bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.target_fd = static_cast<uint32_t>(group.get());
  attr.attach_bpf_fd = static_cast<uint32_t>(loaded.get());
  attr.attach_type = BPF_CGROUP_DEVICE;
  attr.attach_flags = BPF_F_ALLOW_MULTI;
  if (Bpf(BPF_PROG_ATTACH, &attr) < 0) return ErrnoStatus(errno, absl::StrCat(what, ": attach"));
  // The new one first: all attached must agree, so no moment is more open than before or after.
  for (const uint32_t id : before) RETURN_IF_ERROR_CTX(Detach(group.get(), id), what);
  return absl::OkStatus();
}

absl::Status LimitDevicesV2(const std::string& dir,
                            const std::vector<CgroupLimits::DeviceRule>& rules) {
  ASSIGN_OR_RETURN(const std::vector<bpf_insn> program, DeviceProgram(rules));
  return AttachDeviceProgram(dir, program);
}

}  // namespace berth::os::cgroup_internal
