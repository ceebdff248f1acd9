#include "pixart/formats/tar.h"

#include <sys/stat.h>

#include <cstdlib>

#include "folder.h"

namespace pixart::formats {
namespace {
namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Any archive, also one that no program would write.
std::string header(const std::string& name, const std::string& size, char type = '0') {
  std::string block(512, '\0');
  const auto put = [&](size_t at, const std::string& text) { block.replace(at, text.size(), text); };
  put(0, name), put(124, size), put(148, "        "), put(257, std::string("ustar\00000", 8));
  block[156] = type;
  uint64_t sum = 0;
  for (const char c : block) sum += uint8_t(c);
  put(148, fmt::format("{:06o}", sum));
  block[154] = '\0';
  return block;
}
std::string octal(uint64_t size) { return fmt::format("{:011o}", size); }
std::string member(const std::string& name, std::string content, char type = '0') {
  const std::string head = header(name, octal(content.size()), type);
  content.resize((content.size() + 511) / 512 * 512);
  return head + content;
}
const std::string kEnd(1024, '\0');

std::vector<std::string> names_of(const TarIndex& index) {
  std::vector<std::string> names;
  for (const auto& entry : index.entries) names.push_back(entry.name);
  return names;
}

class Tar : public Folder {
 protected:
  TarFile open(const std::string& bytes) const { return TarFile(write("a.tar", bytes)); }
  // Standard output of a shell's command in the folder.
  std::string shell(const std::string& command) const {
    const std::string line = fmt::format("cd '{}' && ({}) > output", folder_.string(), command);
    EXPECT_EQ(std::system(line.c_str()), 0) << line;
    return read(folder_ / "output");
  }
  std::string python(const std::string& code) const {
    write("script.py", "import io, tarfile\n" + code);
    return shell("python3 script.py");
  }
};

// --- archives of other programs

const std::string kLongFolder = std::string(60, 'f') + "/" + std::string(60, 'g') + "/";
const std::string kLongName = std::string(180, 'n') + ".txt";

class TarOf : public Tar, public ::testing::WithParamInterface<std::string> {};
INSTANTIATE_TEST_SUITE_P(Formats, TarOf, ::testing::Values("ustar", "gnu", "pax"));

TEST_P(TarOf, GnuTarIsRead) {
  fs::create_directories(folder_ / "in" / kLongFolder);
  std::map<std::string, std::string> wanted = {{"a.jpg", std::string(1000, 'a')},
                                               {"b.txt", ""},
                                               {"gr\xc3\xbc\xc3\x9f.txt", "hello"},
                                               {"c.json", std::string(512, '{')},
                                               {kLongFolder + "d.cls", "3"}};
  if (GetParam() != "ustar") wanted[kLongName] = "long";
  for (const auto& [name, content] : wanted) write("in/" + name, content);
  shell("LC_ALL=C.UTF-8 tar --format=" + GetParam() + " --sort=name -C in -cf a.tar $(ls in)");
  const TarFile file(folder_ / "a.tar");
  std::map<std::string, std::string> found;
  for (const auto& entry : file.index().entries) found[entry.name] = file.read(entry);
  EXPECT_EQ(found, wanted);
  EXPECT_THAT(file.index().faults, IsEmpty());
}

TEST_P(TarOf, PythonIsRead) {
  python(fmt::format(R"(
names = ["a.jpg", "dir/b.txt", "{}x.json", "grüß.txt"] + (["{}"] if "{}" != "ustar" else [])
with tarfile.open("a.tar", "w", format=tarfile.{}_FORMAT) as archive:
    for number, name in enumerate(names):
        entry = tarfile.TarInfo(name)
        entry.size = 300 * number
        archive.addfile(entry, io.BytesIO(bytes([number]) * entry.size))
open("names", "w").write("\n".join(names) + "\n")
)",
                     kLongFolder, kLongName, GetParam(),
                     GetParam() == "gnu"   ? "GNU"
                     : GetParam() == "pax" ? "PAX"
                                           : "USTAR"));
  const TarFile file(folder_ / "a.tar");
  std::string names;
  for (size_t i = 0; i < file.index().entries.size(); ++i) {
    const auto& entry = file.index().entries[i];
    names += entry.name + "\n";
    EXPECT_EQ(file.read(entry), std::string(300 * i, char(i)));
  }
  EXPECT_EQ(names, read(folder_ / "names"));
  EXPECT_THAT(file.index().faults, IsEmpty());
}

// Sizes of 8 GiB and more do not fit into octal digits. The file is mostly a hole.
TEST_F(Tar, ReadsSizesBeyondOctalDigits) {
  for (const char* format : {"GNU", "PAX"}) {
    python(fmt::format(R"(
first, second = tarfile.TarInfo("large.bin"), tarfile.TarInfo("b.txt")
first.size, second.size = 9 << 30, 5
with open("a.tar", "wb") as archive:
    archive.write(first.tobuf(tarfile.{}_FORMAT))
    archive.seek(first.size, 1)
    archive.write(second.tobuf(tarfile.USTAR_FORMAT) + b"hello" + bytes(507 + 1024))
)",
                       format));
    const TarFile file(folder_ / "a.tar");
    EXPECT_THAT(names_of(file.index()), ElementsAre("large.bin", "b.txt")) << format;
    EXPECT_EQ(file.index().entries[0].bytes, uint64_t{9} << 30);
    EXPECT_EQ(file.read(file.index().entries[1]), "hello");
  }
}

