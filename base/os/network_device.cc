#include "base/os/network_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/unique_fd.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

constexpr int kTimeoutSeconds = 10;  // the kernel answers within the call that asks
constexpr size_t kReplySize = 64 << 10;

// One request under construction: header, payload, attributes. Lengths are checked by type: no
// attribute here exceeds a few hundred bytes.
class Request {
 public:
  template <typename Payload>
  Request(uint16_t type, uint16_t flags, const Payload& payload) {
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
    Append(&header, sizeof header);
    Append(&payload, sizeof payload);
  }
  void Add(uint16_t type, const void* data, size_t size) {
    rtattr attribute{};
    attribute.rta_len = static_cast<uint16_t>(RTA_LENGTH(size));
    attribute.rta_type = type;
    Append(&attribute, sizeof attribute);
    Append(data, size);
  }
  const std::string& Finish() {
    const auto size = static_cast<uint32_t>(bytes_.size());
    memcpy(bytes_.data(), &size, sizeof size);  // nlmsg_len is the first field
    return bytes_;
  }

 private:
  void Append(const void* data, size_t size) {
    bytes_.append(static_cast<const char*>(data), size);
    bytes_.resize((bytes_.size() + NLMSG_ALIGNTO - 1) & ~size_t{NLMSG_ALIGNTO - 1});
  }
  std::string bytes_;
};

using Handler = std::function<void(const nlmsghdr&)>;

