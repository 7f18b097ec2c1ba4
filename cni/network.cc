#include "cni/network.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "cni/attachment_record.h"
#include "cni/capability_args.h"
#include "cni/chain.h"
#include "cni/conf_directory.h"
#include "cni/validate_request.h"

namespace berth::cni {
namespace {

class PluginNetwork : public Network {
 public:
  PluginNetwork(Options options, store::Store* store)
      : store_(store),
        plugin_timeout_(options.plugin_timeout),
        conf_dir_(std::move(options.conf_dir)),
        plugins_(std::move(options.bin_dirs)),
        chain_(&plugins_, plugin_timeout_) {}

  absl::Status Load();

  absl::Status Ready() const override;
  absl::StatusOr<Attachment> Attach(const AttachRequest& request, Deadline deadline) override;
  absl::Status Detach(const std::string& id, const std::string& netns_path,
                      Deadline deadline) override;
  std::vector<std::string> Attached() const override;

 private:
  // An attachment on record. `facts` belong to the call that has set `busy`.
  struct Entry {
    AttachmentFacts facts;
    bool busy = false;
  };
  using EntryPtr = std::shared_ptr<Entry>;

  absl::StatusOr<EntryPtr> Begin(AttachmentFacts facts);
  void Release(const EntryPtr& entry);
  void Drop(const EntryPtr& entry);

  absl::StatusOr<AttachmentFacts> Plan(const AttachRequest& request, Deadline deadline);
  absl::StatusOr<Attachment> RunAdds(AttachmentFacts* facts, Deadline deadline);
  absl::Status Undo(const AttachmentFacts& facts, const std::string& netns_path, Deadline deadline);
  absl::Status Save(const AttachmentFacts& facts);