TEST_F(Tar, LinksAndDevicesAreFaultsOfTheirOwn) {
  python(R"(
with tarfile.open("a.tar", "w") as archive:
    archive.addfile(tarfile.TarInfo("a.jpg"))
    for name, kind in [("b.jpg", tarfile.LNKTYPE), ("c.jpg", tarfile.SYMTYPE), ("d.jpg", tarfile.CHRTYPE),
                       ("e.jpg", tarfile.FIFOTYPE), ("folder", tarfile.DIRTYPE)]:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, "f.jpg"
        archive.addfile(entry)
    archive.addfile(tarfile.TarInfo("f.jpg"))
)");
  const TarFile file(folder_ / "a.tar");
  EXPECT_THAT(names_of(file.index()), ElementsAre("a.jpg", "f.jpg"));
  std::string found;
  for (const auto& fault : file.index().faults) {
    EXPECT_FALSE(fault.is_damage);
    EXPECT_EQ(fault.before, 1u);
    found +=
        fmt::format("{} {} {}, ", fault.offset, fault.name, fault.reason.substr(0, fault.reason.find(',')));
  }
  EXPECT_EQ(found,
            "512 b.jpg a hard link to 'f.jpg', 1024 c.jpg a symbolic link, 1536 d.jpg a device, "
            "2048 e.jpg a pipe, ");
}

TEST_F(Tar, HardLinksHaveTheContentOfTheirMember) {
  for (const char* format : {"USTAR", "GNU", "PAX"})
    for (const size_t length : {1, 90, 150}) {
      if (format == std::string("USTAR") && length > 90) continue;
      python(fmt::format(R"(
import io
with tarfile.open("a.tar", "w", format=tarfile.{}_FORMAT) as archive:
    name = "n" * {}
    first = tarfile.TarInfo(name)
    first.size = 5
    archive.addfile(first, io.BytesIO(b"hello"))
    link = tarfile.TarInfo("b")
    link.type, link.linkname, link.size = tarfile.LNKTYPE, name, 0
    archive.addfile(link)
    link = tarfile.TarInfo("c")
    link.type, link.linkname = tarfile.LNKTYPE, "b"
    archive.addfile(link)
)",
                         format, length));
      const TarFile file(folder_ / "a.tar");
      ASSERT_THAT(file.index().entries, SizeIs(3)) << format << length;
      for (const auto& entry : file.index().entries) EXPECT_EQ(file.read(entry), "hello");
      EXPECT_THAT(file.index().faults, IsEmpty());
    }
}

TEST_F(Tar, SparseFilesAreFaultsOfTheirOwn) {
  for (const char* format : {"gnu", "pax"}) {
    write("z.txt", "end");
    shell(
        "rm -f a.tar hole.bin; for i in $(seq 40); do printf x | dd of=hole.bin bs=1 seek=${i}00000 "
        "conv=notrunc status=none; done; tar --format=" +
        std::string(format) + " --hole-detection=raw -S -cf a.tar hole.bin z.txt");
    const TarFile file(folder_ / "a.tar");
    EXPECT_THAT(names_of(file.index()), ElementsAre("z.txt")) << format;
    ASSERT_THAT(file.index().faults, SizeIs(1)) << format;
    EXPECT_THAT(file.index().faults[0].reason, HasSubstr("sparse"));
    EXPECT_FALSE(file.index().faults[0].is_damage);
  }
}

