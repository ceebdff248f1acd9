// Runs the real binary (PIXART_BIN) as a user would.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace pixart::testing {

std::filesystem::path pixart_binary();  // PIXART_BIN; throws if it is not set

struct ProcessResult {
  int code = -1;           // exit code, or 128 + signal
  std::string output;      // stdout and stderr
  int64_t peak_bytes = 0;  // largest resident memory of the process
};

// A running `pixart ARGS...` in `folder`; its output goes to a file there.
class Process {
 public:
  // `before_start` runs in the new process, after its output was redirected.
  Process(const std::vector<std::string>& arguments, const std::filesystem::path& folder,
          int64_t file_size_limit = -1, const std::function<void()>& before_start = {});
  void kill(int signal);
  pid_t id() const { return pid_; }
  std::vector<pid_t> children() const;
  bool has_ended() const;
  ProcessResult wait();

 private:
  pid_t pid_;
  std::filesystem::path output_;
};

ProcessResult run_pixart(const std::vector<std::string>& arguments, const std::filesystem::path& folder,
                         int64_t file_size_limit = -1);

// Environment variables for the processes that start while it lives.
class Environment {
 public:
  explicit Environment(const std::vector<std::pair<std::string, std::string>>& values) {
    for (const auto& [name, value] : values) {
      ::setenv(name.c_str(), value.c_str(), 1);
      names_.push_back(name);
    }
  }
  ~Environment() {
    for (const auto& name : names_) ::unsetenv(name.c_str());
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  std::vector<std::string> names_;
};

// The value of a variable in the environment of a process; "" if there is none.
std::string variable_of(pid_t pid, const std::string& name);

// For `before_start`: standard output and error go into a pipe that nobody reads, into a file on a full disk.
void break_the_pipe();
void fill_the_disk();

// A fresh folder, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// A run of a few seconds: autoencoder, class, text and a third stage on 48 drawn scenes.
std::string tiny_run_yaml();
void write_text(const std::filesystem::path& path, const std::string& text);
std::string replaced(std::string text, const std::string& from,
                     const std::string& to);  // fails if `from` is absent

// SHA-256 of each weight file of the last checkpoint of each stage, in order.
std::vector<std::string> final_hashes(const std::filesystem::path& run);

// Files in a folder, recursively, relative, sorted.
std::vector<std::string> files_below(const std::filesystem::path& folder);

}  // namespace pixart::testing
