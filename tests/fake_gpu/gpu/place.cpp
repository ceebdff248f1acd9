#include "place.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace fake_gpu {

namespace {

struct Program {
  uintptr_t base = 0, begin = UINTPTR_MAX, end = 0;
};

// dl_iterate_phdr names the program first.
int note_program(dl_phdr_info* info, size_t, void* data) {
  auto& program = *static_cast<Program*>(data);
  program.base = info->dlpi_addr;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& part = info->dlpi_phdr[i];
    if (part.p_type != PT_LOAD) continue;
    program.begin = std::min<uintptr_t>(program.begin, program.base + part.p_vaddr);
    program.end = std::max<uintptr_t>(program.end, program.base + part.p_vaddr + part.p_memsz);
  }
  return 1;
}

Program find_program() {
  Program program;
  ::dl_iterate_phdr(&note_program, &program);
  return program;
}

struct Line {
  std::string function, file;
};
using Lines = std::map<uintptr_t, std::vector<Line>>;  // innermost inlined function first

std::vector<std::string> lines_of_command(const std::string& command) {
  std::vector<std::string> lines;
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return lines;
  char* text = nullptr;
  size_t size = 0;
  for (ssize_t length; (length = ::getline(&text, &size, pipe)) > 0;)
    lines.emplace_back(text, size_t(length - (text[length - 1] == '\n')));
  std::free(text);
  ::pclose(pipe);
  return lines;
}

Lines find_lines(const std::set<uintptr_t>& addresses) {
  char path[4096] = {};
  if (addresses.empty() || ::readlink("/proc/self/exe", path, sizeof path - 1) < 0) return {};
  std::string command = "LD_PRELOAD= addr2line -a -f -i -C -e '" + std::string(path) + "'";
  char number[32];
  for (const uintptr_t address : addresses) {
    std::snprintf(number, sizeof number, " %#lx", static_cast<unsigned long>(address));
    command += number;
  }
  Lines result;
  std::vector<Line>* lines = nullptr;
  for (const std::string& text : lines_of_command(command + " 2>/dev/null")) {
    if (text.rfind("0x", 0) == 0) {
      lines = &result[std::stoul(text, nullptr, 16)];
    } else if (lines != nullptr && (lines->empty() || !lines->back().file.empty())) {
      lines->push_back({text, ""});
    } else if (lines != nullptr) {
      lines->back().file = text;
    }
  }
  return result;
}

std::string without(std::string text, const std::string& part) {
  for (size_t at; (at = text.find(part)) != std::string::npos;) text.erase(at, part.size());
  return text;
}

// "pixart::train::step at src/train/step.cpp:34"
std::string text_of(const Line& line) {
  std::string text = without(line.function, "(anonymous namespace)::");
  text = text.substr(0, text.find('('));
  std::string file = line.file.substr(0, line.file.find(" (discriminator"));
  if (file.ends_with(":?") || file.ends_with(":0")) file.resize(file.size() - 2);
  if (file.empty() || file[0] == '?') return text;
  for (const char* folder : {"/src/", "/tools/", "/tests/"})
    if (const auto at = file.rfind(folder); at != std::string::npos) file = file.substr(at + 1);
  return text + " at " + file;
}

// The two innermost functions of our own; templates of LibTorch's headers are in the program, too.
std::string text_of(const Place& place, const Lines& lines) {
  std::vector<std::string> texts;
  std::string other = "outside the program";
  for (const uintptr_t address : place) {
    const auto found = lines.find(address);
    if (address == 0 || found == lines.end()) continue;
    for (const Line& line : found->second) {
      const std::string text = text_of(line);
      const auto ours = text.find("pixart::");  // not as an argument of a template
      const bool is_ours = ours != std::string::npos && text.find('<') > ours;
      if (is_ours && texts.size() < 2 && (texts.empty() || texts.back() != text)) texts.push_back(text);
      if (texts.empty()) other = text;
    }
  }
  if (texts.empty()) return other;
  return texts.size() == 1 ? texts[0] : texts[0] + " < " + texts[1];
}

constexpr int kMostFrames = 96;

}  // namespace

Code code_of(const char* symbol) {
  void* address = ::dlsym(RTLD_DEFAULT, symbol);
  Dl_info info{};
  void* entry = nullptr;
  if (address == nullptr || ::dladdr1(address, &info, &entry, RTLD_DL_SYMENT) == 0 || entry == nullptr)
    return {};
  const auto begin = reinterpret_cast<uintptr_t>(address);
  return {begin, begin + static_cast<const ElfW(Sym)*>(entry)->st_size};
}

bool is_called_by(const Code& function) {
  void* frames[kMostFrames];
  const int count = ::backtrace(frames, kMostFrames);
  return std::any_of(frames, frames + count, [&](void* frame) {
    const auto address = reinterpret_cast<uintptr_t>(frame);  // after the call
    return address > function.begin && address <= function.end;
  });
}

Place caller() {
  static const Program program = find_program();
  void* frames[kMostFrames];
  const int count = ::backtrace(frames, kMostFrames);
  Place place{};
  size_t found = 0;
  for (int i = 0; i < count && found < place.size(); ++i) {
    const auto address = reinterpret_cast<uintptr_t>(frames[i]);
    if (address < program.begin || address >= program.end) continue;
    place[found++] = address - program.base - 1;  // in the call, not after it
  }
  return place;
}

std::map<Place, std::string> describe(const std::set<Place>& places) {
  std::set<uintptr_t> addresses;
  for (const Place& place : places) addresses.insert(place.begin(), place.end());
  addresses.erase(0);
  const Lines lines = find_lines(addresses);
  std::map<Place, std::string> result;
  for (const Place& place : places) result[place] = text_of(place, lines);
  return result;
}

}  // namespace fake_gpu
