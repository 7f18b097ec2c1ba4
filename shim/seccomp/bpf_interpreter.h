// Test only: what the kernel would answer. Runs a seccomp program over one call, with an error
// for anything the kernel's own checker would refuse (an unknown instruction, a jump or load out
// of bounds, an end without a return).
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstring>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace berth::shim::seccomp {

inline bool BpfCompare(uint16_t comparison, uint32_t a, uint32_t k) {
  switch (comparison) {
    case BPF_JEQ:
      return a == k;
    case BPF_JGT:
      return a > k;
    case BPF_JGE:
      return a >= k;
    default:
      return (a & k) != 0;  // BPF_JSET
  }
}

// SECCOMP_RET_* with its data. `steps` counts instructions when not null.
inline absl::StatusOr<uint32_t> RunBpf(const std::string& program, const seccomp_data& data,
                                       int* steps = nullptr) {
  const size_t count = program.size() / sizeof(sock_filter);
  uint32_t a = 0;
  for (size_t pc = 0; pc < count; ++pc) {
    sock_filter op;
    std::memcpy(&op, program.data() + pc * sizeof op, sizeof op);
    if (steps != nullptr) ++*steps;
    if (op.code == (BPF_LD | BPF_W | BPF_ABS)) {
      if (op.k % 4 != 0 || op.k + 4 > sizeof data) {
        return absl::OutOfRangeError(absl::StrCat("load of ", op.k, " at ", pc));
      }
      std::memcpy(&a, reinterpret_cast<const char*>(&data) + op.k, sizeof a);
    } else if (op.code == (BPF_RET | BPF_K)) {
      return op.k;
    } else if (op.code == (BPF_ALU | BPF_AND | BPF_K)) {
      a &= op.k;
    } else if (op.code == (BPF_JMP | BPF_JA)) {
      pc += op.k;
    } else if (BPF_CLASS(op.code) == BPF_JMP && BPF_SRC(op.code) == BPF_K &&
               BPF_OP(op.code) <= BPF_JSET) {
      pc += BpfCompare(BPF_OP(op.code), a, op.k) ? op.jt : op.jf;
    } else {
      return absl::InvalidArgumentError(absl::StrCat("instruction ", op.code, " at ", pc));
    }
  }
  return absl::OutOfRangeError("ran off the end");
}

}  // namespace berth::shim::seccomp
