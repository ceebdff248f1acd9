#include "pixart/run/checkpoint_writer.h"

#include <ATen/ATen.h>

#include <chrono>
#include <cstring>

#include "host_copies.h"
#include "pixart/base/error.h"
#include "pixart/base/failure.h"
#include "pixart/base/log.h"

namespace pixart::run {

namespace {

bool fits(const at::Tensor& host, const at::Tensor& live) {
  return host.defined() && host.sizes() == live.sizes() && host.scalar_type() == live.scalar_type();
}

// Uses one thread if `live` is contiguous: the memory limits the speed, and threads that wait for each other
// take ten times as long when the machine has other work.
void copy(at::Tensor& host, const at::Tensor& live) {
  if (!fits(host, live)) host = at::empty(live.sizes(), at::TensorOptions().dtype(live.scalar_type()));
  if (live.is_contiguous())
    std::memcpy(host.mutable_data_ptr(), live.const_data_ptr(), live.nbytes());
  else
    host.copy_(live.detach());
}

bool is_of_path(const std::exception& error) {
  return dynamic_cast<const std::filesystem::filesystem_error*>(&error) != nullptr;
}

std::string newest_step(const std::filesystem::path& stage_folder) {
  try {
    const auto all = list_checkpoints(stage_folder);
    return all.empty() ? "there is none yet" : fmt::format("the newest one is of step {}", all.back().step);
  } catch (const UserError&) {
    return "the folder cannot be read";
  }
}

}  // namespace

CheckpointWriter::CheckpointWriter(std::filesystem::path stage_folder, CheckpointKeeping keeping,
                                   OnSaveError on_error, CheckpointShares shares)
    : stage_folder_(std::move(stage_folder)),
      keeping_(std::move(keeping)),
      on_error_(on_error),
      shares_(std::move(shares)),
      from_gpu_(std::make_unique<HostCopies>()) {}

CheckpointWriter::~CheckpointWriter() {
  try {
    wait();
  } catch (const std::exception& error) {
    log::error("a checkpoint was not saved: {}", error.what());
  }
}

void CheckpointWriter::start(const CheckpointContent& live) {
  wait();
  check();
  copy_to_host(live);
  saving_ = std::async(std::launch::async | std::launch::deferred, [this] { write(); });
}

void CheckpointWriter::check() {
  using namespace std::chrono_literals;
  if (saving_.valid() && saving_.wait_for(0s) != std::future_status::ready) return;
  settle();
}

void CheckpointWriter::settle() {
  const auto failure = wait();
  if (failure && on_error_ == OnSaveError::kStop) throw UserError(*failure, failure_code_);
}

void CheckpointWriter::finish() {
  if (const auto failure = wait()) throw UserError(*failure, failure_code_);
}

std::optional<std::string> CheckpointWriter::wait() {
  const auto failed = [&](const Failure& why) {
    failure_code_ = why.code == ExitCode::kDevice ? ExitCode::kDevice : ExitCode::kStorage;
    failure_ =
        fmt::format("the checkpoint of step {} was not saved: {} Earlier checkpoints are unchanged; {}.",
                    host_.step, why.message, newest_step(stage_folder_));
    log::error("{}{}", failure_, on_error_ == OnSaveError::kContinue ? " The next save tries again." : "");
  };
  if (saving_.valid()) {
    failure_.clear();
    try {
      saving_.get();
      durable_ = host_.step;
    } catch (const std::exception& error) {
      const Failure why = explain(error);
      if (why.code != ExitCode::kStorage && why.code != ExitCode::kDevice && !is_of_path(error)) throw;
      failed(why);
    }
  }
  if (failure_.empty()) return std::nullopt;
  return failure_;
}

void CheckpointWriter::copy_to_host(const CheckpointContent& live) {
  host_.step = live.step;
  host_.metadata = live.metadata;
  host_.state = live.state;
  host_.refusal = live.refusal;
  host_.files.resize(live.files.size());
  std::vector<at::Tensor> on_gpu;
  std::vector<at::Tensor*> their_copies;
  for (size_t f = 0; f < live.files.size(); ++f) {
    host_.files[f].name = live.files[f].name;
    auto& tensors = host_.files[f].tensors;
    tensors.resize(live.files[f].tensors.size());
    for (size_t t = 0; t < tensors.size(); ++t) {
      const auto& [name, tensor] = live.files[f].tensors[t];
      tensors[t].name = name;
      if (tensor.is_cpu()) {
        copy(tensors[t].tensor, tensor);
        continue;
      }
      on_gpu.push_back(tensor.contiguous());
      their_copies.push_back(&tensors[t].tensor);
    }
  }
  const auto copies = from_gpu_->copy(on_gpu);
  for (size_t i = 0; i < copies.size(); ++i) *their_copies[i] = copies[i];
}

void CheckpointWriter::write() {
  write_checkpoint(stage_folder_, host_, shares_);
  if (shares_.rank > 0) return;
  good_.insert(host_.step);
  try {
    prune_checkpoints(stage_folder_, keeping_, good_);
  } catch (const std::exception& error) {  // the new checkpoint is saved nevertheless
    log::warning("old checkpoints are not deleted: {}", error.what());
  }
}

}  // namespace pixart::run
