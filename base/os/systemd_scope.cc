#include "base/os/systemd_scope.h"

#include <errno.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <map>
#include <memory>
#include <type_traits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

constexpr char kService[] = "org.freedesktop.systemd1";
constexpr char kObject[] = "/org/freedesktop/systemd1";
constexpr char kManager[] = "org.freedesktop.systemd1.Manager";

struct CloseBus {
  void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
};
struct DropMessage {
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using Bus = std::unique_ptr<sd_bus, CloseBus>;
using Message = std::unique_ptr<sd_bus_message, DropMessage>;

absl::Status BusError(int error, absl::string_view what) {
  if (error == -ETIMEDOUT) return absl::DeadlineExceededError(absl::StrCat(what, ": timed out"));
  return ErrnoStatus(-error, what);
}

uint64_t MicrosecondsLeft(Deadline deadline) {
  const int millis = deadline.PollMillis();
  // 0 means "the library's default" to sd_bus_call.
  return millis < 0 ? UINT64_MAX : std::max<uint64_t>(static_cast<uint64_t>(millis) * 1000, 1);
}

absl::StatusOr<Bus> Connect(const std::string& socket) {
  const std::string what = absl::StrCat("connect to systemd at ", socket);
  sd_bus* raw = nullptr;
  if (const int r = sd_bus_new(&raw); r < 0) return BusError(r, what);
  Bus bus(raw);
  int r = sd_bus_set_address(raw, absl::StrCat("unix:path=", socket).c_str());
  if (r >= 0) r = sd_bus_start(raw);
  if (r >= 0) return bus;
  return absl::UnavailableError(BusError(r, what).message());
}

// A method call being written. The first failure stays.
class Call {
 public:
  Call(sd_bus* bus, const char* method) : bus_(bus), method_(method) {
    sd_bus_message* raw = nullptr;
    error_ = sd_bus_message_new_method_call(bus, &raw, kService, kObject, kManager, method);
    message_.reset(raw);
  }
  template <typename... Args>
  Call& Append(const char* types, Args... args) {
    if (error_ >= 0) error_ = sd_bus_message_append(message_.get(), types, args...);
    return *this;
  }
  Call& Open(char type, const char* contents) {
    if (error_ >= 0) error_ = sd_bus_message_open_container(message_.get(), type, contents);
    return *this;
  }
  Call& Close() {
    if (error_ >= 0) error_ = sd_bus_message_close_container(message_.get());
    return *this;
  }
  void AppendBytes(const std::vector<uint8_t>& bytes) {
    if (error_ >= 0) {
      error_ = sd_bus_message_append_array(message_.get(), 'y', bytes.data(), bytes.size());
    }
  }
  absl::StatusOr<Message> Send(Deadline deadline) {
    if (error_ < 0) return BusError(error_, absl::StrCat("write ", method_, " for systemd"));
    sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus_message* reply = nullptr;
    const int r = sd_bus_call(bus_, message_.get(), MicrosecondsLeft(deadline), &error, &reply);
    if (r >= 0) return Message(reply);
    const std::string text = absl::StrCat("systemd ", method_, ": ",
                                          error.message != nullptr ? error.message : "no answer");
    const std::string name = error.name != nullptr ? error.name : "";
    sd_bus_error_free(&error);
    if (absl::EndsWith(name, ".NoSuchUnit")) return absl::NotFoundError(text);
    if (absl::EndsWith(name, ".UnitExists")) return absl::AlreadyExistsError(text);
    if (r == -ETIMEDOUT) return absl::DeadlineExceededError(text);
    // An answer, and one that says no.
    if (!name.empty() && r != -ECONNRESET) return absl::FailedPreconditionError(text);
    return absl::UnavailableError(text);
  }

 private:
  sd_bus* const bus_;
  const char* const method_;
  Message message_;
  int error_ = 0;
};

void AppendProperty(const UnitProperty& property, Call* call) {
  call->Open('r', "sv").Append("s", property.name.c_str());
  std::visit(
      [&](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::string>) {
          call->Append("v", "s", value.c_str());
        } else if constexpr (std::is_same_v<T, bool>) {
          call->Append("v", "b", static_cast<int>(value));
        } else if constexpr (std::is_same_v<T, uint64_t>) {
          call->Append("v", "t", value);
        } else if constexpr (std::is_same_v<T, std::vector<uint8_t>>) {
          call->Open('v', "ay");
          call->AppendBytes(value);
          call->Close();
        } else if constexpr (std::is_same_v<T, UnitProperty::Pairs>) {
          call->Open('v', "a(ss)").Open('a', "(ss)");
          for (const auto& [first, second] : value) {
            call->Append("(ss)", first.c_str(), second.c_str());
          }
          call->Close().Close();
        } else {
          call->Open('v', "a(st)").Open('a', "(st)");
          for (const auto& [first, second] : value) call->Append("(st)", first.c_str(), second);
          call->Close().Close();
        }
      },
      property.value);
  call->Close();
}

