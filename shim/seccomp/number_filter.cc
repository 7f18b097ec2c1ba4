#include "shim/seccomp/number_filter.h"

#include <linux/seccomp.h>

#include <algorithm>
#include <cstddef>

namespace berth::shim::seccomp {
namespace {

using Program = std::vector<sock_filter>;

// Stands in a jump to the arguments' program until this program's length is known.
constexpr uint32_t kToArguments = 0xffffffff;

struct Range {
  uint32_t first;  // up to the next range's first
  Decision decision;
};

sock_filter Statement(uint16_t code, uint32_t k) { return {code, 0, 0, k}; }

void Append(Program* to, const Program& more) { to->insert(to->end(), more.begin(), more.end()); }

// Numbers 0..2^32-1 cut where the decision changes.
std::vector<Range> Ranges(const NumberMap& map) {
  std::vector<Range> ranges;
  const auto add = [&ranges](uint32_t first, const Decision& decision) {
    if (ranges.empty() || ranges.back().decision != decision) ranges.push_back({first, decision});
  };
  uint64_t next = 0;
  for (const auto& [number, decision] : map.known) {
    if (number > next) add(static_cast<uint32_t>(next), map.otherwise);
    add(number, decision);
    next = uint64_t{number} + 1;
  }
  if (next <= UINT32_MAX) add(static_cast<uint32_t>(next), map.otherwise);
  return ranges;
}

// "If the accumulator compares true, `yes`, else `no`"; both must end in a return or a long jump.
// A conditional jump reaches 255 instructions, an unconditional one any number.
Program Branch(uint16_t comparison, uint32_t k, const Program& yes, const Program& no) {
  Program program;
  const uint16_t code = BPF_JMP | BPF_K | comparison;
  if (no.size() <= 255) {
    program.push_back({code, static_cast<uint8_t>(no.size()), 0, k});
  } else {
    program.push_back({code, 0, 1, k});
    program.push_back(Statement(BPF_JMP | BPF_JA, static_cast<uint32_t>(no.size())));
  }
  Append(&program, no);
  Append(&program, yes);
  return program;
}

// Halves ranges[begin, end) until one is left.
Program Search(const std::vector<Range>& ranges, size_t begin, size_t end) {
  if (end - begin == 1) {
    const Decision& decision = ranges[begin].decision;
    return {decision ? Statement(BPF_RET | BPF_K, ReturnValue(*decision))
                     : Statement(BPF_JMP | BPF_JA, kToArguments)};
  }
  const size_t middle = begin + (end - begin) / 2;
  return Branch(BPF_JGE, ranges[middle].first, Search(ranges, middle, end),
                Search(ranges, begin, middle));
}

Program ForArchitecture(const NumberMap& map) {
  Program program = {Statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  const std::vector<Range> ranges = Ranges(map);
  Append(&program, Search(ranges, 0, ranges.size()));
  return program;
}

}  // namespace

uint32_t ReturnValue(Verdict verdict) {
  switch (verdict.action) {
    case Action::kAllow:
      return SECCOMP_RET_ALLOW;
    case Action::kLog:
      return SECCOMP_RET_LOG;
    case Action::kErrno:
      return SECCOMP_RET_ERRNO | verdict.data;
    case Action::kTrap:
      return SECCOMP_RET_TRAP;
    case Action::kKillThread:
      return SECCOMP_RET_KILL_THREAD;
    case Action::kKillProcess:
      return SECCOMP_RET_KILL_PROCESS;
    case Action::kTrace:
      return SECCOMP_RET_TRACE | verdict.data;
    case Action::kNotify:
      return SECCOMP_RET_USER_NOTIF;
  }
  return SECCOMP_RET_KILL_PROCESS;
}

std::vector<sock_filter> NumberFilter(const std::vector<NumberMap>& maps) {
  Program rest = {Statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
  for (auto map = maps.rbegin(); map != maps.rend(); ++map) {
    // The native architecture is compared first and its search lies right behind the comparison.
    Program search = ForArchitecture(*map);
    Program program;
    if (search.size() <= 255) {
      program.push_back(
          {BPF_JMP | BPF_JEQ | BPF_K, 0, static_cast<uint8_t>(search.size()), map->audit_arch});
    } else {
      program.push_back({BPF_JMP | BPF_JEQ | BPF_K, 1, 0, map->audit_arch});
      program.push_back(Statement(BPF_JMP | BPF_JA, static_cast<uint32_t>(search.size())));
    }
    Append(&program, search);
    Append(&program, rest);
    rest = std::move(program);
  }
  Program program = {Statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch))};
  Append(&program, rest);
  for (size_t at = 0; at < program.size(); ++at) {
    sock_filter& op = program[at];
    if (op.code == (BPF_JMP | BPF_JA) && op.k == kToArguments) {
      op.k = static_cast<uint32_t>(program.size() - at - 1);
    }
  }
  return program;
}

}  // namespace berth::shim::seccomp
