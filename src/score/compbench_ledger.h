// The answers of a network that were computed, as a file of JSON lines that a restart continues from.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace pixart::score {

struct AskedImage {
  std::string image = {};         // below the folder of images
  std::string image_sha256 = {};  // of the file
  std::string question = {};
};

// For one process at a time.
class AnswerLedger {
 public:
  // `model`: JSON object that says which network answers. Throws UserError if the file has answers of another one, or a line that
  // cannot be read; a last line without its end, which a kill leaves, is dropped.
  AnswerLedger(std::filesystem::path file, const std::string& model);

  const double* find(
      const AskedImage& asked) const;  // null: not answered, or of another content of the image
  void add(const std::vector<AskedImage>& asked, const std::vector<double>& answers);  // durable in the file
  size_t size() const { return answers_.size(); }

 private:
  struct Answer {
    std::string image_sha256 = {};
    double value = 0;
  };
  std::filesystem::path file_;
  std::map<std::pair<std::string, std::string>, Answer> answers_;
};

}  // namespace pixart::score
