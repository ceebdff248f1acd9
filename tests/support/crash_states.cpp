#include "crash_states.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <stdexcept>
#include <unordered_set>

namespace pixart::testing {
namespace fs = std::filesystem;

namespace {

constexpr size_t kNever = SIZE_MAX;
constexpr int kRoot = 1;

// An operation on files by number, which does not depend on the names that lead there.
struct Effect {
  enum Kind { kNone, kWrite, kTruncate, kLink, kRename, kExchange, kUnlink } kind = kNone;
  int file = 0;  // written, truncated or linked
  int folder = 0, to_folder = 0;
  std::string name, to_name;
  bool is_folder = false;      // of what is linked
  size_t covered_at = kNever;  // operation whose fsync covers it
};

struct Place {
  int folder;
  std::string name;
};

struct Disk {
  std::map<int, std::map<std::string, int>> folders = {{kRoot, {}}};
  std::map<int, std::string> files;

  Place place(const std::string& path) const {
    int at = kRoot;
    size_t begin = 0;
    for (size_t slash; (slash = path.find('/', begin)) != std::string::npos; begin = slash + 1)
      at = folders.at(at).at(path.substr(begin, slash - begin));
    return {at, path.substr(begin)};
  }

  // Without a name yet.
  void add(const Effect& effect) {
    if (effect.is_folder)
      folders[effect.file];
    else
      files[effect.file];
  }

  enum class How { kWhole, kZeros, kHalf };
  void apply(const Effect& effect, const Operation& operation, How how = How::kWhole) {
    switch (effect.kind) {
      case Effect::kNone:
        return;
      case Effect::kWrite: {
        auto& file = files[effect.file];
        const size_t size = how == How::kHalf ? operation.bytes.size() / 2 : operation.bytes.size();
        file.resize(std::max<size_t>(file.size(), operation.offset + size));
        file.replace(operation.offset, size,
                     how == How::kZeros ? std::string(size, '\0') : operation.bytes.substr(0, size));
        return;
      }
      case Effect::kTruncate:
        files[effect.file].resize(operation.offset);
        return;
      case Effect::kLink:
        add(effect);
        folders[effect.folder][effect.name] = effect.file;
        return;
      case Effect::kRename:
        folders[effect.folder].erase(effect.name);
        folders[effect.to_folder][effect.to_name] = effect.file;
        return;
      case Effect::kExchange: {
        auto& from = folders[effect.folder];
        auto& to = folders[effect.to_folder];
        const int other = to.count(effect.to_name) != 0 ? to.at(effect.to_name) : 0;
        to[effect.to_name] = effect.file;
        from.erase(effect.name);
        if (other != 0) from[effect.name] = other;
        return;
      }
      case Effect::kUnlink:
        folders[effect.folder].erase(effect.name);
        return;
    }
  }

  void write(int from, const fs::path& to) const {
    for (const auto& [name, id] : folders.at(from)) {
      if (folders.count(id) != 0) {
        fs::create_directory(to / name);
        write(id, to / name);
      } else {
        const auto file = files.find(id);
        std::ofstream(to / name, std::ios::binary) << (file == files.end() ? "" : file->second);
      }
    }
  }

