#include "pixart/study/make.h"

#include <algorithm>
#include <set>

#include "page.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/progress.h"
#include "pixart/base/words.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/image_file.h"
#include "plan.h"

namespace pixart::study {
namespace fs = std::filesystem;

namespace {

constexpr const char* kConsent =
    "You will see images that computer programs made, and say which of them you find better. Your answers are "
    "kept without your name; with each answer is kept how long you looked. You may pause, and you may stop at any "
    "time. By starting you agree that your answers are used for research.";

void check_models(const MakeRequest& request, Problems& problems) {
  const size_t count = request.models.size();
  if (count < 2 || count > size_t(kMostModels))
    problems.add(fmt::format("{} models; give 2 to {}, each as NAME=FOLDER", count, kMostModels));
  std::set<std::string> names;
  for (const auto& model : request.models) {
    if (!is_name(model.name))
      problems.add(fmt::format(
          "the name '{}' of a model: a name has 1 to {} bytes of UTF-8 without control characters",
          model.name, kLongestName));
    if (!names.insert(model.name).second)
      problems.add(fmt::format("two models have the name '{}'", model.name));
  }
}

void check_texts(const MakeRequest& request, Problems& problems) {
  const auto is_long = [](const std::string& text) { return text.size() > kLongestText; };
  if (is_long(request.title) || is_long(request.consent) || is_long(request.post) ||
      std::ranges::any_of(request.prompts, is_long))
    problems.add(fmt::format("the title, the consent, --post or a prompt has more than {} bytes",
                             with_thousands(int64_t(kLongestText))));
  if (request.questions.empty()) problems.add("no question is asked");
  if (std::set(request.questions.begin(), request.questions.end()).size() < request.questions.size())
    problems.add("--questions names one question twice");
}

void check_numbers(const MakeRequest& request, Problems& problems) {
  const auto models = int64_t(request.models.size());
  const int64_t sets = request.design == Design::kPairs ? models * (models - 1) / 2 : 1;
  if (request.prompts.empty() || request.prompts.size() > kMostPrompts)
    problems.add(fmt::format("{} prompts; a study has 1 to {}", request.prompts.size(), kMostPrompts));
  if (request.seen > request.people)
    problems.add(fmt::format("--seen {}: only {} people take part, and nobody sees a comparison twice",
                             request.seen, request.people));
  const int64_t shown = int64_t(request.prompts.size()) * sets * request.seen;
  if (shown < request.people)
    problems.add(
        fmt::format("--people {}: there are only {} comparisons to show, so some people would see none; ask "
                    "fewer people, or raise --seen",
                    request.people, shown));
  if ((shown + request.people * (request.repeats + request.degraded)) * int64_t(request.questions.size()) >
      kMostScreens)
    problems.add(fmt::format("more than {} screens; use fewer prompts or a smaller --seen",
                             with_thousands(kMostScreens)));
  if (request.jpeg && (*request.jpeg < 1 || *request.jpeg > 100))
    problems.add(fmt::format("--jpeg {}: the quality is 1 to 100", *request.jpeg));
}

void check_places(const MakeRequest& request, Problems& problems) {
  std::error_code error;
  if (request.out.empty() || fs::exists(fs::symlink_status(request.out, error)))
    problems.add(fmt::format("{} exists already; a study is a new folder", request.out.string()));
  if (fs::exists(fs::symlink_status(request.key, error)))
    problems.add(
        fmt::format("the key {} exists already, and may be that of another study; give another --key",
                    request.key.string()));
  const auto inside =
      fs::weakly_canonical(request.key, error).lexically_relative(fs::weakly_canonical(request.out, error));
  if (!inside.empty() && *inside.begin() != "..")
    problems.add("the key would be in the folder that people get; give a --key outside of it");
}

// Headers only: whether an image can be shown.
void check_images(const MakeRequest& request, Problems& problems) {
  constexpr size_t kNamed = 40;
  size_t left_out = 0;
  const auto add = [&](std::string problem) {
    if (problems.all().size() < kNamed)
      problems.add(std::move(problem));
    else
      ++left_out;
  };
  for (const auto& model : request.models) {
    PIXART_CHECK(model.images.size() == request.prompts.size(), "an image of each prompt");
    for (size_t i = 0; i < model.images.size(); ++i) {
      std::error_code error;
      if (!fs::is_regular_file(model.images[i], error)) {
        add(fmt::format("{} has no image {} for prompt {}", model.name, model.images[i].string(), i));
        continue;
      }
      try {
        formats::size_of_image(read_file(model.images[i], formats::DecodeLimits{}.file_bytes),
                               model.images[i].string());
      } catch (const UserError& fault) {
        add(fmt::format("{}: {}", model.name, fault.what()));
      }
    }
  }
  if (left_out > 0) problems.add(fmt::format("and {} more", left_out));
}

void check(const MakeRequest& request) {
  Problems problems;
  check_models(request, problems);
  check_texts(request, problems);
  check_numbers(request, problems);
  check_places(request, problems);
  page_script(request.post);  // refuses an address that cannot be in the page
  problems.throw_if_any("study make");
  check_images(request, problems);
  problems.throw_if_any("study make");
}

// An image of few cells, which shows nothing of the prompt: everybody who looks ranks it last.
Image destroyed(const Image& image) {
  constexpr int kCells = 9;
  Image result = image;
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      const int row = y * kCells / image.height, column = x * kCells / image.width;
      // Neighbouring cells come from distant places.
      const int from_row = (row * 4 + column) % kCells, from_column = (column * 5 + 2 * row) % kCells;
      const uint8_t* from = image.at((2 * from_row + 1) * image.height / (2 * kCells),
                                     (2 * from_column + 1) * image.width / (2 * kCells));
      std::copy_n(from, 3, result.at(y, x));
    }
  return result;
}

std::string ending_of(const MakeRequest& request) { return request.jpeg ? ".jpg" : ".png"; }

class ImageWriter {
 public:
  ImageWriter(const MakeRequest& request, const Study& study, fs::path folder)
      : request_(request), study_(study), folder_(std::move(folder)) {}