// --- damage

class DamagedTar : public Tar {
 protected:
  const std::string whole_ =
      member("a.jpg", "first") + member("b.jpg", std::string(700, 'b')) + member("c.jpg", "third") + kEnd;
  const std::vector<size_t> ends_ = {512 + 5, 1024 + 512 + 700, 2560 + 512 + 5};  // of the contents
};

TEST_F(DamagedTar, EveryTruncationIsOnRecord) {
  for (size_t length = 512; length < whole_.size(); ++length) {
    const TarFile file = open(whole_.substr(0, length));
    size_t num_whole = 0;
    while (num_whole < ends_.size() && ends_[num_whole] <= length) ++num_whole;
    ASSERT_THAT(file.index().entries, SizeIs(num_whole)) << length;
    // Nothing is lost if only the filling or the end mark is.
    const size_t end = num_whole == 0 ? 0 : (ends_[num_whole - 1] + 511) / 512 * 512;
    if (num_whole == ends_.size() || (num_whole > 0 && length <= end)) {
      EXPECT_THAT(file.index().faults, IsEmpty()) << length;
      EXPECT_FALSE(file.index().has_end_mark) << length;
      continue;
    }
    ASSERT_THAT(file.index().faults, SizeIs(1)) << length;
    EXPECT_TRUE(file.index().faults[0].is_damage);
    EXPECT_THAT(file.index().faults[0].reason, HasSubstr("cut off")) << length;
    EXPECT_LE(file.index().faults[0].offset, length);
    EXPECT_EQ(file.index().faults[0].end, length);
    EXPECT_EQ(file.index().faults[0].before, num_whole);
  }
  for (const size_t length : {size_t{0}, size_t{1}, size_t{511}})
    EXPECT_THAT(refusal([&] { open(whole_.substr(0, length)); }), HasSubstr("not a tar archive")) << length;
}

TEST_F(DamagedTar, EveryChangeOfAHeaderCostsItsMemberOnly) {
  const std::vector<std::string> all = {"a.jpg", "b.jpg", "c.jpg"};
  const std::vector<size_t> starts = {0, 1024, 2560};
  for (size_t damaged = 0; damaged < 3; ++damaged) {
    for (size_t at = 0; at < 512; ++at) {
      for (const char mask : {'\x01', '\x80'}) {
        std::string bytes = whole_;
        bytes[starts[damaged] + at] = char(bytes[starts[damaged] + at] ^ mask);
        const TarFile file = open(bytes);
        auto wanted = all;
        wanted.erase(wanted.begin() + ptrdiff_t(damaged));
        ASSERT_EQ(names_of(file.index()), wanted) << damaged << " " << at;
        ASSERT_THAT(file.index().faults, SizeIs(1)) << damaged << " " << at;
        EXPECT_EQ(file.index().faults[0].offset, starts[damaged]);
        EXPECT_EQ(file.index().faults[0].end, damaged < 2 ? starts[damaged + 1] : bytes.size());
        EXPECT_EQ(file.index().faults[0].before, damaged);
      }
    }
  }
}

TEST_F(DamagedTar, AbsurdSizesAreRefusedAndReadingGoesOn) {
  const std::string base256 = "\x80" + std::string(3, '\0') + std::string(8, '\x7f');
  for (const auto& size :
       {std::string("77777777777"), base256, std::string(12, '\xff'), std::string("8"), std::string(),
        std::string("-1"), std::string("12x"), std::string("   "), "\x80" + std::string(11, '\xff')}) {
    const TarFile file = open(header("a.jpg", size) + member("b.jpg", "x") + kEnd);
    EXPECT_THAT(names_of(file.index()), ElementsAre("b.jpg")) << ::testing::PrintToString(size);
    ASSERT_THAT(file.index().faults, SizeIs(1)) << ::testing::PrintToString(size);
    EXPECT_EQ(file.index().faults[0].end, 512u);
  }
}

