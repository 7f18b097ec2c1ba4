#include "image/worker/decompress.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace berth::worker {
namespace {

// The sniffed head, then the rest of the stream.
class Input {
 public:
  Input(ByteSource* inner, std::string head) : inner_(inner), head_(std::move(head)) {}

  absl::StatusOr<absl::string_view> Next() {
    if (!head_given_) {
      head_given_ = true;
      if (!head_.empty()) return absl::string_view(head_);
    }
    return inner_->Next();
  }

 private:
  ByteSource* const inner_;
  const std::string head_;
  bool head_given_ = false;
};

class PlainStream : public Decompressor {
 public:
  explicit PlainStream(Input input) : input_(std::move(input)) {}
  absl::StatusOr<absl::string_view> Next() override { return input_.Next(); }
  Compression compression() const override { return Compression::kNone; }

 private:
  Input input_;
};

class GzipStream : public Decompressor {
 public:
  explicit GzipStream(Input input) : input_(std::move(input)), out_(kChunkBytes, '\0') {
    isal_inflate_init(&state_);
    BeginMember();
  }
  Compression compression() const override { return Compression::kGzip; }

  absl::StatusOr<absl::string_view> Next() override {
    for (;;) {
      if (state_.avail_in == 0 && !input_ended_) RETURN_IF_ERROR(Refill());
      if (state_.avail_in == 0 && between_members_) return absl::string_view();
      // igzip would wait for ten bytes of header before it looks.
      if (between_members_ && members_ > 0 && state_.next_in[0] != 0x1f) {
        return Broken(ISAL_INVALID_WRAPPER);
      }
      between_members_ = false;
      state_.next_out = reinterpret_cast<uint8_t*>(out_.data());
      state_.avail_out = static_cast<uint32_t>(out_.size());
      const int result = isal_inflate(&state_);
      if (result != ISAL_DECOMP_OK) return Broken(result);
      const size_t produced = out_.size() - state_.avail_out;
      if (state_.block_state == ISAL_BLOCK_FINISH) {
        isal_inflate_reset(&state_);
        BeginMember();
        ++members_;
      } else if (produced == 0 && state_.avail_in == 0 && input_ended_) {
        return absl::InvalidArgumentError("inflate gzip: the stream ends early");
      }
      if (produced > 0) return absl::string_view(out_.data(), produced);
    }
  }

 private:
  void BeginMember() {
    state_.crc_flag = ISAL_GZIP;
    between_members_ = true;
  }

  absl::Status Refill() {
    ASSIGN_OR_RETURN(const absl::string_view chunk, input_.Next());
    input_ended_ = chunk.empty();
    // igzip's input pointer is not const, but it never writes through it.
    state_.next_in = const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(chunk.data()));
    state_.avail_in = static_cast<uint32_t>(chunk.size());
    return absl::OkStatus();
  }

  absl::Status Broken(int result) const {
    if (result == ISAL_INVALID_WRAPPER || result == ISAL_UNSUPPORTED_METHOD) {
      return absl::InvalidArgumentError(members_ > 0
                                            ? "inflate gzip: trailing bytes that are no gzip member"
                                            : "inflate gzip: the header is broken");
    }
    if (result == ISAL_INCORRECT_CHECKSUM) {
      return absl::InvalidArgumentError("inflate gzip: the checksum does not match");
    }
    return absl::InvalidArgumentError(absl::StrCat("inflate gzip: broken block (", result, ")"));
  }

  Input input_;
  inflate_state state_;
  std::string out_;
  bool input_ended_ = false;
  bool between_members_ = true;
  int members_ = 0;
};

class ZstdStream : public Decompressor {
 public:
  explicit ZstdStream(Input input)
      : input_(std::move(input)),
        out_(kChunkBytes, '\0'),
        context_(ZSTD_createDCtx(), ZSTD_freeDCtx) {
    (void)ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax,
                                 kMaxZstdWindowLog);  // a constant within zstd's bounds
  }
  Compression compression() const override { return Compression::kZstd; }

  absl::StatusOr<absl::string_view> Next() override {
    for (;;) {
      if (in_.pos == in_.size && !input_ended_) {
        ASSIGN_OR_RETURN(const absl::string_view chunk, input_.Next());
        input_ended_ = chunk.empty();
        in_ = {chunk.data(), chunk.size(), 0};
      }
      const bool no_input = in_.pos == in_.size;
      if (no_input && frame_ended_) return absl::string_view();
      ZSTD_outBuffer out = {out_.data(), out_.size(), 0};
      const size_t result = ZSTD_decompressStream(context_.get(), &out, &in_);
      if (ZSTD_isError(result) != 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("inflate zstd: ", ZSTD_getErrorName(result)));
      }
      frame_ended_ = result == 0;
      if (out.pos > 0) return absl::string_view(out_.data(), out.pos);
      if (no_input && input_ended_ && !frame_ended_) {
        return absl::InvalidArgumentError("inflate zstd: the stream ends early");
      }
    }
  }

 private:
  Input input_;
  std::string out_;
  std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context_;
  ZSTD_inBuffer in_ = {nullptr, 0, 0};
  bool input_ended_ = false;
  bool frame_ended_ = false;
};

}  // namespace

const char* CompressionName(Compression compression) {
  switch (compression) {
    case Compression::kNone:
      return "no compression";
    case Compression::kGzip:
      return "gzip";
    case Compression::kZstd:
      return "zstd";
  }
  return "unknown";
}

Compression SniffCompression(absl::string_view head) {
  if (absl::StartsWith(head, "\x1f\x8b")) return Compression::kGzip;
  if (absl::StartsWith(head, "\x28\xb5\x2f\xfd")) return Compression::kZstd;
  // A skippable frame (RFC 8878, 3.1.2): zstd:chunked layers may begin with one.
  if (head.size() >= 4 && (head[0] & 0xf0) == 0x50 && head.substr(1, 3) == "\x2a\x4d\x18") {
    return Compression::kZstd;
  }
  return Compression::kNone;
}

absl::StatusOr<std::unique_ptr<Decompressor>> Decompressor::Open(ByteSource* inner) {
  std::string head;
  while (head.size() < 4) {
    ASSIGN_OR_RETURN(const absl::string_view chunk, inner->Next());
    if (chunk.empty()) break;
    head.append(chunk.data(), chunk.size());
  }
  const Compression compression = SniffCompression(head);
  Input input(inner, std::move(head));
  switch (compression) {
    case Compression::kNone:
      return std::make_unique<PlainStream>(std::move(input));
    case Compression::kGzip:
      return std::make_unique<GzipStream>(std::move(input));
    case Compression::kZstd:
      return std::make_unique<ZstdStream>(std::move(input));
  }
  return absl::InternalError("inflate: unknown compression");
}

}  // namespace berth::worker
