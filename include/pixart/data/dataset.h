// Sources of images and captions.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pixart/base/claim.h"
#include "pixart/base/enum_words.h"
#include "pixart/base/rule.h"
#include "pixart/data/rejection.h"
#include "pixart/data/row_selection.h"
#include "pixart/data/scores_config.h"
#include "pixart/demo/scene_source_config.h"
#include "pixart/formats/image_file.h"

namespace pixart::data {

struct Caption {
  std::string name = {};  // the kind; "caption" if the source has only one kind
  std::string text = {};  // UTF-8, trimmed, never empty
  double weight = 1;      // how often it is drawn; several captions of one kind share the kind's weight
};

// What a source knows about a sample without opening its image.
struct Row {
  std::string key = {};                // unique and stable, e.g. the path below the source's folder
  std::vector<Caption> captions = {};  // in the order of the kinds, each with one or more; may be empty
  int64_t label = -1;                  // class; -1 if the source has no classes
  std::filesystem::path latent_file = {},
                        caption_file = {};  // features that come with the source; mostly empty
};

struct CaptionFingerprints {
  std::string now = {}, former = {};  // as captions_fingerprint() and former_captions_fingerprint() return
  bool has_lines = false;             // the first caption of a row has several lines
};

// A finite, indexable source. All functions may be called from several threads; 0 <= index < size().
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;  // listed rows, including rejected ones
  // Reads the captions; UserError if they have changed since the source was listed.
  virtual Row row(int64_t index) const = 0;
  virtual Row outline(int64_t index) const { return row(index); }  // the texts of captions may be empty
  virtual std::string key(int64_t index) const { return outline(index).key; }
  virtual int64_t label(int64_t index) const { return outline(index).label; }
  virtual const std::vector<std::string>& class_names() const = 0;  // empty if the source has no classes
  virtual const std::vector<Rejection>& rejected() const = 0;       // known from the listing; ordered by row
  // Changes when the listed images change (names, sizes, classes; not captions, times or pixels).
  virtual std::string fingerprint() const = 0;
  virtual CaptionFingerprints caption_fingerprints() const;

  std::string bytes(int64_t index) const;  // the encoded image; throws BadSample
  // The decoded image. If `least_side` is not 0, perhaps at half the size: see formats::decode_reduced().
  // Throws BadSample.
  formats::ReducedImage reduced_image(int64_t index, int least_side) const;
  Image image(int64_t index) const { return reduced_image(index, 0).image; }  // full size; throws BadSample

  // The size of image(), perhaps without decoding it: damage of its pixels may not be found. Throws BadSample.
  formats::ImageSize image_size(int64_t index) const;

  // Calls `work`, which uses the content of a sample. Whatever it throws because of this content, be it an
  // error of ours or an exception of a library, becomes BadSample with the sample's key. Faults of the
  // machine (I/O, memory) are tried again and then thrown as MachineFault: no sample is blamed. bytes() and
  // image() do their work so.
  void on_sample(int64_t index, const std::function<void()>& work) const;

  std::string caption(int64_t index) const;  // the first caption; "" if there is none

  // What the scores of the source say (SourceConfig::scores); null: every row is used, equally often. open_dataset()
  // sets it. The features of rows that are left out are made all the same, so that limits may change.
  const std::shared_ptr<const RowSelection>& selection() const { return selection_; }
  void select(std::shared_ptr<const RowSelection> selection) { selection_ = std::move(selection); }
  bool is_left_out(int64_t index) const { return selection_ && !selection_->keeps(index); }
  std::optional<Rejection> left_out(int64_t index) const;  // why; nothing for a row that is kept

  // SourceConfig::damaged_images; open_dataset() sets it.
  void treat_damaged_images(formats::DamagedImages how) { damaged_images_ = how; }

 private:
  virtual std::string read_bytes_of(int64_t index) const = 0;
  virtual formats::ReducedImage decode(int64_t index, int least_side) const;  // by default of the bytes

  std::shared_ptr<const RowSelection> selection_;
  formats::DamagedImages damaged_images_ = formats::DamagedImages::kReject;
};

// Changes when a caption changes, or when other rows have captions.
std::string captions_fingerprint(const Dataset& dataset);
// The earlier form, which also changes when files of caption features move.
std::string former_captions_fingerprint(const Dataset& dataset);

// Reads all captions, on several threads.
CaptionFingerprints hash_captions(const Dataset& dataset);

