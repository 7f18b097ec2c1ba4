// Edge: the one wrapper around every RPC. It gives the call an id, runs its handler on the right
// lane, times it, counts it, logs its failure once, and turns absl::Status into grpc::Status.
//
//   client ──► gRPC thread ──► kInline     runs here and now: reads of memory only
//                         ├──► kLifecycle  a bounded pool with a queue: creates, starts, removals
//                         └──► kWaiting    a thread of its own at once, or refused: stops, execs
//
// So 1,000 waiting calls take no thread that Version, Status and List need. A client that goes away
// (cancel, deadline) is answered at once and forgotten; the work goes on, so that a retry can join,
// unless its handler takes a Cancel.
// Thread-safe.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/worker_pool.h"
#include "server/config.h"
#include "server/grpc_status.h"
#include "server/log_limiter.h"
#include "server/metrics.h"

namespace berth::server {

enum class Lane { kInline, kLifecycle, kWaiting };

// Whom a request is about, for the log; read from the fields that requests have in common.
struct Subject {
  std::string pod;
  std::string container;
  std::string image;
};
template <typename Request>
Subject SubjectOf(const Request& request) {
  Subject subject;
  if constexpr (requires { request.pod_sandbox_id(); }) subject.pod = request.pod_sandbox_id();
  if constexpr (requires { request.container_id(); }) subject.container = request.container_id();
  if constexpr (requires { request.image().image(); }) subject.image = request.image().image();
  if constexpr (requires { request.config().metadata().namespace_(); }) {
    const auto& metadata = request.config().metadata();
    subject.pod = metadata.namespace_() + "/" + metadata.name();
  }
  return subject;
}

class Edge {
 public:
  // Borrowed: `metrics` outlives it.
  Edge(const ServerConfig& config, Metrics* metrics);

  // One unary call: `handler` is absl::Status(const Request&, Response*), or has a third parameter
  // const Cancel&, which is set when the client goes away.
  template <typename Request, typename Response, typename Handler>
  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context, const char* method,
                                  Lane lane, const Request* request, Response* response,
                                  Handler handler);

  // UNIMPLEMENTED with a sentence that names the RPC.
  grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext* context, const char* method);
  template <typename Response>
  grpc::ServerWriteReactor<Response>* RefuseStream(const char* method);

  // The life of one call, for reactors that are not unary.
  class Call {
   public:
    Call(Edge* edge, const char* method, Lane lane, Subject subject);
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call();
    // Exactly once, when the answer is known. `client_gone`: nobody waits for it any more.
    grpc::Status Done(const absl::Status& status, bool client_gone = false);

   private:
    Edge* const edge_;
    const char* const method_;
    const Lane lane_;
    const Subject subject_;
    const uint64_t id_;
    const int64_t began_;
  };

  // Runs `task` on a pool lane. ResourceExhausted when that is full.
  absl::Status Submit(Lane lane, std::function<void()> task);

  int64_t in_flight() const { return in_flight_.load(); }
  void FillGauges(Gauges* gauges) const;
  // Waits until no call is under way; false when `deadline` came first.
  bool Drain(Deadline deadline);

 private:
  template <typename Request, typename Response>
  class PooledCall;
  template <typename Request, typename Response, typename Handler>
  static absl::Status RunHandler(const Handler& handler, const Request& request, Response* response,
                                 const Cancel& cancel);

  void Finished();

  const absl::Duration slow_call_;
  Metrics* const metrics_;
  LogLimiter limiter_;
  std::atomic<uint64_t> next_id_{1};
  std::atomic<int64_t> in_flight_{0};
  Mutex idle_mu_;
  CondVar idle_;
  // Last: their destructors run what was accepted, which uses the members above.
  WorkerPool lifecycle_;
  WorkerPool waiting_;
};

// The sentence for an RPC that this version leaves out.
absl::Status NotOffered(absl::string_view method);

// Request and reply of a call that runs on a pool are its own: when the client goes away gRPC frees
// its copies while the handler still reads and writes these.
template <typename Request, typename Response>
class Edge::PooledCall final : public grpc::ServerUnaryReactor {
 public:
  struct Work {
    Work(Edge* edge, const char* method, Lane lane, const Request& r)
        : request(r), call(edge, method, lane, SubjectOf(r)) {}
    const Request request;
    Response response;
    Call call;
    Cancel cancel;  // set when the client is gone
    Mutex mu;
    PooledCall* waiter ABSL_GUARDED_BY(mu) = nullptr;  // null once somebody is about to Finish it
  };

  PooledCall(std::shared_ptr<Work> work, Response* reply,
             std::chrono::system_clock::time_point deadline)
      : work_(std::move(work)), reply_(reply), deadline_(deadline) {
    MutexLock lock(&work_->mu);
    work_->waiter = this;
  }

  static void Complete(Work* work, const absl::Status& status) {
    PooledCall* waiter = nullptr;
    {
      MutexLock lock(&work->mu);
      waiter = std::exchange(work->waiter, nullptr);
    }
    const grpc::Status answer = work->call.Done(status, waiter == nullptr);
    if (waiter == nullptr) return;
    waiter->reply_->Swap(&work->response);
    waiter->Finish(answer);
  }

  void OnCancel() override {
    {
      MutexLock lock(&work_->mu);
      if (work_->waiter == nullptr) return;
      work_->waiter = nullptr;
    }
    work_->cancel.Set();
    // A client whose own clock is behind hears from us first: it must hear why.
    const bool late = std::chrono::system_clock::now() >= deadline_;
    Finish(late ? grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "the client's deadline passed")
                : grpc::Status(grpc::StatusCode::CANCELLED, "the client went away"));
  }
  void OnDone() override { delete this; }

 private:
  const std::shared_ptr<Work> work_;
  Response* const reply_;
  const std::chrono::system_clock::time_point deadline_;
};

template <typename Request, typename Response, typename Handler>
absl::Status Edge::RunHandler(const Handler& handler, const Request& request, Response* response,
                              const Cancel& cancel) {
  if constexpr (std::is_invocable_v<Handler, const Request&, Response*, const Cancel&>) {
    return handler(request, response, cancel);
  } else {
    return handler(request, response);
  }
}

template <typename Request, typename Response, typename Handler>
grpc::ServerUnaryReactor* Edge::Unary(grpc::CallbackServerContext* context, const char* method,
                                      Lane lane, const Request* request, Response* response,
                                      Handler handler) {
  if (lane == Lane::kInline) {
    Call call(this, method, lane, SubjectOf(*request));
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(call.Done(RunHandler(handler, *request, response, Cancel())));
    return reactor;
  }
  using Pooled = PooledCall<Request, Response>;
  auto work = std::make_shared<typename Pooled::Work>(this, method, lane, *request);
  auto* reactor = new Pooled(work, response, context->deadline());  // deleted by its OnDone
  const absl::Status accepted = Submit(lane, [work, handler = std::move(handler)] {
    Pooled::Complete(work.get(), RunHandler(handler, work->request, &work->response, work->cancel));
  });
  if (!accepted.ok()) Pooled::Complete(work.get(), accepted);
  return reactor;
}

template <typename Response>
grpc::ServerWriteReactor<Response>* Edge::RefuseStream(const char* method) {
  class Refusal final : public grpc::ServerWriteReactor<Response> {
   public:
    explicit Refusal(const grpc::Status& status) { this->Finish(status); }
    void OnDone() override { delete this; }
  };
  Call call(this, method, Lane::kInline, {});
  return new Refusal(call.Done(NotOffered(method)));
}

}  // namespace berth::server
