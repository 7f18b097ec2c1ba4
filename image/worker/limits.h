// Bounds on what an archive may make the worker do. Constants guard memory; Limits guards the disk.
// Thread-safe: values.
#pragma once

#include <cstddef>
#include <cstdint>

namespace berth::worker {

// Largest JSON document (index, manifest, config, manifest.json), its nesting and its values.
inline constexpr size_t kMaxDocumentBytes = 8 << 20;
inline constexpr int kMaxJsonDepth = 64;
inline constexpr size_t kMaxJsonValues = 200'000;

// Entries of the outer archive, and bytes of all their names together.
inline constexpr size_t kMaxArchiveEntries = 65'536;
inline constexpr size_t kMaxArchiveNameBytes = 8 << 20;

// What one tar header may take with its extended headers and sparse map: libarchive keeps it in
// memory, and recurses for each extended header.
inline constexpr size_t kMaxHeaderBytes = 2 << 20;

inline constexpr size_t kMaxNameBytes = 4096;         // one path, as Linux's PATH_MAX
inline constexpr int kMaxTreeDepth = 256;             // directories below each other in a layer
inline constexpr int kMaxLinksFollowed = 40;          // as the kernel's MAXSYMLINKS
inline constexpr uint64_t kMaxLinkSteps = 4'000'000;  // of all paths through links in a layer
inline constexpr size_t kMaxDirNameBytes = 16 << 20;  // names of a layer's directories together
inline constexpr size_t kMaxOpaqueBytes = 2 << 20;    // names in one LayerDone
inline constexpr size_t kMaxXattrs = 64;
inline constexpr size_t kMaxXattrBytes = 65'536;  // of one value, as the kernel's XATTR_SIZE_MAX

// Nested indexes (CVE-2021-41190 and index recursion), images and layers of one archive.
inline constexpr int kMaxIndexDepth = 4;
inline constexpr size_t kMaxIndexWidth = 1000;
inline constexpr size_t kMaxLayers = 500;  // lower directories of one overlay
inline constexpr size_t kMaxReferenceBytes = 512;

inline constexpr size_t kChunkBytes = 256 << 10;
inline constexpr int kMaxZstdWindowLog = 25;  // 32 MiB

struct Limits {
  uint64_t max_layer_bytes = 32ull << 30;  // of a layer's uncompressed tar, and of each file in it
  uint64_t max_entries = 1'000'000;        // of a layer
};

}  // namespace berth::worker