// One flag per row: true if the row is rejected for another reason than its image. All other rows have a
// caption (perhaps an empty one), so that text features stay valid when images are repaired.
std::vector<bool> rows_without_captions(const Dataset& dataset);

// A kind of caption, and how often it is drawn.
struct CaptionConfig {
  std::string name;
  double weight = 1;
  std::string column;
  std::filesystem::path from;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("name", s.name, "Name of the kind, e.g. long.", required());
    v("weight", s.weight, "How often it is drawn, relative to the other kinds that a sample has.",
      positive_up_to(1e6));
    v("column", s.column,
      "Where the text is: column of a table, field of a shard's .json, or txt. Empty: the name itself (of `from`: "
      "caption, text or prompt). A list of texts is several captions, which share the weight.",
      any());
    v("from", s.from,
      "Captions that are joined with the samples by key: a JSONL file that pixart caption wrote (one {key, "
      "caption} per line), or a .parquet file, a folder or a glob of them with the columns key and `column`.",
      any().by_content(""));
  }
};

// What each kind of source reads from its path. Names that start with a dot are skipped. Symbolic links are
// followed inside the source's folder; one that leads out of it is an error without follow_links.
//   image_folder  every file whose name ends like an image's (formats::image_endings()), sorted by path; the
//                 caption is the whole text of the .txt file of the same name, without Tux Paint's
//                 translations (lines such as de.utf8=Ein Drache.)
//   class_folder  the same images; the label is the index of the first sub-folder in sorted order, the
//                 caption is its name with blanks instead of _
//   idx           the pair train-images-idx3-ubyte, train-labels-idx1-ubyte, or the first pair of another
//                 name, plain or .gz; captions are numbers, or Fashion-MNIST's names for a folder with
//                 "fashion" in its name
//   table         .jsonl, .csv or .tsv files (path: a file, a folder or a glob); a row names its image; rows
//                 of one image are captions of one sample
//   pixart        the official layouts: InternData JSON lists, SAM part files, with features if there are any
//   webdataset    tar shards (path: a file, a folder, a glob; an address of a server, or a .txt file of them)
//   parquet       .parquet files (path: a file, a folder or a glob); a row holds its image or names its file
//   mds           MosaicML's shards: a folder with index.json, or sub-folders with one each
//   scenes        drawn by the program: demo/scenes.h
enum class MissingCaption { kError, kSkip, kEmpty };
inline EnumWords<MissingCaption> enum_words(MissingCaption) {
  return {
      {"error", MissingCaption::kError}, {"skip", MissingCaption::kSkip}, {"empty", MissingCaption::kEmpty}};
}

// Lines of a caption file.
enum class CaptionLines { kAll, kFirst };
inline EnumWords<CaptionLines> enum_words(CaptionLines) {
  return {{"all", CaptionLines::kAll}, {"first", CaptionLines::kFirst}};
}

std::vector<std::string> source_types();

