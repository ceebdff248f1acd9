#include "process.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "pixart/formats/hash.h"

namespace pixart::testing {
namespace fs = std::filesystem;

fs::path pixart_binary() {
  const char* binary = std::getenv("PIXART_BIN");
  if (binary == nullptr) throw std::runtime_error("PIXART_BIN is not set; run this test with ctest");
  return binary;
}

Process::Process(const std::vector<std::string>& arguments, const fs::path& folder, int64_t file_size_limit,
                 const std::function<void()>& before_start)
    : output_(folder / "output.txt") {
  const std::string binary = pixart_binary();
  std::vector<char*> argv = {const_cast<char*>(binary.c_str())};
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const std::string cache = fs::absolute(folder / ".cache");
  pid_ = ::fork();
  if (pid_ != 0) return;
  const int out = ::open(output_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  ::dup2(out, 1);
  ::dup2(out, 2);
  ::setenv("XDG_CACHE_HOME", cache.c_str(), 1);
  if (::chdir(folder.c_str()) != 0) ::_exit(99);
  if (file_size_limit >= 0) {
    const rlimit limit{rlim_t(file_size_limit), rlim_t(file_size_limit)};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  if (before_start) before_start();
  ::execv(binary.c_str(), argv.data());
  ::_exit(98);
}

void Process::kill(int signal) { ::kill(pid_, signal); }

std::vector<pid_t> Process::children() const {
  const std::string pid = std::to_string(pid_);
  std::vector<pid_t> result;
  std::ifstream stream("/proc/" + pid + "/task/" + pid + "/children");
  for (pid_t child; stream >> child;) result.push_back(child);
  return result;
}

bool Process::has_ended() const {
  siginfo_t info{};  // the process is left to be waited for
  return ::waitid(P_PID, id_t(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid_;
}

std::string variable_of(pid_t pid, const std::string& name) {
  std::ifstream stream("/proc/" + std::to_string(pid) + "/environ");
  for (std::string entry; std::getline(stream, entry, '\0');)
    if (entry.compare(0, name.size() + 1, name + "=") == 0) return entry.substr(name.size() + 1);
  return "";
}

ProcessResult Process::wait() {
  int status = 0;
  rusage used{};
  ::wait4(pid_, &status, 0, &used);
  std::ifstream stream(output_);
  std::ostringstream text;
  text << stream.rdbuf();
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), text.str(),
          int64_t(used.ru_maxrss) << 10};
}

ProcessResult run_pixart(const std::vector<std::string>& arguments, const fs::path& folder,
                         int64_t file_size_limit) {
  return Process(arguments, folder, file_size_limit).wait();
}

namespace {

void redirect_output(int descriptor) {
  ::dup2(descriptor, STDOUT_FILENO);
  ::dup2(descriptor, STDERR_FILENO);
  ::close(descriptor);
}

}  // namespace

void break_the_pipe() {
  int ends[2] = {-1, -1};
  if (::pipe(ends) != 0) ::_exit(97);
  ::close(ends[0]);
  redirect_output(ends[1]);
}

void fill_the_disk() { redirect_output(::open("/dev/full", O_WRONLY)); }

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (fs::temp_directory_path() / "pixart-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string tiny_run_yaml() {
  return R"(run: run
seed: 3
threads: 2
device: cpu
autoencoder: {block_out_channels: [8, 8, 16], layers_per_block: 1, norm_num_groups: 4}
text_encoder: {max_tokens: 10, d_model: 32, num_layers: 1, num_heads: 2, d_ff: 32}
transformer: {patch_size: 2, hidden_size: 36, depth: 2, num_heads: 2}
sources:
  - {name: scenes, type: scenes, count: 48}
stages:
  - name: autoencoder
    objective: autoencoder
    source: scenes
    resolution: 32
    steps: 8
    batch_size: 8
    ema_decay: 0
    gradient_clip: 1
    checkpoints: {every: 2}
  - name: class
    objective: class_conditional
    source: scenes
    resolution: 32
    steps: 30
    batch_size: 8
    micro_batch_size: 4
    gradient_clip: 1
    ema_decay: 0.9
    lr_schedule: {warmup_steps: 4}
    log_every: 5
    samples: {num_steps: 2, prompts: [red circle]}
    checkpoints: {every: 5}
  - name: text
    objective: text_conditional
    source: scenes
    resolution: 32
    steps: 30
    batch_size: 8
    init: {how: reparameterize, from: class}
    frozen: [t_embedder.*]
    optimizer: {name: came, weight_decay: 0.01, no_decay: ["*.bias"]}
    gradient_clip: 1
    ema_decay: 0.9
    lr_schedule: {warmup_steps: 4}
    log_every: 5
    samples: {num_steps: 2, prompts: [a red circle on a white background]}
    checkpoints: {every: 5}
  - name: larger
    objective: text_conditional
    source: scenes
    resolution: 48
    steps: 6
    batch_size: 4
    multi_scale: true
    init: {how: copy, from: text}
    gradient_clip: 1
    samples: {num_steps: 2, prompts: [a red circle on a white background]}
    checkpoints: {every: 3}
)";
}

void write_text(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto found = text.find(from);
  if (found == std::string::npos) throw std::runtime_error("the text holds no '" + from + "'");
  return text.replace(found, from.size(), to);
}

std::vector<std::string> final_hashes(const fs::path& run) {
  std::vector<std::string> hashes;
  for (const char* stage : {"autoencoder", "class", "text", "larger"}) {
    std::vector<fs::path> steps;
    for (const auto& entry : fs::directory_iterator(run / "checkpoints" / stage))
      steps.push_back(entry.path());
    std::sort(steps.begin(), steps.end());
    for (const char* file : {"model.safetensors", "ema.safetensors", "optimizer.safetensors"})
      hashes.push_back(stage + std::string("/") + file + " " + formats::sha256_of_file(steps.back() / file));
  }
  return hashes;
}

std::vector<std::string> files_below(const fs::path& folder) {
  std::vector<std::string> files;
  if (!fs::exists(folder)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files.push_back(fs::relative(entry.path(), folder));
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace pixart::testing
