#include "remote_cache.h"

#include "folder.h"
#include "pixart/base/file.h"

namespace pixart::data {
namespace {
namespace fs = std::filesystem;

class Pieces : public Folder {
 protected:
  Pieces() {
    for (size_t i = 0; i < content_.size(); ++i) content_[i] = char(i * 31 + i / 255);
    write_piece(file_, content_);
  }
  PieceState read(uint64_t offset, uint64_t count) const {
    std::string bytes(count, '\0');
    const PieceState state = read_piece(file_, content_.size(), offset, count, bytes.data());
    EXPECT_TRUE(state != PieceState::kRead || bytes == content_.substr(offset, count));
    return state;
  }
  void flip(uint64_t at) const {
    std::fstream file(file_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(std::streamoff(at));
    const char was = char(file.get());
    file.seekp(std::streamoff(at));
    file.put(char(was ^ 1));
  }
  const fs::path file_ = folder_ / "00000000.piece";
  std::string content_ = std::string(100'000, '\0');
};

TEST_F(Pieces, AnyPartIsRead) {
  for (const auto& [offset, count] :
       {std::pair{0, 100'000}, {0, 1}, {32'767, 2}, {99'999, 1}, {40'000, 50'000}})
    EXPECT_EQ(read(uint64_t(offset), uint64_t(count)), PieceState::kRead);
  EXPECT_EQ(fs::file_size(file_), piece_file_bytes(content_.size()));
}

TEST_F(Pieces, DamageIsNoticedWhereItIs) {
  flip(50'000);
  EXPECT_EQ(read(0, 30'000), PieceState::kRead);
  EXPECT_EQ(read(40'000, 100), PieceState::kDamaged);
  flip(50'000);
  EXPECT_EQ(read(40'000, 100), PieceState::kRead);
  flip(100'001);  // in the sums
  EXPECT_EQ(read(0, 10), PieceState::kDamaged);
  fs::resize_file(file_, 50'000);
  EXPECT_EQ(read(0, 10), PieceState::kDamaged);
  fs::remove(file_);
  EXPECT_EQ(read(0, 10), PieceState::kMissing);
}

class Cache : public Folder {
 protected:
  static constexpr uint64_t kBytes = 100'000;
  static CachedShard shard(const std::string& id) {
    return {.id = id, .name = "https://host/" + id + ".tar", .bytes = kBytes};
  }
  static std::string content(const std::string& id) { return std::string(kBytes, id.front()); }
  // Room for this number of shards of one piece.
  uint64_t room_for(uint64_t shards) const { return shards * piece_file_bytes(kBytes); }
  static void fill(RemoteCache& cache, const std::string& id) {
    cache.use(shard(id));
    cache.keep(shard(id), 0, content(id));
  }
  static bool has(RemoteCache& cache, const std::string& id) {
    std::string bytes(100, '\0');
    return cache.read(shard(id), 0, 500, 100, bytes.data()) && bytes == std::string(100, id.front());
  }
  void age(const std::string& id, int hours) const {
    const fs::path name = folder_ / "shards" / id / "name";
    fs::last_write_time(name, fs::last_write_time(name) - std::chrono::hours(hours));
  }
};

TEST_F(Cache, WhatIsKeptIsReadByOthers) {
  RemoteCache one(folder_, room_for(5)), other(folder_, room_for(5));
  EXPECT_FALSE(has(one, "a"));
  fill(one, "a");
  EXPECT_TRUE(has(one, "a"));
  other.use(shard("a"));
  EXPECT_TRUE(has(other, "a"));
  EXPECT_FALSE(has(other, "b"));
  EXPECT_EQ(read_file(folder_ / "shards/a/name"), "https://host/a.tar\n");
}

TEST_F(Cache, ItNeverGrowsBeyondItsLimit) {
  RemoteCache cache(folder_, room_for(2));
  for (const char* id : {"a", "b", "c", "d"}) fill(cache, id);
  EXPECT_TRUE(has(cache, "a"));
  EXPECT_TRUE(has(cache, "b"));
  EXPECT_FALSE(has(cache, "c"));  // the first ones are in use: nothing is thrown out for later ones
  EXPECT_FALSE(cache.has_room());
}

TEST_F(Cache, TheLeastRecentlyUsedShardsMakeRoom) {
  {
    RemoteCache past(folder_, room_for(3));
    for (const char* id : {"a", "b", "c"}) fill(past, id);
  }
  age("a", 2), age("b", 3), age("c", 1);
  RemoteCache cache(folder_, room_for(3));
  cache.use(shard("b"));  // used again
  fill(cache, "d");
  EXPECT_FALSE(has(cache, "a"));
  fill(cache, "e");
  EXPECT_FALSE(has(cache, "c"));
  for (const char* id : {"b", "d", "e"}) EXPECT_TRUE(has(cache, id)) << id;
  fill(cache, "f");
  EXPECT_FALSE(has(cache, "f"));
}

TEST_F(Cache, ShardsOfAnotherProcessStay) {
  RemoteCache living(folder_, room_for(2));
  fill(living, "a");
  RemoteCache cache(folder_, room_for(2));
  for (const char* id : {"b", "c"}) fill(cache, id);
  EXPECT_TRUE(has(living, "a"));
  EXPECT_FALSE(has(cache, "c"));
}

// A process that was killed leaves its list, but not its lock, and perhaps a wrong count.
TEST_F(Cache, WhatAKilledProcessLeavesIsRepaired) {
  {
    RemoteCache past(folder_, room_for(2));
    for (const char* id : {"a", "b"}) fill(past, id);
  }
  write("users/host-1-0", "a\nb\n");
  write("bytes", "99999999999999999999999");
  RemoteCache cache(folder_, room_for(2));
  fill(cache, "c");
  EXPECT_TRUE(has(cache, "c"));
  EXPECT_FALSE(fs::exists(folder_ / "users/host-1-0"));
}

TEST_F(Cache, FilesOfOthersAreNotDeleted) {
  {
    RemoteCache past(folder_, room_for(1));
    fill(past, "a");
  }
  write("shards/a/notes.txt", "mine");
  RemoteCache cache(folder_, room_for(1));
  fill(cache, "b");
  EXPECT_FALSE(has(cache, "b"));
  EXPECT_TRUE(fs::exists(folder_ / "shards/a/notes.txt"));
}

TEST_F(Cache, DamagedPiecesAreDeleted) {
  RemoteCache cache(folder_, room_for(2));
  fill(cache, "a");
  write("shards/a/00000000.piece", "damaged");
  EXPECT_FALSE(has(cache, "a"));
  cache.keep(shard("a"), 0, content("a"));
  EXPECT_TRUE(has(cache, "a"));
}

TEST_F(Cache, WithoutAFolderNothingIsStored) {
  write("file", "");
  RemoteCache none(folder_, 0), nowhere(folder_ / "file", room_for(2)), unnamed("", room_for(2));
  for (RemoteCache* cache : {&none, &nowhere, &unnamed}) {
    fill(*cache, "a");
    EXPECT_FALSE(has(*cache, "a"));
    EXPECT_FALSE(cache->has_room());
  }
}

}  // namespace
}  // namespace pixart::data
