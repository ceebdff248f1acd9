#include "pixart/distributed/agreement.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

#include "pixart/base/claim.h"
#include "pixart/base/failure.h"
#include "pixart/distributed/phase.h"

namespace pixart::distributed {

namespace {

// One value of each rank, in rank order.
at::Tensor gather_value(Communicator& communicator, const at::Tensor& value, std::string_view phase) {
  at::Tensor all = at::empty({communicator.world_size()}, value.options());
  communicator.all_gather(value, all, phase);
  return all;
}

at::Tensor bytes_of(const std::string& text, int64_t length) {
  at::Tensor bytes = at::zeros({length}, at::kByte);
  if (!text.empty()) std::memcpy(bytes.data_ptr(), text.data(), text.size());
  return bytes;
}

// What the other ranks are told. A bug of this program, or the silence of another rank, which would not answer,
// is thrown again: it ends this rank, and so the others.
RankError error_of(const std::exception& thrown) {
  if (dynamic_cast<const SilentHolder*>(&thrown) != nullptr) throw;
  const auto failure = explain(thrown);
  if (failure.code == ExitCode::kInternal) throw;
  return {failure.message, failure.code};
}

}  // namespace

bool any_rank(Communicator& communicator, bool value, std::string_view phase) {
  return sum_over_ranks(communicator, value ? 1 : 0, phase) > 0;
}

bool all_agree(Communicator& communicator, bool value, std::string_view phase) {
  return !any_rank(communicator, !value, phase);
}

double max_over_ranks(Communicator& communicator, double value, std::string_view phase) {
  return gather_value(communicator, at::full({1}, value, at::kDouble), phase).max().item<double>();
}

int64_t sum_over_ranks(Communicator& communicator, int64_t value, std::string_view phase) {
  at::Tensor sum = at::full({1}, value, at::kLong);
  communicator.all_reduce_sum(sum, phase);
  return sum.item<int64_t>();
}

std::vector<std::string> gather_strings(Communicator& communicator, const std::string& text,
                                        std::string_view phase) {
  const at::Tensor lengths =
      gather_value(communicator, at::full({1}, int64_t(text.size()), at::kLong), phase);
  const int64_t longest = lengths.max().item<int64_t>();
  std::vector<std::string> texts(static_cast<size_t>(communicator.world_size()));
  if (longest == 0) return texts;
  at::Tensor all = at::empty({communicator.world_size() * longest}, at::kByte);
  communicator.all_gather(bytes_of(text, longest), all, phase);
  const char* data = static_cast<const char*>(all.data_ptr());
  for (size_t r = 0; r < texts.size(); ++r)
    texts[r].assign(data + int64_t(r) * longest, size_t(lengths[int64_t(r)].item<int64_t>()));
  return texts;
}

std::string broadcast_string(Communicator& communicator, const std::string& text, int root,
                             std::string_view phase) {
  at::Tensor length = at::full({1}, int64_t(text.size()), at::kLong);
  communicator.broadcast(length, root, phase);
  const auto size = length.item<int64_t>();
  if (size == 0) return "";
  at::Tensor bytes = communicator.rank() == root ? bytes_of(text, size) : at::empty({size}, at::kByte);
  communicator.broadcast(bytes, root, phase);
  return {static_cast<const char*>(bytes.data_ptr()), size_t(size)};
}

void throw_together(Communicator& communicator, const std::optional<RankError>& error,
                    std::string_view phase) {
  if (!any_rank(communicator, error.has_value(), phase)) return;
  // "<code> <message>" of the failed ranks.
  const auto texts = gather_strings(
      communicator, error ? fmt::format("{} {}", int(error->code), error->message) : "", phase);
  std::vector<std::string> messages;
  std::optional<ExitCode> code;
  for (size_t r = 0; r < texts.size(); ++r) {
    if (texts[r].empty()) continue;
    const size_t space = texts[r].find(' ');
    if (!code) code = ExitCode(std::stoi(texts[r].substr(0, space)));
    const std::string message = texts[r].substr(space + 1);
    messages.push_back(texts.size() == 1 ? message : fmt::format("rank {}: {}", r, message));
  }
  std::string all = messages.front();
  for (size_t i = 1; i < messages.size(); ++i) all += "\n" + messages[i];
  throw UserError(all, code.value_or(ExitCode::kInternal));
}

void all_together(Communicator& communicator, std::string_view phase, const std::function<void()>& work) {
  if (communicator.world_size() == 1) return work();
  enter_phase(phase);
  std::optional<RankError> error;
  try {
    work();
  } catch (const std::exception& thrown) {
    error = error_of(thrown);
  }
  throw_together(communicator, error, phase);
}

void on_first_rank(Communicator& communicator, std::string_view phase, const std::function<void()>& work) {
  all_together(communicator, phase, [&] {
    if (communicator.rank() == 0) work();
  });
}

bool together_until(Communicator& communicator, std::string_view phase, const std::function<bool()>& asked,
                    const std::function<void(const std::function<bool()>& asked)>& work) {
  constexpr int64_t kEnd = int64_t{1} << 32;  // of a rank that has finished
  std::optional<RankError> error;
  bool stop = false;
  // Returns whether all ranks have finished.
  const auto vote = [&](bool ends) {
    const bool wants_stop = asked() || error.has_value();
    const int64_t sum = sum_over_ranks(communicator, (wants_stop ? 1 : 0) + (ends ? kEnd : 0), phase);
    stop = stop || sum % kEnd > 0;
    return sum / kEnd == communicator.world_size();
  };
  try {
    work([&] {
      if (!stop) vote(false);
      return stop;
    });
  } catch (const std::exception& thrown) {
    error = error_of(thrown);
  }
  while (!vote(true)) {
  }
  throw_together(communicator, error, phase);
  return stop;
}

}  // namespace pixart::distributed
