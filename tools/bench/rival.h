// A rival program that runs in its own process. It takes turns with pixart, so that a busy machine slows both
// equally.
#pragma once
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace pixart::bench {

// A program that answers each line of its standard input with one line of JSON.
class Rival {
 public:
  explicit Rival(const std::vector<std::string>& command);
  ~Rival();  // closes its input and waits
  Rival(const Rival&) = delete;
  Rival& operator=(const Rival&) = delete;

  nlohmann::json ask(const std::string& line);  // throws UserError if it dies; its own messages go to stderr

 private:
  std::string name_;
  int child_ = -1;
  std::FILE *to_ = nullptr, *from_ = nullptr;
};

// Checks the files that a rival needs. Throws UserError before any time is spent.
void require_files(const std::vector<std::string>& files);

// Pins this process and its later children to their current processor, with one thread in LibTorch.
void use_one_core();

nlohmann::ordered_json spread(std::vector<double> values);  // median, min, max
double median(std::vector<double> values);

// Processor, load average of the last minute, date.
nlohmann::ordered_json conditions();

}  // namespace pixart::bench
