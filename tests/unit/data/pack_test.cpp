#include "pixart/data/pack.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "io_shim.h"
#include "many_keys.h"
#include "pack_sample.h"
#include "pixart/formats/hash.h"
#include "shards.h"

namespace pixart::data {
namespace {
namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Packed : public ShardFolder {
 protected:
  PackReport pack_to(const std::string& out, const SourceConfig& source,
                     const PackOptions& options = {}) const {
    return pack(source, *open_dataset(source), folder_ / out, options);
  }
  std::string pack_refusal(const std::string& out, const SourceConfig& source,
                           const PackOptions& options = {}) const {
    try {
      pack_to(out, source, options);
    } catch (const UserError& error) {
      return error.what();
    }
    ADD_FAILURE() << "not refused";
    return "";
  }
  std::map<std::string, std::string> files_of(const std::string& folder) const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(folder_ / folder))
      files[entry.path().filename()] = read(folder + "/" + entry.path().filename().string());
    return files;
  }
  // `wanted` packed and read back is the same, sample by sample.
  void expect_round_trip(const SourceConfig& wanted, const PackOptions& options = {}) const {
    pack_to("out", wanted, options);
    auto back = config("out");
    back.captions = wanted.captions;
    const auto theirs = open_dataset(wanted), ours = open_dataset(back);
    EXPECT_EQ(keys_of(*ours), keys_of(*theirs));
    EXPECT_EQ(captions_of(*ours), captions_of(*theirs));
    EXPECT_EQ(labels_of(*ours), labels_of(*theirs));
    EXPECT_EQ(ours->class_names(), theirs->class_names());
    EXPECT_THAT(rejected_of(*ours), IsEmpty());
    ASSERT_EQ(ours->size(), theirs->size());
    for (int64_t i = 0; i < ours->size(); ++i) {
      EXPECT_EQ(ours->bytes(i), theirs->bytes(i));
      EXPECT_EQ(ours->image(i).rgb, theirs->image(i).rgb);
    }
  }
  // Ten captioned images.
  SourceConfig stamps() const {
    for (int i = 0; i < 10; ++i) {
      image(fmt::format("in/p{}.png", i), uint8_t(i));
      write(fmt::format("in/p{}.txt", i), fmt::format("caption {}", i));
    }
    return config("in", "image_folder");
  }
  static constexpr PackOptions kThreeEach{.shard_samples = 3};
};

// --- round trips

TEST_F(Packed, ImageFolderComesBack) {
  stamps();
  image("in/deep/v1.2/gr\xc3\xbc\xc3\x9f%.png", 77);
  write("in/deep/v1.2/gr\xc3\xbc\xc3\x9f%.txt", "with \"quotes\" and \xe7\x8c\xab");
  image("in/p0.a.png", 78);  // WebDataset would take this for a part of p0
  image("in/p1.PNG", 79);    // and this, too
  image("in/none.png", 80);
  expect_round_trip(config("in", "image_folder"), kThreeEach);
}

TEST_F(Packed, NoFolderOfThisMachineIsPublished) {
  image("in/a.png", 1);
  write("in/t.csv", "image,caption\na.png,x\ngone.png,y\n" + (folder_ / "in/lost.png").string() + ",z\n");
  auto source = config("in", "table");
  source.quarantine_budget = 1;
  pack(source, *open_dataset(source), folder_ / "out", {});
  EXPECT_THAT(read("out/quarantine.jsonl"), AllOf(HasSubstr("missing file gone.png"), HasSubstr("lost.png")));
  for (const auto& entry : fs::directory_iterator(folder_ / "out"))
    EXPECT_THAT(read("out/" + entry.path().filename().string()), Not(HasSubstr(folder_.string())))
        << entry.path();
}

