// ImageStoreImpl::ImportDirectory: what lies in the import directory is there as an image, so that
// static pods start with no registry.
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <map>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "image/image_store_impl.h"

namespace berth::image {
namespace {

constexpr absl::Duration kSlotTimeout = absl::Minutes(2);

absl::StatusOr<records::ImportRecord> Identify(int fd) {
  struct stat st;
  if (fstat(fd, &st) != 0) return os::ErrnoStatus(errno, "stat archive");
  if (!S_ISREG(st.st_mode)) return absl::InvalidArgumentError("not a regular file");
  records::ImportRecord record;
  record.set_size(static_cast<uint64_t>(st.st_size));
  record.set_mtime_unix_ns(st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec);
  record.set_inode(st.st_ino);
  return record;
}

bool SameFile(const records::ImportRecord& a, const records::ImportRecord& b) {
  return a.size() == b.size() && a.mtime_unix_ns() == b.mtime_unix_ns() && a.inode() == b.inode();
}

// Hidden files are somebody's unfinished copies.
bool IsArchiveName(const std::string& name) {
  return absl::EndsWith(name, ".tar") && !absl::StartsWith(name, ".");
}

}  // namespace

absl::Status ImageStoreImpl::ImportDirectory(const std::string& directory) {
  absl::StatusOr<os::UniqueFd> dir = os::Open(directory, O_RDONLY | O_DIRECTORY);
  if (os::IsErrno(dir.status(), ENOENT)) return absl::OkStatus();
  if (!dir.ok()) return Annotate(dir.status(), "import directory");
  ASSIGN_OR_RETURN_CTX(const std::vector<std::string> names, os::ListDir(dir->get(), "."),
                       absl::StrCat("import directory ", directory));
  ASSIGN_OR_RETURN(const std::vector<store::Record> rows, store_->Load(kImportKind));
  std::map<std::string, records::ImportRecord> known;
  for (const store::Record& row : rows) {
    absl::StatusOr<records::ImportRecord> record = ImportFromRecord(row);
    if (record.ok()) known.emplace(row.id, *std::move(record));
  }

  for (const std::string& name : names) {
    if (!IsArchiveName(name)) continue;
    auto it = known.find(name);
    const records::ImportRecord* record = it == known.end() ? nullptr : &it->second;
    if (absl::Status s = ImportFile(dir->get(), directory, name, record); !s.ok()) {
      LogWarning("image archive not imported",
                 {{"file", absl::CHexEscape(name)}, {"error", s.ToString()}});
    }
    if (it != known.end()) known.erase(it);
  }
  // What is left in `known` has no file any more; its images stay.
  store::Batch gone;
  for (const auto& [name, record] : known) gone.Delete(kImportKind, name);
  return gone.empty() ? absl::OkStatus() : store_->Commit(gone, store::Sync::kFull);
}

absl::Status ImageStoreImpl::ImportFile(int dir_fd, const std::string& directory,
                                        const std::string& name,
                                        const records::ImportRecord* known) {
  // O_NONBLOCK: a FIFO must not keep the socket shut.
  ASSIGN_OR_RETURN(os::UniqueFd file, os::OpenAt(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  ASSIGN_OR_RETURN(records::ImportRecord record, Identify(file.get()));
  if (known != nullptr && SameFile(*known, record)) {
    if (known->result() != records::ImportRecord::RESULT_BROKEN) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("broken when last read: ", known->message()));
  }

  os::UniqueFd copy(fcntl(file.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return os::ErrnoStatus(errno, "duplicate archive fd");
  ImportOptions options;
  options.origin = absl::StrCat(directory, "/", absl::CHexEscape(name));
  options.pinned = true;
  const absl::StatusOr<std::vector<ImagePtr>> images = Import(std::move(copy), options);
  if (images.ok()) {
    record.set_result(records::ImportRecord::RESULT_OK);
    for (const ImagePtr& image : *images) record.add_image_ids(image->id.str());
  } else if (images.status().code() == absl::StatusCode::kInvalidArgument) {
    record.set_result(records::ImportRecord::RESULT_BROKEN);
    record.set_message(absl::CHexEscape(images.status().message()));
  } else {
    return images.status();  // not the archive's fault, so it is read again at the next start
  }
  ASSIGN_OR_RETURN(const records::ImportRecord now, Identify(file.get()));
  // Somebody writes to it: what was read says nothing about what will be there.
  if (SameFile(record, now)) RETURN_IF_ERROR(RecordImport(name, record));
  return images.status();
}

absl::Status ImageStoreImpl::RecordImport(const std::string& name,
                                          const records::ImportRecord& record) {
  ASSIGN_OR_RETURN(const CommitSlot::Lease lease, slot_.Take(Deadline::After(kSlotTimeout)));
  for (const std::string& id : record.image_ids()) {
    // Removed again meanwhile, and Remove did not find this record to forget.
    if (Find(id) == nullptr) return absl::OkStatus();
  }
  store::Batch batch;
  batch.Put(ToRecord(name, record));
  BERTH_FAILPOINT(image_directory_before_record);
  return store_->Commit(batch, store::Sync::kFull);
}

}  // namespace berth::image
