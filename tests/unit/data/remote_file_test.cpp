// Shards on a server give what the same files give on the disk, or a reason.
#include "remote_file.h"

#include "file_server.h"
#include "pixart/base/machine_fault.h"
#include "pixart/formats/crc32c.h"
#include "read_bytes.h"
#include "remote_shards.h"
#include "shards.h"

namespace pixart::data {
namespace {
namespace fs = std::filesystem;

using pixart::testing::ChatReply;
using pixart::testing::ChatRequest;
using pixart::testing::FileServer;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using Manner = ChatReply::Manner;

class Remote : public ShardFolder {
 protected:
  Remote() { set_environment_variable("PIXART_HTTP_PATIENCE", "1"); }
  ~Remote() override { set_environment_variable("PIXART_HTTP_PATIENCE", ""); }

  // A shard of samples with a class and captions, on the disk and on the server.
  void put_shard(const std::string& name, int first, int count) {
    Members members;
    for (int i = first; i < first + count; ++i) {
      const std::string key = fmt::format("{:04}", i);
      members.emplace_back(key + ".png", png(uint8_t(i)));
      members.emplace_back(key + ".cls", std::to_string(i % 3));
      members.emplace_back(key + ".txt", "image " + key);
      members.emplace_back(key + ".json", R"({"long": "a long text about )" + key + "\"}");
    }
    shard(name, members);
    server_.put(name, read(name));
  }
  void put_big(const std::string& name, const std::string& etag = "\"one\"") {  // of three pieces
    big_.resize(2 * kPieceBytes + 1000);
    for (size_t i = 0; i < big_.size(); ++i) big_[i] = char(i * 7 + i / 253);
    server_.put(name, big_, etag);
  }
  SourceConfig on_server(const std::string& name, double cache_gb = 1) const {
    SourceConfig result = config();
    result.path = server_.address(name);
    result.cache_gb = cache_gb, result.cache_folder = cache_;
    return result;
  }
  std::shared_ptr<const RemoteFile> file(const std::string& name, double cache_gb = 1) const {
    return remote_file(find_remote_shards(on_server(name, cache_gb)).front());
  }
  // The bytes, or why they were not read.
  static std::string part(const RemoteFile& file, uint64_t offset, uint64_t count) {
    try {
      std::string bytes(count, '\0');
      file.read(bytes.data(), count, offset);
      return bytes;
    } catch (const MachineFault& fault) {
      EXPECT_TRUE(fault.is_lasting());
      return fmt::format("{}: {}", int(fault.code()), fault.what());
    }
  }
  void expect_equal(const Dataset& is, const Dataset& should) const {
    ASSERT_EQ(keys_of(is), keys_of(should));
    EXPECT_EQ(captions_of(is), captions_of(should));
    EXPECT_EQ(labels_of(is), labels_of(should));
    EXPECT_EQ(is.class_names(), should.class_names());
    EXPECT_EQ(is.fingerprint(), should.fingerprint());
    EXPECT_EQ(captions_fingerprint(is), captions_fingerprint(should));
    EXPECT_EQ(rejected_of(is), rejected_of(should));
    for (int64_t row = 0; row < is.size(); ++row) EXPECT_EQ(is.bytes(row), should.bytes(row)) << row;
  }