TEST_F(Packed, ClassFolderComesBackWithNames) {
  for (const char* name : {"red_fox/a.png", "red_fox/b.png", "cat/a.png"})
    image(std::string("in/") + name, uint8_t(name[0]));
  expect_round_trip(config("in", "class_folder"));
  EXPECT_EQ(read("out/classes.txt"), "cat\nred_fox\n");
  const formats::TarFile shard(folder_ / "out/shards-000000.tar");
  std::map<std::string, std::string> members;
  for (const auto& entry : shard.index().entries) members[entry.name] = shard.read(entry);
  EXPECT_EQ(members["red_fox/a.cls"], "1");
  EXPECT_EQ(members["red_fox/a.txt"], "red fox");
  EXPECT_EQ(members["red_fox/a.json"],
            "{\"source_key\":\"red_fox/a.png\",\"label\":1,\"class\":\"red_fox\"}\n");
}

TEST_F(Packed, ScenesComeBack) {
  SourceConfig scenes;
  scenes.name = "drawn scenes";
  scenes.type = "scenes";
  scenes.count = 70;
  expect_round_trip(scenes);
  EXPECT_TRUE(fs::exists(folder_ / "out/drawn-scenes-000000.tar"));
}

TEST_F(Packed, SeveralKindsOfCaptionsComeBack) {
  shard("in/a.tar", {{"a.png", png(1)},
                     {"a.json", R"({"short": "s", "long": "l"})"},
                     {"b.png", png(2)},
                     {"b.json", R"({"long": "only"})"}});
  auto wanted = config("in");
  wanted.captions = {{"short", 1, "", ""}, {"long", 2, "", ""}};
  expect_round_trip(wanted);
  const formats::TarFile shard(folder_ / "out/shards-000000.tar");
  EXPECT_EQ(shard.read(shard.index().entries[1]), "{\"source_key\":\"a\",\"short\":\"s\",\"long\":\"l\"}\n");
  wanted.captions = {{"label", 1, "short", ""}, {"cls", 1, "long", ""}};
  EXPECT_THAT(pack_refusal("other", wanted), AllOf(HasSubstr("label, cls"), HasSubstr("another name")));
}

TEST_F(Packed, CaptionsOfOneKindComeBackAsAList) {
  std::string rows = "image,caption\n";
  for (int i = 0; i < 4; ++i) {
    image(fmt::format("in/{}.png", i), uint8_t(i));
    for (int c = 0; c <= i; ++c) rows += fmt::format("{}.png,{} of {}\n", i, c, i);
  }
  write("in/t.csv", rows);
  expect_round_trip(config("in", "table"));
  const formats::TarFile shard(folder_ / "out/shards-000000.tar");
  EXPECT_EQ(shard.read(shard.index().entries[1]), "0 of 0") << "one caption stays a .txt";
  auto kinds = config("in", "table");
  kinds.captions = {{"brief", 3, "", ""}};
  write("in/t.csv", "image,brief\n0.png,a\n0.png,b\n1.png,c\n");
  fs::remove_all(folder_ / "out");
  expect_round_trip(kinds);
}

TEST_F(Packed, SeveralLinesComeBack) {
  image("in/a.png");
  write("in/a.txt", "The picture shows a ball.\r\n\r\nThere is a hill.\r\n");
  expect_round_trip(config("in", "image_folder"));
  const formats::TarFile shard(folder_ / "out/shards-000000.tar");
  EXPECT_EQ(shard.read(shard.index().entries[1]), "The picture shows a ball.\n\nThere is a hill.");
}

// --- what other readers refuse

TEST_F(Packed, SamplesWithOtherMembersAreSaid) {
  const auto said = [&](const SourceConfig& source, const PackOptions& options = {}) {
    fs::remove_all(folder_ / "out");
    ::testing::internal::CaptureStderr();
    pack_to("out", source, options);
    return ::testing::internal::GetCapturedStderr();
  };
  stamps();
  const auto source = config("in", "image_folder");
  EXPECT_THAT(said(source), Not(HasSubstr("different members")));
  write("in/q.jpg", formats::encode_jpeg(Image(8, 8), 90));
  write("in/q.txt", "caption q");
  EXPECT_THAT(said(source), AllOf(HasSubstr(".jpg .txt .json (1)"), HasSubstr("1 shard(s) mix them")));
  EXPECT_THAT(said(source, {.shard_samples = 10}), HasSubstr("0 shard(s) mix them"));
  fs::remove(folder_ / "in/q.jpg");
  fs::remove(folder_ / "in/p3.txt");
  EXPECT_THAT(said(source), AllOf(HasSubstr(".png .json (1)"), HasSubstr("1 shard(s) mix them")));
}

