#include "shim/front/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::shim::front {
namespace {

constexpr size_t kMaxIdSize = 255;  // a file name
constexpr size_t kMaxRecordSize = 4 << 20;
constexpr size_t kMaxConfigSize = 16 << 20;
constexpr absl::Duration kLockPatience = absl::Seconds(10);
constexpr char kRecordName[] = "state.json";
constexpr char kConfigName[] = "config.json";
constexpr char kLockName[] = "lock";
constexpr char kGateName[] = "gate";
constexpr char kReportName[] = "report";

std::string PathOf(const std::string& root, const std::string& id) {
  return absl::StrCat(root, "/", id);
}

// 0: we hold it. Else the pid of who does, or -1 when even that failed.
pid_t TryLock(int fd) {
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (fcntl(fd, F_SETLK, &whole) == 0) return 0;
  if (fcntl(fd, F_GETLK, &whole) != 0) return -1;
  return whole.l_type == F_UNLCK ? -1 : whole.l_pid;
}

}  // namespace

absl::Status StateDir::CheckId(absl::string_view id) {
  bool ok = !id.empty() && id.size() <= kMaxIdSize && id[0] != '.';
  for (const char c : id) {
    ok = ok && (absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                absl::StrContains("_+-.", absl::string_view(&c, 1)));
  }
  if (ok) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("container id \"", id, "\": 1 to ", kMaxIdSize,
                   " letters, digits, \"_\", \"+\", \"-\" and, but first, \".\""));
}

