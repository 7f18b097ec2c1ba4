// LayerTable: which layers are on disk, who is making or deleting one, and who needs it. In memory
// only; does no I/O. Thread-safe.
//
//            Claim                 Finish
//   absent --------> unpacking ------------> ready
//     ^                  |  Release(holder)    |  Condemn (no image, no holder)
//     |                  v                     v
//     +-------------- absent  <---------- condemned
//                                Forget         (Restore: back to ready)
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "image/image_records.h"

namespace berth::image {

class LayerTable {
 public:
  // A layer that is on disk and recorded.
  void Add(const Digest& layer, const LayerFacts& facts);

  // Waits until nobody else makes or deletes one of `layers`, then holds them all for `holder` and
  // gives it the absent ones to make. All at once: two imports never wait for each other.
  // Cancelled: `cancel`, which may be null, was set; call WakeClaims() after setting it.
  absl::StatusOr<std::set<Digest>> Claim(const std::string& holder, const std::set<Digest>& layers,
                                         Deadline deadline, const Cancel* cancel = nullptr);
  void WakeClaims();
  // The claimed layers are durable now.
  void Finish(const std::map<Digest, LayerFacts>& made);
  // Ends the claim or hold, and gives what was held: what is not finished is absent again.
  std::set<Digest> Release(const std::string& holder);

  // Replaces what `holder` holds. NotFound: a layer is not ready.
  absl::Status Hold(const std::string& holder, const std::vector<Digest>& layers);

  // Takes the ready layers among `candidates` that neither `in_use` nor a holder has.
  std::map<Digest, LayerFacts> Condemn(const std::set<Digest>& candidates,
                                       const std::set<Digest>& in_use);
  void Restore(const std::map<Digest, LayerFacts>& condemned);
  void Forget(const std::map<Digest, LayerFacts>& condemned);

  absl::StatusOr<LayerFacts> Facts(const Digest& layer) const;  // NotFound: not ready
  std::set<Digest> All() const;                                 // ready or condemned
  LayerFacts Total() const;  // sums of what All() names; opaque_root means nothing

 private:
  enum class Phase { kUnpacking, kReady, kCondemned };
  struct Entry {
    Phase phase = Phase::kReady;
    LayerFacts facts;
    std::string maker;  // the holder that unpacks it
  };
  bool AnyInFlight(const std::set<Digest>& layers) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;
  CondVar changed_;
  std::map<Digest, Entry> layers_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::set<Digest>> holders_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth::image
