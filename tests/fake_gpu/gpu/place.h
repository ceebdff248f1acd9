// Where in the program something happened.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>

namespace fake_gpu {

// Return addresses in the program, relative to its begin, innermost first; 0 where there are fewer.
using Place = std::array<uintptr_t, 6>;
Place caller();

// The code of a function that the program exports; empty if it does not. `symbol` is its mangled name.
struct Code {
  uintptr_t begin = 0, end = 0;
};
Code code_of(const char* symbol);
bool is_called_by(const Code& function);

// "function at file:line < its caller" of each place. Starts addr2line once; without debug information the
// lines are missing, without addr2line the functions are, too.
std::map<Place, std::string> describe(const std::set<Place>& places);

}  // namespace fake_gpu
