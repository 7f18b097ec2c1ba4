// ObjectStore: the pods or containers of this process by id, and their CRI names.
// Thread-safe; locks are held for map operations only.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"
#include "sandbox/container.h"
#include "sandbox/name_table.h"
#include "sandbox/pod.h"

namespace berth::sandbox {

// Object: Pod or Container.
template <typename Object>
class ObjectStore {
 public:
  using Ptr = std::shared_ptr<Object>;

  void Insert(const Ptr& object) {
    MutexLock lock(&mu_);
    objects_[object->id.str()] = object;
  }
  void Erase(absl::string_view id) {
    MutexLock lock(&mu_);
    objects_.erase(std::string(id));
  }
  // The object with this id, or the only listed one whose id begins so. nullptr: none or several.
  Ptr Find(absl::string_view id) const {
    MutexLock lock(&mu_);
    if (id.empty()) return nullptr;
    auto it = objects_.lower_bound(std::string(id));
    Ptr found;
    for (; it != objects_.end() && it->first.compare(0, id.size(), id.data(), id.size()) == 0;
         ++it) {
      if (it->first.size() == id.size()) return it->second;
      if (found != nullptr) return nullptr;
      found = it->second;
    }
    return found;
  }
  std::vector<Ptr> All() const {
    MutexLock lock(&mu_);
    std::vector<Ptr> all;
    all.reserve(objects_.size());
    for (const auto& [id, object] : objects_) all.push_back(object);
    return all;
  }
  NameTable& names() { return names_; }

 private:
  mutable Mutex mu_;
  std::map<std::string, Ptr> objects_ ABSL_GUARDED_BY(mu_);
  NameTable names_;
};

using PodStore = ObjectStore<Pod>;
using ContainerStore = ObjectStore<Container>;

// Those of one pod, whatever their state.
std::vector<ContainerPtr> ContainersOf(const ContainerStore& containers, const SandboxId& pod);

}  // namespace berth::sandbox
