// What stands before the command on berth-oci's command line. A value.
#pragma once

#include <string>

namespace berth::shim::front {

enum class LogFormat { kText, kJson };

struct Options {
  std::string root = "/run/berth-oci";  // where containers are remembered
  std::string log;                      // "" = standard error alone
  LogFormat log_format = LogFormat::kText;
  bool debug = false;
};

}  // namespace berth::shim::front