// --- keys

TEST_F(Packed, MemberKeysAreValidAndNoTwoAlike) {
  EXPECT_EQ(encode_member_key("a/b"), "a/b");
  EXPECT_EQ(encode_member_key("a.b/c.d.e"), "a.b/c%2Ed%2Ee");
  EXPECT_EQ(encode_member_key("../x"), "%2E%2E/x");
  EXPECT_EQ(encode_member_key("/x//y/"), "%2Fx/%2Fy%2F");
  EXPECT_EQ(encode_member_key("__meta__/x%\\\n"), "%5F_meta__/x%25%5C%0A");
  const std::vector<std::string> keys = {"a", "b.png", "c.png.jpg", "c.png", "c.jpg", "d.jpg", "e.tar"};
  ShardFolder::Members named;
  for (size_t i = 0; i < keys.size(); ++i) {
    named.emplace_back(fmt::format("{}.png", i), png());
    named.emplace_back(fmt::format("{}.json", i), nlohmann::ordered_json{{"source_key", keys[i]}}.dump());
  }
  shard("in/a.tar", named);
  const auto dataset = open_dataset(config("in"));
  EXPECT_EQ(keys_of(*dataset), keys);
  const MemberKeys names(*dataset);
  std::vector<std::string> all;
  for (const auto& key : keys) all.push_back(names.of(key));
  EXPECT_THAT(all, ElementsAre("a", "b", "c%2Epng%2Ejpg", "c%2Epng", "c%2Ejpg", "d", "e%2Etar"));
}

TEST_F(Packed, AMemberKeyWithoutExtensionIsNeitherAnotherStemNorAnotherKey) {
  const auto names_of = [&](const std::string& name, const std::vector<std::string>& keys) {
    ShardFolder::Members named;
    for (size_t i = 0; i < keys.size(); ++i) {
      named.emplace_back(fmt::format("{}.png", i), png());
      named.emplace_back(fmt::format("{}.json", i), nlohmann::ordered_json{{"source_key", keys[i]}}.dump());
    }
    shard(name + "/a.tar", named);
    const auto dataset = open_dataset(config(name));
    const MemberKeys names(*dataset);
    std::vector<std::string> all;
    for (const auto& key : keys) all.push_back(names.of(key));
    return all;
  };
  EXPECT_THAT(names_of("key", {"x.png.jpg", "x.png"}), ElementsAre("x%2Epng%2Ejpg", "x"));
  EXPECT_THAT(names_of("stem", {"y", "y.png", "z.webp"}), ElementsAre("y", "y%2Epng", "z"));
}

// --- accounting

TEST_F(Packed, EveryBadSampleIsInTheQuarantineFile) {
  const auto source = stamps();
  write("in/p2.png", read("in/p2.png").substr(0, 40));
  write("in/p4.png", "");
  write("in/p6.png", "%PDF-1.7");
  const auto report = pack_to("out", source, kThreeEach);
  EXPECT_EQ(report.ledger.listed, 10);
  EXPECT_EQ(report.ledger.accepted(), 7);
  std::vector<std::string> lines;
  std::ifstream file(folder_ / "out/quarantine.jsonl");
  for (std::string line; std::getline(file, line);) {
    const auto entry = nlohmann::json::parse(line);
    EXPECT_EQ(entry.at("source"), "shards");
    lines.push_back(
        fmt::format("{} {}", entry.at("key").get<std::string>(), entry.at("reason").get<std::string>()));
  }
  EXPECT_THAT(lines, ElementsAre("p2.png damaged_picture", "p4.png empty_file", "p6.png not_a_picture"));
  const auto manifest = nlohmann::json::parse(read("out/pack.json"));
  EXPECT_EQ(manifest.at("listed"), 10);
  EXPECT_EQ(manifest.at("accepted"), 7);
  EXPECT_EQ(manifest.at("rejected").at("empty_file"), 1);
  ASSERT_EQ(manifest.at("shards").size(), 3u);
  int64_t samples = 0;
  for (const auto& entry : manifest.at("shards")) {
    const fs::path path = folder_ / "out" / entry.at("file").get<std::string>();
    EXPECT_EQ(fs::file_size(path), entry.at("bytes"));
    EXPECT_EQ(formats::sha256_of_file(path), entry.at("sha256"));
    samples += entry.at("samples").get<int64_t>();
  }
  EXPECT_EQ(samples, 7);
}

