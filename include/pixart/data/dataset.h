// Where images and captions come from.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "pixart/base/rule.h"
#include "pixart/formats/image_file.h"

namespace pixart::data {

struct Sample {
  std::string key;      // stable name, e.g. the path below the source's folder
  Image image;          // as stored; not resized
  std::string caption;  // "" where the source has none
  int64_t label = -1;   // class, -1 where the source has none
};

// A finite, indexable source. All functions may be called from several threads; 0 <= index < size().
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  virtual Sample get(int64_t index) const = 0;           // throws UserError naming the file
  virtual std::string caption(int64_t index) const = 0;  // without decoding the image
  virtual int64_t label(int64_t index) const = 0;
  virtual std::vector<std::string> class_names() const = 0;  // empty where there are no classes
  virtual std::string fingerprint() const = 0;  // changes when the content listed changes (names, sizes,
                                                // captions; no times of change, no pixels of files)
};

// What the kinds of sources take from their folder. Names that start with a dot are passed over, and links to
// folders are followed.
//   image_folder  every .png .jpg .jpeg .webp, sorted by path; the caption is the first line with text of the
//   .txt
//                 file of the same name (further lines may hold translations)
//   class_folder  the same pictures; the label is the index of the first sub-folder among the sorted ones,
//   the
//                 caption its name with _ as blanks
//   idx           the pair train-images-idx3-ubyte, train-labels-idx1-ubyte, or the first pair of another
//   name, plain
//                 or .gz; captions are numbers, or Fashion-MNIST's names for a folder with "fashion" in its
//                 name
//   scenes        see scenes.h
struct SourceConfig {
  std::string name;
  std::string type = "image_folder";
  std::filesystem::path path;
  std::string missing_caption = "error";  // error | skip | empty
  int64_t max_samples = 0;                // 0: all
  std::vector<std::string> include;       // image_folder: sub-folders to take; empty: all
  int64_t count = 6000;                   // scenes: number of drawn scenes
  std::string style = "plain";            // scenes: plain | shaded
  int64_t seed = 0;                       // scenes

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("name", s.name, "Name that stages refer to.", required());
    v("type", s.type,
      "image_folder: images with .txt captions; class_folder: one sub-folder per class; idx: MNIST-style "
      "files; "
      "scenes: the built-in generator of captioned scenes.",
      one_of({"image_folder", "class_folder", "idx", "scenes"}).required());
    v("path", s.path, "Folder of the source (not for scenes).", any());
    v("missing_caption", s.missing_caption, "image_folder: what to do with an image without .txt file.",
      one_of({"error", "skip", "empty"}));
    v("max_samples", s.max_samples, "Use only the first samples; 0 uses all.", not_negative());
    v("include", s.include, "image_folder: sub-folders to take; empty takes all.", any());
    v("count", s.count, "scenes: number of drawn scenes.", positive());
    v("style", s.style, "scenes: plain pictures, or shaded objects on graded backgrounds.",
      one_of({"plain", "shaded"}));
    v("seed", s.seed, "scenes: seed of the generator.", not_negative());
  }
  // Adds keys without effect for the type, a path that is missing, and sub-folders outside of it.
  void validate(std::vector<std::string>& problems) const;
};

// Opens the source; lists it fully and throws one UserError with every problem, each with up to twenty paths.
std::unique_ptr<Dataset> open_dataset(const SourceConfig& config);

}  // namespace pixart::data