class Netlink {
 public:
  // A socket belongs to the network namespace that its maker is in.
  static absl::StatusOr<Netlink> Open() {
    Netlink made;
    made.fd_.reset(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    const timeval timeout = {kTimeoutSeconds, 0};
    if (!made.fd_.valid() ||
        setsockopt(made.fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) != 0) {
      return ErrnoStatus(errno, "open rtnetlink");
    }
    return made;
  }

  // Sends and reads to the answer's end; its messages go to `handler`.
  absl::Status Ask(Request request, const Handler& handler) const {
    const std::string& bytes = request.Finish();
    if (send(fd_.get(), bytes.data(), bytes.size(), 0) < 0) {
      return ErrnoStatus(errno, "ask rtnetlink");
    }
    std::string reply(kReplySize, '\0');
    for (;;) {
      const ssize_t n = recv(fd_.get(), reply.data(), reply.size(), 0);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus(errno, "read rtnetlink");
      auto left = static_cast<unsigned>(n);
      for (auto* h = reinterpret_cast<nlmsghdr*>(reply.data()); NLMSG_OK(h, left);
           h = NLMSG_NEXT(h, left)) {
        if (h->nlmsg_type == NLMSG_DONE) return absl::OkStatus();
        if (h->nlmsg_type == NLMSG_ERROR) {
          const int error = -static_cast<nlmsgerr*>(NLMSG_DATA(h))->error;
          return error == 0 ? absl::OkStatus() : ErrnoStatus(error, "rtnetlink");
        }
        handler(*h);
      }
    }
  }

 private:
  UniqueFd fd_;
};

void Ignore(const nlmsghdr& /*header*/) {}

absl::StatusOr<Netlink> OpenIn(int netns_fd) {
  ASSIGN_OR_RETURN(const UniqueFd own, os::Open("/proc/thread-self/ns/net", O_RDONLY));
  if (setns(netns_fd, CLONE_NEWNET) != 0) return ErrnoStatus(errno, "enter network namespace");
  absl::StatusOr<Netlink> netlink = Netlink::Open();
  if (setns(own.get(), CLONE_NEWNET) != 0) return ErrnoStatus(errno, "leave network namespace");
  return netlink;
}

struct Address {
  ifaddrmsg message{};
  std::vector<std::pair<uint16_t, std::string>> attributes;
};

absl::StatusOr<std::vector<Address>> PermanentAddresses(const Netlink& netlink, unsigned index) {
  std::vector<Address> addresses;
  const auto take = [&](const nlmsghdr& header) {
    if (header.nlmsg_type != RTM_NEWADDR) return;
    const auto* message = static_cast<const ifaddrmsg*>(NLMSG_DATA(&header));
    if (message->ifa_index != index || message->ifa_scope != RT_SCOPE_UNIVERSE) return;
    Address address;
    address.message = *message;
    uint32_t flags = message->ifa_flags;
    auto left = static_cast<int>(IFA_PAYLOAD(&header));
    for (const rtattr* a = IFA_RTA(message); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
      if (a->rta_type == IFA_FLAGS) memcpy(&flags, RTA_DATA(a), sizeof flags);
      if (a->rta_type == IFA_LOCAL || a->rta_type == IFA_ADDRESS || a->rta_type == IFA_BROADCAST) {
        address.attributes.emplace_back(
            a->rta_type, std::string(static_cast<const char*>(RTA_DATA(a)), RTA_PAYLOAD(a)));
      }
    }
    if ((flags & IFA_F_PERMANENT) != 0) addresses.push_back(std::move(address));
  };
  RETURN_IF_ERROR(netlink.Ask(Request(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{}), take));
  return addresses;
}

absl::StatusOr<std::set<int>> Indices(const Netlink& netlink) {
  std::set<int> indices;
  const auto take = [&](const nlmsghdr& header) {
    if (header.nlmsg_type != RTM_NEWLINK) return;
    indices.insert(static_cast<const ifinfomsg*>(NLMSG_DATA(&header))->ifi_index);
  };
  RETURN_IF_ERROR(netlink.Ask(Request(RTM_GETLINK, NLM_F_DUMP, ifinfomsg{}), take));
  return indices;
}

absl::Status BringUp(const Netlink& there, int index, const std::vector<Address>& addresses) {
  ifinfomsg up{};
  up.ifi_index = index;
  up.ifi_flags = IFF_UP;
  up.ifi_change = IFF_UP;
  RETURN_IF_ERROR_CTX(there.Ask(Request(RTM_NEWLINK, NLM_F_ACK, up), Ignore), "bring up");
  for (const Address& address : addresses) {
    ifaddrmsg message = address.message;
    message.ifa_index = static_cast<unsigned>(index);
    Request request(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, message);
    for (const auto& [type, value] : address.attributes) {
      request.Add(type, value.data(), value.size());
    }
    RETURN_IF_ERROR_CTX(there.Ask(std::move(request), Ignore), "give address");
  }
  return absl::OkStatus();
}

absl::Status Move(const std::string& name, int netns_fd, const std::string& new_name) {
  const unsigned index = if_nametoindex(name.c_str());
  if (index == 0) return ErrnoStatus(errno, "find");
  ASSIGN_OR_RETURN(const Netlink here, Netlink::Open());
  ASSIGN_OR_RETURN(const Netlink there, OpenIn(netns_fd));
  ASSIGN_OR_RETURN(const std::vector<Address> addresses, PermanentAddresses(here, index));
  ASSIGN_OR_RETURN(const std::set<int> before, Indices(there));
  ifinfomsg which{};
  which.ifi_index = static_cast<int>(index);
  Request move(RTM_NEWLINK, NLM_F_ACK, which);
  move.Add(IFLA_NET_NS_FD, &netns_fd, sizeof netns_fd);
  const std::string& wanted = new_name.empty() ? name : new_name;
  move.Add(IFLA_IFNAME, wanted.c_str(), wanted.size() + 1);
  RETURN_IF_ERROR(here.Ask(std::move(move), Ignore));
  // It keeps its number only where that is free.
  ASSIGN_OR_RETURN(const std::set<int> after, Indices(there));
  for (const int i : after) {
    if (before.count(i) == 0) return BringUp(there, i, addresses);
  }
  return absl::InternalError("is not there after the move");
}

}  // namespace

absl::Status MoveNetworkDevice(const std::string& name, int netns_fd, const std::string& new_name) {
  const absl::Status moved = Move(name, netns_fd, new_name);
  const std::string what = absl::StrCat("move network device ", name);
  for (const int theirs : {ENODEV, ENXIO, EEXIST, EINVAL, EOPNOTSUPP}) {
    if (IsErrno(moved, theirs)) {
      return WithCode(absl::StatusCode::kInvalidArgument, moved, what);
    }
  }
  return Annotate(moved, what);
}

bool HasNetworkDevice(const std::string& name) { return if_nametoindex(name.c_str()) != 0; }

}  // namespace berth::os