TEST_F(Packed, WithoutVerificationOnlyTheKindIsLookedAt) {
  const auto source = stamps();
  write("in/p2.png", read("in/p2.png").substr(0, 40));
  write("in/p6.png", "%PDF-1.7");
  EXPECT_EQ(pack_to("out", source, {.verify = false}).ledger.accepted(), 9);
}

TEST_F(Packed, TooManyBadSamplesLeaveNoManifest) {
  auto source = stamps();
  write("in/p2.png", "%PDF-1.7");
  source.quarantine_budget = 0.05;
  EXPECT_THAT(pack_refusal("out", source), AllOf(HasSubstr("1 of 10"), HasSubstr("quarantine_budget")));
  EXPECT_FALSE(fs::exists(folder_ / "out/pack.json"));
  EXPECT_THAT(read("out/quarantine.jsonl"), HasSubstr("not_a_picture"));
  source.quarantine_budget = 0.1;
  const auto report = pack_to("out", source);  // goes on
  EXPECT_EQ(report.kept, 1);
  EXPECT_TRUE(fs::exists(folder_ / "out/pack.json"));
  EXPECT_FALSE(fs::exists(folder_ / "out/.pack.json"));
}

TEST_F(Packed, NothingButBadSamplesIsRefused) {
  auto source = config("in", "image_folder");
  write("in/a.png", "x");
  EXPECT_THAT(pack_refusal("out", source), HasSubstr("no sample can be packed"));
}

// --- limits of a shard

TEST_F(Packed, ShardsStayBelowTheirLimits) {
  const auto source = stamps();
  pack_to("out", source, {.shard_bytes = 8000});
  const auto manifest = nlohmann::json::parse(read("out/pack.json"));
  EXPECT_GT(manifest.at("shards").size(), 1u);
  for (const auto& entry : manifest.at("shards")) EXPECT_LE(entry.at("bytes"), 8000);
  EXPECT_EQ(pack_to("tiny", source, {.shard_bytes = 1}).shards, 10);  // a larger sample has its own
}

// --- the same each time, whatever happened in between

TEST_F(Packed, IsTheSameEachTime) {
  const auto source = stamps();
  pack_to("one", source, kThreeEach);
  pack_to("two", source, kThreeEach);
  EXPECT_EQ(files_of("one"), files_of("two"));
  EXPECT_THAT(files_of("one"), Contains(::testing::Key("shards-000003.tar")));
}

// As a kill leaves it: some shards complete, the state of these, and a temporary file.
TEST_F(Packed, GoesOnAfterAKillAtEachShard) {
  auto source = stamps();
  write("in/p3.png", "%PDF-1.7");
  write("in/p9.png", "%PDF-1.7");
  pack_to("whole", source, kThreeEach);
  const auto wanted = files_of("whole");
  const auto manifest = nlohmann::ordered_json::parse(wanted.at("pack.json"));
  const size_t num_shards = manifest.at("shards").size();
  for (size_t complete = 0; complete <= num_shards; ++complete) {
    fs::remove_all(folder_ / "out");
    auto state = manifest;
    state["shards"] = nlohmann::ordered_json::array();
    for (size_t i = 0; i < complete; ++i) {
      state["shards"].push_back(manifest["shards"][i]);
      const std::string name = manifest["shards"][i]["file"];
      write("out/" + name, wanted.at(name));
    }
    write("out/.pack.json", state.dump());
    write("out/.tmp-shards-000009.tar-0123456789abcdef", "half written");
    const auto report = pack_to("out", source, kThreeEach);
    EXPECT_EQ(report.kept, int64_t(complete));
    EXPECT_EQ(report.ledger.accepted(), 8);
    EXPECT_EQ(files_of("out"), wanted) << complete;
  }
}