  store::Store* const store_;
  const absl::Duration plugin_timeout_;
  mutable ConfDirectory conf_dir_;
  Plugins plugins_;
  const Chain chain_;
  mutable Mutex mu_;
  std::map<std::string, EntryPtr> entries_ ABSL_GUARDED_BY(mu_);
};

absl::Status PluginNetwork::Load() {
  ASSIGN_OR_RETURN_CTX(const std::vector<store::Record> records, store_->Load(kAttachmentKind),
                       "read network attachments");
  // Hundreds of pods of one network share one parsed configuration.
  std::map<std::string, std::shared_ptr<const ConfList>> lists;
  MutexLock lock(&mu_);
  for (const store::Record& record : records) {
    absl::StatusOr<AttachmentFacts> facts = FromRecord(record);
    if (!facts.ok()) {
      LogWarning("put a network attachment aside", {{"error", facts.status().message()}});
      RETURN_IF_ERROR(store_->Quarantine(record.kind, record.id, facts.status().message()));
      continue;
    }
    facts->list = lists.emplace(facts->list->bytes, facts->list).first->second;
    auto entry = std::make_shared<Entry>();
    entry->facts = *std::move(facts);
    entries_[record.id] = std::move(entry);
  }
  return absl::OkStatus();
}

absl::Status PluginNetwork::Ready() const {
  ASSIGN_OR_RETURN(const auto list, conf_dir_.Current());
  for (const PluginConf& plugin : list->plugins) {
    RETURN_IF_ERROR_CTX(plugins_.Find(plugin.type).status(),
                        absl::StrCat("CNI network ", list->name));
  }
  return absl::OkStatus();
}

std::vector<std::string> PluginNetwork::Attached() const {
  MutexLock lock(&mu_);
  std::vector<std::string> ids;
  ids.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) ids.push_back(id);
  return ids;
}

absl::StatusOr<PluginNetwork::EntryPtr> PluginNetwork::Begin(AttachmentFacts facts) {
  auto entry = std::make_shared<Entry>();
  entry->busy = true;
  entry->facts = std::move(facts);
  const std::string& id = entry->facts.id;
  MutexLock lock(&mu_);
  const auto [it, fresh] = entries_.emplace(id, entry);
  if (fresh) return entry;
  if (it->second->busy) {
    return absl::AbortedError(absl::StrCat("network of ", id, " is being changed"));
  }
  if (!it->second->facts.attached) {
    return absl::FailedPreconditionError(
        absl::StrCat("an earlier attachment of ", id, " is not undone yet: detach it first"));
  }
  return absl::AlreadyExistsError(absl::StrCat(id, " is attached"));
}

void PluginNetwork::Release(const EntryPtr& entry) {
  MutexLock lock(&mu_);
  entry->busy = false;
}

void PluginNetwork::Drop(const EntryPtr& entry) {
  MutexLock lock(&mu_);
  entries_.erase(entry->facts.id);
}

absl::Status PluginNetwork::Save(const AttachmentFacts& facts) {
  store::Batch batch;
  batch.Put(ToRecord(facts));
  RETURN_IF_ERROR_CTX(store_->Commit(batch, store::Sync::kNormal),
                      absl::StrCat("record network attachment of ", facts.id));
  return absl::OkStatus();
}

// Everything that can be wrong before something outlives us.
absl::StatusOr<AttachmentFacts> PluginNetwork::Plan(const AttachRequest& request,
                                                    Deadline deadline) {
  RETURN_IF_ERROR(ValidateRequest(request));
  AttachmentFacts facts;
  ASSIGN_OR_RETURN(facts.list, conf_dir_.Current());
  ASSIGN_OR_RETURN(facts.version, chain_.NegotiateVersion(*facts.list, deadline));
  ASSIGN_OR_RETURN(facts.args, JoinArgs(request.args));
  facts.capability_args = CapabilityArgs(request, *facts.list);
  facts.id = request.id;
  facts.netns_path = request.netns_path;
  facts.if_name = request.if_name;
  return facts;
}

// The intent is on record.
absl::StatusOr<Attachment> PluginNetwork::RunAdds(AttachmentFacts* facts, Deadline deadline) {
  BERTH_FAILPOINT(cni_attach_after_intent);
  size_t left = facts->list->plugins.size();
  const auto keep = [&]() -> absl::Status {
    BERTH_FAILPOINT(cni_attach_after_add);
    // The last result is recorded with the state.
    return --left == 0 ? absl::OkStatus() : Save(*facts);
  };
  Attachment attachment;
  ASSIGN_OR_RETURN(attachment.ips, chain_.Add(facts, keep, deadline));
  facts->attached = true;
  if (absl::Status status = Save(*facts); !status.ok()) {
    facts->attached = false;
    return status;
  }
  return attachment;
}

absl::Status PluginNetwork::Undo(const AttachmentFacts& facts, const std::string& netns_path,
                                 Deadline deadline) {
  RETURN_IF_ERROR(chain_.Delete(facts, netns_path, deadline));
  BERTH_FAILPOINT(cni_detach_before_forget);
  store::Batch batch;
  batch.Delete(kAttachmentKind, facts.id);
  RETURN_IF_ERROR_CTX(store_->Commit(batch, store::Sync::kNormal),
                      absl::StrCat("forget network attachment of ", facts.id));
  return absl::OkStatus();
}

absl::StatusOr<Attachment> PluginNetwork::Attach(const AttachRequest& request, Deadline deadline) {
  ASSIGN_OR_RETURN(AttachmentFacts facts, Plan(request, deadline));
  ASSIGN_OR_RETURN(const EntryPtr entry, Begin(std::move(facts)));
  if (absl::Status status = Save(entry->facts); !status.ok()) {
    Drop(entry);
    return status;
  }
  absl::StatusOr<Attachment> attachment = RunAdds(&entry->facts, deadline);
  if (attachment.ok()) {
    Release(entry);
    return attachment;
  }
  // With time of its own: what failed may have used up the caller's.
  const absl::Status undone =
      Undo(entry->facts, entry->facts.netns_path, Deadline::After(plugin_timeout_));
  if (undone.ok()) {
    Drop(entry);
    return attachment.status();
  }
  Release(entry);
  return absl::Status(
      attachment.status().code(),
      absl::StrCat(attachment.status().message(),
                   "; the attachment is kept to be undone again: ", undone.message()));
}

absl::Status PluginNetwork::Detach(const std::string& id, const std::string& netns_path,
                                   Deadline deadline) {
  EntryPtr entry;
  {
    MutexLock lock(&mu_);
    const auto it = entries_.find(id);
    if (it == entries_.end()) return absl::OkStatus();
    entry = it->second;
    if (entry->busy) {
      return absl::AbortedError(absl::StrCat("network of ", id, " is being changed"));
    }
    entry->busy = true;
  }
  absl::Status status = Undo(entry->facts, netns_path, deadline);
  if (status.ok()) {
    Drop(entry);
  } else {
    Release(entry);
  }
  return status;
}

absl::Status CheckOptions(const Network::Options& options) {
  if (!absl::StartsWith(options.conf_dir, "/")) {
    return absl::InvalidArgumentError(
        absl::StrCat("CNI configuration directory ", options.conf_dir, ": not an absolute path"));
  }
  for (const std::string& dir : options.bin_dirs) {
    if (!absl::StartsWith(dir, "/") || absl::StrContains(dir, ":")) {
      return absl::InvalidArgumentError(
          absl::StrCat("CNI plugin directory ", dir, ": must be an absolute path without a colon"));
    }
  }
  if (options.bin_dirs.empty()) return absl::InvalidArgumentError("no CNI plugin directory");
  if (options.plugin_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("the timeout of CNI plugins must be above 0");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Network>> Network::Open(Options options, store::Store* store) {
  RETURN_IF_ERROR(CheckOptions(options));
  auto network = std::make_unique<PluginNetwork>(std::move(options), store);
  RETURN_IF_ERROR(network->Load());
  return network;
}

}  // namespace berth::cni