TEST_F(DamagedTar, WhatLiesBehindTheEndIsOnRecord) {
  const TarFile joined = open(member("a.jpg", "1") + kEnd + kEnd + member("b.jpg", "2") + kEnd);
  EXPECT_THAT(names_of(joined.index()), ElementsAre("a.jpg", "b.jpg"));
  ASSERT_THAT(joined.index().faults, SizeIs(1));
  EXPECT_THAT(joined.index().faults[0].reason, HasSubstr("after the archive's end"));
  const TarFile junk = open(member("a.jpg", "1") + kEnd + std::string(600, 'j'));
  ASSERT_THAT(junk.index().faults, SizeIs(1));
  EXPECT_EQ(junk.index().faults[0].offset, 1024u);
  EXPECT_EQ(junk.index().faults[0].end, junk.bytes());
  EXPECT_THAT(open(member("a.jpg", "1") + kEnd + std::string(10240, '\0')).index().faults, IsEmpty());
  const TarFile lone = open(member("a.jpg", "1") + std::string(512, '\0') + member("b.jpg", "2") + kEnd);
  EXPECT_THAT(names_of(lone.index()), ElementsAre("a.jpg", "b.jpg"));
  EXPECT_THAT(lone.index().faults, SizeIs(1));
}

TEST_F(DamagedTar, FoldersAndLinksWithContentAreDamage) {
  for (const char type : {'2', '3', '4', '5', '6'}) {
    const TarFile file = open(member("a", "content", type) + member("b.jpg", "2") + kEnd);
    EXPECT_THAT(names_of(file.index()), ElementsAre("b.jpg"));
    ASSERT_THAT(file.index().faults, SizeIs(1));
    EXPECT_TRUE(file.index().faults[0].is_damage);
  }
}

// --- extension headers

TEST_F(Tar, PaxHeadersCountForTheNextMemberGlobalOnesForAll) {
  const TarFile file =
      open(member("g", "12 comment=\n", 'g') + member("x", "14 path=b.jpg\n9 size=3\n", 'x') +
           header("wrong", octal(0)) + "abc" + std::string(509, '\0') + member("c.jpg", "") + kEnd);
  EXPECT_THAT(file.index().faults, IsEmpty());
  ASSERT_THAT(names_of(file.index()), ElementsAre("b.jpg", "c.jpg"));
  EXPECT_EQ(file.read(file.index().entries[0]), "abc");
  EXPECT_EQ(file.read(file.index().entries[0], 2), "ab");
}

TEST_F(DamagedTar, BadPaxHeadersAreRefused) {
  for (const std::string& text :
       {std::string("path=a\n"), std::string("99 path=a\n"), std::string("0 path=a\n"),
        std::string("9 path=ab\n"), std::string("7 path\n"), std::string("7 =abc\n"),
        std::string("8 path=\n"), std::string("10 size=x\n"), std::string("29 size=99999999999999999999\n"),
        std::string("12 path=a\0b\n", 12), std::string("18446744073709551616 a=b\n")}) {
    const TarFile file =
        open(member("x", text, 'x') + member("named.jpg", "1") + member("b.jpg", "2") + kEnd);
    ASSERT_THAT(file.index().faults, SizeIs(1)) << text;
    EXPECT_TRUE(file.index().faults[0].is_damage);
    EXPECT_EQ(file.index().faults[0].offset, 0u);
    EXPECT_EQ(file.index().faults[0].end, 1024u);
  }
}

TEST_F(DamagedTar, LongNamesAreLimitedAndNeedAMember) {
  const TarFile large = open(member("L", std::string(70000, 'n'), 'L') + member("b.jpg", "2") + kEnd);
  EXPECT_THAT(names_of(large.index()), ElementsAre("b.jpg"));
  EXPECT_THAT(large.index().faults, SizeIs(1));
  const TarFile alone = open(member("a.jpg", "") + member("L", "name", 'L') + kEnd);
  ASSERT_THAT(alone.index().faults, SizeIs(1));
  EXPECT_EQ(alone.index().faults[0].offset, 512u);
  EXPECT_THAT(open(member("", "x") + member("b.jpg", "2") + kEnd).index().faults[0].reason,
              HasSubstr("without a name"));
}

// --- files that are no archives

TEST_F(Tar, CompressedArchivesAreRefusedWithAdvice) {
  write("x.txt", "hello");
  shell("tar -czf a.tar.gz x.txt && tar -cjf a.tar.bz2 x.txt && tar -cJf a.tar.xz x.txt");
  for (const auto& [ending, tool] :
       std::map<std::string, std::string>{{"gz", "gunzip"}, {"bz2", "bunzip2"}, {"xz", "unxz"}})
    EXPECT_THAT(refusal([&] { TarFile file(folder_ / ("a.tar." + ending)); }),
                AllOf(HasSubstr("a.tar." + ending), HasSubstr("compressed"), HasSubstr(tool)));
}

