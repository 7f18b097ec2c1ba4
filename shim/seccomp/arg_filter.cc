#include "shim/seccomp/arg_filter.h"

#include <seccomp.h>
#include <unistd.h>

#include <memory>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::shim::seccomp {
namespace {

// 4096 instructions of 8 bytes are the kernel's limit; libseccomp may well exceed it.
constexpr size_t kExportLimit = 1 << 20;

using Context = std::unique_ptr<std::remove_pointer_t<scmp_filter_ctx>, void (*)(scmp_filter_ctx)>;

uint32_t LibraryAction(Verdict verdict) {
  switch (verdict.action) {
    case Action::kAllow:
      return SCMP_ACT_ALLOW;
    case Action::kLog:
      return SCMP_ACT_LOG;
    case Action::kErrno:
      return SCMP_ACT_ERRNO(verdict.data);
    case Action::kTrap:
      return SCMP_ACT_TRAP;
    case Action::kKillThread:
      return SCMP_ACT_KILL_THREAD;
    case Action::kKillProcess:
      return SCMP_ACT_KILL_PROCESS;
    case Action::kTrace:
      return SCMP_ACT_TRACE(verdict.data);
    case Action::kNotify:
      return SCMP_ACT_NOTIFY;
  }
  return SCMP_ACT_KILL_PROCESS;
}

uint32_t LibraryArchitecture(Architecture architecture) {
  switch (architecture) {
    case Architecture::kX86_64:
      return SCMP_ARCH_X86_64;
    case Architecture::kI386:
      return SCMP_ARCH_X86;
    case Architecture::kX32:
      return SCMP_ARCH_X32;
    case Architecture::kArm64:
      return SCMP_ARCH_AARCH64;
    case Architecture::kArm:
      return SCMP_ARCH_ARM;
  }
  return SCMP_ARCH_NATIVE;
}

scmp_arg_cmp LibraryCondition(const Condition& condition) {
  scmp_arg_cmp cmp = {condition.argument, SCMP_CMP_EQ, condition.value, 0};
  switch (condition.comparison) {
    case Comparison::kEqual:
      cmp.op = SCMP_CMP_EQ;
      break;
    case Comparison::kNotEqual:
      cmp.op = SCMP_CMP_NE;
      break;
    case Comparison::kLess:
      cmp.op = SCMP_CMP_LT;
      break;
    case Comparison::kLessOrEqual:
      cmp.op = SCMP_CMP_LE;
      break;
    case Comparison::kGreater:
      cmp.op = SCMP_CMP_GT;
      break;
    case Comparison::kGreaterOrEqual:
      cmp.op = SCMP_CMP_GE;
      break;
    case Comparison::kMaskedEqual:
      cmp.op = SCMP_CMP_MASKED_EQ;
      cmp.datum_a = condition.mask;
      cmp.datum_b = condition.value;
      break;
  }
  return cmp;
}

absl::StatusOr<Context> NewContext(const std::vector<Architecture>& architectures,
                                   Verdict default_verdict) {
  Context context(seccomp_init(LibraryAction(default_verdict)), seccomp_release);
  if (context == nullptr) return absl::InternalError("seccomp_init failed");
  // Removed first, since a profile need not list the native one.
  int rc = seccomp_arch_remove(context.get(), SCMP_ARCH_NATIVE);
  for (const Architecture architecture : architectures) {
    if (rc == 0) rc = seccomp_arch_add(context.get(), LibraryArchitecture(architecture));
  }
  if (rc != 0) return os::ErrnoStatus(-rc, "set the filter's architectures");
  return context;
}

absl::Status AddRule(scmp_filter_ctx context, const ArgRule& rule) {
  const int number = seccomp_syscall_resolve_name(rule.name.c_str());
  if (number == __NR_SCMP_ERROR) {
    return absl::UnimplementedError(absl::StrCat("conditions on the arguments of \"", rule.name,
                                                 "\": libseccomp ", LibraryVersion(),
                                                 " does not know the call"));
  }
  std::vector<scmp_arg_cmp> conditions;
  for (const Condition& c : rule.conditions) conditions.push_back(LibraryCondition(c));
  const int rc =
      seccomp_rule_add_array(context, LibraryAction(rule.verdict), number,
                             static_cast<unsigned>(conditions.size()), conditions.data());
  if (rc == 0) return absl::OkStatus();
  return WithCode(absl::StatusCode::kInvalidArgument, os::ErrnoStatus(-rc, "libseccomp"),
                  absl::StrCat("add the rule for \"", rule.name, "\""));
}

}  // namespace

absl::StatusOr<std::string> ArgFilter(const std::vector<Architecture>& architectures,
                                      Verdict default_verdict, const std::vector<ArgRule>& rules) {
  ASSIGN_OR_RETURN(Context context, NewContext(architectures, default_verdict));
  for (const ArgRule& rule : rules) {
    // libseccomp refuses rules that say what the default says.
    if (rule.verdict == default_verdict) continue;
    RETURN_IF_ERROR(AddRule(context.get(), rule));
  }
  ASSIGN_OR_RETURN(os::UniqueFd file, os::MemFdWith("seccomp-filter", ""));
  if (const int rc = seccomp_export_bpf(context.get(), file.get()); rc != 0) {
    return os::ErrnoStatus(-rc, "export the filter");
  }
  if (lseek(file.get(), 0, SEEK_SET) != 0) return os::ErrnoStatus(errno, "rewind the filter");
  return os::ReadAll(file.get(), kExportLimit);
}

std::string LibraryVersion() {
  const scmp_version* version = seccomp_version();
  return absl::StrCat(version->major, ".", version->minor, ".", version->micro);
}

}  // namespace berth::shim::seccomp
