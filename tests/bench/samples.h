// Samples in microseconds by the name of what was timed, and the table that is printed of them.
#pragma once

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"

namespace berth::bench {

using Samples = std::map<std::string, std::vector<double>>;

inline bool Time(Samples* samples, const std::string& name, const std::function<bool()>& call) {
  const int64_t start = MonotonicNanos();
  const bool ok = call();
  (*samples)[name].push_back(static_cast<double>(MonotonicNanos() - start) / 1000);
  return ok;
}

inline double Quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
}

inline void Print(const Samples& samples, int rounds) {
  (void)printf("%-30s %10s %10s %10s   (ms, n=%d)\n", "", "min", "p50", "p99", rounds);
  for (const auto& [name, values] : samples) {
    (void)printf("%-30s %10.3f %10.3f %10.3f\n", name.c_str(), Quantile(values, 0) / 1000,
                 Quantile(values, 0.5) / 1000, Quantile(values, 0.99) / 1000);
  }
}

}  // namespace berth::bench
