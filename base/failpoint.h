// Failpoints: named places where a test makes the program fail, wait or die. One stands at each
// durable side effect. Compiled out unless BERTH_FAILPOINTS is 1 (release builds).
// Thread-safe.
//
//   absl::Status Commit() {
//     BERTH_FAILPOINT(image_commit_before_rename);   // may return an error from Commit()
//
// A plan is "name=action[;name=action]", action = [N*]off | error | kill | delay(MS), terms joined
// by "->" and used up from the left: "2*off->1*error" passes twice, then fails once, then passes.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace berth::failpoint {

// Every name compiled into this program, sorted, without duplicates.
std::vector<std::string> List();

// Replaces the whole plan. InvalidArgument names the term that does not parse or the unknown name.
absl::Status Configure(absl::string_view plan);

// What the macro calls. OK, or the injected error.
absl::Status Hit(absl::string_view name);

}  // namespace berth::failpoint

#if BERTH_FAILPOINTS
#define BERTH_FAILPOINT(name)                                                                   \
  do {                                                                                          \
    __attribute__((section("berth_failpoints"), used)) static const char* const berth_fp_name = \
        #name;                                                                                  \
    if (absl::Status berth_fp = ::berth::failpoint::Hit(berth_fp_name); !berth_fp.ok()) {       \
      return berth_fp;                                                                          \
    }                                                                                           \
  } while (false)
#else
#define BERTH_FAILPOINT(name) \
  do {                        \
  } while (false)
#endif
