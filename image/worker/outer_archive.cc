#include "image/worker/outer_archive.h"

#include <archive_entry.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/os/errno_status.h"
#include "base/status_macros.h"
#include "image/worker/decompress.h"
#include "image/worker/tar_reader.h"

namespace berth::worker {
namespace {

constexpr int kMaxMemberLinks = 8;

// "a/./b/../c" -> "a/c". False when ".." climbs above the top.
bool CleanPath(absl::string_view path, std::string* clean) {
  std::vector<absl::string_view> parts;
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (parts.empty()) {
      return false;
    } else {
      parts.pop_back();
    }
  }
  *clean = absl::StrJoin(parts, "/");
  return true;
}

absl::Status Refuse(absl::string_view name, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("read archive member \"", name, "\": ", why));
}

// The bytes of one member, from a reader of its own.
class MemberSource : public ByteSource {
 public:
  MemberSource(int fd, uint64_t position, uint64_t file_size, uint64_t size, std::string name)
      : file_(fd, position, file_size), tar_(&file_), size_(size), name_(std::move(name)) {}

  absl::StatusOr<absl::string_view> Next() override {
    if (!opened_) {
      ASSIGN_OR_RETURN(const archive_entry* entry, tar_.Next());
      if (entry == nullptr) return Refuse(name_, "the archive ends before it");
      opened_ = true;
    }
    ASSIGN_OR_RETURN(const TarReader::Block block, tar_.ReadBlock());
    if (block.data.empty() && done_ < size_) return Refuse(name_, "the archive is cut off");
    if (!block.data.empty() && block.offset != done_) return Refuse(name_, "a sparse member");
    done_ += block.data.size();
    return block.data;
  }

 private:
  FileSource file_;
  TarReader tar_;
  const uint64_t size_;
  const std::string name_;
  bool opened_ = false;
  uint64_t done_ = 0;
};

absl::Status RefuseCompressed(int fd) {
  char head[8];
  const ssize_t n = pread(fd, head, sizeof head, 0);
  if (n < 0) return os::ErrnoStatus(errno, "read archive");
  const absl::string_view magic(head, static_cast<size_t>(n));
  const char* name = nullptr;
  if (SniffCompression(magic) != Compression::kNone)
    name = CompressionName(SniffCompression(magic));
  if (absl::StartsWith(magic,
                       "\xfd"
                       "7zXZ"))
    name = "xz";
  if (absl::StartsWith(magic, "BZh")) name = "bzip2";
  if (name == nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("read archive: it is compressed with ", name,
                                                 ", decompress it first (its layers may stay)"));
}

}  // namespace

std::string OuterArchive::Normalise(const std::string& name) {
  std::string clean;
  return CleanPath(name, &clean) ? clean : std::string();
}

absl::Status OuterArchive::Add(archive_entry* entry, uint64_t position, size_t* name_bytes) {
  const std::string raw = archive_entry_pathname(entry);
  std::string name;
  if (raw.size() > kMaxNameBytes) return Refuse(raw.substr(0, 64), "the name is too long");
  if (!CleanPath(raw, &name)) return Refuse(raw, "\"..\" leads out of the archive");
  if (name.empty()) return absl::OkStatus();  // "./"
  Member member{.position = position};
  const char* hardlink = archive_entry_hardlink(entry);
  const auto type = archive_entry_filetype(entry);
  if (type == AE_IFDIR) return absl::OkStatus();
  if (hardlink != nullptr) {
    if (!CleanPath(hardlink, &member.link)) return Refuse(raw, "a link out of the archive");
  } else if (type == AE_IFLNK) {
    // Old `docker save` links a layer.tar to the same layer of another image.
    const std::string parent =
        name.substr(0, name.rfind('/') == std::string::npos ? 0 : name.rfind('/'));
    const char* target = archive_entry_symlink(entry);
    if (target == nullptr || target[0] == '/' ||
        !CleanPath(absl::StrCat(parent, "/", target), &member.link)) {
      return Refuse(raw, "a link out of the archive");
    }
  } else if (type != AE_IFREG) {
    return Refuse(raw, "neither file, directory nor link");
  }
  if (archive_entry_sparse_count(entry) > 0) return Refuse(raw, "a sparse member");
  const int64_t size = archive_entry_size(entry);
  if (size < 0 || static_cast<uint64_t>(size) > file_size_) {
    return Refuse(raw, absl::StrCat("says ", size, " bytes, the archive has ", file_size_));
  }
  member.size = static_cast<uint64_t>(size);
  *name_bytes += name.size() + member.link.size();
  if (members_.size() >= kMaxArchiveEntries || *name_bytes > kMaxArchiveNameBytes) {
    return absl::ResourceExhaustedError(absl::StrCat("read archive: more than ", kMaxArchiveEntries,
                                                     " members or ", kMaxArchiveNameBytes,
                                                     " bytes of names"));
  }
  const auto [it, fresh] = members_.try_emplace(name);
  member.duplicate = !fresh;
  it->second = std::move(member);
  return absl::OkStatus();
}

