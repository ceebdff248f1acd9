// A piece of a shard on the disk, with a checksum for each of its blocks, so that a small part can be read and
// compared alone.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string_view>

namespace pixart::data {

inline constexpr uint64_t kPieceBytes = uint64_t{4} << 20;  // the last piece of a shard is smaller

uint64_t piece_file_bytes(uint64_t content);  // size of the file that holds so much

// Throws UserError(kStorage), e.g. for a full disk.
void write_piece(const std::filesystem::path& file, std::string_view content);

enum class PieceState { kRead, kMissing, kDamaged };

// Reads `count` bytes from `offset` of the piece, which holds `content` bytes. A file that cannot be opened counts
// as missing, a fault of the disk as damage: the piece can be fetched again.
PieceState read_piece(const std::filesystem::path& file, uint64_t content, uint64_t offset, uint64_t count,
                      char* to);

}  // namespace pixart::data
