#include "ctl/run_config.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "ctl/commands.h"

namespace berth::ctl {
namespace {

constexpr char kLogRoot[] = "/var/log/berthctl";

bool IsName(absl::string_view name) {
  return !name.empty() && name.size() <= 63 && absl::ascii_isalnum(name[0]) &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
         });
}

// CRI wants the same namespaces said of the pod and of each container.
void FillNamespaces(const RunRequest& request, cri::NamespaceOption* options) {
  options->set_network(request.own_network ? cri::POD : cri::NODE);
  options->set_pid(cri::CONTAINER);
  options->set_ipc(cri::POD);
}

absl::Status AddEnvironment(const std::vector<std::string>& entries, cri::ContainerConfig* config) {
  for (const std::string& entry : entries) {
    const size_t equals = entry.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("flag --env must be NAME=VALUE, not \"", entry, "\""));
    }
    cri::KeyValue* env = config->add_envs();
    env->set_key(entry.substr(0, equals));
    env->set_value(entry.substr(equals + 1));
  }
  return absl::OkStatus();
}

absl::Status AddMounts(const std::vector<std::string>& entries, cri::ContainerConfig* config) {
  for (const std::string& entry : entries) {
    const std::vector<std::string> parts = absl::StrSplit(entry, ':');
    const bool good = (parts.size() == 2 || (parts.size() == 3 && parts[2] == "ro")) &&
                      !parts[0].empty() && parts[0][0] == '/' && !parts[1].empty() &&
                      parts[1][0] == '/';
    if (!good) {
      return absl::InvalidArgumentError(
          absl::StrCat("flag --mount must be /HOST:/CONTAINER[:ro], not \"", entry, "\""));
    }
    cri::Mount* mount = config->add_mounts();
    mount->set_host_path(parts[0]);
    mount->set_container_path(parts[1]);
    mount->set_readonly(parts.size() == 3);
  }
  return absl::OkStatus();
}

void FillPod(const RunRequest& request, const std::string& unique, cri::PodSandboxConfig* pod) {
  pod->mutable_metadata()->set_name(request.name);
  pod->mutable_metadata()->set_namespace_("berthctl");
  pod->mutable_metadata()->set_uid(unique);
  pod->set_log_directory(request.log_directory);
  (*pod->mutable_labels())[kMadeByLabel] = kMadeByValue;
  if (request.own_network) pod->set_hostname(request.name);
  FillNamespaces(request,
                 pod->mutable_linux()->mutable_security_context()->mutable_namespace_options());
}

absl::Status FillContainer(const Args& args, const RunRequest& request,
                           cri::ContainerConfig* config) {
  config->mutable_metadata()->set_name(request.name);
  config->mutable_image()->set_image(request.image);
  config->mutable_image()->set_user_specified_image(request.image);
  for (size_t i = 1; i < args.rest().size(); ++i) config->add_args(args.rest()[i]);
  config->set_working_dir(args.Value("workdir"));
  config->set_log_path("0.log");
  (*config->mutable_labels())[kMadeByLabel] = kMadeByValue;
  FillNamespaces(request,
                 config->mutable_linux()->mutable_security_context()->mutable_namespace_options());
  RETURN_IF_ERROR(AddEnvironment(args.Values("env"), config));
  return AddMounts(args.Values("mount"), config);
}

}  // namespace

const std::vector<FlagSpec>& RunFlags() {
  static const auto* flags = new std::vector<FlagSpec>{
      {"name", 'n', true},    {"env", 'e', true},          {"mount", 'v', true},
      {"workdir", 'w', true}, {"log-dir", '\0', true},     {"rm", '\0', false},
      {"detach", 'd', false}, {"pod-network", '\0', false}};
  return *flags;
}

absl::StatusOr<RunRequest> MakeRunRequest(const Args& args, const std::string& unique) {
  RunRequest request;
  if (args.rest().empty()) return absl::InvalidArgumentError("run needs an IMAGE");
  request.image = args.rest()[0];
  request.name = args.Value("name", absl::StrCat("run-", unique.substr(0, 8)));
  if (!IsName(request.name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("flag --name must be up to 63 letters, digits, '.', '_' and '-', not \"",
                     request.name, "\""));
  }
  request.log_directory =
      args.Value("log-dir", absl::StrCat(kLogRoot, "/", request.name, "-", unique.substr(0, 8)));
  if (request.log_directory.empty() || request.log_directory[0] != '/') {
    return absl::InvalidArgumentError("flag --log-dir must be an absolute path");
  }
  request.own_network = args.Has("pod-network");
  request.detach = args.Has("detach");
  request.remove = args.Has("rm");
  if (request.detach && request.remove) {
    return absl::InvalidArgumentError("flags --detach and --rm exclude each other");
  }
  FillPod(request, unique, &request.pod);
  RETURN_IF_ERROR(FillContainer(args, request, &request.container));
  return request;
}

}  // namespace berth::ctl
