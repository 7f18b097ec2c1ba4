#include <string>
#include <utility>

#include "base/store/store.h"

namespace berth::store {

Batch& Batch::Put(Record record) {
  changes_.push_back({std::move(record), false});
  return *this;
}

Batch& Batch::Delete(absl::string_view kind, absl::string_view id) {
  changes_.push_back({{std::string(kind), std::string(id), 0, ""}, true});
  return *this;
}

}  // namespace berth::store
