// NameTable: CRI identities -> the object that holds them, and the request that is making it.
// A retry of a create joins the work in flight and gets its result.
// Thread-safe.
//
//   Claim -> leader: makes the object, Finish(id) or Finish(error)
//         -> not the leader: Wait() for the leader's result
//   A failure frees the name at once; after success it is held until Release.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace berth::sandbox {

// The making of one object.
class Flight {
 public:
  explicit Flight(std::string content) : content_(std::move(content)) {}

  // What the object is made from, to tell a retry from a different request.
  const std::string& content() const { return content_; }
  // The leader's result. DeadlineExceeded when it is not there in time.
  absl::StatusOr<std::string> Wait(Deadline deadline);

 private:
  friend class NameTable;
  void Finish(absl::StatusOr<std::string> result);

  const std::string content_;
  Mutex mu_;
  CondVar finished_;
  bool done_ ABSL_GUARDED_BY(mu_) = false;
  absl::StatusOr<std::string> result_ ABSL_GUARDED_BY(mu_) = absl::UnknownError("not finished");
};

class NameTable {
 public:
  struct Ticket {
    std::shared_ptr<Flight> flight;
    bool leader = false;
  };

  Ticket Claim(const std::string& name, const std::string& content);
  // By the leader, exactly once.
  void Finish(const std::string& name, const std::shared_ptr<Flight>& flight,
              absl::StatusOr<std::string> result);
  // At start: a name whose object was made by an earlier process.
  void Restore(const std::string& name, const std::string& content, const std::string& id);
  // Frees the name if `id` holds it.
  void Release(const std::string& name, const std::string& id);

 private:
  Mutex mu_;
  std::map<std::string, std::shared_ptr<Flight>> names_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth::sandbox
