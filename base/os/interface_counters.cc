#include "base/os/interface_counters.h"

#include <fcntl.h>
#include <sched.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/os/file.h"
#include "base/os/namespaces.h"

namespace berth::os {
namespace {

constexpr size_t kMaxTable = 4 << 20;  // some 30,000 interfaces

std::vector<InterfaceCounters> ReadOne(const std::string& path) {
  const absl::StatusOr<UniqueFd> fd = Open(path, O_RDONLY);
  if (!fd.ok() || setns(fd->get(), CLONE_NEWNET) != 0) return {};
  // Of the thread, whose namespace it is now; /proc/net is the process's.
  const absl::StatusOr<std::string> text = ReadFile("/proc/thread-self/net/dev", kMaxTable);
  return text.ok() ? ParseNetDev(*text) : std::vector<InterfaceCounters>();
}

}  // namespace

std::vector<InterfaceCounters> ParseNetDev(absl::string_view text) {
  std::vector<InterfaceCounters> all;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    // "name: rx_bytes packets errs drop fifo frame compressed multicast tx_bytes packets errs ..."
    const size_t colon = line.find(':');
    if (colon == absl::string_view::npos) continue;
    InterfaceCounters one;
    one.name = std::string(absl::StripAsciiWhitespace(line.substr(0, colon)));
    const std::vector<absl::string_view> fields =
        absl::StrSplit(line.substr(colon + 1), ' ', absl::SkipWhitespace());
    if (one.name == "lo" || fields.size() < 11) continue;
    if (absl::SimpleAtoi(fields[0], &one.rx_bytes) && absl::SimpleAtoi(fields[2], &one.rx_errors) &&
        absl::SimpleAtoi(fields[8], &one.tx_bytes) &&
        absl::SimpleAtoi(fields[10], &one.tx_errors)) {
      all.push_back(std::move(one));
    }
  }
  return all;
}

absl::StatusOr<std::vector<std::vector<InterfaceCounters>>> ReadInterfaceCounters(
    const std::vector<std::string>& paths) {
  std::vector<std::vector<InterfaceCounters>> all(paths.size());
  if (paths.empty()) return all;
  const absl::Status read = OnPrivateThread([&] {
    for (size_t i = 0; i < paths.size(); ++i) all[i] = ReadOne(paths[i]);
    return absl::OkStatus();
  });
  if (!read.ok()) return read;
  return all;
}

}  // namespace berth::os
