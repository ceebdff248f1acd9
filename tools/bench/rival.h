// A rival that runs beside us as a process of its own and is asked in turn, so that a busy machine hits both
// alike.
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

  nlohmann::json ask(const std::string& line);  // throws UserError if it dies; what it says stands on stderr

 private:
  std::string name_;
  int child_ = -1;
  std::FILE *to_ = nullptr, *from_ = nullptr;
};

// What a rival needs; throws UserError before any time is spent.
void require_files(const std::vector<std::string>& files);

// This process and its children from now on run on the processor that it is on, with one thread in LibTorch.
void use_one_core();

nlohmann::ordered_json spread(std::vector<double> values);  // median, min, max
double median(std::vector<double> values);

// Processor, load average of the last minute, date.
nlohmann::ordered_json conditions();

}  // namespace pixart::bench
