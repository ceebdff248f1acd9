// Progress of making a feature set that several processes may share.
#pragma once
#include <string>

#include "pixart/base/progress.h"
#include "pixart/data/feature_set.h"

namespace pixart::features {

// Shows the share of the whole set, with the time left at the rate of all processes, and the rate of this process
// if others work, too.
class SetProgress {
 public:
  // `count_seconds`: between two looks at the shards of others.
  SetProgress(const std::string& what, const std::string& unit, const data::FeatureWork& work,
              double count_seconds = 5);
  void add(int64_t items);  // this process has computed them
  void finish();            // the set is complete

 private:
  void count_finished();
  data::FeatureWork work_;  // its shards
  int64_t total_, own_ = 0, shown_ = 0;
  int64_t finished_ = 0, own_then_ = 0;  // items of shards that existed when they were last counted
  double count_seconds_, started_, next_count_;
  Progress bar_;
};

}  // namespace pixart::features
