#include "image/layer_table.h"

#include "absl/strings/str_cat.h"

namespace berth::image {

void LayerTable::Add(const Digest& layer, const LayerFacts& facts) {
  MutexLock lock(&mu_);
  layers_[layer] = Entry{Phase::kReady, facts, ""};
}

bool LayerTable::AnyInFlight(const std::set<Digest>& layers) const {
  for (const Digest& layer : layers) {
    auto it = layers_.find(layer);
    if (it != layers_.end() && it->second.phase != Phase::kReady) return true;
  }
  return false;
}

absl::StatusOr<std::set<Digest>> LayerTable::Claim(const std::string& holder,
                                                   const std::set<Digest>& layers,
                                                   Deadline deadline, const Cancel* cancel) {
  MutexLock lock(&mu_);
  while (AnyInFlight(layers)) {
    if (cancel != nullptr && cancel->cancelled()) {
      return absl::CancelledError("wait for another import of the same layers");
    }
    if (deadline.Expired()) {
      return absl::DeadlineExceededError("wait for another import of the same layers");
    }
    (void)changed_.WaitFor(&mu_, absl::Seconds(1));  // the loop looks again
  }
  std::set<Digest> absent;
  for (const Digest& layer : layers) {
    if (layers_.emplace(layer, Entry{Phase::kUnpacking, {}, holder}).second) absent.insert(layer);
  }
  holders_[holder] = layers;
  return absent;
}

void LayerTable::WakeClaims() {
  MutexLock lock(&mu_);
  changed_.NotifyAll();
}

void LayerTable::Finish(const std::map<Digest, LayerFacts>& made) {
  MutexLock lock(&mu_);
  for (const auto& [layer, facts] : made) layers_[layer] = Entry{Phase::kReady, facts, ""};
  changed_.NotifyAll();
}

std::set<Digest> LayerTable::Release(const std::string& holder) {
  MutexLock lock(&mu_);
  auto it = holders_.find(holder);
  if (it == holders_.end()) return {};
  std::set<Digest> held = std::move(it->second);
  for (const Digest& layer : held) {
    auto entry = layers_.find(layer);
    if (entry != layers_.end() && entry->second.phase == Phase::kUnpacking &&
        entry->second.maker == holder) {
      layers_.erase(entry);
    }
  }
  holders_.erase(it);
  changed_.NotifyAll();
  return held;
}

absl::Status LayerTable::Hold(const std::string& holder, const std::vector<Digest>& layers) {
  MutexLock lock(&mu_);
  for (const Digest& layer : layers) {
    auto it = layers_.find(layer);
    if (it == layers_.end() || it->second.phase != Phase::kReady) {
      return absl::NotFoundError(absl::StrCat("hold layer ", layer.str(), ": not on disk"));
    }
  }
  holders_[holder] = std::set<Digest>(layers.begin(), layers.end());
  return absl::OkStatus();
}

std::map<Digest, LayerFacts> LayerTable::Condemn(const std::set<Digest>& candidates,
                                                 const std::set<Digest>& in_use) {
  MutexLock lock(&mu_);
  std::set<Digest> needed = in_use;
  for (const auto& [holder, layers] : holders_) needed.insert(layers.begin(), layers.end());
  std::map<Digest, LayerFacts> condemned;
  for (const Digest& layer : candidates) {
    auto it = layers_.find(layer);
    if (it == layers_.end() || it->second.phase != Phase::kReady || needed.count(layer) != 0) {
      continue;
    }
    it->second.phase = Phase::kCondemned;
    condemned.emplace(layer, it->second.facts);
  }
  return condemned;
}

void LayerTable::Restore(const std::map<Digest, LayerFacts>& condemned) {
  MutexLock lock(&mu_);
  for (const auto& [layer, facts] : condemned) layers_[layer].phase = Phase::kReady;
  changed_.NotifyAll();
}

void LayerTable::Forget(const std::map<Digest, LayerFacts>& condemned) {
  MutexLock lock(&mu_);
  for (const auto& [layer, facts] : condemned) layers_.erase(layer);
  changed_.NotifyAll();
}

absl::StatusOr<LayerFacts> LayerTable::Facts(const Digest& layer) const {
  MutexLock lock(&mu_);
  auto it = layers_.find(layer);
  if (it == layers_.end() || it->second.phase != Phase::kReady) {
    return absl::NotFoundError(absl::StrCat("find layer ", layer.str(), ": not on disk"));
  }
  return it->second.facts;
}

std::set<Digest> LayerTable::All() const {
  MutexLock lock(&mu_);
  std::set<Digest> all;
  for (const auto& [layer, entry] : layers_) {
    if (entry.phase != Phase::kUnpacking) all.insert(layer);
  }
  return all;
}

LayerFacts LayerTable::Total() const {
  MutexLock lock(&mu_);
  LayerFacts total;
  for (const auto& [layer, entry] : layers_) {
    if (entry.phase == Phase::kUnpacking) continue;
    total.bytes += entry.facts.bytes;
    total.inodes += entry.facts.inodes;
  }
  return total;
}

}  // namespace berth::image