  void write(const Trial& trial) {
    for (size_t i = 0; i < trial.models.size(); ++i)
      write(trial.prompt, trial.models[i], trial.check == Check::kDegraded && trial.of == int64_t(i));
  }
  int64_t count() const { return int64_t(written_.size()); }

 private:
  void write(int64_t prompt, int model, bool is_degraded) {
    const auto name = image_name(study_, request_.seed, prompt, model, is_degraded);
    if (!written_.insert(name).second) return;
    const Image image = formats::load_image(request_.models[size_t(model)].images[size_t(prompt)]);
    const Image shown = is_degraded ? destroyed(image) : image;
    OutputFile file(folder_ / (name + ending_of(request_)));
    file.write(request_.jpeg ? formats::encode_jpeg(shown, *request_.jpeg) : formats::encode_png(shown));
    file.close();
  }

  const MakeRequest& request_;
  const Study& study_;
  fs::path folder_;
  std::set<std::string> written_;
};

std::string study_id(const MakeRequest& request) {
  constexpr size_t kHexDigits = 12;
  std::string text = fmt::format("{} {} {}", request.seed, word_of(request.design), request.title);
  for (const auto& model : request.models) text += "\n" + model.name;
  for (const auto& prompt : request.prompts) text += "\n" + prompt;
  return formats::sha256(text).substr(0, kHexDigits);
}

Study study_of(const MakeRequest& request) {
  Study study{.id = study_id(request),
              .title = request.title.empty() ? "Which image is better?" : request.title,
              .design = request.design,
              .questions = request.questions,
              .prompts = request.prompts};
  for (const auto& model : request.models) study.models.push_back(model.name);
  study.people = assign(request);
  return study;
}

std::string text_of(const nlohmann::ordered_json& content) {
  return content.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

struct Texts {
  std::string plan, page, key;
};

// Refuses what read_plan() and read_key() would not read, before the images are written.
Texts texts_of(const Study& study, const MakeRequest& request) {
  const auto plan = plan_json(study, request, ending_of(request));
  Texts texts{.plan = text_of(plan),
              .page = study_page(plan),
              .key = text_of(key_json(study, request, ending_of(request)))};
  if (std::max({texts.plan.size(), texts.page.size(), texts.key.size()}) > kLargestPlan)
    throw UserError(
        fmt::format("study make: the plan or the key would have more than {}; use fewer prompts or a smaller "
                    "--seen.",
                    human_bytes(kLargestPlan)));
  return texts;
}

void write(const fs::path& path, const std::string& bytes) {
  OutputFile file(path);
  file.write(bytes);
  file.close();
}

}  // namespace

Made make_study(const MakeRequest& asked) {
  MakeRequest request = asked;
  if (request.consent.empty()) request.consent = kConsent;
  check(request);
  const Study study = study_of(request);
  const Texts texts = texts_of(study, request);
  StagedFolder folder(request.out);
  create_folders(folder.path() / "images");
  ImageWriter images(request, study, folder.path() / "images");
  Made made{.fewest_screens = kMostScreens};
  Progress progress("write images", int64_t(study.people.size()), "person");
  int64_t done = 0;
  for (const auto& person : study.people) {
    for (const auto& trial : person.trials) images.write(trial);
    const auto screens = int64_t(person.trials.size());
    made.fewest_screens = std::min(made.fewest_screens, screens);
    made.most_screens = std::max(made.most_screens, screens);
    progress.update(++done);
  }
  write(folder.path() / "plan.json", texts.plan);
  write(folder.path() / "index.html", texts.page);
  write_file_atomically(request.key, texts.key);
  folder.commit();
  made.images = images.count();
  const auto models = int64_t(request.models.size());
  made.comparisons =
      int64_t(request.prompts.size()) * (request.design == Design::kPairs ? models * (models - 1) / 2 : 1);
  return made;
}

}  // namespace pixart::study
