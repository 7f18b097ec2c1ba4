#include "server/edge.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace berth::server {
namespace {

// Of one method and code: a crash-looping probe must not fill the host's log.
constexpr int64_t kFailureLines = 20;
constexpr absl::Duration kFailureWindow = absl::Minutes(1);

LogLevel LevelOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kNotFound:  // a poller asking for what was just removed
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kCancelled:
      return LogLevel::kInfo;
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kUnknown:
      return LogLevel::kError;
    default:
      return LogLevel::kWarning;
  }
}

WorkerPool::Options LifecyclePool(const ServerConfig& config) {
  WorkerPool::Options options;
  options.name = "lifecycle";
  options.max_threads = static_cast<size_t>(config.lifecycle_threads);
  options.max_queue = static_cast<size_t>(config.lifecycle_queue_calls);
  options.stack_bytes = 512 << 10;
  return options;
}

WorkerPool::Options WaitingPool(const ServerConfig& config) {
  WorkerPool::Options options;
  options.name = "waiting";
  options.max_threads = static_cast<size_t>(config.waiting_calls_max);
  options.max_queue = 0;  // a queued wait would wait for strangers
  options.stack_bytes = 256 << 10;
  return options;
}

}  // namespace

Edge::Edge(const ServerConfig& config, Metrics* metrics)
    : slow_call_(config.slow_call),
      metrics_(metrics),
      limiter_(kFailureLines, kFailureWindow),
      lifecycle_(LifecyclePool(config)),
      waiting_(WaitingPool(config)) {}

absl::Status Edge::Submit(Lane lane, std::function<void()> task) {
  return (lane == Lane::kWaiting ? waiting_ : lifecycle_).Submit(std::move(task));
}

grpc::ServerUnaryReactor* Edge::Refuse(grpc::CallbackServerContext* context, const char* method) {
  Call call(this, method, Lane::kInline, {});
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(call.Done(NotOffered(method)));
  return reactor;
}

void Edge::FillGauges(Gauges* gauges) const {
  gauges->calls_in_flight = in_flight();
  gauges->lifecycle_threads = static_cast<int64_t>(lifecycle_.counts().threads);
  gauges->waiting_threads = static_cast<int64_t>(waiting_.counts().threads);
}

bool Edge::Drain(Deadline deadline) {
  MutexLock lock(&idle_mu_);
  while (in_flight() > 0 && !deadline.Expired()) idle_.WaitFor(&idle_mu_, deadline.Remaining());
  return in_flight() == 0;
}

void Edge::Finished() {
  if (in_flight_.fetch_sub(1) != 1) return;
  MutexLock lock(&idle_mu_);
  idle_.NotifyAll();
}

Edge::Call::Call(Edge* edge, const char* method, Lane lane, Subject subject)
    : edge_(edge),
      method_(method),
      lane_(lane),
      subject_(std::move(subject)),
      id_(edge->next_id_.fetch_add(1)),
      began_(MonotonicNanos()) {
  edge_->in_flight_.fetch_add(1);
}

Edge::Call::~Call() { edge_->Finished(); }

grpc::Status Edge::Call::Done(const absl::Status& status, bool client_gone) {
  const int64_t now = MonotonicNanos();
  const absl::Duration took = absl::Nanoseconds(now - began_);
  edge_->metrics_->ObserveRpc(method_, status.code(), took);
  const bool slow = took > edge_->slow_call_ && lane_ != Lane::kWaiting;
  LogLevel level = slow ? LogLevel::kWarning : LogLevel::kDebug;
  int64_t suppressed = 0;
  if (!status.ok()) {
    level = LevelOf(status.code());
    const LogLimiter::Verdict verdict =
        edge_->limiter_.Admit(absl::StrCat(method_, " ", static_cast<int>(status.code())), now);
    if (!verdict.write) return ToGrpc(status);
    suppressed = verdict.suppressed;
  }
  Log(level, status.ok() ? (slow ? "call was slow" : "call done") : "call failed",
      {{"call", id_},
       {"method", method_},
       {"pod", subject_.pod},
       {"container", subject_.container},
       {"image", subject_.image},
       {"code", absl::StatusCodeToString(status.code())},
       {"error", status.message()},
       {"duration_ms", absl::ToInt64Milliseconds(took)},
       {"client_gone", client_gone ? "true" : ""},
       {"suppressed", suppressed == 0 ? "" : absl::StrCat(suppressed)}});
  return ToGrpc(status);
}

}  // namespace berth::server