// Meanwhile the rejected rows are lines of a file of their own; a power cut may lose the last of them.
TEST_F(Packed, GoesOnFromRejectionsInTheirOwnFile) {
  auto source = stamps();
  source.quarantine_budget = 1;
  for (const int row : {1, 2, 6}) write(fmt::format("in/p{}.png", row), "%PDF-1.7");
  pack_to("whole", source, kThreeEach);
  const auto wanted = files_of("whole");
  auto state = nlohmann::ordered_json::parse(wanted.at("pack.json"));
  std::string lines;
  state["shards"].erase(state["shards"].size() - 1);
  for (auto& shard : state["shards"]) {
    if (!shard.contains("rejected")) continue;
    for (const auto& one : shard["rejected"]) lines += nlohmann::ordered_json::array({one}).dump() + "\n";
    shard["num_rejected"] = shard["rejected"].size();
    shard.erase("rejected");
  }
  const auto all = int64_t(state["shards"].size());
  ASSERT_GT(all, 1);
  ASSERT_GT(std::count(lines.begin(), lines.end(), '\n'), 1);
  const size_t last = lines.find_last_of('\n', lines.size() - 2) + 1;
  for (const auto& [kept_lines, kept_shards] : std::vector<std::pair<std::string, int64_t>>{
           {lines, all},
           {lines + lines, all},  // a shard whose state was not written any more
           {lines.substr(0, lines.size() - 1), all - 1},
           {lines.substr(0, last) + "\n", all - 1},
           {"", 0}}) {
    fs::remove_all(folder_ / "out");
    for (const auto& [name, bytes] : wanted)
      if (name.ends_with(".tar")) write("out/" + name, bytes);
    write("out/.pack.json", state.dump());
    if (!kept_lines.empty()) write("out/.pack-rejected.jsonl", kept_lines);
    const auto report = pack_to("out", source, kThreeEach);
    EXPECT_LE(report.kept, kept_shards);
    EXPECT_GE(report.kept, kept_lines == lines ? all : 0);
    EXPECT_EQ(files_of("out"), wanted);
  }
}

TEST_F(Packed, ShardsThatChangedAreWrittenAgain) {
  const auto source = stamps();
  pack_to("out", source, kThreeEach);
  const auto wanted = files_of("out");
  std::string damaged = wanted.at("shards-000001.tar");
  damaged[700] ^= 1;
  write("out/shards-000001.tar", damaged);
  EXPECT_EQ(pack_to("out", source, kThreeEach).kept, 1);
  EXPECT_EQ(files_of("out"), wanted);
  EXPECT_EQ(pack_to("out", source, kThreeEach).kept, 4);  // nothing to do
  EXPECT_EQ(files_of("out"), wanted);
}

// --- folders of something else

TEST_F(Packed, OtherFoldersAreRefusedAndLeftAlone) {
  auto source = stamps();
  write("full/letter.txt", "dear");
  EXPECT_THAT(pack_refusal("full", source), HasSubstr("holds files that are not of a pack"));
  EXPECT_EQ(files_of("full").size(), 1u);
  pack_to("out", source);
  const auto before = files_of("out");
  EXPECT_THAT(
      pack_refusal("out", source, {.shard_bytes = 1 << 20, .shard_samples = 5}),
      AllOf(HasSubstr("--shard-bytes was 512000000, now it is 1048576"), HasSubstr("--shard-samples")));
  write("in/p3.txt", "another caption");
  EXPECT_THAT(pack_refusal("out", source), HasSubstr("samples have changed"));
  source.name = "other";
  EXPECT_THAT(pack_refusal("out", source), HasSubstr("the source was shards, now it is other"));
  EXPECT_EQ(files_of("out"), before);
  for (const std::string& text : {std::string("{"), "{" + testing::many_keys() + "}"}) {
    write("out/pack.json", text);
    EXPECT_THAT(pack_refusal("out", source), HasSubstr("pack.json cannot be used"));
  }
}

