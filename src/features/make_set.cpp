#include "make_set.h"

#include <algorithm>

#include "extract_common.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/data/feature_update.h"
#include "pixart/distributed/phase.h"
#include "pixart/features/disk_space.h"
#include "pixart/run/stopped.h"
#include "shared_work.h"

namespace pixart::features {
namespace fs = std::filesystem;

namespace {

constexpr double kHelpAfterSeconds = 10;

void make(data::FeatureWork work, const SetOptions& options) {
  if (!data::has_feature_set(work.folder))
    distributed::enter_phase("making the features " + work.folder.filename().string());
  work.shared = shared_with_ranks();
  work.help_after_seconds = options.helps ? kHelpAfterSeconds : 0;
  blame_silent_rank([&] {
    if (!data::make_feature_set(work)) throw run::stopped("extraction; finished shards are kept");
  });
}

// What the new set needs at least, more than the former one: unchanged shards are links.
void require_space(const run::RunConfig& config, const fs::path& former, const data::FeatureWork& work) {
  const auto manifest = data::read_feature_manifest(former);
  int64_t items = 0;
  for (const auto& shard : manifest.shards) items += shard.items;
  if (items == 0) return;
  const double bytes_per_item = double(data::feature_bytes(manifest)) / double(items);
  DiskSpace space(config);
  space.add(work.folder, "features",
            bytes_per_item * double(std::min(data::num_missing_items(work), work.items - items)));
  Problems problems;
  space.add_problems(problems);
  problems.throw_if_any("there is no room for the features of a source that has grown");
}

// An error of this process does not matter if another one, which had more of the set, has given it its name.
void update(const run::RunConfig& config, const data::FeatureWork& work, const SetMaker& maker,
            const SetOptions& options) {
  if (!data::is_outdated(work)) return;
  const fs::path folder = data::update_folder(work.folder);
  log::info("{}: its source has changed. It is made anew in {}; features of unchanged samples are taken over",
            work.folder.string(), folder.string());
  try {
    maker.take_from(work.folder);
    auto fresh = data::with_links_to(maker.work(folder), work.folder);
    if (!data::is_outdated(work)) return maker.end();
    for (auto& input : fresh.manifest.inputs) input.hint.clear();  // the advice is followed already
    maker.begin(fresh);
    require_space(config, work.folder, fresh);
    make(fresh, options);
  } catch (const UserError&) {
    if (data::has_feature_set(folder) || data::is_outdated(work)) throw;
  }
  maker.end();
  blame_silent_rank([&] { data::finish_update(work); });
}

}  // namespace

void make_set(const run::RunConfig& config, const fs::path& folder, const SetMaker& maker,
              const SetOptions& options) {
  auto work = maker.work(folder);
  work.shared = shared_with_ranks();
  data::recover_update(folder, work.shared);
  if (options.is_mended) mend(work);
  if (options.is_updated) {
    update(config, work, maker, options);
    data::recover_update(folder, work.shared);
  }
  if (!data::has_feature_set(folder)) maker.begin(work);
  make(work, options);
  maker.end();
}

}  // namespace pixart::features