absl::StatusOr<OuterArchive> OuterArchive::Index(int fd) {
  OuterArchive archive;
  struct stat st;
  if (fstat(fd, &st) != 0) return os::ErrnoStatus(errno, "stat archive");
  if (!S_ISREG(st.st_mode)) return absl::InvalidArgumentError("read archive: not a regular file");
  archive.fd_ = fd;
  archive.file_size_ = static_cast<uint64_t>(st.st_size);
  RETURN_IF_ERROR(RefuseCompressed(fd));
  FileSource file(fd, 0, archive.file_size_);
  TarReader tar(&file);
  size_t name_bytes = 0;
  for (;;) {
    ASSIGN_OR_RETURN_CTX(archive_entry * entry, tar.Next(), "read archive");
    if (entry == nullptr) break;
    RETURN_IF_ERROR(archive.Add(entry, tar.header_position(), &name_bytes));
  }
  return archive;
}

absl::StatusOr<const OuterArchive::Member*> OuterArchive::Find(const std::string& name) const {
  std::string at = Normalise(name);
  for (int links = 0; links <= kMaxMemberLinks; ++links) {
    const auto it = members_.find(at);
    if (it == members_.end()) {
      return Refuse(name, links == 0 ? "absent" : "a link to nothing");
    }
    if (it->second.link.empty()) return &it->second;
    at = it->second.link;
  }
  return Refuse(name, "too many links");
}

absl::StatusOr<uint64_t> OuterArchive::Size(const std::string& name) const {
  ASSIGN_OR_RETURN(const Member* member, Find(name));
  return member->size;
}

absl::StatusOr<std::string> OuterArchive::ReadDocument(const std::string& name) const {
  ASSIGN_OR_RETURN(const Member* member, Find(name));
  // Two readers of one archive could see two documents: nothing is content-addressed here yet.
  if (member->duplicate) return Refuse(name, "it is there twice");
  if (member->size > kMaxDocumentBytes) {
    return Refuse(name,
                  absl::StrCat(member->size, " bytes, a document has at most ", kMaxDocumentBytes));
  }
  MemberSource source(fd_, member->position, file_size_, member->size, name);
  std::string text;
  for (;;) {
    ASSIGN_OR_RETURN(const absl::string_view chunk, source.Next());
    if (chunk.empty()) return text;
    text.append(chunk.data(), chunk.size());
    if (text.size() > kMaxDocumentBytes) return Refuse(name, "larger than its header says");
  }
}

absl::StatusOr<std::unique_ptr<ByteSource>> OuterArchive::Open(const std::string& name) const {
  ASSIGN_OR_RETURN(const Member* member, Find(name));
  return std::make_unique<MemberSource>(fd_, member->position, file_size_, member->size, name);
}

}  // namespace berth::worker
