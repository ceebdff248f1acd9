#include <charconv>

#include "pixart/base/error.h"
#include "pixart/distributed/launch_variables.h"

namespace pixart::distributed {

namespace {

[[noreturn]] void fail(const std::string& what, const std::string& text) {
  throw UserError(fmt::format("cannot read SLURM's {} '{}'", what, text));
}

}  // namespace

std::string first_host(const std::string& node_list) {
  std::string host;
  for (size_t i = 0; i < node_list.size() && node_list[i] != ','; ++i) {
    if (node_list[i] == ']') fail("node list", node_list);
    if (node_list[i] != '[') {
      host += node_list[i];
      continue;
    }
    const size_t close = node_list.find(']', i);
    if (close == std::string::npos) fail("node list", node_list);
    const std::string inside = node_list.substr(i + 1, close - i - 1);
    const std::string first = inside.substr(0, inside.find_first_of(",-"));
    if (first.empty() || first.find_first_not_of("0123456789") != std::string::npos)
      fail("node list", node_list);
    host += first;
    i = close;
  }
  if (host.empty() || host.find_first_of(" \t\n") != std::string::npos) fail("node list", node_list);
  return host;
}

std::vector<int> tasks_per_node(const std::string& text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto number = [&] {
    int value = 0;
    const auto [next, problem] = std::from_chars(at, end, value);
    if (problem != std::errc() || value < 1 || value > 1'000'000) fail("tasks per node", text);
    at = next;
    return value;
  };
  const auto accept = [&](std::string_view word) {
    const bool is_there = std::string_view(at, size_t(end - at)).starts_with(word);
    if (is_there) at += word.size();
    return is_there;
  };
  std::vector<int> tasks;
  do {
    const int each = number();
    int nodes = 1;
    if (accept("(x")) {
      nodes = number();
      if (!accept(")")) fail("tasks per node", text);
    }
    tasks.insert(tasks.end(), size_t(nodes), each);
  } while (accept(","));
  if (at != end) fail("tasks per node", text);
  return tasks;
}

}  // namespace pixart::distributed
