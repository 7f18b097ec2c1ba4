// berthctl: picks the command and says what went wrong.
#include <cstdio>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "ctl/args.h"
#include "ctl/commands.h"

namespace berth::ctl {
namespace {

constexpr char kUsage[] =
    "usage: berthctl [--socket PATH] [--admin-socket PATH] COMMAND ...\n"
    "\n"
    "  run [FLAGS] IMAGE [ARG...]    make a host-network pod with one container and start it\n"
    "      -d, --detach              print its id instead of its log; do not wait\n"
    "      --rm                      remove it when it has ended\n"
    "      -n, --name NAME           of pod and container\n"
    "      -e, --env NAME=VALUE      repeatable\n"
    "      -v, --mount SRC:DST[:ro]  bind mount, repeatable\n"
    "      --pod-network             an address of its own by CNI, not the host's network\n"
    "      -w, --workdir DIR\n"
    "      --log-dir DIR             default /var/log/berthctl/NAME-UID\n"
    "  exec [-t SECONDS] CONTAINER COMMAND [ARG...]\n"
    "                                run a command in it; exits with its code\n"
    "  logs [-f] [-t] CONTAINER      show its log; -f until it has ended, -t with times\n"
    "  ps [-q]                       list containers and pods\n"
    "  stats [POD|CONTAINER]         what running containers use\n"
    "  rm [-f] [-t SECONDS] NAME...  stop and remove pods or containers; -f without grace\n"
    "      -a, --all                 those that `berthctl run` made\n"
    "      --everything              every pod of the daemon\n"
    "  image import [-n NAME] [--pin] FILE|-\n"
    "  image pull [--creds USER:PASSWORD|@FILE] IMAGE\n"
    "  image ls [-q]\n"
    "  image rm IMAGE...\n"
    "  state [-j]                    what the daemon is and holds\n"
    "  check [-j]                    what this host offers; fails when pods cannot run\n"
    "  metrics                       Prometheus text\n"
    "  failpoints list|set PLAN      test builds only\n"
    "  version\n"
    "\n"
    "CONTAINER is a name, an id or the beginning of one. Exit codes: 0 done, 1 failed, 2 usage;\n"
    "run and exec give the command's own, and 125 when berthctl itself failed.\n";

using Command = absl::StatusOr<int> (*)(const Context&, const Words&);

const std::map<std::string, Command>& Commands() {
  static const auto* commands = new std::map<std::string, Command>{{"run", Run},
                                                                   {"exec", Exec},
                                                                   {"logs", Logs},
                                                                   {"ps", Ps},
                                                                   {"stats", Stats},
                                                                   {"rm", Rm},
                                                                   {"image", Image},
                                                                   {"state", State},
                                                                   {"check", Check},
                                                                   {"metrics", Metrics},
                                                                   {"failpoints", Failpoints}};
  return *commands;
}

int UsageError(absl::string_view message) {
  (void)fprintf(stderr, "berthctl: %s\nberthctl --help shows what there is\n",
                std::string(message).c_str());
  return 2;
}

int Main(const Words& words) {
  const absl::StatusOr<Args> args = Args::Parse({{"socket", 's', true},
                                                 {"admin-socket", '\0', true},
                                                 {"help", 'h', false},
                                                 {"version", '\0', false}},
                                                words, Order::kBeforeTheRest);
  if (!args.ok()) return UsageError(args.status().message());
  if (args->Has("help")) return printf("%s", kUsage), 0;
  const std::string name = args->rest().empty() ? "" : args->rest()[0];
  if (args->Has("version") || name == "version") return printf("berthctl %s\n", BERTH_VERSION), 0;
  if (name == "help") return printf("%s", kUsage), 0;
  const auto command = Commands().find(name);
  if (command == Commands().end()) {
    return UsageError(name.empty() ? "a command is needed"
                                   : absl::StrCat("unknown command \"", name, "\""));
  }
  CriClient cri(args->Value("socket", "/run/berth/berth.sock"));
  AdminClient admin(args->Value("admin-socket", "/run/berth/admin.sock"));
  const absl::StatusOr<int> code =
      command->second({&cri, &admin}, Words(args->rest().begin() + 1, args->rest().end()));
  if (code.ok()) return *code;
  (void)fprintf(stderr, "berthctl: %s\n", std::string(code.status().message()).c_str());
  return name == "run" || name == "exec" ? kOwnFailure : 1;
}

}  // namespace
}  // namespace berth::ctl

int main(int argc, char** argv) {
  return berth::ctl::Main(berth::ctl::Words(argv + 1, argv + argc));
}