// Files whose names begin as ours do while they are written.
const std::vector<std::string> kOfOthers = {".tmp-work/thesis.tex", ".del-old/letter.txt",
                                            ".tmp-shards-000000.tar", ".tmp-shards-000000.tar-1",
                                            ".tmp-mine-000000.tar-0123456789abcdef"};
const char* const kOurs = ".tmp-.pack.json-0123456789abcdef";

TEST_F(Packed, ARefusedFolderKeepsWhatLooksUnfinished) {
  const auto source = stamps();
  for (const auto& name : kOfOthers) {
    write("home/" + name, "thesis");
    EXPECT_THAT(pack_refusal("home", source), HasSubstr("holds files that are not of a pack")) << name;
    EXPECT_EQ(read("home/" + name), "thesis");
    fs::remove_all(folder_ / "home");
  }
  write("home/letter.txt", "dear");
  write(std::string("home/") + kOurs, "half");  // whoever made it: nothing of a refused folder is touched
  EXPECT_THAT(pack_refusal("home", source), HasSubstr("holds files that are not of a pack"));
  EXPECT_EQ(files_of("home").size(), 2u);
}

TEST_F(Packed, LeftoversOfTheFirstMomentAreNoFiles) {
  const auto source = stamps();
  write(std::string("out/") + kOurs, "half");
  EXPECT_EQ(pack_to("out", source).shards, 1);
  EXPECT_FALSE(fs::exists(folder_ / "out" / kOurs));
}

TEST_F(Packed, GoesOnAfterADiskThatFailedAtAnyOperation) {
  const auto source = stamps();
  pack_to("whole", source, kThreeEach);
  const std::string out = (folder_ / "out").string();
  bool is_done = false;
  for (int at = 1; !is_done; ++at) {
    ASSERT_LT(at, 1000);
    SCOPED_TRACE(at);
    fs::remove_all(out);
    const IoShimSettings fault{.folder = out.c_str(),
                               .match = nullptr,
                               .mode = "fail_from",
                               .at = at,
                               .error = EIO,
                               .log = nullptr,
                               .times = 0};
    io_shim_set(&fault);
    try {
      pack_to("out", source, kThreeEach);
      is_done = true;
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::kStorage) << error.what();
    }
    const IoShimSettings off{};
    io_shim_set(&off);
    pack_to("out", source, kThreeEach);
    EXPECT_EQ(files_of("out"), files_of("whole"));
  }
}

TEST_F(Packed, OnlyItsOwnLeftoversAreDeleted) {
  const auto source = stamps();
  pack_to("out", source);
  for (const auto& name : kOfOthers) write("out/" + name, "thesis");
  write(std::string("out/") + kOurs, "half");
  write("out/.tmp-shards-000000.tar-0123456789abcdef", "half");
  pack_to("out", source);
  for (const auto& name : kOfOthers) EXPECT_EQ(read("out/" + name), "thesis") << name;
  EXPECT_FALSE(fs::exists(folder_ / "out" / kOurs));
  EXPECT_FALSE(fs::exists(folder_ / "out/.tmp-shards-000000.tar-0123456789abcdef"));
}

TEST_F(Packed, OneProcessAtATime) {
  const auto source = stamps();
  fs::create_directories(folder_ / "out");
  const int other = ::open((folder_ / "out").c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::flock(other, LOCK_EX | LOCK_NB), 0);
  try {
    pack_to("out", source);
    ADD_FAILURE() << "not refused";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kFolderOwned);
  }
  ::close(other);
  EXPECT_EQ(pack_to("out", source).shards, 1);
}

}  // namespace
}  // namespace pixart::data