// The ends of jobs that systemd tells of, by the job's path.
using Ends = std::map<std::string, std::string>;

int NoteEnd(sd_bus_message* message, void* ends, sd_bus_error* /*error*/) {
  uint32_t id = 0;
  const char* job = nullptr;
  const char* unit = nullptr;
  const char* result = nullptr;
  const int r = sd_bus_message_read(message, "uoss", &id, &job, &unit, &result);
  if (r >= 0) (*static_cast<Ends*>(ends))[job] = result;
  return 0;
}

// Before the call that starts the job, so that no end is missed.
absl::Status Watch(sd_bus* bus, Ends* ends) {
  const int r =
      sd_bus_match_signal(bus, nullptr, nullptr, kObject, kManager, "JobRemoved", NoteEnd, ends);
  return r < 0 ? BusError(r, "listen for the ends of systemd's jobs") : absl::OkStatus();
}

absl::StatusOr<std::string> WaitForEnd(sd_bus* bus, sd_bus_message* reply, const Ends& ends,
                                       Deadline deadline) {
  const char* job = nullptr;
  if (const int r = sd_bus_message_read(reply, "o", &job); r < 0) {
    return BusError(r, "read systemd's answer");
  }
  for (;;) {
    if (const auto end = ends.find(job); end != ends.end()) return end->second;
    int r = sd_bus_process(bus, nullptr);
    if (r < 0) return BusError(r, "read from systemd");
    if (r > 0) continue;
    if (deadline.Expired()) {
      return absl::DeadlineExceededError(absl::StrCat("wait for systemd's job ", job));
    }
    r = sd_bus_wait(bus, MicrosecondsLeft(deadline));
    if (r < 0 && r != -EINTR) return BusError(r, "wait for systemd");
  }
}

absl::Status ResetFailed(sd_bus* bus, const std::string& unit, Deadline deadline) {
  const absl::Status reset =
      Call(bus, "ResetFailedUnit").Append("s", unit.c_str()).Send(deadline).status();
  // One that did not fail, or is gone, has nothing to clear.
  return absl::IsNotFound(reset) ? absl::OkStatus() : reset;
}

}  // namespace

bool Systemd::IsRunning() { return sd_booted() > 0; }

absl::Status Systemd::StartScope(const ScopeName& name, pid_t parked, const CgroupLimits& limits,
                                 CgroupLayout layout, Deadline deadline) const {
  ASSIGN_OR_RETURN(const Bus bus, Connect(socket_));
  Ends ends;
  RETURN_IF_ERROR(Watch(bus.get(), &ends));
  Call call(bus.get(), "StartTransientUnit");
  call.Append("ss", name.unit.c_str(), "fail").Open('a', "(sv)");
  for (const UnitProperty& property : ScopeProperties(name, limits, layout)) {
    AppendProperty(property, &call);
  }
  call.Append("(sv)", "PIDs", "au", 1, static_cast<uint32_t>(parked)).Close();
  call.Append("a(sa(sv))", 0);  // no other units
  ASSIGN_OR_RETURN_CTX(const Message reply, call.Send(deadline), absl::StrCat("start ", name.unit));
  ASSIGN_OR_RETURN_CTX(const std::string result, WaitForEnd(bus.get(), reply.get(), ends, deadline),
                       absl::StrCat("start ", name.unit));
  if (result == "done") return absl::OkStatus();
  (void)ResetFailed(bus.get(), name.unit, deadline);  // the failure itself is what is reported
  return absl::FailedPreconditionError(absl::StrCat("start ", name.unit, ": systemd: ", result));
}

absl::Status Systemd::StopScope(const std::string& unit, Deadline deadline) const {
  ASSIGN_OR_RETURN(const Bus bus, Connect(socket_));
  Ends ends;
  RETURN_IF_ERROR(Watch(bus.get(), &ends));
  absl::StatusOr<Message> reply =
      Call(bus.get(), "StopUnit").Append("ss", unit.c_str(), "replace").Send(deadline);
  if (absl::IsNotFound(reply.status())) return absl::OkStatus();
  RETURN_IF_ERROR_CTX(reply.status(), absl::StrCat("stop ", unit));
  RETURN_IF_ERROR_CTX(WaitForEnd(bus.get(), reply->get(), ends, deadline).status(),
                      absl::StrCat("stop ", unit));
  return Annotate(ResetFailed(bus.get(), unit, deadline), absl::StrCat("stop ", unit));
}

absl::Status Systemd::SetLimits(const std::string& unit, const CgroupLimits& limits,
                                CgroupLayout layout, Deadline deadline) const {
  const std::vector<UnitProperty> properties = LimitProperties(limits, layout);
  if (properties.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Bus bus, Connect(socket_));
  Call call(bus.get(), "SetUnitProperties");
  call.Append("sb", unit.c_str(), 1).Open('a', "(sv)");
  for (const UnitProperty& property : properties) AppendProperty(property, &call);
  call.Close();
  return Annotate(call.Send(deadline).status(), absl::StrCat("limit ", unit));
}

}  // namespace berth::os
