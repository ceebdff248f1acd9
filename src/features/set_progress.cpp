#include "set_progress.h"

#include <algorithm>

#include "pixart/base/env.h"

namespace pixart::features {

SetProgress::SetProgress(const std::string& what, const std::string& unit, const data::FeatureWork& work,
                         double count_seconds)
    : total_(data::num_missing_items(work)),
      count_seconds_(count_seconds),
      started_(monotonic_seconds()),
      next_count_(started_ + count_seconds),
      bar_(what, total_, unit) {
  work_.folder = work.folder;
  work_.items = work.items;
  work_.items_per_shard = work.items_per_shard;
}

void SetProgress::count_finished() {
  if (monotonic_seconds() < next_count_) return;
  finished_ = total_ - data::num_missing_items(work_);
  own_then_ = own_;
  next_count_ = monotonic_seconds() + count_seconds_;
}

void SetProgress::add(int64_t items) {
  own_ += items;
  count_finished();
  shown_ = std::max({shown_, own_, finished_ + own_ - own_then_});
  const double seconds = monotonic_seconds() - started_;
  const bool has_others = shown_ > own_ && seconds > 0;
  bar_.update(shown_, has_others ? fmt::format("this process {:.1f}/s", double(own_) / seconds) : "");
}

void SetProgress::finish() { bar_.update(total_); }

}  // namespace pixart::features