absl::StatusOr<StateDir> StateDir::Make(const std::string& root, const std::string& id) {
  RETURN_IF_ERROR(CheckId(id));
  const std::string path = PathOf(root, id);
  bool made = mkdir(path.c_str(), 0700) == 0;
  if (!made && errno == ENOENT) {
    RETURN_IF_ERROR(os::MakeDirs(root, 0700));
    made = mkdir(path.c_str(), 0700) == 0;
  }
  if (!made && errno == EEXIST) {
    return absl::AlreadyExistsError(absl::StrCat("container ", id, ": exists already"));
  }
  if (!made) return os::ErrnoStatus(errno, absl::StrCat("make ", path));
  ASSIGN_OR_RETURN(os::UniqueFd fd, os::Open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  StateDir dir(root, id, std::move(fd));
  RETURN_IF_ERROR(dir.Lock());
  return dir;
}

absl::StatusOr<StateDir> StateDir::Open(const std::string& root, const std::string& id) {
  RETURN_IF_ERROR(CheckId(id));
  absl::StatusOr<os::UniqueFd> fd = os::Open(PathOf(root, id), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (os::IsErrno(fd.status(), ENOENT)) {
    return absl::NotFoundError(absl::StrCat("container ", id, ": does not exist"));
  }
  RETURN_IF_ERROR(fd.status());
  return StateDir(root, id, *std::move(fd));
}

absl::StatusOr<std::vector<std::string>> StateDir::List(const std::string& root) {
  const absl::StatusOr<os::UniqueFd> fd = os::Open(root, O_RDONLY | O_DIRECTORY);
  if (os::IsErrno(fd.status(), ENOENT)) return std::vector<std::string>();
  RETURN_IF_ERROR(fd.status());
  ASSIGN_OR_RETURN(const std::vector<std::string> names, os::ListDir(fd->get(), "."));
  std::vector<std::string> ids;
  for (const std::string& name : names) {
    if (CheckId(name).ok()) ids.push_back(name);
  }
  return ids;
}

absl::Status StateDir::Lock() {
  const Deadline deadline = Deadline::After(kLockPatience);
  absl::StatusOr<os::UniqueFd> fd = os::OpenAt(fd_.get(), kLockName, O_RDWR | O_CREAT, 0600);
  if (os::IsErrno(fd.status(), ENOENT)) {  // the directory itself is gone
    return absl::NotFoundError(absl::StrCat("container ", id_, ": does not exist"));
  }
  RETURN_IF_ERROR(fd.status());
  // Record locks tell nobody when they are free and F_SETLKW knows no deadline.
  absl::Duration pause = absl::Milliseconds(1);
  for (pid_t holder; (holder = TryLock(fd->get())) != 0;) {
    if (deadline.Expired()) {
      return absl::FailedPreconditionError(
          absl::StrCat("container ", id_, ": process ", holder, " is working on it"));
    }
    (void)poll(nullptr, 0, Deadline::After(pause).Min(deadline).PollMillis());
    pause = std::min(pause * 2, absl::Milliseconds(50));
  }
  struct stat st;
  if (fstat(fd->get(), &st) != 0) return os::ErrnoStatus(errno, "inspect lock");
  if (st.st_nlink == 0) {
    return absl::NotFoundError(absl::StrCat("container ", id_, ": has been deleted"));
  }
  lock_ = *std::move(fd);
  return absl::OkStatus();
}

absl::Status StateDir::WriteRecord(const ContainerRecord& record) const {
  return os::WriteFileAtomic(fd_.get(), kRecordName, ToJson(record), 0600,
                             os::Durability::kProcessCrash);
}

absl::StatusOr<ContainerRecord> StateDir::ReadRecord() const {
  absl::StatusOr<std::string> text = os::ReadFileAt(fd_.get(), kRecordName, kMaxRecordSize);
  if (os::IsErrno(text.status(), ENOENT)) {
    return absl::NotFoundError(absl::StrCat("container ", id_, ": has no state"));
  }
  RETURN_IF_ERROR(text.status());
  ASSIGN_OR_RETURN_CTX(ContainerRecord record, ParseContainerRecord(*text),
                       absl::StrCat("state of container ", id_));
  return record;
}

absl::Status StateDir::WriteConfig(absl::string_view text) const {
  // Read by nobody before the record says that the container is there: written in place.
  ASSIGN_OR_RETURN(const os::UniqueFd fd,
                   os::OpenAt(fd_.get(), kConfigName, O_WRONLY | O_CREAT | O_EXCL, 0600));
  return os::WriteAll(fd.get(), text);
}

absl::StatusOr<std::string> StateDir::ReadConfig() const {
  return os::ReadFileAt(fd_.get(), kConfigName, kMaxConfigSize);
}

absl::Status StateDir::MakeGate() const {
  for (const char* name : {kGateName, kReportName}) {
    if (mkfifoat(fd_.get(), name, 0600) != 0) {
      return os::ErrnoStatus(errno, absl::StrCat("make FIFO ", name));
    }
  }
  return absl::OkStatus();
}

void StateDir::RemoveGate() const {
  // What stays goes with the directory, and without a process behind it nobody waits there.
  for (const char* name : {kGateName, kReportName}) (void)unlinkat(fd_.get(), name, 0);
}

absl::StatusOr<FirstProcess::Gate> StateDir::OpenGate() const {
  FirstProcess::Gate ends;
  ASSIGN_OR_RETURN(ends.gate, os::OpenAt(fd_.get(), kGateName, O_RDWR));
  ASSIGN_OR_RETURN(ends.gate_write, os::OpenAt(fd_.get(), kGateName, O_WRONLY));
  // The reader first, and without waiting for a writer; then the writer finds it there.
  ASSIGN_OR_RETURN(ends.report_read, os::OpenAt(fd_.get(), kReportName, O_RDONLY | O_NONBLOCK));
  ASSIGN_OR_RETURN(ends.report, os::OpenAt(fd_.get(), kReportName, O_WRONLY));
  if (fcntl(ends.report_read.get(), F_SETFL, 0) != 0) return os::ErrnoStatus(errno, "open report");
  return ends;
}

absl::StatusOr<FirstProcess::Gate> StateDir::OpenWaitingGate() const {
  FirstProcess::Gate ends;
  absl::StatusOr<os::UniqueFd> report = os::OpenAt(fd_.get(), kReportName, O_RDONLY | O_NONBLOCK);
  if (os::IsErrno(report.status(), ENOENT)) return ends;
  RETURN_IF_ERROR(report.status());
  absl::StatusOr<os::UniqueFd> gate = os::OpenAt(fd_.get(), kGateName, O_WRONLY | O_NONBLOCK);
  if (os::IsErrno(gate.status(), ENXIO) || os::IsErrno(gate.status(), ENOENT)) return ends;
  RETURN_IF_ERROR(gate.status());
  if (fcntl(report->get(), F_SETFL, 0) != 0) return os::ErrnoStatus(errno, "open report");
  ends.gate_write = *std::move(gate);
  ends.report_read = *std::move(report);
  return ends;
}

bool StateDir::IsGateHeld() const {
  return os::OpenAt(fd_.get(), kGateName, O_WRONLY | O_NONBLOCK).ok();
}

absl::Status StateDir::Remove() {
  // The lock goes last: while it has a name, whoever comes waits for us.
  for (const char* name : {kGateName, kReportName, kRecordName, kConfigName}) {
    (void)unlinkat(fd_.get(), name, 0);
  }
  ASSIGN_OR_RETURN(const os::UniqueFd root, os::Open(root_, O_RDONLY | O_DIRECTORY));
  (void)unlinkat(fd_.get(), kLockName, 0);
  if (unlinkat(root.get(), id_.c_str(), AT_REMOVEDIR) == 0) return absl::OkStatus();
  return os::RemoveTree(root.get(), id_);  // a temporary file of a writer that was killed
}

}  // namespace berth::shim::front
