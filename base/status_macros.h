// RETURN_IF_ERROR and ASSIGN_OR_RETURN, under the names that a later Abseil gives them.
// Stateless: safe from any thread.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace berth {

// Returns `status` with "`context`: " put before its message; code and payloads are kept.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

// Like Annotate, with the code replaced. This is how an errno-derived code is kept from crossing
// a module border.
absl::Status WithCode(absl::StatusCode code, const absl::Status& status, absl::string_view context);

}  // namespace berth

#define BERTH_CONCAT_INNER(a, b) a##b
#define BERTH_CONCAT(a, b) BERTH_CONCAT_INNER(a, b)

// `lhs` may be a declaration: it cannot stand in parentheses.
// NOLINTBEGIN(bugprone-macro-parentheses)
#define RETURN_IF_ERROR(expr)                                     \
  do {                                                            \
    if (absl::Status berth_status = (expr); !berth_status.ok()) { \
      return berth_status;                                        \
    }                                                             \
  } while (false)

// Adds context: RETURN_IF_ERROR_CTX(Mount(x), absl::StrCat("mount ", x)).
#define RETURN_IF_ERROR_CTX(expr, context)                        \
  do {                                                            \
    if (absl::Status berth_status = (expr); !berth_status.ok()) { \
      return ::berth::Annotate(berth_status, (context));          \
    }                                                             \
  } while (false)

#define ASSIGN_OR_RETURN_IMPL(result, lhs, expr)       \
  auto result = (expr);                                \
  if (!result.ok()) return std::move(result).status(); \
  lhs = *std::move(result)
#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_IMPL(BERTH_CONCAT(berth_result_, __LINE__), lhs, expr)

#define ASSIGN_OR_RETURN_CTX_IMPL(result, lhs, expr, context)             \
  auto result = (expr);                                                   \
  if (!result.ok()) return ::berth::Annotate(result.status(), (context)); \
  lhs = *std::move(result)
#define ASSIGN_OR_RETURN_CTX(lhs, expr, context) \
  ASSIGN_OR_RETURN_CTX_IMPL(BERTH_CONCAT(berth_result_, __LINE__), lhs, expr, context)
// NOLINTEND(bugprone-macro-parentheses)