  FileServer server_;
  // Each test has its own: a process keeps what it knows of a cache.
  const fs::path cache_ = folder_ / ::testing::UnitTest::GetInstance()->current_test_info()->name();
  std::string big_;
};

TEST_F(Remote, DatasetsAreThoseOfTheSameFiles) {
  for (int i = 0; i < 3; ++i) put_shard(fmt::format("set/a-{:02}.tar", i), 10 * i, 10);
  write("set/classes.txt", "cat\ndog\nowl\n");
  server_.put("set/classes.txt", read("set/classes.txt"));
  SourceConfig local = config("set/a-{00..02}.tar");
  for (const double cache_gb : {1.0, 0.0}) {
    const SourceConfig remote = on_server("set/a-{00..02}.tar", cache_gb);
    expect_equal(*open_dataset(remote), *open_dataset(local));
  }
  local.captions = {{.name = "long", .column = {}, .from = {}}};
  SourceConfig remote = on_server("set/a-{00..02}.tar");
  remote.captions = local.captions;
  expect_equal(*open_dataset(remote), *open_dataset(local));
}

TEST_F(Remote, FaultsOfTheServerChangeNothing) {
  put_shard("faulty.tar", 0, 20);
  server_.spoil([](int number, const ChatRequest&, ChatReply& reply) {
    if (number % 2 == 0) return;
    switch (number / 2 % 5) {
      case 0:
        reply = {.status = 503, .body = "busy", .headers = {"Retry-After: 0"}};
        break;
      case 1:
        reply.manner = Manner::kHalf;
        break;
      case 2:
        reply.manner = Manner::kReset;
        break;
      case 3:
        reply.headers = {"Content-Range: bytes 7-8/900000"};
        break;
      default:
        reply.body.pop_back();
    }
  });
  expect_equal(*open_dataset(on_server("faulty.tar", 0)), *open_dataset(config("faulty.tar")));
}

TEST_F(Remote, DamageInAShardIsFoundAsOnTheDisk) {
  put_shard("damaged.tar", 0, 10);
  std::string bytes = read("damaged.tar");
  bytes.replace(bytes.size() / 2 / 512 * 512, 512, std::string(512, 'x'));
  write("damaged.tar", bytes);
  server_.put("damaged.tar", bytes);
  expect_equal(*open_dataset(on_server("damaged.tar")), *open_dataset(config("damaged.tar")));
}

TEST_F(Remote, TheServerIsAskedOnceForEachPiece) {
  put_big("once.tar");
  const auto big = file("once.tar");
  EXPECT_EQ(part(*big, 0, big_.size()), big_);
  EXPECT_EQ(server_.num_requests(), 1 + 3);
  EXPECT_EQ(part(*big, kPieceBytes - 10, 20), big_.substr(kPieceBytes - 10, 20));
  EXPECT_EQ(part(*big, big_.size() - 1, 1), big_.substr(big_.size() - 1));
  EXPECT_EQ(server_.num_requests(), 1 + 3);
}

TEST_F(Remote, WithoutRoomOnlyTheSampleIsRead) {
  put_big("narrow.tar");
  const auto big = file("narrow.tar", 0);
  EXPECT_EQ(part(*big, 5000, 100), big_.substr(5000, 100));
  EXPECT_THAT(server_.ranges(), Contains("bytes=5000-5099"));
  const auto small = file("narrow.tar", 0.005);  // known already: the first cache counts
  EXPECT_EQ(small, big);
}

TEST_F(Remote, DamagedPiecesAreFetchedAgain) {
  put_big("rotten.tar");
  const auto big = file("rotten.tar");
  EXPECT_EQ(part(*big, 0, 100), big_.substr(0, 100));
  int spoiled = 0;
  for (const auto& entry : fs::recursive_directory_iterator(cache_ / "shards"))
    if (entry.path().extension() == ".piece") {
      std::fstream(entry.path(), std::ios::binary | std::ios::in | std::ios::out) << "damaged";
      ++spoiled;
    }
  EXPECT_EQ(spoiled, 1);
  EXPECT_EQ(part(*big, 0, 100), big_.substr(0, 100));
  EXPECT_EQ(server_.num_requests(), 3);
}

TEST_F(Remote, AFileThatChangesStopsTheRunAndBlamesNoSample) {
  put_big("changed.tar");
  const auto big = file("changed.tar", 0);
  EXPECT_EQ(part(*big, 0, 10), big_.substr(0, 10));
  server_.put("changed.tar", big_, "\"two\"");
  EXPECT_THAT(part(*big, 0, 10), AllOf(HasSubstr("74: "), HasSubstr("changed.tar: the file was changed")));
  put_shard("small.tar", 0, 3);
  const auto dataset = open_dataset(on_server("small.tar", 0));
  server_.put("small.tar", read("small.tar"), "\"two\"");
  EXPECT_THROW(dataset->bytes(1), MachineFault);
}

// Servers without ETag and date: the content says it.
TEST_F(Remote, AChangeThatTheServerDoesNotTellIsFoundInThePieces) {
  put_big("silent.tar", "");
  const auto big = file("silent.tar", 0);
  EXPECT_EQ(part(*big, 0, big_.size()), big_);
  std::string other = big_;
  ++other[kPieceBytes + 5];
  server_.put("silent.tar", other, "");
  EXPECT_EQ(part(*big, 0, kPieceBytes), big_.substr(0, kPieceBytes));
  EXPECT_THAT(part(*big, kPieceBytes, kPieceBytes), HasSubstr("the bytes from 4194304 on differ"));
}

TEST_F(Remote, AServerThatIsLostEndsTheRun) {
  put_big("lost.tar");
  const auto big = file("lost.tar", 0);
  EXPECT_EQ(part(*big, 0, 10), big_.substr(0, 10));
  server_.spoil([](int, const ChatRequest&, ChatReply& reply) { reply = {.status = 500, .body = ""}; });
  EXPECT_THAT(part(*big, 0, 10), AllOf(HasSubstr("74: "), HasSubstr("HTTP 500"), HasSubstr("attempts")));
  server_.spoil([](int, const ChatRequest&, ChatReply& reply) { reply = {.status = 404, .body = ""}; });
  EXPECT_THAT(part(*big, 0, 10), HasSubstr("74: "));
  server_.spoil([](int, const ChatRequest&, ChatReply& reply) {
    reply = {.status = 503, .body = "", .headers = {"Retry-After: 600"}};
  });
  EXPECT_THAT(part(*big, 0, 10), AllOf(HasSubstr("75: "), HasSubstr("10 min")));
}

TEST_F(Remote, AllShardsThatAreMissingAreNamed) {
  put_shard("m-0.tar", 0, 2);
  const std::string text = refusal(on_server("m-{0..2}.tar?X-Amz-Signature=verysecret"));
  EXPECT_THAT(text, AllOf(HasSubstr("m-1.tar: HTTP 404"), HasSubstr("m-2.tar: HTTP 404"),
                          Not(HasSubstr("verysecret"))));
}

// Memory follows what is fetched, not what is claimed.
TEST_F(Remote, ASizeThatIsNotTrueNamesTheAddress) {
  put_shard("claim.tar", 0, 2);
  server_.spoil([](int, const ChatRequest&, ChatReply& reply) {
    for (auto& header : reply.headers)
      if (header.starts_with("Content-Range: bytes 0-0/"))
        header = fmt::format("Content-Range: bytes 0-0/{}", uint64_t{1} << 44);
  });
  EXPECT_THAT(refusal(on_server("claim.tar")), AllOf(HasSubstr("claim.tar"), HasSubstr("17592186044416")));
}

TEST_F(Remote, AListOfAddresses) {
  put_shard("l-0.tar", 0, 4);
  put_shard("l-1.tar", 4, 4);
  write("urls.txt", "# presigned\n" + server_.address("l-1.tar?X-Amz-Signature=a") + "\n\n" +
                        server_.address("l-0.tar?X-Amz-Signature=b") + "\n");
  SourceConfig list = on_server("");
  list.path = folder_ / "urls.txt";
  expect_equal(*open_dataset(list), *open_dataset(config("l-{0..1}.tar")));
  write("urls.txt", "l-0.tar\n" + server_.address("l-*.tar") + "\nftp://host/a.tar\n");
  EXPECT_THAT(refusal(list), AllOf(HasSubstr("l-0.tar is not an address"), HasSubstr("a glob finds none"),
                                   HasSubstr("ftp://host/a.tar")));
  write("urls.txt", "\n");
  EXPECT_THAT(refusal(list), HasSubstr("names no address"));
}

TEST_F(Remote, ReadBytesChecksAsForFiles) {
  server_.put("bytes.tar", "0123456789");
  const fs::path path = find_remote_shards(on_server("bytes.tar")).front();
  EXPECT_EQ(read_bytes(path, 3, 4), "3456");
  EXPECT_EQ(read_bytes(path, 0, 0), "0123456789");
  EXPECT_THROW(read_bytes(path, 8, 3), ReadFault);
}

}  // namespace
}  // namespace pixart::data
