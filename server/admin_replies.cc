#include "server/admin_replies.h"

#include <unistd.h>

#include "base/failpoint.h"
#include "base/status_macros.h"
#include "server/host_checks.h"

namespace berth::server {
namespace {

namespace admin = ::berth::admin::v1;

admin::HostCheck::Verdict ToProto(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return admin::HostCheck::OK;
    case Verdict::kAbsent:
      return admin::HostCheck::ABSENT;
    case Verdict::kFailed:
      return admin::HostCheck::FAILED;
  }
  return admin::HostCheck::FAILED;
}

admin::PullState ToProto(const image::PullStatus& pull) {
  admin::PullState out;
  out.set_reference(pull.reference);
  out.set_seconds(absl::ToDoubleSeconds(pull.age));
  out.set_queued(pull.queued);
  out.set_callers(pull.callers);
  out.set_bytes_received(pull.bytes_received);
  out.set_bytes_total(pull.bytes_total);
  return out;
}

}  // namespace

void FillState(const AdminParts& parts, admin::StateResponse* reply) {
  const RuntimeFacts& facts = *parts.facts;
  reply->set_version(BERTH_VERSION);
  reply->set_pid(getpid());
  reply->set_started_at(facts.start_wall_nanos);
  reply->set_data_dir(facts.data_dir);
  reply->set_run_dir(facts.run_dir);
  reply->set_data_dir_id(facts.data_dir_id);
  reply->set_import_dir(facts.import_dir);
  reply->set_cri_socket(parts.config->CriSocket());
  reply->set_admin_socket(parts.config->AdminSocket());
  reply->set_cgroup_layout(facts.cgroup_layout);
  for (const std::string& name : facts.cgroup_controllers) reply->add_cgroup_controllers(name);
  reply->set_cgroup_root(facts.cgroup_root);
  reply->set_shim_source(facts.shim_source);
  reply->set_kernel_release(facts.kernel_release);
  const sandbox::RuntimeCounts counts = parts.runtime->Counts();
  reply->set_pods(counts.sandboxes);
  reply->set_containers(counts.containers);
  reply->set_running_containers(counts.running);
  reply->set_images(static_cast<int32_t>(parts.images->List().size()));
  for (const image::PullStatus& pull : parts.images->Pulls()) *reply->add_pulls() = ToProto(pull);
  reply->set_quarantined_records(counts.quarantined);
  reply->set_calls_in_flight(parts.edge->in_flight());
  const ProcessUse use = ReadProcessUse();
  reply->set_resident_bytes(use.resident_bytes);
  reply->set_open_fds(use.open_fds);
  reply->set_threads(use.threads);
}

void FillChecks(const os::CgroupHost& cgroups, admin::CheckResponse* reply) {
  for (const HostCheck& check : CheckHost(cgroups)) {
    admin::HostCheck* out = reply->add_checks();
    out->set_name(check.name);
    out->set_verdict(ToProto(check.verdict));
    out->set_detail(check.detail);
  }
}

std::string MetricsText(const AdminParts& parts) {
  Gauges gauges;
  const sandbox::RuntimeCounts counts = parts.runtime->Counts();
  gauges.sandboxes = counts.sandboxes;
  gauges.containers = counts.containers;
  gauges.running_containers = counts.running;
  gauges.quarantined_records = static_cast<int64_t>(counts.quarantined);
  gauges.images = static_cast<int64_t>(parts.images->List().size());
  for (const sandbox::LogDrops& drops : parts.runtime->DroppedLogs()) {
    gauges.log_drops.push_back(
        {drops.container, static_cast<double>(drops.lines), static_cast<double>(drops.bytes)});
  }
  parts.edge->FillGauges(&gauges);
  return parts.metrics->Text(gauges);
}

absl::Status SetFailpoints(const admin::FailpointsRequest& request,
                           admin::FailpointsResponse* reply) {
#if BERTH_FAILPOINTS
  if (request.has_plan()) RETURN_IF_ERROR(failpoint::Configure(request.plan()));
  for (const std::string& name : failpoint::List()) reply->add_names(name);
  return absl::OkStatus();
#else
  (void)request;
  (void)reply;
  return absl::UnimplementedError(
      "Failpoints is not offered: this build has no failpoints compiled in");
#endif
}

}  // namespace berth::server