  void describe(int from, std::string& text) const {
    for (const auto& [name, id] : folders.at(from)) {
      text += name + '\0';
      if (folders.count(id) != 0) {
        text += '(';
        describe(id, text);
        text += ')';
      } else if (const auto file = files.find(id); file != files.end()) {
        text += file->second + '\0';
      }
    }
  }
};

std::vector<Effect> effects_of(const std::vector<Operation>& operations) {
  std::vector<Effect> effects(operations.size());
  std::map<uint64_t, int> numbers;  // an inode's number is used again after its file is gone
  int next = kRoot + 1;
  Disk live;
  for (size_t i = 0; i < operations.size(); ++i) {
    const auto& operation = operations[i];
    Effect& effect = effects[i];
    const auto& kind = operation.kind;
    if (kind == "mark") continue;
    if (kind == "sync") {
      const int synced = operation.path == "." ? kRoot : numbers.at(operation.inode);
      for (size_t before = 0; before < i; ++before) {
        const bool is_content =
            effects[before].kind == Effect::kWrite || effects[before].kind == Effect::kTruncate;
        const int covers = is_content                       ? effects[before].file
                           : effects[before].to_folder != 0 ? effects[before].to_folder
                                                            : effects[before].folder;
        if (covers == synced) effects[before].covered_at = std::min(effects[before].covered_at, i);
      }
      continue;
    }
    if (kind == "write" || kind == "truncate") {
      effect.kind = kind == "write" ? Effect::kWrite : Effect::kTruncate;
      effect.file = numbers.at(operation.inode);
    } else {
      const Place place = live.place(operation.path);
      effect.folder = place.folder;
      effect.name = place.name;
      if (kind == "create" || kind == "mkdir") {
        effect.kind = Effect::kLink;
        effect.is_folder = kind == "mkdir";
        effect.file = numbers[operation.inode] = next++;
      } else if (kind == "unlink") {
        effect.kind = Effect::kUnlink;
      } else if (kind == "rename" || kind == "exchange") {
        const Place to = live.place(operation.second);
        effect.kind = kind == "rename" ? Effect::kRename : Effect::kExchange;
        effect.to_folder = to.folder;
        effect.to_name = to.name;
        effect.file = live.folders.at(place.folder).at(place.name);
      } else {
        throw std::runtime_error("unknown operation " + kind);
      }
    }
    live.apply(effect, operation);
  }
  return effects;
}

enum class Fate { kDone, kMissing, kZeros, kHalf };

// What may happen to `count` parts of which `is_write` says whether they are bytes.
std::vector<std::vector<Fate>> fates_of(const std::vector<bool>& is_write, const CrashModel& model,
                                        std::mt19937& random) {
  const size_t count = is_write.size();
  constexpr size_t kFew = 6;
  std::vector<std::vector<Fate>> result;
  if (count <= kFew) {
    for (size_t bits = 0; bits < size_t{1} << count; ++bits) {
      auto& fates = result.emplace_back(count, Fate::kDone);
      for (size_t i = 0; i < count; ++i)
        if (bits >> i & 1) fates[i] = Fate::kMissing;
    }
  } else {
    result.emplace_back(count, Fate::kDone);
    result.emplace_back(count, Fate::kMissing);
    for (size_t i = 0; i < count; ++i) {
      result.emplace_back(count, Fate::kDone)[i] = Fate::kMissing;
      result.emplace_back(count, Fate::kMissing)[i] = Fate::kDone;
    }
  }
  for (size_t i = 0; i < count; ++i)
    if (is_write[i]) {
      result.emplace_back(count, Fate::kDone)[i] = Fate::kZeros;
      result.emplace_back(count, Fate::kDone)[i] = Fate::kHalf;
    }
  for (int selection = 0; count > 0 && selection < model.random_selections; ++selection) {
    auto& fates = result.emplace_back(count, Fate::kDone);
    for (size_t i = 0; i < count; ++i) {
      constexpr Fate kDraws[] = {Fate::kDone, Fate::kDone, Fate::kMissing, Fate::kZeros, Fate::kHalf};
      const Fate fate = kDraws[random() % std::size(kDraws)];
      fates[i] = is_write[i] || fate == Fate::kDone ? fate : Fate::kMissing;
    }
  }
  return result;
}

void empty_folder(const fs::path& folder) {
  fs::create_directories(folder);
  for (const auto& entry : fs::directory_iterator(folder)) fs::remove_all(entry.path());
}

}  // namespace

std::vector<Operation> read_record(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<Operation> operations;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    Operation operation;
    size_t length = 0;
    if (!(words >> operation.kind >> operation.inode >> operation.offset >> length >> operation.path >>
          operation.second))
      throw std::runtime_error("the record has the line " + line);
    operation.bytes.resize(length);
    file.read(operation.bytes.data(), std::streamsize(length));
    operations.push_back(std::move(operation));
  }
  return operations;
}

int64_t for_each_crash_state(const std::vector<Operation>& operations, const CrashModel& model,
                             const fs::path& folder, const std::function<void(const CrashState&)>& visit) {
  const auto effects = effects_of(operations);
  std::mt19937 random(model.seed);
  std::unordered_set<std::string> seen;
  int64_t count = 0;
  CrashState state;
  const auto lay_out = [&](const Disk& disk) {
    std::string text = state.marks.empty() ? "" : state.marks.back() + '\0';
    disk.describe(kRoot, text);
    if (!seen.insert(std::move(text)).second) return;
    empty_folder(folder);
    disk.write(kRoot, folder);
    ++count;
    visit(state);
  };
  for (size_t moment = 0; moment <= operations.size(); ++moment) {
    state.moment = moment;
    if (moment > 0 && operations[moment - 1].kind == "mark")
      state.marks.push_back(operations[moment - 1].path);
    if (!model.weak) {
      Disk disk;
      for (size_t i = 0; i < moment; ++i) disk.apply(effects[i], operations[i]);
      state.what = "nothing";
      lay_out(disk);
      if (moment == operations.size() || effects[moment].kind != Effect::kWrite) continue;
      disk.apply(effects[moment], operations[moment], Disk::How::kHalf);
      state.what = "half of the next write";
      lay_out(disk);
      continue;
    }
    std::vector<size_t> open;
    std::vector<bool> is_write;
    for (size_t i = 0; i < moment; ++i) {
      if (effects[i].kind == Effect::kNone || effects[i].covered_at < moment) continue;
      open.push_back(i);
      is_write.push_back(effects[i].kind == Effect::kWrite);
    }
    for (const auto& fates : fates_of(is_write, model, random)) {
      Disk disk;
      size_t next = 0;
      state.what.clear();
      for (size_t i = 0; i < moment; ++i) {
        Fate fate = Fate::kDone;
        if (next < open.size() && open[next] == i) fate = fates[next++];
        if (fate != Fate::kDone)
          state.what += (fate == Fate::kZeros  ? " zeros:"
                         : fate == Fate::kHalf ? " half:"
                                               : " ") +
                        operations[i].kind + "(" + operations[i].path + ")";
        if (fate == Fate::kMissing && effects[i].kind == Effect::kLink) disk.add(effects[i]);
        if (fate == Fate::kMissing) continue;
        disk.apply(effects[i], operations[i],
                   fate == Fate::kZeros  ? Disk::How::kZeros
                   : fate == Fate::kHalf ? Disk::How::kHalf
                                         : Disk::How::kWhole);
      }
      lay_out(disk);
    }
  }
  return count;
}

}  // namespace pixart::testing