struct SourceConfig : demo::SceneSourceConfig {
  std::string name;
  std::string type = "image_folder";
  std::filesystem::path path;
  std::vector<CaptionConfig> captions;
  CaptionLines caption_lines = CaptionLines::kAll;
  std::string prompt;  // image_folder: the caption of every image; "": the .txt files
  int64_t draw = 0;    // image_folder: number of images that the folder is to hold
  MissingCaption missing_caption = MissingCaption::kError;
  double missing_caption_share = 0.01;
  double quarantine_budget = 0.001;
  formats::DamagedImages damaged_images = formats::DamagedImages::kReject;
  ScoresConfig scores;
  int64_t max_samples = 0;  // 0: all
  bool follow_links = false;
  std::vector<std::string> include;  // image_folder: sub-folders to take; empty: all
  std::filesystem::path images;      // table: folder of the images
  std::string image_column, label_column, key_column;
  double cache_gb = 20;                // webdataset: of shards on servers
  std::filesystem::path cache_folder;  // empty: in the user's cache folder

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("name", s.name, "Name that stages refer to.", required());
    v("type", s.type,
      "image_folder: images with .txt captions; class_folder: one sub-folder per class; idx: MNIST-style "
      "files; table: JSONL or CSV; parquet: Parquet files; pixart: the official layouts; webdataset: tar "
      "shards; mds: MosaicML's shards; scenes: the built-in generator of captioned scenes.",
      one_of(source_types()).required());
    v("path", s.path, "Folder, file, glob or address (https://, s3://) of the source (not for scenes).",
      any().by_content("stages that have not begun use what the source holds now"));
    v("captions", s.captions,
      "Kinds of captions to draw from, by weight; empty: the source's own. Not for idx and scenes.", any());
    v("caption_lines", s.caption_lines,
      "image_folder: whether a caption is its whole file or only the first line with text. It may change, "
      "but features of other captions are refused.",
      any().free());
    v("prompt", s.prompt,
      "image_folder: the caption of every image, in place of the .txt files, for example `a photo of sks dog`.",
      any().by_content("stages that have not begun use the other caption"));
    v("draw", s.draw,
      "image_folder: number of images that the folder is to hold. Those that it lacks are drawn with `prompt` by "
      "the weights that a stage starts from, before the stage begins, and stay there as drawn-NNNNN.png.",
      in_range(0, 1e6).by_content("stages that have not begun use the images that are there now"));
    v("missing_caption", s.missing_caption,
      "What to do with a sample without caption: stop, leave it out, or take an empty one.", any());
    v("missing_caption_share", s.missing_caption_share,
      "Largest share of samples that may lack a caption (with skip or empty).", in_range(0, 1));
    v("quarantine_budget", s.quarantine_budget,
      "Largest share of samples that may be unusable; more is an error. Missing captions have their own "
      "limit.",
      in_range(0, 1).free());
    v("damaged_images", s.damaged_images,
      "Damaged images and animations of which Pillow reads pixels: reject them, or read them as Pillow does, "
      "with the wrong pixels of the former and the first image of the latter. Not for idx and scenes.",
      any());
    v("scores", s.scores, "Scores of the rows: which are kept, and how often each is drawn.", any());
    v("max_samples", s.max_samples, "Use only the first samples; 0 uses all.", not_negative());
    v("follow_links", s.follow_links,
      "Whether symbolic links may lead out of the source's folder, as in the cache of Hugging Face; otherwise "
      "they are an error. The path itself may be a link.",
      any().free());
    v("include", s.include, "image_folder: sub-folders to take; empty takes all.", any());
    v("images", s.images, "table, parquet: folder that image paths are relative to; empty: the table's own.",
      any().by_content(""));
    v("image_column", s.image_column,
      "table, parquet: column of the image's path; parquet, mds: of the image. Empty: image, path or "
      "file_name.",
      any());
    v("label_column", s.label_column, "table, parquet, mds: column of the class name or number; empty: none.",
      any());
    v("key_column", s.key_column,
      "parquet, mds: column of the sample's key; empty: the image's path, or file and number of the row.",
      any());
    v("cache_gb", s.cache_gb,
      "webdataset: gigabytes (of 10^9 bytes) of the disk cache of shards on servers; 0 stores nothing.",
      in_range(0, 1e6).free());
    v("cache_folder", s.cache_folder,
      "webdataset: folder of this cache, which runs and ranks share; empty: pixart/shards in the user's cache "
      "folder.",
      any().free());
    SceneSourceConfig::fields(s, v);
  }
  bool draws_scenes() const;  // the demo's scenes, whose captions describe the images
  // Adds keys without effect for the type, a path that is missing, and sub-folders outside of it.
  void validate(std::vector<std::string>& problems) const;
};

// Where the indexes of sources are. An index holds what the listing of a source found, so that later starts
// and other processes map it instead. It is made anew when the listing's files or folders or the config have
// changed.
struct IndexPlace {
  std::filesystem::path folder = {};  // empty: no index is used
  int64_t least_rows = 10'000;        // smaller sources are listed at each start
  SharedWork shared = {};
  bool lists_anew = false;  // whatever the index says: files that were replaced in place change no folder
  double help_after_seconds = 30;  // until this process makes a part of a listing that a slow one has claimed
};

// The images that the program draws for a source (SourceConfig::draw): the file of image i, and the numbers of those that
// the folder lacks. With N other images in it, images 0 to draw - N - 1 are needed. A folder that does not exist has none.
std::filesystem::path drawn_image(const SourceConfig& config, int64_t i);
std::vector<int64_t> images_to_draw(const SourceConfig& config);

// Opens the source, lists it fully or takes its index, and reads its scores. Throws one UserError with every problem that concerns the source as a
// whole, each with up to twenty paths; faults of single samples are in rejected().
// While images of the source must still be drawn, its rows are known, but none can be read.
std::unique_ptr<Dataset> open_dataset(const SourceConfig& config, const IndexPlace& index = {});

}  // namespace pixart::data