TEST_F(Tar, OtherFilesAreRefused) {
  EXPECT_THAT(refusal([&] { open(std::string(5000, 'x')); }), HasSubstr("no header was found"));
  EXPECT_THAT(refusal([&] { open(""); }), HasSubstr("it is empty"));
  EXPECT_THAT(refusal([&] { TarFile file(folder_ / "none.tar"); }), HasSubstr("none.tar"));
  EXPECT_THAT(refusal([&] { TarFile file{folder_}; }), HasSubstr("not a regular file"));
  EXPECT_THAT(open(kEnd).index().entries, IsEmpty());  // an archive of nothing
}

// --- the writer

class TarWritten : public Tar {
 protected:
  const std::map<std::string, std::string> members_ = {
      {"a.jpg", std::string(1000, 'a')},
      {"empty.txt", ""},
      {"block.txt", std::string(512, 'b')},
      {std::string(100, 'c'), "100"},
      {std::string(101, 'd'), "101"},
      {std::string(155, 'e') + "/" + std::string(100, 'e'), "256"},
      {std::string(156, 'f') + "/" + std::string(100, 'f'), "257"},
      {std::string(50, 'g') + "/" + std::string(101, 'g'), "long base"},
      {"/" + std::string(100, 'h'), "cut at the first byte"},
      {"gr\xc3\xbc\xc3\x9f/\xe7\x8c\xab.json", "{}"},
      {std::string(3000, 'i') + ".txt", "very long"}};
  std::string write_all(const std::string& name) const {
    TarWriter writer(folder_ / name);
    for (const auto& [member, content] : members_) {
      const uint64_t before = writer.size();
      writer.add(member, content);
      EXPECT_EQ(writer.size() - before, TarWriter::size_of(member, content.size()));
    }
    const uint64_t before = writer.size();
    const std::string hash = writer.commit();
    EXPECT_EQ(fs::file_size(folder_ / name), before + TarWriter::kEndBytes);
    return hash;
  }
};

TEST_F(TarWritten, IsReadByPythonAndByUs) {
  write_all("a.tar");
  const TarFile file(folder_ / "a.tar");
  std::map<std::string, std::string> found;
  for (const auto& entry : file.index().entries) found[entry.name] = file.read(entry);
  EXPECT_EQ(found, members_);
  EXPECT_THAT(file.index().faults, IsEmpty());
  std::string wanted;
  for (const auto& [name, content] : members_) wanted += name + " " + std::to_string(content.size()) + "\n";
  EXPECT_EQ(python("import sys\n"
                   "for m in tarfile.open('a.tar', errorlevel=2):\n"
                   "    assert (m.mtime, m.uid, m.gid, m.mode, m.uname) == (0, 0, 0, 0o644, '')\n"
                   "    sys.stdout.buffer.write(f'{m.name} {m.size}\\n'.encode())\n"),
            wanted);
}

TEST_F(TarWritten, IsUnpackedByGnuTar) {
  TarWriter writer(folder_ / "a.tar");
  writer.add("x/gr\xc3\xbc\xc3\x9f.txt", "hello");
  writer.add(std::string(90, 'y') + "/" + std::string(90, 'z') + ".txt", "long");
  writer.commit();
  EXPECT_EQ(shell("tar -xf a.tar && cat x/gr*.txt y*/z*.txt"), "hellolong");
}

TEST_F(TarWritten, IsTheSameEachTimeAndKnowsItsHash) {
  const std::string hash = write_all("a.tar");
  EXPECT_EQ(write_all("b.tar"), hash);
  EXPECT_EQ(sha256_of_file(folder_ / "a.tar"), hash);
  EXPECT_EQ(read(folder_ / "a.tar"), read(folder_ / "b.tar"));
}

TEST_F(TarWritten, IsAbsentUntilComplete) {
  {
    TarWriter writer(folder_ / "a.tar");
    writer.add("a.txt", "x");
    EXPECT_FALSE(fs::exists(folder_ / "a.tar"));
  }
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(TarWritten, NamesThatCannotBeAreBugs) {
  TarWriter writer(folder_ / "a.tar");
  for (const auto& name :
       {std::string(), std::string("folder/"), std::string("a\0b", 3), std::string(40000, 'x')})
    EXPECT_THROW(writer.add(name, ""), InternalError);
}

}  // namespace
}  // namespace pixart::formats
